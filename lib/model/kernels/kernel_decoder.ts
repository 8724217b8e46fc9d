/**
 * The dense part of a model in a kernel memory: a handful of calls per layer, hidden states stay in the memory.
 * Shape suffixes: T tokens of the step, H hidden.
 */
import type { MoeTokens } from '../../../experts/layer/moe_layer.js';
import type { Decoder, HiddenStates, StepTokens } from '../decoder/decoder.js';
import type { LogitRow } from '../decoder/logits.js';
import type { KernelAttention } from './kernel_attention.js';
import type { KernelFfn } from './kernel_ffn.js';
import type { KernelKvCache } from './kernel_kv_cache.js';
import type { KernelMoe, KernelMoeBlocks } from './kernel_moe.js';
import type { KernelStep } from './kernel_step.js';
import type { KernelVocabulary } from './kernel_vocabulary.js';

/** A layer's two halves; `mlp` is the network of a dense layer, or gate and shared experts. */
export interface KernelLayer {
  readonly attention: KernelAttention;
  readonly mlp: { readonly kind: 'dense'; readonly ffn: KernelFfn } | { readonly kind: 'moe'; readonly moe: KernelMoe };
}

/** What a decoder is made of, all in one memory; the decoder owns it. */
export interface KernelDecoderParts {
  readonly vocabulary: KernelVocabulary;
  readonly layers: readonly KernelLayer[];
  readonly cache: KernelKvCache;
  readonly step: KernelStep;
  /** What MoE layers use in turn. */
  readonly blocks: KernelMoeBlocks;
}

/** The dense part as kernels, whose calls all return at once: nothing of a step is left to wait for. */
export class KernelDecoder implements Decoder {
  constructor(private readonly parts: KernelDecoderParts) {}

  /** In the same memory as the weights. */
  get cache(): KernelKvCache {
    return this.parts.cache;
  }

  /** @throws InternalError for token ids, tables and parts that can't be; ExpertError OUT_OF_MEMORY */
  begin({ tokenIds, parts }: StepTokens): HiddenStates {
    const { vocabulary, cache, step } = this.parts;
    step.prepare(parts, tokenIds.length, cache);
    vocabulary.embed(step, tokenIds);
    return new KernelHiddenStates(this.parts);
  }

  /** Frees everything that it is made of. */
  dispose(): void {
    const { vocabulary, layers, cache, step, blocks } = this.parts;
    for (const { attention, mlp } of layers) {
      attention.dispose();
      if (mlp.kind === 'dense') mlp.ffn.dispose();
      else mlp.moe.dispose();
    }
    for (const part of [vocabulary, cache, step, blocks]) part.dispose();
  }
}

/** They are the step's, and there is one step at a time: nothing is theirs alone. */
class KernelHiddenStates implements HiddenStates {
  constructor(private readonly parts: KernelDecoderParts) {}

  attend(layer: number): void {
    this.parts.layers[layer]!.attention.attend(this.parts.step);
  }

  feedForward(layer: number): void {
    const { mlp } = this.parts.layers[layer]!;
    if (mlp.kind !== 'dense') throw new Error(`layer ${layer} is no dense layer`);
    mlp.ffn.forward(this.parts.step);
  }

  moe(layer: number): MoeTokens {
    const { mlp } = this.parts.layers[layer]!;
    if (mlp.kind !== 'moe') throw new Error(`layer ${layer} is no MoE layer`);
    return mlp.moe.begin(this.parts.step);
  }

  logits(rows: readonly number[]): Promise<readonly LogitRow[]> {
    const { vocabulary, step } = this.parts;
    return Promise.resolve(vocabulary.logits(step, rows));
  }

  dispose(): void {
    // The next step writes over them.
  }
}
