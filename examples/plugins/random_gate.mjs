/** Experts at random, and the same for a token wherever it runs: what a gate is worth shows beside one that knows nothing. */

/** @type {import('expertwire').Plugin} */
export default (api, { seed = 1 }) =>
  api.registerGate('random', {
    route({ logits, spec: { numExperts }, positions, moeLayer }, own) {
      for (let i = 0; i < logits.length; i++) {
        const token = seed + 7919 * positions[Math.floor(i / numExperts)] + 104729 * moeLayer;
        logits[i] = Math.abs(Math.sin(token * numExperts + (i % numExperts)) * 1e4) % 1;
      }
      return own();
    },
  });
