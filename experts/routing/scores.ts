/** What a gate makes of its logits before it chooses. E experts. Why: docs/decisions/routing.md#the-gate-runs-in-float64 */
import type { Scoring } from '../../compute/base/gate_spec.js';

/** Scores of one token, float64 of float32 logits: `out` [E] is overwritten. The scores of a sparsemixer are the logits. */
export function scoreInto(out: Float64Array, logits_E: Float32Array, scoring: Scoring): void {
  switch (scoring) {
    case 'softmax':
      return softmax(logits_E, out);
    case 'sigmoid':
      for (let e = 0; e < out.length; e++) out[e] = 1 / (1 + Math.exp(-logits_E[e]!));
      return;
    default:
      out.set(logits_E);
  }
}

function softmax(logits_E: Float32Array, out: Float64Array): void {
  const highest = logits_E.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (let e = 0; e < out.length; e++) sum += out[e] = Math.exp(logits_E[e]! - highest);
  for (let e = 0; e < out.length; e++) out[e]! /= sum;
}
