/** Choices that weigh next to nothing aren't computed (Lu et al. 2024, arXiv 2402.14800). Pure. Shape suffixes: T tokens, K choices per token. */
import type { GateSpec, Routing } from '../../compute/base/gate_spec.js';

/**
 * Choices [T·K] without those that weigh less than `skipThreshold` × the largest weight of their token: −1, and 0 as weight. What stays is multiplied so
 * that a token's weights sum to what they did, where the gate divides by their sum. Nothing changes where the threshold is 0.
 * Why: docs/decisions/routing.md#what-weighs-little-is-skipped
 */
export function skipChoices(routing: Routing, { numTopk, normTopkProb, skipThreshold = 0 }: GateSpec): Routing {
  if (skipThreshold === 0) return routing;
  const topkIdx = routing.topkIdx.slice();
  const topkWeights = routing.topkWeights.slice();
  let numSkipped = 0;
  for (let from = 0; from < topkIdx.length; from += numTopk) {
    const chosen_K = topkIdx.subarray(from, from + numTopk);
    numSkipped += skipOf(chosen_K, topkWeights.subarray(from, from + numTopk), skipThreshold, normTopkProb);
  }
  return { topkIdx, topkWeights, numSkipped };
}

/** Of one token; returns how many. */
function skipOf(chosen_K: Int32Array, weights_K: Float32Array, skipThreshold: number, isNormed: boolean): number {
  let largest = 0;
  for (let k = 0; k < chosen_K.length; k++) {
    if (chosen_K[k]! >= 0) largest = Math.max(largest, Math.abs(weights_K[k]!));
  }
  let [all, kept, numSkipped] = [0, 0, 0];
  for (let k = 0; k < chosen_K.length; k++) {
    if (chosen_K[k]! < 0) continue;
    const weight = weights_K[k]!;
    all += weight;
    if (!(Math.abs(weight) < skipThreshold * largest)) {
      kept += weight; // what is no number too, so that nobody takes it for little
      continue;
    }
    chosen_K[k] = -1;
    weights_K[k] = 0;
    numSkipped++;
  }
  if (isNormed && numSkipped > 0) for (let k = 0; k < weights_K.length; k++) weights_K[k]! *= all / kept;
  return numSkipped;
}
