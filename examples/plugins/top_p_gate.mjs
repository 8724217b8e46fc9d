/** As few experts as hold `p` of the weight of a token's best `most`: tokens that are sure cost less. */

/** @type {import('expertwire').Plugin} */
export default (api, { p = 0.8, most = 8 }) =>
  api.registerGate('top_p', {
    numTopk: ({ numExperts }) => Math.min(most, numExperts),
    route({ numTopk }, own) {
      const { topkIdx, topkWeights } = own(numTopk);
      for (let i = 0; i < topkIdx.length; i += numTopk) {
        const weights = topkWeights.subarray(i, i + numTopk);
        const total = weights.reduce((sum, weight) => sum + weight);
        for (let k = 0, held = 0; k < numTopk; held += weights[k++]) if (held >= p * total) topkIdx[i + k] = -1;
      }
      return { topkIdx, topkWeights };
    },
  });
