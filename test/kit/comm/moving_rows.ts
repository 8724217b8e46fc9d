/** Rows in a memory that moves, as WebAssembly memory does when it grows. */
import type { FloatRows } from '../../../comm/index.js';

/** Strewn rows, with NaN between them. */
export class MovingRows implements FloatRows {
  private memory: Float32Array;

  /** Room for `numRows` rows, `stride` floats apart, behind `offset` floats. */
  constructor(
    readonly numRows: number,
    readonly hidden: number,
    readonly stride = hidden,
    private readonly offset = 3,
  ) {
    this.memory = new Float32Array(offset + numRows * stride).fill(NaN);
  }

  view(): Float32Array {
    return this.memory.subarray(this.offset);
  }

  /** Elsewhere from now on: views taken before see NaN. */
  move(): void {
    const old = this.memory;
    this.memory = old.slice();
    old.fill(NaN);
  }

  /** Fills all rows. */
  set(values: ArrayLike<number>): this {
    const view = this.view();
    for (let i = 0; i < this.numRows * this.hidden; i++) view[this.at(i)] = values[i]!;
    return this;
  }

  /** The first rows [numRows·H]. */
  values(numRows = this.numRows): Float32Array {
    const { hidden, stride } = this;
    const [view, values] = [this.view(), new Float32Array(numRows * hidden)];
    for (let row = 0; row < numRows; row++)
      values.set(view.subarray(row * stride, row * stride + hidden), row * hidden);
    return values;
  }

  /** Whether nothing but the first rows was ever written. */
  isClean(numRows: number): boolean {
    return this.memory.every((value, i) => {
      const at = i - this.offset;
      const isRow = at >= 0 && at < numRows * this.stride && at % this.stride < this.hidden;
      return isRow || Number.isNaN(value);
    });
  }

  private at(i: number): number {
    return Math.floor(i / this.hidden) * this.stride + (i % this.hidden);
  }
}
