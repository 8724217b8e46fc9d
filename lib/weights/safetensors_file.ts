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
      const { size } = await handle.stat();
      const first = await readRange(handle, path, 0, Math.min(LFS_PREFIX_BYTES, size));
      if (isLfsPointer(first)) throw new WeightError('GIT_LFS_POINTER', `${path} ${LFS_ADVICE}`, { file: path });
      const prefix = first.subarray(0, PREFIX_BYTES);
      const headerLength = parseHeaderLength(prefix, size, path);
      const header = await readRange(handle, path, PREFIX_BYTES, PREFIX_BYTES + headerLength);
      return new SafetensorsFile(path, handle, header, parseSafetensorsHeader(header, size, path));
    } catch (error) {
      await handle.close();
      throw error instanceof WeightError ? error : readFailed(path, error);
    }
  }

  /** Bytes that opening this file read: prefix and header. */
  get headerBytesRead(): number {
    return PREFIX_BYTES + this.header.byteLength;
  }

  /**
   * Reads the bytes of one tensor of this file, and only those. Several reads may run at once.
   *
   * @param onChunk called with the number of bytes of every piece that arrived; may throw to end the read
   * @throws WeightError READ_FAILED, MALFORMED_SAFETENSORS when the file is shorter than when it was opened
   */
  async readTensor(tensor: TensorInfo, onChunk: (bytes: number) => void): Promise<Uint8Array> {
    return readRange(this.handle, this.path, tensor.begin, tensor.end, onChunk);
  }

  /** Closes the file; reads under way end first. */
  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** Read in pieces: the operating system limits one read to 2 GiB, and progress and cancellation need steps. */
const CHUNK_BYTES = 16 * 1024 * 1024;

async function readRange(
  handle: FileHandle,
  path: string,
  begin: number,
  end: number,
  onChunk?: (bytes: number) => void,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - begin);
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

function truncated(path: string, reached: number, end: number): WeightError {
  return new WeightError(
    'MALFORMED_SAFETENSORS',
    `${path} ends at byte ${reached}, but ${end} bytes were there when it was opened; ` +
      'restore the file and do not change a model folder while it is in use',
    { file: path },
  );
}
