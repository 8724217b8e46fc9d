import { closest } from 'fastest-levenshtein';
import { printable } from '../../base/foreign_text.js';
import type { StoredDtype, StoredMatrix } from '../../compute/base/stored_matrix.js';
import { matrixOf, type WeightMatrix } from '../../compute/base/weight_matrix.js';
import { decodeToFloat32, isSupportedDtype, SUPPORTED_DTYPES, type SupportedDtype } from './dtypes.js';
import { WeightError } from './errors.js';
import type { Fingerprint } from './fingerprint.js';
import { SafetensorsFile } from './safetensors_file.js';
import { shapeText, type TensorInfo } from './safetensors_header.js';
import { findShards, type Shards } from './shards.js';
import type { TensorPlace } from './tensor_hash_worker.js';

/** Who is told while a checkpoint is read. */
export interface CheckpointOptions {
  /** Called whenever bytes of a tensor arrived, with their number (not the sum). Default: nobody is told. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** How one tensor is read. */
export interface ReadOptions {
  /** The shape that the tensor must have; not checked when left out. */
  readonly expectedShape?: readonly number[] | undefined;
  /** Ends the read between two pieces of 16 MiB; the signal's reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Gets the tensor's bytes as they are on disk, so that hashing needs no second read. */
  readonly fingerprint?: Fingerprint | undefined;
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

  /** Where other threads of the process find a tensor's bytes while the checkpoint is open. @throws WeightError MISSING_TENSOR */
  place(name: string): TensorPlace {
    const { file, begin, end } = this.info(name);
    return { fd: this.filesByPath.get(file)!.fd, begin, end };
  }

  /**
   * Bytes on disk of the tensors named.
   *
   * @throws WeightError MISSING_TENSOR
   */
  totalBytes(names: readonly string[]): number {
    return names.map((name) => this.info(name)).reduce((sum, { begin, end }) => sum + end - begin, 0);
  }

  /**
   * Reads a tensor and converts it to float32, in the order of its elements on disk.
   *
   * @throws WeightError MISSING_TENSOR, SHAPE_MISMATCH, UNKNOWN_DTYPE, MALFORMED_SAFETENSORS, READ_FAILED, CLOSED
   */
  async read(name: string, options: ReadOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    const info = this.checked(name, options.expectedShape);
    return decodeToFloat32(await this.readBytes(info, options), info.dtype);
  }

  /**
   * Reads a matrix as it is stored: BF16 and F32 without a conversion, F16 as float32.
   *
   * @param shape [rows, columns] that the tensor must have on disk
   * @throws WeightError as {@link read}
   */
  async readMatrix(
    name: string,
    shape: readonly [rows: number, columns: number],
    options: Omit<ReadOptions, 'expectedShape'> = {},
  ): Promise<WeightMatrix> {
    const info = this.checked(name, shape);
    const bytes = await this.readBytes(info, options);
    const [rows, columns] = shape;
    if (info.dtype === 'BF16') return { dtype: 'bf16', rows, columns, bytes };
    if (info.dtype === 'F32') return { dtype: 'f32', rows, columns, bytes };
    return matrixOf(decodeToFloat32(bytes, info.dtype), rows, columns);
  }

  /**
   * A matrix whose rows are read when they are asked for, as they are stored.
   *
   * @param shape [rows, columns] that the tensor must have on disk
   * @throws WeightError MISSING_TENSOR, SHAPE_MISMATCH, UNKNOWN_DTYPE; its reads as {@link read}
   */
  stored(
    name: string,
    shape: readonly [rows: number, columns: number],
    { signal }: Pick<ReadOptions, 'signal'> = {},
  ): StoredMatrix {
    const info = this.checked(name, shape);
    const [rows, columns] = shape;
    const rowBytes = (info.end - info.begin) / rows;
    return {
      ...{ dtype: STORED[info.dtype as SupportedDtype], rows, columns, rowBytes },
      readRows: (from, target) => this.readInto(info, from * rowBytes, target, signal),
    };
  }

  /** Closes the files; reads under way throw CLOSED. Idempotent. */
  async close(): Promise<void> {
    this.closing ??= Promise.all(this.files.map((file) => file.close())).then(() => undefined);
    await this.closing;
  }

  /** The tensor's entry, once it is known to be convertible and what the caller expects: packed weights have other shapes too. */
  private checked(name: string, expectedShape: readonly number[] | undefined): TensorInfo {
    const info = this.info(name);
    if (!isSupportedDtype(info.dtype)) {
      throw new WeightError(
        'UNKNOWN_DTYPE',
        `tensor "${printable(name)}" of ${info.file} has the element type ${info.dtype}: quantised or packed weights, which cannot be read; ` +
          `use a checkpoint in ${SUPPORTED_DTYPES.join(', ')}`,
        { file: info.file, tensor: name },
      );
    }
    if (expectedShape !== undefined && !isSameShape(info.shape, expectedShape)) {
      throw new WeightError(
        'SHAPE_MISMATCH',
        `tensor "${printable(name)}" of ${info.file} has shape [${shapeText(info.shape)}], but the model's config.json implies ` +
          `[${expectedShape.join(', ')}]; use config.json and weights of the same model`,
        { file: info.file, tensor: name },
      );
    }
    return info;
  }

  private async readBytes(info: TensorInfo, { signal, fingerprint }: ReadOptions): Promise<Uint8Array> {
    const bytes = new Uint8Array(info.end - info.begin);
    await this.readInto(info, 0, bytes, signal);
    fingerprint?.add(info.name, bytes);
    return bytes;
  }

  private async readInto(
    info: TensorInfo,
    offset: number,
    target: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    signal?.throwIfAborted();
    this.throwIfClosed(info);
    await this.filesByPath.get(info.file)!.readTensor(info, offset, target, (arrived) => {
      signal?.throwIfAborted();
      this.throwIfClosed(info);
      this.numBytesRead += arrived;
      this.onProgress?.(arrived);
    });
  }

  private throwIfClosed({ name, file }: TensorInfo): void {
    if (this.closing === undefined) return;
    throw new WeightError(
      'CLOSED',
      `tensor "${printable(name)}" cannot be read, the checkpoint was closed; finish reading before close()`,
      { file, tensor: name },
    );
  }

  private missingTensor(name: string): WeightError {
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

const STORED: Readonly<Record<SupportedDtype, StoredDtype>> = { BF16: 'bf16', F16: 'f16', F32: 'f32' };

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

function isSameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

function describeFiles(files: readonly SafetensorsFile[]): string {
  if (files.length <= 3) return files.map((file) => file.path).join(', ');
  return `${files.length} files from ${files[0]!.path} to ${files.at(-1)!.path}`;
}
