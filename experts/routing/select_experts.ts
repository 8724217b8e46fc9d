/**
 * How a gate's logits become choices: pure, in plain JavaScript. Shape suffixes: T tokens, E experts, K choices per token.
 * Why: docs/decisions/routing.md#the-gate-runs-in-float64
 */
import { ExpertError } from '../../compute/base/errors.js';
import {
  checkBias,
  notFiniteLogit,
  type GateSpec,
  type GroupSpec,
  type Routing,
  type Scoring,
} from '../../compute/base/gate_spec.js';
import { scoreInto } from './scores.js';

/**
 * Logits [T·E] → choices. Scores are computed in float64 from the float32 logits, so that a choice depends on the logits alone.
 * Experts outside the kept groups can't be chosen, however negative the bias (DeepSeek's reference code masks with −∞; the
 * Hugging Face port masked with 0 before version 5.8 and could choose them).
 * @throws ExpertError INVALID_ARGUMENT for logits that are not rows of experts, NOT_FINITE for a logit or bias that isn't
 */
export function selectExperts(logits: Float32Array, spec: GateSpec, bias_E: Float32Array | null): Routing {
  const { numExperts, numTopk } = spec;
  if (logits.length % numExperts !== 0) {
    throw new ExpertError(
      'INVALID_ARGUMENT',
      `gate logits: ${logits.length} values are not rows of ${numExperts} experts; give [T·E] values`,
    );
  }
  checkBias(bias_E);
  const numTokens = logits.length / numExperts;
  const topkIdx = new Int32Array(numTokens * numTopk);
  const topkWeights = new Float32Array(numTokens * numTopk);
  const scores = new Float64Array(numExperts);
  const selection = new Float64Array(numExperts);
  for (let t = 0; t < numTokens; t++) {
    // 1. Scores of this token.
    const logits_E = logits.subarray(t * numExperts, (t + 1) * numExperts);
    checkFinite(logits_E, t);
    scoreInto(scores, logits_E, spec.scoring);
    // 2. What the selection sees: biased scores, −∞ outside the best groups.
    for (let e = 0; e < numExperts; e++) selection[e] = scores[e]! + (bias_E === null ? 0 : bias_E[e]!);
    if (spec.groups !== null) maskGroups(selection, spec.groups);
    // 3. The K best, and their unbiased scores as weights.
    const chosen = topkIdx.subarray(t * numTopk, (t + 1) * numTopk);
    takeTopk(selection, chosen);
    weigh(scores, chosen, spec, topkWeights.subarray(t * numTopk, (t + 1) * numTopk));
  }
  return { topkIdx, topkWeights };
}

/** Logits [T·E]. @throws ExpertError NOT_FINITE for the first that isn't */
export function checkLogits(logits: Float32Array, numExperts: number): void {
  for (let t = 0; t * numExperts < logits.length; t++) {
    checkFinite(logits.subarray(t * numExperts, (t + 1) * numExperts), t);
  }
}

/** A NaN would choose experts quietly, and it is what a backend that ran out of memory computes. */
function checkFinite(logits_E: Float32Array, token: number): void {
  const wrong = logits_E.findIndex((logit) => !Number.isFinite(logit));
  if (wrong >= 0) throw notFiniteLogit(wrong, token, logits_E[wrong]!);
}

/** Experts outside the best groups become −∞. */
function maskGroups(selection: Float64Array, groups: GroupSpec): void {
  const size = selection.length / groups.numGroups;
  const groupScores = new Float64Array(groups.numGroups);
  for (let g = 0; g < groups.numGroups; g++) {
    let best = -Infinity;
    let second = -Infinity;
    for (let e = g * size; e < (g + 1) * size; e++) {
      const value = selection[e]!;
      if (value > best) [best, second] = [value, best];
      else if (value > second) second = value;
    }
    groupScores[g] = groups.score === 'max' || size === 1 ? best : best + second;
  }
  const kept = new Int32Array(groups.topkGroups);
  takeTopk(groupScores, kept);
  for (let g = 0; g < groups.numGroups; g++) {
    if (!kept.includes(g)) selection.fill(-Infinity, g * size, (g + 1) * size);
  }
}

/** Fills `out` with the indices of the largest values, best first, the lower index on ties. */
function takeTopk(values: Float64Array, out: Int32Array): void {
  for (let k = 0; k < out.length; k++) {
    let best = -1;
    for (let i = 0; i < values.length; i++) {
      if ((best === -1 || values[i]! > values[best]!) && !isTaken(out, k, i)) best = i;
    }
    out[k] = best;
  }
}

function isTaken(out: Int32Array, count: number, index: number): boolean {
  for (let k = 0; k < count; k++) if (out[k] === index) return true;
  return false;
}

function weigh(scores: Float64Array, chosen: Int32Array, spec: GateSpec, out: Float32Array): void {
  let divisor = 1;
  if (spec.normTopkProb) {
    divisor = spec.normEps;
    for (let k = 0; k < chosen.length; k++) divisor += weightOf(scores, chosen, k, spec.scoring);
    divisor = Math.max(divisor, spec.normMin);
  }
  for (let k = 0; k < chosen.length; k++) {
    out[k] = (weightOf(scores, chosen, k, spec.scoring) / divisor) * spec.routedScalingFactor;
  }
}

/** Of the k-th choice, before they are normalised. */
function weightOf(scores: Float64Array, chosen: Int32Array, k: number, scoring: Scoring): number {
  const score = scores[chosen[k]!]!;
  if (typeof scoring === 'string') return score;
  let sum = 0;
  for (let e = 0; e < scores.length; e++) {
    const other = scores[e]!;
    const isFar = (score - other) / Math.max(Math.abs(other), score) > 2 * scoring.jitterEps;
    if (!isFar && !isTaken(chosen, k, e)) sum += Math.exp(other - score);
  }
  return 1 / sum;
}
