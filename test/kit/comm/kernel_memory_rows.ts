/** Rows in a kernel memory, where the codec works on them as they lie. */
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { KernelRows } from '../../../compute/wasm/memory/kernel_rows.js';

/** Floats on each side of the rows that nobody may touch. */
const MARGIN = 32;
/** More than a memory has at first. */
const GROWTH_BYTES = 2 ** 21;

/** Like MovingRows: rows with NaN around and between them. Other rows of the same memory may stand beside them. */
export class KernelMemoryRows extends KernelRows {
  /** `stride` floats apart. */
  constructor(numRows: number, hidden: number, stride = hidden, memory = new KernelMemory()) {
    const length = numRows * stride + 2 * MARGIN;
    const at = memory.allocate(4 * length);
    memory.floats(at, length).fill(NaN);
    super(memory, at + 4 * MARGIN, numRows, hidden, stride);
  }

  /** The memory grows: views taken before are stale. */
  move(): void {
    this.memory.allocate(GROWTH_BYTES);
  }

  /** Fills all rows, with their bits. */
  set(values: Float32Array): this {
    const view = this.view();
    const { hidden, stride } = this;
    for (let row = 0; row < this.numRows; row++) {
      view.set(values.subarray(row * hidden, (row + 1) * hidden), row * stride);
    }
    return this;
  }

  /** The first rows [numRows·H]. */
  values(numRows = this.numRows): Float32Array {
    const view = this.view();
    const values = new Float32Array(numRows * this.hidden);
    for (let row = 0; row < numRows; row++) {
      values.set(view.subarray(row * this.stride, row * this.stride + this.hidden), row * this.hidden);
    }
    return values;
  }

  /** Whether nothing but the first rows was ever written. */
  isClean(numRows: number): boolean {
    const length = this.numRows * this.stride + 2 * MARGIN;
    return this.memory.floats(this.address - 4 * MARGIN, length).every((value, i) => {
      const at = i - MARGIN;
      const isRow = at >= 0 && at < numRows * this.stride && at % this.stride < this.hidden;
      return isRow || Number.isNaN(value);
    });
  }
}
