/**
 * What a model is, whatever its family: the shape that every family's config.json is turned into and that the blocks of this folder run.
 * A further family is a file in families/ that makes one of these, and a row in registry.ts.
 */
import type { GateSpec } from '../../../compute/base/gate_spec.js';

/** One model: all sizes are of the whole model, not of a rank. */
export interface ModelSpec {
  readonly modelType: string;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  /** Longest sequence in tokens. */
  readonly maxPositions: number;
  readonly normEps: number;
  readonly tieWordEmbeddings: boolean;
  /** Tokens that end a sequence. */
  readonly eosTokenIds: readonly number[];
  readonly rope: RopeSpec;
  readonly attention: AttentionSpec;
  readonly layers: readonly LayerSpec[];
  readonly moe: MoeSpec;
}

/** Rotary position embedding over `dim` channels. */
export interface RopeSpec {
  readonly dim: number;
  readonly theta: number;
  /** Which channels form a pair: (0,1),(2,3)… or (i, i + dim/2). */
  readonly layout: 'interleaved' | 'half';
  readonly yarn: YarnSpec | null;
}

/** YaRN (Peng et al. 2023), as the Hugging Face configs name its fields. */
export interface YarnSpec {
  readonly factor: number;
  readonly originalMaxPositions: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  /** Null where the config leaves them out, or says 0. */
  readonly mscale: number | null;
  readonly mscaleAllDim: number | null;
  /** Whether the bounds of the ramp are whole channels. */
  readonly truncate: boolean;
  /** What cos and sin are multiplied with; null: what the formula gives. */
  readonly attentionFactor: number | null;
}

/** One of the forms of attention; `kind` tells which. */
export type AttentionSpec = MlaSpec | GqaSpec;

/** How latent attention is computed; `auto`: naive for prompt tokens, absorbed for generated ones. */
export type MlaForm = 'auto' | 'naive' | 'absorbed';

/** Multi-head latent attention (DeepSeek-V2, 2024). */
export interface MlaSpec {
  readonly kind: 'mla';
  readonly numHeads: number;
  /** Null: q comes straight from the hidden state. */
  readonly qLoraRank: number | null;
  readonly kvLoraRank: number;
  readonly qkNopeHeadDim: number;
  readonly qkRopeHeadDim: number;
  readonly vHeadDim: number;
  /** Epsilon of the norms of the latents, which isn't that of the other norms. */
  readonly latentNormEps: number;
  readonly softmaxScale: number;
}

/** Grouped-query attention; `qkNorm`: an RMSNorm over each head of q and k before RoPE. */
export interface GqaSpec {
  readonly kind: 'gqa';
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly qkNorm: boolean;
  readonly softmaxScale: number;
}

/** `dense`: one network for all tokens. `moe`: a gate and experts, as {@link MoeSpec} says for all MoE layers alike. */
export type LayerSpec = { readonly kind: 'dense'; readonly intermediateSize: number } | { readonly kind: 'moe' };

/** What all MoE layers of a model have in common. */
export interface MoeSpec {
  readonly gate: GateSpec;
  /** Whether the checkpoint has a selection bias per layer. */
  readonly hasSelectionBias: boolean;
  readonly intermediateSize: number;
  /** Intermediate size of the fused shared experts; 0 = none. */
  readonly sharedIntermediateSize: number;
}

/** Layers that are MoE, in order: the index in this list is the layer's number in placements and load counters. */
export const moeLayersOf = (spec: ModelSpec): number[] =>
  spec.layers.flatMap((layer, i) => (layer.kind === 'moe' ? [i] : []));

/** float32 values that one token takes in the KV cache, over all layers. */
export function kvFloatsPerToken({ attention, layers }: ModelSpec): number {
  const perLayer =
    attention.kind === 'mla'
      ? attention.kvLoraRank + attention.qkRopeHeadDim + 1
      : attention.numKvHeads * (2 * attention.headDim + 1);
  return perLayer * layers.length;
}
