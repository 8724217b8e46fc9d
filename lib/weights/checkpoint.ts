import { closest } from 'fastest-levenshtein';
import { printable } from '../../base/foreign_text.js';
import { decodeToFloat32, isSupportedDtype, SUPPORTED_DTYPES } from './dtypes.js';
import { WeightError } from './errors.js';
import { SafetensorsFile } from './safetensors_file.js';
import { shapeText, type TensorInfo } from './safetensors_header.js';
import { findShards, type Shards } from './shards.js';
import type { TensorPlace } from './tensor_hash_worker.js';
import { wholeOf, type TensorPart } from './tensor_part.js';

/** Who is told while a checkpoint is read. */
export interface CheckpointOptions {
  /** Called whenever bytes of a tensor arrived, with their number (not the sum). Default: nobody is told. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** How one tensor is read. */
export interface ReadOptions {
  /** Ends the read between two pieces of 16 MiB; the signal's reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens the weights of a model folder in Hugging Face layout: `model.safetensors`, or `model.safetensors.index.json` with
 * the shards it names. Only headers are read; a tensor's bytes are read when it is asked for.
 *
 * @throws WeightError MODEL_NOT_FOUND, MISSING_SHARD, INVALID_JSON, GIT_LFS_POINTER, MALFORMED_SAFETENSORS, UNKNOWN_DTYPE, READ_FAILED
 */
export async function openCheckpoint(dir: string, options: CheckpointOptions = {}): Promise<Checkpoint> {
  const shards = await findShards(dir);
  const files: SafetensorsFile[] = [];
  try {
    for (const path of shards.paths) files.push(await SafetensorsFile.open(path));
    return new Checkpoint(files, tensorsOf(files, shards), options);
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

interface CheckpointTensors {
  readonly found: ReadonlyMap<string, TensorInfo>;
  /** What the index places in a file that doesn't hold it, with that file: an error when it is asked for. */
  readonly lacking: ReadonlyMap<string, string>;
}

/** The tensors of an open checkpoint, read one by one; reads may run in parallel. Made by {@link openCheckpoint}. */
export class Checkpoint {
  private readonly tensors: ReadonlyMap<string, TensorInfo>;
  private readonly lacking: ReadonlyMap<string, string>;
  private readonly filesByPath: ReadonlyMap<string, SafetensorsFile>;
  private readonly onProgress: ((bytes: number) => void) | undefined;
  private numBytesRead = 0;
  private closing: Promise<void> | undefined;

  constructor(
    private readonly files: readonly SafetensorsFile[],
    { found, lacking }: CheckpointTensors,
    options: CheckpointOptions,
  ) {
    this.tensors = found;
    this.lacking = lacking;
    this.filesByPath = new Map(files.map((file) => [file.path, file]));
    this.onProgress = options.onProgress;
  }

  /** Bytes of tensors read so far; headers are not among them. */
  get bytesRead(): number {
    return this.numBytesRead;
  }

  /** Bytes that opening the checkpoint read: prefix and header of every file. */
  get headerBytesRead(): number {
    return this.files.reduce((sum, file) => sum + file.headerBytesRead, 0);
  }

  /** Header bytes of every file in the order of the file names: a part of the fingerprint. */
  get headers(): readonly Uint8Array[] {
    return this.files.map((file) => file.header);
  }

  /** What every file was when it was opened, in the order of the file names: equal texts on one machine are the same files with the same content. */
  get identities(): readonly string[] {
    return this.files.map((file) => file.identity);
  }

  /** @throws WeightError CHECKPOINT_CHANGED: a file was written since it was opened */
  async checkUnchanged(): Promise<void> {
    for (const file of this.files) await file.checkUnchanged();
  }

  /** Whether a tensor of this name can be read. */
  has(name: string): boolean {
    return this.tensors.has(name);
  }

  /** Names of all tensors, in ascending order. */
  names(): readonly string[] {
    return [...this.tensors.keys()].sort();
  }

  /**
   * Type, shape and place of a tensor.
   *
   * @throws WeightError MISSING_TENSOR
   */
  info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info === undefined) throw this.missingTensor(name);
    return info;
  }

  /** Type, shape and place of a tensor; undefined where there is none of this name. */
  find(name: string): TensorInfo | undefined {
    return this.tensors.get(name);
  }

  /** Where other threads of the process find bytes while the checkpoint is open. */
  place({ tensor, offset, numBytes }: TensorPart): TensorPlace {
    const begin = tensor.begin + offset;
    return { fd: this.filesByPath.get(tensor.file)!.fd, begin, end: begin + numBytes };
  }

  /**
   * Reads a tensor and converts it to float32, in the order of its elements on disk.
   *
   * @throws WeightError MISSING_TENSOR, UNKNOWN_DTYPE, MALFORMED_SAFETENSORS, READ_FAILED, CLOSED
   */
  async read(name: string, options: ReadOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    const info = this.info(name);
    if (!isSupportedDtype(info.dtype)) throw unreadableDtype(info);
    return decodeToFloat32(await this.readPart(wholeOf(info), options), info.dtype);
  }

  /** Bytes as they are on disk. @throws WeightError MALFORMED_SAFETENSORS, READ_FAILED, CLOSED; the signal's reason */
  async readPart(part: TensorPart, options: ReadOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(part.numBytes);
    await this.readInto(part, 0, bytes, options);
    return bytes;
  }

  /** The same from `offset` of the part on, as many as `target` has room for; it may be shared memory. @throws WeightError as {@link readPart} */
  async readInto(
    { tensor, offset: begin }: Pick<TensorPart, 'tensor' | 'offset'>,
    offset: number,
    target: Uint8Array,
    { signal }: ReadOptions = {},
  ): Promise<void> {
    signal?.throwIfAborted();
    this.throwIfClosed(tensor);
    await this.filesByPath.get(tensor.file)!.readTensor(tensor, begin + offset, target, (arrived) => {
      signal?.throwIfAborted();
      this.throwIfClosed(tensor);
      this.numBytesRead += arrived;
      this.onProgress?.(arrived);
    });
  }

  /** Closes the files; reads under way throw CLOSED. Idempotent. */
  async close(): Promise<void> {
    this.closing ??= Promise.all(this.files.map((file) => file.close())).then(() => undefined);
    await this.closing;
  }

  private throwIfClosed({ name, file }: TensorInfo): void {
    if (this.closing === undefined) return;
    throw new WeightError(
      'CLOSED',
      `tensor "${printable(name)}" cannot be read, the checkpoint was closed; finish reading before close()`,
      { file, tensor: name },
    );
  }

  /** MISSING_TENSOR: with the file searched, and the nearest name. */
  missingTensor(name: string): WeightError {
    const lackedBy = this.lacking.get(name);
    if (lackedBy !== undefined) {
      const message = `the index places tensor "${printable(name)}" in ${lackedBy}, which does not hold it; download index and file again`;
      return new WeightError('MISSING_TENSOR', message, { file: lackedBy, tensor: name });
    }
    const names = this.names();
    const nearest = names.length === 0 ? '' : `, the nearest name is "${printable(closest(name, names))}"`;
    return new WeightError(
      'MISSING_TENSOR',
      `there is no tensor "${printable(name)}" in ${describeFiles(this.files)}${nearest}; ` +
        'check that config.json and weights are of the same model',
      { file: this.files[0]?.path, tensor: name },
    );
  }
}

/** UNKNOWN_DTYPE: of a tensor that nobody knows how to decode. */
export function unreadableDtype({ name, file, dtype }: TensorInfo): WeightError {
  const message =
    `tensor "${printable(name)}" of ${file} has the element type ${dtype}: quantised or packed weights, which cannot be read; ` +
    `use a checkpoint in ${SUPPORTED_DTYPES.join(', ')}`;
  return new WeightError('UNKNOWN_DTYPE', message, { file, tensor: name });
}

/** SHAPE_MISMATCH: with both shapes. */
export function wrongShape({ name, file, shape }: TensorInfo, expected: readonly number[]): WeightError {
  const message =
    `tensor "${printable(name)}" of ${file} has shape [${shapeText(shape)}], but the model's config.json implies ` +
    `[${expected.join(', ')}]; use config.json and weights of the same model`;
  return new WeightError('SHAPE_MISMATCH', message, { file, tensor: name });
}

/** What the checkpoint holds: everything in the files, or what the index names. */
function tensorsOf(files: readonly SafetensorsFile[], shards: Shards): CheckpointTensors {
  const byPath = new Map(files.map((file) => [file.path, file.tensors]));
  if (shards.pathByTensor === undefined) return { found: files[0]!.tensors, lacking: new Map() };
  const found = new Map<string, TensorInfo>();
  const lacking = new Map<string, string>();
  for (const [name, path] of shards.pathByTensor) {
    const info = byPath.get(path)!.get(name);
    if (info === undefined) lacking.set(name, path);
    else found.set(name, info);
  }
  return { found, lacking };
}

function describeFiles(files: readonly SafetensorsFile[]): string {
  if (files.length <= 3) return files.map((file) => file.path).join(', ');
  return `${files.length} files from ${files[0]!.path} to ${files.at(-1)!.path}`;
}
