/**
 * A plug-in in TypeScript: the model's own choices but those that weigh less than `least` of a token's best one. Ranks run JavaScript, so compile it and name what the
 * compiler wrote: --set 'plugins=[{ path: out/threshold_gate.js, options: { least: 0.5 } }]' --set experts.gate=threshold
 */
import type { Plugin } from 'expertwire';

const thresholdGate: Plugin = (api, { least = 0.3 }) => {
  api.registerGate('threshold', {
    route({ numTopk }, own) {
      const { topkIdx, topkWeights } = own();
      for (let i = 0; i < topkIdx.length; i += numTopk) {
        const best = Math.max(...topkWeights.subarray(i, i + numTopk));
        for (let k = i; k < i + numTopk; k++) if (topkWeights[k]! < Number(least) * best) topkIdx[k] = -1;
      }
      return { topkIdx, topkWeights };
    },
  });
};

export default thresholdGate;
