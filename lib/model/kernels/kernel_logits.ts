import type { KernelMemory } from '../../../experts/kernels/kernel_memory.js';
import { EngineError } from '../../engine/errors.js';

/** Rows of logits in a kernel memory, valid until the next ones are computed. Shape suffix: V vocabulary. */
export class KernelLogits {
  readonly numRows: number;
  private readonly memory: KernelMemory;
  private readonly address: number;
  private readonly vocabSize: number;
  private readonly order: number;

  /** `order`: address of room for V indices. */
  constructor(memory: KernelMemory, address: number, numRows: number, vocabSize: number, order: number) {
    this.memory = memory;
    this.address = address;
    this.numRows = numRows;
    this.vocabSize = vocabSize;
    this.order = order;
  }

  /** The most likely token, the lower one on ties. @throws EngineError NOT_FINITE naming the first token whose logit isn't, as `sampleToken` does */
  argmax(row: number): number {
    const best = this.memory.kernels.argmax(this.rowAt(row), this.vocabSize);
    if (best >= 0) return best;
    const token = -1 - best;
    throw new EngineError(
      'NOT_FINITE',
      `the logit of token ${token} is ${this.row(row)[token]!}; check the checkpoint for NaN, or use more ranks if memory is short`,
    );
  }

  /** The k most likely tokens, best first, the lower one on ties; k up to V. Logits must be finite: {@link argmax} checks it. */
  topk(row: number, k: number): Int32Array {
    const count = Math.min(k, this.vocabSize);
    if (count > 0) this.memory.kernels.topk(this.rowAt(row), this.vocabSize, count, this.order);
    return this.memory.words(this.order, count).slice();
  }

  /** A row [V], as a view that is stale when the memory grows. */
  row(row: number): Float32Array {
    return this.memory.floats(this.rowAt(row), this.vocabSize);
  }

  private rowAt(row: number): number {
    return this.address + 4 * row * this.vocabSize;
  }
}
