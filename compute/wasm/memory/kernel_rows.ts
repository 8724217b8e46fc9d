import type { FloatRows, RowsPlace } from '../../../base/float_rows.js';
import type { KernelMemory } from './kernel_memory.js';

/** Rows of floats in a kernel memory. Of rows that are wider than `hidden` the rest is zeros. */
export class KernelRows implements FloatRows {
  /** `stride`: default rows one behind the other. */
  constructor(
    readonly memory: KernelMemory,
    readonly address: number,
    readonly numRows: number,
    readonly hidden: number,
    readonly stride = hidden,
  ) {}

  get place(): RowsPlace {
    return this;
  }

  /** Stale once something was allocated in the memory, though what it shows stays where it is: sockets may send from it. */
  view(): Float32Array<SharedArrayBuffer> {
    return this.memory.floats(this.address, this.numRows * this.stride);
  }
}
