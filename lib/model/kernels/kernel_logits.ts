import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { FEW_LOGITS, manyBest, type LogitRow } from '../decoder/logits.js';

/** A row of logits [V] in a kernel memory, valid until the next ones are computed. */
export class KernelLogitRow implements LogitRow {
  private found: number | null = null;

  /** `order`: address of room for V indices. */
  constructor(
    private readonly memory: KernelMemory,
    private readonly address: number,
    readonly vocabSize: number,
    private readonly order: number,
  ) {}

  /** Copied out of the memory. */
  values(): Float32Array {
    return this.memory.copyOut(this.address, this.vocabSize);
  }

  /** By the same call that finds the best token, made once per row. */
  firstNonFinite(): number {
    const best = this.argmax();
    return best < 0 ? -1 - best : -1;
  }

  /** In one kernel call. */
  best(k: number): number[] {
    if (k === 1) return [this.argmax()];
    if (k > FEW_LOGITS) return manyBest(this.values(), k);
    this.memory.kernels.topk(this.address, this.vocabSize, k, this.order);
    return Array.from(this.memory.words(this.order, k));
  }

  /** Read straight from the memory. */
  at(token: number): number {
    return this.memory.floats(this.address + 4 * token, 1)[0]!;
  }

  /** The most likely token, or −1 − the first whose logit isn't finite. */
  private argmax(): number {
    return (this.found ??= this.memory.kernels.argmax(this.address, this.vocabSize));
  }
}
