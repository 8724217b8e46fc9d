import { open, type FileHandle } from 'node:fs/promises';
import { WeightError } from './errors.js';
import { isLfsPointer, LFS_ADVICE, LFS_PREFIX_BYTES } from './json_text.js';
import { readFailed } from './model_files.js';
import { parseHeaderLength, parseSafetensorsHeader, PREFIX_BYTES, type TensorInfo } from './safetensors_header.js';

/** One open safetensors file, of which only the header is in memory. */
export class SafetensorsFile {
  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    /** The header's bytes without the 8-byte prefix. */
    readonly header: Uint8Array,
    /** The tensors by name. */
    readonly tensors: ReadonlyMap<string, TensorInfo>,
    /** What is other as soon as the file is another one or was written. */
    readonly identity: string,
  ) {}

  /**
   * Opens a file and reads its header.
   *
   * @throws WeightError READ_FAILED, GIT_LFS_POINTER, MALFORMED_SAFETENSORS, UNKNOWN_DTYPE
   */
  static async open(path: string): Promise<SafetensorsFile> {
    const handle = await open(path, 'r').catch((cause: unknown) => {
      throw readFailed(path, cause);
    });
    try {
      const identity = await identityOf(handle); // before the header: what is changed while that is read is seen later
      const { size } = await handle.stat();
      const first = await readRange(handle, path, 0, new Uint8Array(Math.min(LFS_PREFIX_BYTES, size)));
      if (isLfsPointer(first)) throw new WeightError('GIT_LFS_POINTER', `${path} ${LFS_ADVICE}`, { file: path });
      const prefix = first.subarray(0, PREFIX_BYTES);
      const headerLength = parseHeaderLength(prefix, size, path);
      const header = await readRange(handle, path, PREFIX_BYTES, new Uint8Array(headerLength));
      return new SafetensorsFile(path, handle, header, parseSafetensorsHeader(header, size, path), identity);
    } catch (error) {
      await handle.close();
      throw error instanceof WeightError ? error : readFailed(path, error);
    }
  }

  /** Bytes that opening this file read: prefix and header. */
  get headerBytesRead(): number {
    return PREFIX_BYTES + this.header.byteLength;
  }

  /** Of the open file, for other threads of the process. */
  get fd(): number {
    return this.handle.fd;
  }

  /** @throws WeightError CHECKPOINT_CHANGED: the file was written after it was opened */
  async checkUnchanged(): Promise<void> {
    if ((await identityOf(this.handle)) === this.identity) return;
    throw new WeightError('CHECKPOINT_CHANGED', `${this.path} was written while it was read; ${RESTORE}`, {
      file: this.path,
    });
  }

  /**
   * Reads bytes of one tensor of this file, from `offset` of the tensor on, and only as many as `target` has room for. Several reads may run at once.
   *
   * @param target may be shared memory
   * @param onChunk called with the number of bytes of every piece that arrived; may throw to end the read
   * @throws WeightError READ_FAILED, MALFORMED_SAFETENSORS when the file is shorter than when it was opened
   */
  async readTensor(
    tensor: TensorInfo,
    offset: number,
    target: Uint8Array,
    onChunk: (bytes: number) => void,
  ): Promise<void> {
    await readRange(this.handle, this.path, tensor.begin + offset, target, onChunk, tensor.end);
  }

  /** Closes the file; reads under way end first. */
  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** Read in pieces: the operating system limits one read to 2 GiB, and progress and cancellation need steps. */
const CHUNK_BYTES = 16 * 1024 * 1024;

/** Fills `bytes` from byte `begin` of the file on. `end`: of what was there when the file was opened. */
async function readRange<T extends Uint8Array>(
  handle: FileHandle,
  path: string,
  begin: number,
  bytes: T,
  onChunk?: (bytes: number) => void,
  end = begin + bytes.byteLength,
): Promise<T> {
  for (let done = 0; done < bytes.byteLength;) {
    const wanted = Math.min(CHUNK_BYTES, bytes.byteLength - done);
    const { bytesRead } = await handle.read(bytes, done, wanted, begin + done).catch((cause: unknown) => {
      throw readFailed(path, cause);
    });
    if (bytesRead === 0) throw truncated(path, begin + done, end);
    done += bytesRead;
    onChunk?.(bytesRead);
  }
  return bytes;
}

/** Changing its name, links or rights is no change. */
async function identityOf(handle: FileHandle): Promise<string> {
  const { dev, ino, size, mtimeNs } = await handle.stat({ bigint: true });
  return [dev, ino, size, mtimeNs].join(' ');
}

const RESTORE = 'restore the file and do not change a model folder while it is in use';

/** MALFORMED_SAFETENSORS: a file that lost its end at byte `reached`. `end`: of a tensor that was there. */
export function truncated(path: string, reached: number, end: number): WeightError {
  const message = `${path} ends at byte ${reached}, but ${end} bytes were there when it was opened; ${RESTORE}`;
  return new WeightError('MALFORMED_SAFETENSORS', message, { file: path });
}
