/** Reading a wheel of the Python package index, which is a zip file: its list of entries, and single entries, piece by piece. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 as crc32Of, createInflateRaw } from 'node:zlib';
import { NativeError } from './errors.js';

/** One file in a wheel, as the directory describes it. */
export interface WheelEntry {
  readonly name: string;
  /** Bytes once extracted. */
  readonly size: number;
  readonly packedSize: number;
  /** Of the extracted bytes. */
  readonly crc32: number;
  /** 0 as it is, 8 deflated. */
  readonly method: number;
  /** Of its local header in the file. */
  readonly offset: number;
}

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const STORED = 0;
const DEFLATED = 8;

/**
 * The entries of a wheel, from the directory at its end. Zip64 is not read: wheels of an index are smaller.
 *
 * @throws NativeError BAD_ARCHIVE
 */
export async function readWheel(file: string): Promise<WheelEntry[]> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const tail = await readAt(handle, file, Math.max(0, size - END_BYTES - MAX_COMMENT_BYTES), size);
    const end = tail.lastIndexOf(signature(END_SIGNATURE));
    if (end < 0 || end + END_BYTES > tail.length) throw damaged(file, 'it has no directory');
    const begin = tail.readUInt32LE(end + 16);
    const directory = await readAt(handle, file, begin, begin + tail.readUInt32LE(end + 12));
    return parseDirectory(directory, tail.readUInt16LE(end + 10), file);
  } finally {
    await handle.close();
  }
}

function parseDirectory(directory: Buffer, numEntries: number, file: string): WheelEntry[] {
  const entries: WheelEntry[] = [];
  for (let i = 0, at = 0; i < numEntries; i++) {
    if (at + ENTRY_BYTES > directory.length || directory.readUInt32LE(at) !== ENTRY_SIGNATURE) {
      throw damaged(file, `entry ${i} of its directory is cut off`);
    }
    const nameEnd = at + ENTRY_BYTES + directory.readUInt16LE(at + 28);
    entries.push({
      name: directory.toString('utf8', at + ENTRY_BYTES, nameEnd),
      method: directory.readUInt16LE(at + 10),
      crc32: directory.readUInt32LE(at + 16),
      packedSize: directory.readUInt32LE(at + 20),
      size: directory.readUInt32LE(at + 24),
      offset: directory.readUInt32LE(at + 42),
    });
    at = nameEnd + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}

/** What ends unpacking, and who is told how far it is. */
export interface UnpackOptions {
  readonly signal: AbortSignal;
  /** Of the bytes to write, 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/**
 * Writes entries to files.
 *
 * @param targetOf the name of an entry → its file
 * @throws NativeError BAD_ARCHIVE; the signal's reason when it was aborted
 */
export async function extractEntries(
  wheel: string,
  entries: readonly WheelEntry[],
  targetOf: (name: string) => string,
  { signal, onProgress }: UnpackOptions,
): Promise<void> {
  const totalBytes = entries.reduce((sum, { size }) => sum + size, 0);
  let doneBytes = 0;
  const onBytes = (bytes: number): void => onProgress((doneBytes += bytes) / totalBytes);
  for (const entry of entries) await extractEntry(wheel, entry, targetOf(entry.name), { signal, onBytes });
}

/** As {@link UnpackOptions}, for one entry: bytes instead of a share. */
export interface ExtractOptions {
  readonly signal: AbortSignal;
  /** Called with the number of bytes of every piece written. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * Writes one entry to a file, whose folder is made, and checks its sum.
 *
 * @throws NativeError BAD_ARCHIVE; the signal's reason when it was aborted
 */
export async function extractEntry(
  wheel: string,
  entry: WheelEntry,
  target: string,
  { signal, onBytes }: ExtractOptions,
): Promise<void> {
  if (entry.method !== STORED && entry.method !== DEFLATED) throw damaged(wheel, `${entry.name} is packed unusually`);
  const start = await dataStart(wheel, entry);
  await mkdir(dirname(target), { recursive: true });
  let [size, crc] = [0, 0];
  async function* counted(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of pieces) {
      size += piece.length;
      crc = crc32Of(piece, crc);
      onBytes(piece.length);
      yield piece;
    }
  }
  const end = start + entry.packedSize - 1;
  const packed = entry.packedSize === 0 ? Readable.from([]) : createReadStream(wheel, { start, end });
  const out = createWriteStream(target);
  try {
    await (entry.method === STORED
      ? pipeline(packed, counted, out, { signal })
      : pipeline(packed, createInflateRaw(), counted, out, { signal }));
  } catch (cause) {
    signal.throwIfAborted();
    throw isPackingError(cause) ? damaged(wheel, `${entry.name} is damaged`, cause) : cause;
  }
  if (size !== entry.size || crc !== entry.crc32) throw damaged(wheel, `${entry.name} is damaged`);
}

/** The directory does not say how long an entry's own header is. */
async function dataStart(wheel: string, { name, offset }: WheelEntry): Promise<number> {
  const handle = await open(wheel, 'r');
  try {
    const header = await readAt(handle, wheel, offset, offset + LOCAL_BYTES);
    if (header.readUInt32LE(0) !== LOCAL_SIGNATURE) throw damaged(wheel, `${name} is not where its directory says`);
    return offset + LOCAL_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
  } finally {
    await handle.close();
  }
}

async function readAt(handle: FileHandle, file: string, begin: number, end: number): Promise<Buffer> {
  const { size } = await handle.stat();
  if (end > size) throw damaged(file, 'it is cut off');
  const bytes = Buffer.alloc(end - begin);
  await handle.read(bytes, 0, bytes.length, begin);
  return bytes;
}

function signature(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const isPackingError = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('Z_');

const damaged = (file: string, what: string, cause?: unknown): NativeError =>
  new NativeError('BAD_ARCHIVE', `${file} is no wheel that can be read: ${what}; delete it and try again`, { cause });
