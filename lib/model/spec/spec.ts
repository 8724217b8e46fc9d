/**
 * What a model is, whatever its family: the shape that every family's config.json is turned into and that the blocks of this folder run.
 * A further family is a file in families/ that makes one of these, and a row in registry.ts.
 */
import { SWIGLU, type ActivationSpec } from '../../../compute/base/activation_spec.js';
import type { GateSpec } from '../../../compute/base/gate_spec.js';
import type { Quantization } from './quantization.js';
import type { ExpertSizes } from '../../../compute/base/weight_rows.js';
import { sliceWidth } from './slice_width.js';

/** One model: all sizes are of the whole model, not of a rank. */
export interface ModelSpec {
  readonly modelType: string;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  /** Longest sequence in tokens. */
  readonly maxPositions: number;
  /** Of the norms of the hidden states. */
  readonly norm: NormKind;
  readonly normEps: number;
  /** What the checkpoint's norms add to their weights: 1 where they are stored as differences from 1 (Qwen3-Next). */
  readonly normOffset: 0 | 1;
  readonly multipliers: Multipliers;
  readonly tieWordEmbeddings: boolean;
  /** Whether the head has a bias. */
  readonly hasHeadBias: boolean;
  /** Tokens that end a sequence. */
  readonly eosTokenIds: readonly number[];
  readonly rope: RopeSpec;
  readonly attention: AttentionSpec;
  readonly layers: readonly LayerSpec[];
  readonly moe: MoeSpec;
  readonly stored: StoredNames;
  /** Null: weights are numbers, or their tensors alone tell how they are quantised. */
  readonly quantization: Quantization | null;
}

/** `rms`: RMSNorm (Zhang and Sennrich 2019); `layer`: LayerNorm (Ba et al. 2016) with a bias. */
export type NormKind = 'rms' | 'layer';

/** Numbers that hidden states are multiplied with (Granite); 1 in most families. */
export interface Multipliers {
  /** Of the embedded tokens. */
  readonly embedding: number;
  /** Of what a layer's attention and network add. */
  readonly residual: number;
  /** Of the logits. */
  readonly logits: number;
}

/** None. */
export const NO_MULTIPLIERS: Multipliers = { embedding: 1, residual: 1, logits: 1 };

/**
 * What a family's checkpoints call the tensors of tensor_names.ts: `replace` applied one after the other to the whole name, every occurrence, and `prefix` before
 * what comes out. Experts that lie in one tensor, and packed weights, are found by looking into the checkpoint.
 */
export interface StoredNames {
  readonly prefix: string;
  readonly replace: readonly (readonly [ours: string, theirs: string])[];
  /**
   * How experts lie where one tensor holds those of a layer. `rows`: [E,2I,H], an expert's gate before its up, and [E,H,I]; `columns`: the other way round, [E,H,2I] with
   * gate and up in turn, and [E,I,H] (gpt-oss).
   */
  readonly experts: 'rows' | 'columns';
}

/** As tensor_names.ts has them. */
export const OWN_NAMES: StoredNames = { prefix: '', replace: [], experts: 'rows' };

/** Rotary position embedding over `dim` channels. */
export interface RopeSpec {
  readonly dim: number;
  readonly theta: number;
  /** Which channels form a pair: (0,1),(2,3)… or (i, i + dim/2). */
  readonly layout: 'interleaved' | 'half';
  /** Null: pair i turns by θ^(−2i/dim) per position. */
  readonly scaling: RopeScaling | null;
}

/** How models slow their rotations down for contexts longer than those that they were trained on. */
export type RopeScaling = LinearRope | ProportionalRope | Llama3Rope | LongropeSpec | YarnSpec;

/** All pairs turn `factor` times slower (Chen et al. 2023). */
export interface LinearRope {
  readonly kind: 'linear';
  readonly factor: number;
}

/** The first pairs turn as without scaling, the others not at all. */
export interface ProportionalRope {
  readonly kind: 'proportional';
  readonly numTurning: number;
  readonly factor: number;
}

/** Slow pairs turn `factor` times slower, fast ones don't, and between them it is a matter of degree (Llama 3.1, 2024). */
export interface Llama3Rope {
  readonly kind: 'llama3';
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  readonly originalMaxPositions: number;
}

/** LongRoPE (Ding et al. 2024): each pair has a factor of its own, another one where sequences may be longer than the original context. */
export interface LongropeSpec {
  readonly kind: 'longrope';
  readonly originalMaxPositions: number;
  readonly short: LongropeFactors;
  readonly long: LongropeFactors;
  /** Which of the two all sequences take. */
  readonly inForce: 'short' | 'long';
}

/** One of the two sets. */
export interface LongropeFactors {
  /** How many times slower each pair turns. */
  readonly ofPairs: readonly number[];
  /** What cos and sin are multiplied with. */
  readonly attentionFactor: number;
}

/** YaRN (Peng et al. 2023), as the Hugging Face configs name its fields. */
export interface YarnSpec {
  readonly kind: 'yarn';
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
  /** Null: tokens attend to all keys that they see. */
  readonly indexer: IndexerSpec | null;
  readonly softmaxScale: number;
}

/** Which keys a token attends to where it sees more than `topk` (DeepSeek Sparse Attention, DeepSeek-V3.2, 2025). */
export interface IndexerSpec {
  readonly numHeads: number;
  /** Its keys have one head; the first channels, as many as the attention's, are rotated. */
  readonly headDim: number;
  readonly topk: number;
  /** Of the rotation, whose angles are the attention's. */
  readonly layout: RopeSpec['layout'];
  /** By layer: whether it has an indexer of its own; otherwise what the one before it chose serves. The first has one. */
  readonly isOwn: readonly boolean[];
}

/** Grouped-query attention (Ainslie et al. 2023) and what families add to it. */
export interface GqaSpec {
  readonly kind: 'gqa';
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Norm of q and k before RoPE: of each head with one weight for all, of the whole projected vector, or none. */
  readonly qkNorm: 'head' | 'vector' | null;
  /** Whether the projections to q, k and v, and the output's, have biases. */
  readonly hasQkvBias: boolean;
  readonly hasOutputBias: boolean;
  /** q, k and v are clamped to ± this before RoPE, behind the norm (OLMoE's clip_qkv); null: they aren't. */
  readonly clip: number | null;
  /** One learnt logit per head in the softmax's denominator (gpt-oss). */
  readonly hasSinks: boolean;
  /** q_proj gives each head its query, then a gate: what the head found is multiplied with the gate's sigmoid before the output's projection (Qwen3-Next). */
  readonly hasOutputGate: boolean;
  readonly softmaxScale: number;
}

/** What the families that add nothing to grouped-query attention share. */
export const PLAIN_GQA = {
  kind: 'gqa',
  qkNorm: null,
  hasQkvBias: false,
  hasOutputBias: false,
  clip: null,
  hasSinks: false,
  hasOutputGate: false,
} as const satisfies Partial<GqaSpec>;

/** One layer: how tokens see each other, and the network behind it. */
export type LayerSpec = (DenseLayer | ExpertLayer) & {
  readonly mixer: MixerSpec;
};

/** One network for all tokens. */
export interface DenseLayer {
  readonly kind: 'dense';
  readonly intermediateSize: number;
}

/** A gate and experts, as {@link MoeSpec} says for all MoE layers alike. */
export interface ExpertLayer {
  readonly kind: 'moe';
  /** Default: as many as the gate of all layers says, which is the most that one has. */
  readonly numExperts?: number | undefined;
}

/** How a layer's tokens see each other: attention as {@link ModelSpec.attention} says, or a state that each token changes. */
export type MixerSpec = AttentionMixer | StateMixer;

/** A layer without keys and values: all that it knows of earlier tokens is a state of fixed size. */
export type StateMixer = ShortConvMixer | DeltaRuleMixer;

/** Attention; `window`: tokens that one sees at most, itself included; null: all before it. */
export interface AttentionMixer {
  readonly kind: 'attention';
  readonly window: number | null;
}

/** A convolution over the last `width` tokens, channel by channel, between two gates (LFM2, Liquid AI 2025). */
export interface ShortConvMixer {
  readonly kind: 'short_conv';
  readonly width: number;
  /** Of the convolution and of both projections. */
  readonly hasBias: boolean;
}

/** Linear attention with a gated delta rule behind a short convolution (Gated DeltaNet, Yang et al. 2024; Qwen3-Next). */
export interface DeltaRuleMixer {
  readonly kind: 'delta_rule';
  /** Each serves numValueHeads / numKeyHeads neighbouring value heads. */
  readonly numKeyHeads: number;
  readonly numValueHeads: number;
  readonly keyHeadDim: number;
  readonly valueHeadDim: number;
  /** Tokens that the convolution sees. */
  readonly width: number;
  /** How the projections are stored: two matrices, key head by key head (Qwen3-Next), or one for each purpose (Qwen3.5). */
  readonly projections: 'by_head' | 'apart';
}

/** All tokens before it. */
export const FULL_ATTENTION: AttentionMixer = { kind: 'attention', window: null };

/** Tokens that one sees at most in a layer, itself included; null: all before it. */
export const windowOf = ({ mixer }: LayerSpec): number | null => (mixer.kind === 'attention' ? mixer.window : null);

/** What all MoE layers of a model have in common. */
export interface MoeSpec {
  readonly gate: GateSpec;
  /** Whether the checkpoint has a selection bias per layer. */
  readonly hasSelectionBias: boolean;
  /** Whether the router's logits have a bias (gpt-oss). */
  readonly hasRouterBias: boolean;
  readonly activation: ActivationSpec;
  /** Whether the three projections of an expert have biases (gpt-oss). */
  readonly hasExpertBias: boolean;
  readonly intermediateSize: number;
  /** Into how many networks the ranks of a job divide each expert: see slices.ts. Default 1: none. */
  readonly slices?: number;
  /** Intermediate size of the fused shared experts; 0 = none. */
  readonly sharedIntermediateSize: number;
  /** Whether what shared experts make is multiplied, per token, with the sigmoid of one more logit (Qwen2-MoE). */
  readonly hasSharedGate: boolean;
  /** Whether what routed and shared experts make is mixed by a softmax over two logits of the token (DeepSpeed's residual MoE). Default false: it is added. */
  readonly hasResidualMix?: boolean | undefined;
}

/** What the families with plain experts share. */
export const PLAIN_EXPERTS = {
  hasSelectionBias: false,
  hasRouterBias: false,
  activation: SWIGLU,
  hasExpertBias: false,
  sharedIntermediateSize: 0,
  hasSharedGate: false,
} as const satisfies Partial<MoeSpec>;

/** Of every routed expert, as checkpoints have them. */
export const wholeSizesOf = ({ hiddenSize, moe }: ModelSpec): ExpertSizes => ({
  hidden: hiddenSize,
  intermediate: moe.intermediateSize,
  hasBias: moe.hasExpertBias,
});

/** Of every routed expert, as ranks hold them: of slices, where experts are sliced. */
export const expertSizesOf = (spec: ModelSpec): ExpertSizes => ({
  ...wholeSizesOf(spec),
  ...(spec.moe.slices !== undefined && { intermediate: sliceWidth(spec.moe.intermediateSize, spec.moe.slices) }),
});

/** Layers that are MoE, in order: the index in this list is the layer's number in placements and load counters. */
export const moeLayersOf = (spec: ModelSpec): number[] =>
  spec.layers.flatMap((layer, i) => (layer.kind === 'moe' ? [i] : []));

/** [L] experts of each MoE layer. */
export const expertCountsOf = (spec: Pick<ModelSpec, 'layers' | 'moe'>): number[] =>
  spec.layers.flatMap((layer) => (layer.kind === 'moe' ? [layer.numExperts ?? spec.moe.gate.numExperts] : []));

/** The gate of one layer, as the model numbers it. */
export function gateOf({ layers, moe }: Pick<ModelSpec, 'layers' | 'moe'>, layer: number): GateSpec {
  const own = layers[layer]!;
  const numExperts = own.kind === 'moe' ? own.numExperts : undefined;
  return numExperts === undefined ? moe.gate : { ...moe.gate, numExperts };
}

/** Layers with keys and values, as the model numbers them. */
export const attentionLayersOf = ({ layers }: Pick<ModelSpec, 'layers'>): number[] =>
  layers.flatMap(({ mixer }, layer) => (mixer.kind === 'attention' ? [layer] : []));

/** How many they are. */
export const numAttentionLayersOf = (spec: Pick<ModelSpec, 'layers'>): number => attentionLayersOf(spec).length;

/** float32 values that one token takes in the KV cache, over all layers. */
export function kvFloatsPerToken({ attention, layers }: ModelSpec): number {
  const perLayer =
    attention.kind === 'mla'
      ? attention.kvLoraRank + attention.qkRopeHeadDim + (attention.indexer?.headDim ?? 0) + 1
      : attention.numKvHeads * (2 * attention.headDim + 1);
  return perLayer * numAttentionLayersOf({ layers });
}
