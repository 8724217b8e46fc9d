/** Streams a float32 matrix into a NumPy .npy file, version 1.0 (numpy.lib.format): header first, then rows as they come. */
import { open, rm, type FileHandle } from 'node:fs/promises';

const ALIGNMENT = 64;

/** One file of a matrix whose shape is known before its values. */
export class NpyWriter {
  private numLeft: number;

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    numValues: number,
  ) {
    this.numLeft = numValues;
  }

  /** Creates or replaces the file. */
  static async create(path: string, [numRows, numColumns]: readonly [number, number]): Promise<NpyWriter> {
    const file = await open(path, 'w');
    try {
      await file.writeFile(header(numRows, numColumns));
    } catch (error) {
      await file.close();
      throw error;
    }
    return new NpyWriter(file, path, numRows * numColumns);
  }

  /** Appends values, row-major and of any number at a time. @throws what the file system says */
  async write(values: Float32Array): Promise<void> {
    await this.file.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    this.numLeft -= values.length;
  }

  /** Closes the file, and removes it when rows are missing; a device or a pipe stays. */
  async close(): Promise<void> {
    const isFile = (await this.file.stat()).isFile();
    await this.file.close();
    if (isFile && this.numLeft !== 0) await rm(this.path, { force: true });
  }
}

function header(numRows: number, numColumns: number): Buffer {
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': (${numRows}, ${numColumns}), }`;
  const prefixBytes = 10;
  const padded =
    dict.padEnd(Math.ceil((prefixBytes + dict.length + 1) / ALIGNMENT) * ALIGNMENT - prefixBytes - 1) + '\n';
  const prefix = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, 0, 0]);
  prefix.writeUInt16LE(padded.length, 8);
  return Buffer.concat([prefix, Buffer.from(padded, 'latin1')]);
}
