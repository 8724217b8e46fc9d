/**
 * Residual experts (Rajbhandari et al. 2022): what the experts make and what a network of all tokens makes are mixed token by token, by a softmax over two logits.
 * Pure. Shape suffixes: T tokens, H hidden, K choices per token.
 */
import type { FloatRows } from '../../base/float_rows.js';

/** The layer of two rows that the logits come from: of the experts, and of the network. */
export interface ResidualMix {
  readonly weight_2H: Float32Array;
  readonly bias_2: Float32Array;
}

/** [T·2] how much of a token is the experts' and how much the network's: computed in float64, row by row. */
export function mixOf({ weight_2H, bias_2 }: ResidualMix, x: FloatRows): Float32Array {
  const { numRows, hidden, stride } = x;
  const rows = x.view();
  const mixed_T2 = new Float32Array(2 * numRows);
  for (let t = 0; t < numRows; t++) {
    let [experts, network] = [bias_2[0]!, bias_2[1]!];
    for (let h = 0; h < hidden; h++) {
      const value = rows[t * stride + h]!;
      experts += value * weight_2H[h]!;
      network += value * weight_2H[hidden + h]!;
    }
    mixed_T2[2 * t] = 1 / (1 + Math.exp(network - experts));
    mixed_T2[2 * t + 1] = 1 / (1 + Math.exp(experts - network));
  }
  return mixed_T2;
}

/** [T·K] weights of choices, times what of each token is the experts'. */
export function mixedWeights(topkWeights: Float32Array, mixed_T2: Float32Array): Float32Array {
  const numTopk = (2 * topkWeights.length) / mixed_T2.length;
  return topkWeights.map((weight, i) => weight * mixed_T2[2 * Math.floor(i / numTopk)]!);
}
