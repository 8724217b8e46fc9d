/** Reads a recording line by line, whatever its size. */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ExpertError } from '../../compute/base/errors.js';
import { MAX_HEADER_LENGTH, maxRecordLength, type RecordedLine, type RecordingHeader } from './recording.js';
import { parseHeader, parseRecord } from './recording_parser.js';

/** What a line of a file says; the first one is the header. */
export type RecordingLine = { readonly kind: 'header'; readonly header: RecordingHeader } | RecordedLine;

/**
 * The header, then every record in order. What stands before damage is given before the error is thrown.
 * @throws ExpertError BAD_RECORDING with file and line: not there, no recording, damaged, or cut off
 */
export async function* readRecording(file: string): AsyncGenerator<RecordingLine, void, undefined> {
  let line = 0;
  let header: RecordingHeader | null = null;
  const fail = (what: string, cause?: unknown): never => {
    const advice = 'record it again, or give another file';
    throw new ExpertError('BAD_RECORDING', `${file}, line ${line}: ${what}; ${advice}`, { file, line, cause });
  };
  const lines = linesOf(file, () => (header === null ? MAX_HEADER_LENGTH : maxRecordLength(header)));
  try {
    for (;;) {
      line++;
      let parsed: RecordingLine;
      try {
        const next = await lines.next();
        if (next.done === true) break;
        parsed = parse(next.value, header);
      } catch (error) {
        return fail(reasonOf(error), error);
      }
      if (parsed.kind === 'header') header = parsed.header;
      yield parsed;
    }
  } finally {
    await lines.return();
  }
  if (header === null) fail('it is empty');
}

const parse = (text: string, header: RecordingHeader | null): RecordingLine =>
  header === null ? { kind: 'header', header: parseHeader(text) } : parseRecord(text, header);

/** Without their ends; a line may be as long as `maxLength` says when it begins. */
async function* linesOf(file: string, maxLength: () => number): AsyncGenerator<string, void, undefined> {
  const gunzip = createGunzip();
  const bytes = pipeline(createReadStream(file), gunzip, () => undefined); // the error comes to who reads
  bytes.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of bytes as AsyncIterable<string>) {
      let from = 0;
      for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', from)) {
        yield checked(rest + chunk.slice(from, end), maxLength());
        rest = '';
        from = end + 1;
      }
      rest = checked(rest + chunk.slice(from), maxLength());
    }
  } finally {
    bytes.destroy();
  }
  if (rest !== '') throw new Error('it ends in the middle of a line');
}

function checked(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  throw new Error(`it is longer than the ${maxLength} characters that a line of this recording can have`);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR') return 'the file is cut off here: the run that wrote it ended early';
  if (code?.startsWith('Z_') === true) return `the file is damaged here, or isn't gzip (${error.message})`;
  return error.message;
}
