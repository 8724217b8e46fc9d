/** The storage of a hub that keeps large files in chunks (Xet): which chunks a file is made of, and where they are. Each is stored as it is, uncompressed. */
import { createHash } from 'node:crypto';
import type { HubFile } from './hub_model.js';

/** Bytes of a chunk. */
const CHUNK_BYTES = 2 ** 16;
/** Chunks that lie together in one object. */
const CHUNKS_PER_OBJECT = 16;
/** Before each chunk: version, packed length in three bytes, how it is packed, unpacked length in three bytes. */
const HEADER_BYTES = 8;

/** How the storage knows a file. */
export const chunkedHash = ({ sha256 }: HubFile): string =>
  createHash('sha256').update(`chunks of ${sha256!}`).digest('hex');

/** An object of the storage: some chunks of a file, each behind its header. */
export function storedObject({ bytes }: HubFile, number: number): Buffer {
  const begin = number * CHUNKS_PER_OBJECT * CHUNK_BYTES;
  const parts: Uint8Array[] = [];
  for (let from = begin; from < Math.min(bytes.length, begin + CHUNKS_PER_OBJECT * CHUNK_BYTES); from += CHUNK_BYTES) {
    const chunk = bytes.subarray(from, from + CHUNK_BYTES);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUIntLE(chunk.length, 1, 3);
    header.writeUIntLE(chunk.length, 5, 3);
    parts.push(header, chunk);
  }
  return Buffer.concat(parts);
}

/** Chunks of an object, from `start` to before `end`. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** What a file's bytes from `begin` to before `end` are made of, in both forms that clients ask for. */
export function reconstruction(
  file: HubFile,
  begin: number,
  end: number,
  version: 'v1' | 'v2',
  storage: string,
): object {
  const firstChunk = Math.floor(begin / CHUNK_BYTES);
  const endChunk = Math.ceil(Math.min(end, file.bytes.length) / CHUNK_BYTES);
  const parts: { readonly number: number; readonly chunks: Range }[] = [];
  for (let chunk = firstChunk; chunk < endChunk;) {
    const number = Math.floor(chunk / CHUNKS_PER_OBJECT);
    const base = number * CHUNKS_PER_OBJECT;
    const last = Math.min(endChunk, base + CHUNKS_PER_OBJECT);
    parts.push({ number, chunks: { start: chunk - base, end: last - base } });
    chunk = last;
  }
  const bytesOf = ({ number, chunks }: (typeof parts)[number]): { unpacked: number; stored: Range } => {
    const base = number * CHUNKS_PER_OBJECT;
    const unpackedEnd = Math.min(file.bytes.length, (base + chunks.end) * CHUNK_BYTES);
    const unpacked = unpackedEnd - (base + chunks.start) * CHUNK_BYTES;
    const start = chunks.start * (CHUNK_BYTES + HEADER_BYTES);
    return { unpacked, stored: { start, end: start + unpacked + (chunks.end - chunks.start) * HEADER_BYTES - 1 } };
  };
  const hashOf = (number: number): string =>
    createHash('sha256')
      .update(`${chunkedHash(file)} ${number}`)
      .digest('hex');
  const urlOf = (number: number): string => `${storage}/objects/${chunkedHash(file)}/${number}`;
  const ranges = parts.map((part) => ({
    ...part,
    ...bytesOf(part),
    hash: hashOf(part.number),
    url: urlOf(part.number),
  }));
  return {
    offset_into_first_range: begin - firstChunk * CHUNK_BYTES,
    terms: ranges.map(({ hash, unpacked, chunks }) => ({ hash, unpacked_length: unpacked, range: chunks })),
    ...(version === 'v1' && {
      fetch_info: Object.fromEntries(
        ranges.map(({ hash, url, chunks, stored }) => [hash, [{ range: chunks, url, url_range: stored }]]),
      ),
    }),
    ...(version === 'v2' && {
      xorbs: Object.fromEntries(
        ranges.map(({ hash, url, chunks, stored }) => [hash, [{ url, ranges: [{ chunks, bytes: stored }] }]]),
      ),
    }),
  };
}
