/** Experts choose tokens: each takes those that want it most, as many as every other (Zhou et al. 2022). */

/** @type {import('expertwire').Plugin} */
export default (api) =>
  api.registerGate('expert_choice', {
    dependsOn: 'batch',
    numTopk: ({ numExperts }) => numExperts,
    route({ logits, numTokens, numTopk: numExperts, spec }) {
      const topkIdx = new Int32Array(logits.length).fill(-1);
      const numEach = Math.ceil((numTokens * spec.numTopk) / numExperts);
      for (let e = 0; e < numExperts; e++) {
        const places = [...Array(numTokens).keys()].map((t) => t * numExperts + e);
        for (const place of places.sort((a, b) => logits[b] - logits[a]).slice(0, numEach)) topkIdx[place] = e;
      }
      return { topkIdx, topkWeights: logits.map((logit) => 1 / (1 + Math.exp(-logit))) };
    },
  });
