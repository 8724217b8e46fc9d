/** Choices whose results may come a layer later (experts.defer). Pure. Shape suffixes: T tokens, K choices per token, S slices of an expert. */

/** Choices [T·K·S] in two parts of the same shape: −1 stands where a choice is the other part's. */
export interface DividedChoices {
  readonly now: Int32Array;
  readonly later: Int32Array;
}

/**
 * The `numDeferred` choices of least weight of each token come later, of equal ones those that stand last; all slices of a choice stay together.
 * @param topkIdx [T·K·S] physical experts, or slices of them
 * @param topkWeights [T·K]
 */
export function dividedChoices(
  topkIdx: Int32Array,
  topkWeights: Float32Array,
  { numTopk, numDeferred }: { readonly numTopk: number; readonly numDeferred: number },
): DividedChoices {
  const now = topkIdx.slice();
  const later = new Int32Array(topkIdx.length).fill(-1);
  const numSlices = topkIdx.length / topkWeights.length;
  const order = Array.from({ length: numTopk }, (_, k) => k);
  for (let from = 0; from < topkWeights.length; from += numTopk) {
    order.sort((a, b) => Math.abs(topkWeights[from + b]!) - Math.abs(topkWeights[from + a]!) || a - b);
    for (const k of order.slice(numTopk - numDeferred)) {
      for (let at = (from + k) * numSlices; at < (from + k + 1) * numSlices; at++) {
        later[at] = topkIdx[at]!;
        now[at] = -1;
      }
    }
  }
  return { now, later };
}
