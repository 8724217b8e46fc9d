/** A dense layer's feed-forward network and the norm before it, as kernels: x += residual · ffn(norm(x)). */
import type { NormWeights } from '../../../compute/base/norm_weights.js';
import { Descriptor } from '../../../compute/wasm/memory/descriptor.js';
import { multiplyAddsOf, type KernelExpert } from '../../../compute/wasm/experts/kernel_expert.js';
import { KernelNorm } from '../../../compute/wasm/memory/kernel_norm.js';
import { FFN_LAYER } from '../../../compute/wasm/memory/layouts.js';
import type { KernelStep } from './kernel_step.js';

/** Owns its weights. */
export class KernelFfn {
  private readonly norm: KernelNorm;
  private readonly descriptor: Descriptor<typeof FFN_LAYER>;

  /** `norm`: of H channels; `residual`: what is added is multiplied with it. @throws ExpertError OUT_OF_MEMORY */
  constructor(
    private readonly weights: KernelExpert,
    norm: NormWeights,
    residual: number,
  ) {
    const { memory, gate, up, down, shape } = weights;
    this.norm = new KernelNorm(memory, norm);
    this.descriptor = new Descriptor(memory, FFN_LAYER, {
      norm: this.norm.address,
      residual,
      ...{ gate: gate.address, up: up.address, down: down.address },
      hiddenSize: shape.hidden,
    });
  }

  /** @throws ExpertError OUT_OF_MEMORY */
  forward(step: KernelStep): Promise<void> | undefined {
    const { memory, shape } = this.weights;
    const { address } = this.descriptor;
    const numMultiplyAdds = multiplyAddsOf(shape, step.numTokens);
    return step.runIn((scratch, numBytes) =>
      memory.call('ffnLayer', numMultiplyAdds, address, step.x, step.numTokens, scratch, numBytes),
    );
  }

  /** Frees the weights and the norm. */
  dispose(): void {
    for (const part of [this.descriptor, this.norm, this.weights]) part.dispose();
  }
}
