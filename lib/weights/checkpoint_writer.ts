/** Safetensors files of a checkpoint, written piece by piece: memory holds one piece, whatever the size of a tensor. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { DTYPE_BITS } from './dtypes.js';
import { safetensorsHead, type TensorEntry } from './safetensors_writer.js';
import { INDEX_FILE, SINGLE_FILE } from './shards.js';

/** A tensor whose bytes are made when they are written. */
export interface TensorSource {
  readonly name: string;
  readonly shape: readonly number[];
  /** Any element type of {@link DTYPE_BITS}. */
  readonly dtype: string;
  /** Fills `out` with the bytes from number `first` on, a multiple of 16, as they lie in the file; called in order, one call after the other. */
  readonly fill: (out: Uint8Array, first: number) => void | Promise<void>;
}

/** How tensors become files, and who is told. */
export interface WriteOptions {
  /** A file takes no further tensor that would lift its data above this; default 4 GiB. One tensor may be larger. */
  readonly maxShardBytes?: number | undefined;
  /** Ends the writing; the signal's reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Told after each piece, with the bytes of tensors written so far and of all. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/** What {@link writeTensors} wrote. */
export interface WrittenFiles {
  /** Names in the folder, without the index. */
  readonly files: readonly string[];
  /** Bytes of all tensors. */
  readonly totalBytes: number;
}

/**
 * Writes `model.safetensors`, or shards and their `model.safetensors.index.json` where one file would be too large.
 *
 * @param dir an existing folder
 * @throws whatever the file system does
 */
export async function writeTensors(
  dir: string,
  tensors: Iterable<TensorSource>,
  { maxShardBytes = DEFAULT_SHARD_BYTES, signal, onProgress }: WriteOptions = {},
): Promise<WrittenFiles> {
  const shards = shardsOf(tensors, maxShardBytes);
  const files = shards.map((_, i) => (shards.length === 1 ? SINGLE_FILE : shardName(i + 1, shards.length)));
  const totalBytes = shards.flat().reduce((sum, tensor) => sum + numBytesOf(tensor), 0);
  let doneBytes = 0;
  const onPiece = (numBytes: number): void => {
    doneBytes += numBytes;
    onProgress?.(doneBytes, totalBytes);
  };
  for (const [i, shard] of shards.entries()) await writeFile(join(dir, files[i]!), shard, onPiece, signal);
  if (shards.length > 1) {
    const fileOf = shards.flatMap((shard, i) => shard.map(({ name }) => [name, files[i]!] as const));
    const index = { metadata: { total_size: totalBytes }, weight_map: Object.fromEntries(fileOf) };
    await writeJson(join(dir, INDEX_FILE), index);
  }
  return { files, totalBytes };
}

/** A JSON file as model folders have it: indented, ending with a new line. */
export async function writeJson(path: string, value: object): Promise<void> {
  await writeWhole(path, async (write) => write(Buffer.from(`${JSON.stringify(value, null, 2)}\n`)));
}

const DEFAULT_SHARD_BYTES = 4 * 2 ** 30;
/** Made and written at a time, of several tensors where these are small. */
const PIECE_BYTES = 2 ** 20;
/** A tensor is filled from multiples of so many bytes on. */
const FILL_BYTES = 16;

const shardName = (number: number, of: number): string =>
  `model-${String(number).padStart(5, '0')}-of-${String(of).padStart(5, '0')}.safetensors`;

/** Bytes in a file. */
export const numBytesOf = ({ shape, dtype }: TensorSource): number =>
  (shape.reduce((product, size) => product * size, 1) * DTYPE_BITS.get(dtype)!) / 8;

/** Neighbours together, as many as fit. */
function shardsOf(tensors: Iterable<TensorSource>, maxShardBytes: number): readonly (readonly TensorSource[])[] {
  const shards: TensorSource[][] = [];
  let numBytes = Infinity;
  for (const tensor of tensors) {
    const more = numBytesOf(tensor);
    if (numBytes + more > maxShardBytes) {
      shards.push([]);
      numBytes = 0;
    }
    shards.at(-1)!.push(tensor);
    numBytes += more;
  }
  return shards;
}

async function writeFile(
  path: string,
  tensors: readonly TensorSource[],
  onPiece: (numBytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const entries = tensors.map((tensor): TensorEntry => ({ ...tensor, numBytes: numBytesOf(tensor) }));
  await writeWhole(path, async (write) => {
    await write(safetensorsHead(entries, { format: 'pt' })); // what Hugging Face libraries ask for
    for await (const piece of piecesOf(tensors, signal)) {
      await write(piece);
      onPiece(piece.byteLength);
    }
  });
}

/** The bytes of all tensors, one behind the other. Each piece is written before the next one is made. */
async function* piecesOf(
  tensors: readonly TensorSource[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  const piece = new Uint8Array(PIECE_BYTES);
  let numMade = 0;
  for (const tensor of tensors) {
    const numBytes = numBytesOf(tensor);
    for (let first = 0; first < numBytes;) {
      signal?.throwIfAborted();
      const room = piece.length - numMade;
      const count = numBytes - first <= room ? numBytes - first : room - (room % FILL_BYTES);
      await tensor.fill(piece.subarray(numMade, numMade + count), first);
      first += count;
      numMade += count;
      if (piece.length - numMade >= FILL_BYTES) continue;
      yield piece.subarray(0, numMade);
      numMade = 0;
    }
  }
  if (numMade > 0) yield piece.subarray(0, numMade);
}

type Write = (bytes: Uint8Array) => Promise<void>;

async function writeWhole(path: string, use: (write: Write) => Promise<void>): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await use((bytes) => file.writeFile(bytes)); // unlike write(), goes on until every byte is written
  } finally {
    await file.close();
  }
}
