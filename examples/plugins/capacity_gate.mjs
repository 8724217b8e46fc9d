/** The model's own choices, but an expert takes no more than its share of a batch, times `factor`: what overflows is dropped (Switch Transformer). */

/** @type {import('expertwire').Plugin} */
export default (api, { factor = 1.25 }) =>
  api.registerGate('capacity', {
    dependsOn: 'batch',
    route({ spec: { numExperts } }, own) {
      const { topkIdx, topkWeights } = own();
      const left = new Int32Array(numExperts).fill(Math.ceil((factor * topkIdx.length) / numExperts));
      return { topkIdx: topkIdx.map((expert) => (left[expert]-- > 0 ? expert : -1)), topkWeights };
    },
  });
