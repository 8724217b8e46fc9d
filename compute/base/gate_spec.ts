/**
 * What a router is, and what it gives, whatever computes it.
 * Shape suffixes: T tokens, E experts, K choices per token.
 * Why: docs/decisions/routing.md#gates-are-data
 */
import { ExpertError } from './errors.js';

/** How a gate chooses experts. */
export interface GateSpec {
  readonly numExperts: number;
  /** Choices per token. */
  readonly numTopk: number;
  /** How logits become scores. */
  readonly scoring: Scoring;
  /** Only experts of the best groups compete; null: all do. */
  readonly groups: GroupSpec | null;
  /** Divide the chosen weights by their sum. With a softmax it is the same as a softmax over the chosen logits alone (Mixtral, gpt-oss). */
  readonly normTopkProb: boolean;
  /** Added to that sum so that it can't be zero (DeepSeek-V3: 1e-20). */
  readonly normEps: number;
  /** The sum counts as this at least (ERNIE 4.5: 1e-12). */
  readonly normMin: number;
  /** Multiplies the weights last. */
  readonly routedScalingFactor: number;
  /** Choices that weigh less than this × the token's largest weight are skipped (`experts.skip_threshold`). Default 0: none. */
  readonly skipThreshold?: number;
  /** Choices of each token, those of least weight, whose results are added behind the next MoE layer (`experts.defer`). Default 0: none. */
  readonly numDeferred?: number;
}

/** What families share whose gate is a softmax and nothing else. */
export const PLAIN_GATE = {
  scoring: 'softmax',
  groups: null,
  normTopkProb: false,
  normEps: 0,
  normMin: 0,
  routedScalingFactor: 1,
} as const satisfies Partial<GateSpec>;

/** A softmax over all experts; a sigmoid each; or {@link SparseMixer}. */
export type Scoring = 'softmax' | 'sigmoid' | SparseMixer;

/**
 * The best logits are chosen, and each weighs its share of a softmax over those that weren't chosen before it and aren't far below it: whose distance from it,
 * over the larger of it and their own magnitude, is at most 2 · `jitterEps`. Weights of a token don't sum to 1 (Liu et al. 2024, arXiv 2409.12136; Phi-3.5-MoE).
 */
export interface SparseMixer {
  readonly kind: 'sparsemixer';
  readonly jitterEps: number;
}

/** Contiguous groups of experts, as many in each. */
export interface GroupSpec {
  readonly numGroups: number;
  /** Groups whose experts compete. */
  readonly topkGroups: number;
  /** What makes a group one of the best: the sum of its two best experts (DeepSeek-V3), or its best (DeepSeek-V2). */
  readonly score: 'top2_sum' | 'max';
}

/** K choices per token, best first; equal scores go to the lower expert. */
export interface Routing {
  /** [T·K] logical experts, −1 = none. */
  readonly topkIdx: Int32Array;
  /** [T·K] */
  readonly topkWeights: Float32Array;
  /** Choices that {@link GateSpec.skipThreshold} took away. Default 0. */
  readonly numSkipped?: number;
}

/** A NaN among the biases would send every token to one expert. @throws ExpertError NOT_FINITE */
export function checkBias(bias_E: Float32Array | null): void {
  const wrong = bias_E?.findIndex((bias) => !Number.isFinite(bias)) ?? -1;
  if (wrong < 0) return;
  throw new ExpertError('NOT_FINITE', `the gate's bias of expert ${wrong} is ${bias_E![wrong]!}; check the checkpoint`);
}

/** A gate's logit that is NaN or infinite. */
export const notFiniteLogit = (expert: number, token: number, logit: number): ExpertError =>
  new ExpertError(
    'NOT_FINITE',
    `the gate's logit of expert ${expert} for token ${token} is ${logit}; check the checkpoint for NaN, or use more ranks ` +
      'if this rank is short of memory',
  );
