/** Lines of a file that another process writes. */
import { open, type FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as delay } from 'node:timers/promises';

const LOOK_EVERY_MS = 200;
const PIECE_BYTES = 256 * 1024;
/** A line that is longer is told in pieces. */
const MAX_LINE_CHARS = 65_536;

/** Tells each line as it comes. Returns how to end that: what is there by then is told before. */
export function followFile(path: string, onLine: (line: string) => void): () => Promise<void> {
  const ending = new AbortController();
  const work = follow(path, onLine, ending.signal);
  return async () => {
    ending.abort();
    await work;
  };
}

async function follow(path: string, onLine: (line: string) => void, ending: AbortSignal): Promise<void> {
  const lines = new LineSplitter(onLine);
  let file: FileHandle | null = null;
  try {
    for (let isLast = false; ;) {
      file ??= await open(path, 'r').catch(() => null); // not yet
      while (file !== null && (await readPiece(file, lines)));
      if (isLast) break;
      await delay(LOOK_EVERY_MS, undefined, { signal: ending }).catch(() => undefined);
      isLast = ending.aborted;
    }
    lines.end();
  } finally {
    await file?.close();
  }
}

/** False: there is no more. */
async function readPiece(file: FileHandle, lines: LineSplitter): Promise<boolean> {
  const { bytesRead, buffer } = await file
    .read({ buffer: Buffer.alloc(PIECE_BYTES) })
    .catch(() => ({ bytesRead: 0, buffer: Buffer.alloc(0) }));
  if (bytesRead > 0) lines.add(buffer.subarray(0, bytesRead));
  return bytesRead > 0;
}

class LineSplitter {
  private readonly decoder = new StringDecoder('utf8');
  private rest = '';

  constructor(private readonly onLine: (line: string) => void) {}

  add(bytes: Buffer): void {
    const parts = (this.rest + this.decoder.write(bytes)).split('\n');
    this.rest = parts.pop()!;
    for (const part of parts) this.onLine(part.replace(/\r$/, ''));
    if (this.rest.length > MAX_LINE_CHARS) this.end();
  }

  /** A line without an end. */
  end(): void {
    if (this.rest !== '') this.onLine(this.rest);
    this.rest = '';
  }
}
