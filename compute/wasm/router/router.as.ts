/** The router (experts/routing/select_experts.ts has the portable form): float64 scores of float32 logits, so that a choice depends on the logits alone. */
import { bestOf } from './best.as';
import { exp64 } from './exp64.as';

/** How logits become scores. */
export const SOFTMAX: i32 = 0;
export const SIGMOID: i32 = 1;
export const SPARSEMIXER: i32 = 2;

/** What a `GateSpec` says. */
@unmanaged
export class Router {
  normEps: f64;
  normMin: f64;
  routedScalingFactor: f64;
  /** Of the sparsemixer. */
  jitterEps: f64;
  /** float32 [numExperts], added for the selection only; 0 = none. */
  bias: usize;
  numExperts: i32;
  numTopk: i32;
  scoring: i32;
  /** 0 = all experts compete. */
  numGroups: i32;
  topkGroups: i32;
  /** 1 = a group's score is its best expert's, 0 = the sum of its two best. */
  isGroupMax: i32;
  normTopkProb: i32;
}

/** Scratch memory of {@link route}, at a multiple of 8. */
export function routeBytes(router: usize): usize {
  const r = changetype<Router>(router);
  return ((<usize>(2 * r.numExperts + r.numGroups)) << 3) + ((<usize>r.topkGroups) << 2);
}

/**
 * logits: numRows rows every `stride` floats → topkIdx i32 and topkWeights f32 [numRows · numTopk], best first, equal ones in ascending order.
 * Returns −1, or row · numExperts + expert of the first logit that isn't finite: choices of rows from there on aren't made.
 */
export function route(
  logits: usize,
  numRows: i32,
  stride: i32,
  router: usize,
  topkIdx: usize,
  topkWeights: usize,
  scratch: usize,
): i32 {
  const r = changetype<Router>(router);
  const selection = scratch + ((<usize>r.numExperts) << 3);
  for (let row = 0; row < numRows; row++) {
    const wrong = firstNonFinite(logits, r.numExperts);
    if (wrong >= 0) return row * r.numExperts + wrong;
    if (r.scoring == SIGMOID) sigmoidScores(logits, r.numExperts, scratch);
    else if (r.scoring == SPARSEMIXER) logitScores(logits, r.numExperts, scratch);
    else softmaxScores(logits, r.numExperts, scratch);
    addBias(scratch, r, selection);
    if (r.numGroups > 0) maskGroups(selection, r);
    bestOf(selection, r.numExperts, topkIdx, r.numTopk);
    weigh(scratch, r, topkIdx, topkWeights);
    logits += (<usize>stride) << 2;
    topkIdx += (<usize>r.numTopk) << 2;
    topkWeights += (<usize>r.numTopk) << 2;
  }
  return -1;
}

/** Index of the first NaN or infinity; −1 = none. */
export function firstNonFinite(x: usize, count: i32): i32 {
  const exponent: u32 = 0x7f800000;
  for (let i = 0; i < count; i++) if ((load<u32>(x + ((<usize>i) << 2)) & exponent) == exponent) return i;
  return -1;
}

function sigmoidScores(logits: usize, count: i32, scores: usize): void {
  for (let i: usize = 0; i < <usize>count; i++)
    store<f64>(scores + (i << 3), 1 / (1 + exp64(-(<f64>load<f32>(logits + (i << 2))))));
}

function logitScores(logits: usize, count: i32, scores: usize): void {
  for (let i: usize = 0; i < <usize>count; i++) store<f64>(scores + (i << 3), <f64>load<f32>(logits + (i << 2)));
}

function softmaxScores(logits: usize, count: i32, scores: usize): void {
  let highest = -f32.MAX_VALUE;
  for (let i: usize = 0; i < <usize>count; i++) highest = max(highest, load<f32>(logits + (i << 2)));
  let sum: f64 = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const score = exp64(<f64>load<f32>(logits + (i << 2)) - <f64>highest);
    store<f64>(scores + (i << 3), score);
    sum += score;
  }
  for (let i: usize = 0; i < <usize>count; i++) store<f64>(scores + (i << 3), load<f64>(scores + (i << 3)) / sum);
}

function addBias(scores: usize, r: Router, selection: usize): void {
  for (let e: usize = 0; e < <usize>r.numExperts; e++) {
    const bias: f64 = r.bias == 0 ? 0 : <f64>load<f32>(r.bias + (e << 2));
    store<f64>(selection + (e << 3), load<f64>(scores + (e << 3)) + bias);
  }
}

/** Experts outside the best groups become −∞. */
function maskGroups(selection: usize, r: Router): void {
  const size = r.numExperts / r.numGroups;
  const groupScores = selection + ((<usize>r.numExperts) << 3);
  const kept = groupScores + ((<usize>r.numGroups) << 3);
  for (let g = 0; g < r.numGroups; g++)
    store<f64>(groupScores + ((<usize>g) << 3), groupScore(selection + ((<usize>(g * size)) << 3), size, r.isGroupMax));
  bestOf(groupScores, r.numGroups, kept, r.topkGroups);
  for (let g = 0; g < r.numGroups; g++) {
    if (isAmong(kept, r.topkGroups, g)) continue;
    for (let e = g * size; e < (g + 1) * size; e++) store<f64>(selection + ((<usize>e) << 3), -Infinity);
  }
}

function groupScore(members: usize, size: i32, isMax: i32): f64 {
  let best: f64 = -Infinity;
  let second: f64 = -Infinity;
  for (let i = 0; i < size; i++) {
    const value = load<f64>(members + ((<usize>i) << 3));
    if (value > best) {
      second = best;
      best = value;
    } else if (value > second) second = value;
  }
  return isMax || size == 1 ? best : best + second;
}

function isAmong(indices: usize, count: i32, index: i32): bool {
  for (let i = 0; i < count; i++) if (load<i32>(indices + ((<usize>i) << 2)) == index) return true;
  return false;
}

function weigh(scores: usize, r: Router, chosen: usize, weights: usize): void {
  let divisor: f64 = 1;
  if (r.normTopkProb) {
    divisor = r.normEps;
    for (let k = 0; k < r.numTopk; k++) divisor += weightOf(scores, r, chosen, k);
    divisor = max(divisor, r.normMin);
  }
  for (let k = 0; k < r.numTopk; k++) {
    store<f32>(weights + ((<usize>k) << 2), <f32>((weightOf(scores, r, chosen, k) / divisor) * r.routedScalingFactor));
  }
}

function weightOf(scores: usize, r: Router, chosen: usize, k: i32): f64 {
  const score = scoreOf(scores, chosen, k);
  return r.scoring == SPARSEMIXER ? mixerShare(scores, r, chosen, k, score) : score;
}

/** Of a softmax over experts that weren't chosen before and aren't far below. */
function mixerShare(scores: usize, r: Router, chosen: usize, k: i32, score: f64): f64 {
  let sum: f64 = 0;
  for (let e = 0; e < r.numExperts; e++) {
    const other = load<f64>(scores + ((<usize>e) << 3));
    const isFar = (score - other) / max(abs(other), score) > 2 * r.jitterEps;
    if (!isFar && !isAmong(chosen, k, e)) sum += exp64(other - score);
  }
  return 1 / sum;
}

function scoreOf(scores: usize, chosen: usize, k: i32): f64 {
  return load<f64>(scores + ((<usize>load<i32>(chosen + ((<usize>k) << 2))) << 3));
}
