/** A causal convolution, channel by channel, in a kernel memory. */
import { Descriptor } from '../../../compute/wasm/memory/descriptor.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { KernelVector } from '../../../compute/wasm/memory/kernel_vector.js';
import { CONVOLUTION } from '../../../compute/wasm/memory/layouts.js';

/** As checkpoints store it. */
export interface ConvolutionWeights {
  /** [channels · width], of the oldest token first. */
  readonly filter: Float32Array;
  /** [channels]; null: none. */
  readonly bias: Float32Array | null;
}

/** Owns its weights. */
export class KernelConvolution {
  private readonly vectors: readonly KernelVector[];
  private readonly descriptor: Descriptor<typeof CONVOLUTION>;

  /** @throws ExpertError OUT_OF_MEMORY */
  constructor(memory: KernelMemory, { filter, bias }: ConvolutionWeights, width: number) {
    const channels = filter.length / width;
    const stride = 4 * Math.ceil(channels / 4);
    const rows = new Float32Array(width * stride);
    for (let c = 0; c < channels; c++) {
      for (let j = 0; j < width; j++) rows[j * stride + c] = filter[c * width + j]!;
    }
    const weights = new KernelVector(memory, rows);
    const biases = bias === null ? null : new KernelVector(memory, padded(bias, stride));
    this.vectors = biases === null ? [weights] : [weights, biases];
    const fields = { weights: weights.address, bias: biases?.address ?? 0, width, channels, stride };
    this.descriptor = new Descriptor(memory, CONVOLUTION, fields);
  }

  get address(): number {
    return this.descriptor.address;
  }

  /** Frees its weights. */
  dispose(): void {
    for (const part of [this.descriptor, ...this.vectors]) part.dispose();
  }
}

function padded(values: Float32Array, length: number): Float32Array {
  const all = new Float32Array(length);
  all.set(values);
  return all;
}
