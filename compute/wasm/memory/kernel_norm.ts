import type { NormWeights } from '../../base/norm_weights.js';
import { Descriptor } from './descriptor.js';
import type { KernelMemory } from './kernel_memory.js';
import { KernelVector } from './kernel_vector.js';
import { NORM } from './layouts.js';

/** A norm that stays in a kernel memory. */
export class KernelNorm {
  private readonly parts: readonly (KernelVector | Descriptor<typeof NORM>)[];
  private readonly descriptor: Descriptor<typeof NORM>;

  /** @throws ExpertError OUT_OF_MEMORY */
  constructor(memory: KernelMemory, { weight, bias, eps }: NormWeights) {
    const weights = new KernelVector(memory, weight);
    const biases = bias && new KernelVector(memory, bias);
    this.descriptor = new Descriptor(memory, NORM, { eps, weight: weights.address, bias: biases?.address ?? 0 });
    this.parts = [this.descriptor, weights, ...(biases === null ? [] : [biases])];
  }

  /** What kernels take. */
  get address(): number {
    return this.descriptor.address;
  }

  /** Gives its blocks back. To be called once. */
  dispose(): void {
    for (const part of this.parts) part.dispose();
  }
}
