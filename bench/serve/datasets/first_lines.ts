/** The beginning of a text file, plain or compressed: traces are longer than what anybody plays of them. */
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { causeText } from '../../../base/foreign_text.js';
import { ServeBenchError } from '../load/errors.js';

/** A line that is longer is none of a trace. */
const MAX_LINE_CHARS = 2 ** 22;

/** The first `count` lines that aren't empty; `.gz` files are decompressed on the way. @throws ServeBenchError BAD_DATASET */
export async function firstLines(path: string, count: number): Promise<string[]> {
  try {
    return await readLines(path, count);
  } catch (cause) {
    if (cause instanceof ServeBenchError) throw cause;
    throw new ServeBenchError('BAD_DATASET', `${path} can't be read (${causeText(cause)}); give the path of a file`, {
      cause,
    });
  }
}

async function readLines(path: string, count: number): Promise<string[]> {
  const file = createReadStream(path);
  const lines: string[] = [];
  let rest = '';
  try {
    for await (const chunk of textOf(file, path.endsWith('.gz'))) {
      const parts = (rest + chunk).split(/\r?\n/);
      rest = parts.pop()!;
      lines.push(...parts.filter((line) => line.trim() !== ''));
      if (lines.length >= count) return lines.slice(0, count);
      if (rest.length > MAX_LINE_CHARS)
        throw new ServeBenchError(
          'BAD_DATASET',
          `line ${lines.length + 1} of ${path} has over ${MAX_LINE_CHARS} characters; give a file with a request per line`,
        );
    }
  } finally {
    file.destroy();
  }
  return rest.trim() === '' ? lines : [...lines, rest];
}

/** Decoded piece by piece; a character may lie across two. */
async function* textOf(file: Readable, isCompressed: boolean): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const bytes: AsyncIterable<Buffer> = isCompressed ? unpacked(file) : file;
  for await (const chunk of bytes) yield decoder.decode(chunk, { stream: true });
  yield decoder.decode();
}

function unpacked(file: Readable): Readable {
  const gunzip = createGunzip();
  file.on('error', (error) => gunzip.destroy(error));
  return file.pipe(gunzip);
}
