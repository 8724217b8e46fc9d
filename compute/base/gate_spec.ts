/**
 * What a router is, and what it gives, whatever computes it.
 * Shape suffixes: T tokens, E experts, K choices per token.
 */
import { ExpertError } from './errors.js';

/** How a gate chooses experts. */
export interface GateSpec {
  readonly numExperts: number;
  /** Choices per token. */
  readonly numTopk: number;
  /** How logits become scores: a softmax over all experts, or a sigmoid each. */
  readonly scoring: 'softmax' | 'sigmoid';
  /** Only experts of the best groups compete; null: all do. */
  readonly groups: GroupSpec | null;
  /** Divide the chosen weights by their sum. */
  readonly normTopkProb: boolean;
  /** Added to that sum so that it can't be zero (DeepSeek-V3: 1e-20). */
  readonly normEps: number;
  /** Multiplies the weights last. */
  readonly routedScalingFactor: number;
}

/** Contiguous groups of experts, as many in each. */
export interface GroupSpec {
  readonly numGroups: number;
  /** Groups whose experts compete. */
  readonly topkGroups: number;
}

/** K choices per token, best first; equal scores go to the lower expert. */
export interface Routing {
  /** [T·K] logical experts. */
  readonly topkIdx: Int32Array;
  /** [T·K] */
  readonly topkWeights: Float32Array;
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
