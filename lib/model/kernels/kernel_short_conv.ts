/** A layer with a short convolution and the norm before it, as kernels: x += mixer(norm(x)). */
import type { NormWeights } from '../../../compute/base/norm_weights.js';
import { Descriptor } from '../../../compute/wasm/memory/descriptor.js';
import type { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import { KernelNorm } from '../../../compute/wasm/memory/kernel_norm.js';
import { KernelVector } from '../../../compute/wasm/memory/kernel_vector.js';
import { SHORT_CONV_LAYER } from '../../../compute/wasm/memory/layouts.js';
import type { ModelSpec, ShortConvMixer } from '../spec/spec.js';
import { KernelConvolution, type ConvolutionWeights } from './kernel_convolution.js';
import type { KernelMixer } from './kernel_mixer.js';
import type { KernelStep } from './kernel_step.js';

/** As checkpoints store them; biases are null where the layer has none. */
export interface ShortConvWeights {
  /** [3H, H], [H, H] */
  readonly input: KernelMatrix;
  readonly output: KernelMatrix;
  readonly inputBias: Float32Array | null;
  readonly outputBias: Float32Array | null;
  readonly convolution: ConvolutionWeights;
  /** Before the layer, of H channels. */
  readonly inputNorm: NormWeights;
}

/** Owns its weights. */
export class KernelShortConv implements KernelMixer {
  private readonly parts: readonly { dispose(): void }[];
  private readonly descriptor: Descriptor<typeof SHORT_CONV_LAYER>;
  private readonly numWeights: number;

  /** `stateOffset`: bytes from a state to this layer's part. @throws ExpertError OUT_OF_MEMORY */
  constructor(
    { hiddenSize }: Pick<ModelSpec, 'hiddenSize'>,
    { width }: ShortConvMixer,
    stateOffset: number,
    { input, output, inputBias, outputBias, convolution, inputNorm }: ShortConvWeights,
  ) {
    const { memory } = input;
    const vectorOf = (values: Float32Array | null): KernelVector | null => values && new KernelVector(memory, values);
    const [norm, biasIn, biasOut] = [new KernelNorm(memory, inputNorm), vectorOf(inputBias), vectorOf(outputBias)];
    const filter = new KernelConvolution(memory, convolution, width);
    this.numWeights = 4 * hiddenSize ** 2;
    this.descriptor = new Descriptor(memory, SHORT_CONV_LAYER, {
      ...{ hiddenSize, stateOffset, norm: norm.address, convolution: filter.address },
      ...{ input: input.address, output: output.address },
      ...{ inputBias: biasIn?.address ?? 0, outputBias: biasOut?.address ?? 0 },
    });
    this.parts = [this.descriptor, input, output, norm, filter, biasIn, biasOut].filter((part) => part !== null);
  }

  /** @throws ExpertError OUT_OF_MEMORY, THREAD_FAILED */
  attend(step: KernelStep): Promise<void> | undefined {
    const numMultiplyAdds = step.numTokens * this.numWeights;
    return step.run((at) => step.memory.call('shortConvLayer', numMultiplyAdds, this.descriptor.address, at));
  }

  /** Frees the weights. */
  dispose(): void {
    for (const part of this.parts) part.dispose();
  }
}
