/** Values in a kernel memory, for tests of kernels. */
import { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import type { ResidentDtype } from '../../../compute/wasm/memory/resident_dtype.js';
import { GuardedMemory } from './guarded_memory.js';

/** Hands out places until all are freed at once. */
export class KernelValues {
  private readonly places: number[] = [];
  private readonly matrices: KernelMatrix[] = [];

  constructor(readonly memory: KernelMemory = new GuardedMemory()) {}

  /** Address of some floats; NaN where no values are given. */
  floats(values: ArrayLike<number> | number): number {
    const length = typeof values === 'number' ? values : values.length;
    const address = this.bytes(4 * length);
    const floats = this.memory.floats(address, length);
    if (typeof values === 'number') floats.fill(NaN);
    else floats.set(values);
    return address;
  }

  words(values: ArrayLike<number>): number {
    const address = this.bytes(4 * values.length);
    this.memory.words(address, values.length).set(values);
    return address;
  }

  bytes(length: number): number {
    const address = this.memory.allocate(length);
    this.places.push(address);
    return address;
  }

  /** Rows of `width` floats, every `stride`, with `padding` between them. */
  rows(values: ArrayLike<number>, width: number, stride: number, padding = 0): number {
    const numRows = width === 0 ? 0 : values.length / width;
    const address = this.floats(numRows * stride);
    const floats = this.memory.floats(address, numRows * stride).fill(padding);
    for (let i = 0; i < values.length; i++) floats[Math.floor(i / width) * stride + (i % width)] = values[i]!;
    return address;
  }

  /** What {@link rows} put there. */
  readRows(address: number, numRows: number, width: number, stride: number): Float32Array<ArrayBuffer> {
    const floats = this.memory.floats(address, numRows * stride);
    return Float32Array.from(
      { length: numRows * width },
      (_, i) => floats[Math.floor(i / width) * stride + (i % width)]!,
    );
  }

  matrix(values: Float32Array, rows: number, columns: number, dtype: ResidentDtype = 'f32'): KernelMatrix {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const matrix = KernelMatrix.from(this.memory, { dtype: 'f32', rows, columns, bytes }, dtype);
    this.matrices.push(matrix);
    return matrix;
  }

  /** Gives everything back. */
  free(): void {
    for (const address of this.places.splice(0)) this.memory.free(address);
    for (const matrix of this.matrices.splice(0)) matrix.dispose();
  }
}
