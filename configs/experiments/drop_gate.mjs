/** The model's own choices but those that weigh less than `least` of a token's best one. */

/** @type {import('expertwire').Plugin} */
export default (api, { least = 0.5 }) =>
  api.registerGate('threshold', {
    route({ numTopk }, own) {
      const { topkIdx, topkWeights } = own();
      for (let i = 0; i < topkIdx.length; i += numTopk) {
        for (let k = 1; k < numTopk; k++) if (topkWeights[i + k] < least * topkWeights[i]) topkIdx[i + k] = -1;
      }
      return { topkIdx, topkWeights };
    },
  });
