import type { KernelMemory } from './kernel_memory.js';

/** float32 values that stay in a kernel memory: norm weights, biases. */
export class KernelVector {
  readonly address: number;

  /** @throws ExpertError OUT_OF_MEMORY */
  constructor(
    private readonly memory: KernelMemory,
    values: Float32Array,
  ) {
    this.address = memory.allocate(4 * values.length);
    memory.floats(this.address, values.length).set(values);
  }

  /** Gives its block back. To be called once. */
  dispose(): void {
    this.memory.free(this.address);
  }
}
