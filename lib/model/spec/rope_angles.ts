/** How fast the channels of a rotary position embedding turn, with YaRN (Peng et al. 2023). Pure. */
import type { RopeSpec, YarnSpec } from './spec.js';

/** get_mscale of the YaRN paper's code; 1 for factors up to 1 or m = 0. */
export const yarnMscale = (factor: number, m = 1): number => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);

/** One angle velocity per channel pair, in radians per position, float64. */
export function inverseFrequencies({ dim, theta, yarn }: RopeSpec): Float64Array {
  const plain = Float64Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
  if (yarn === null) return plain;
  // 1. Channels that turn more than betaFast times over the original context keep their velocity, those under betaSlow are slowed down.
  const correction = (turns: number): number =>
    (dim * Math.log(yarn.originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [first, last] = [correction(yarn.betaFast), correction(yarn.betaSlow)];
  const low = Math.max(yarn.truncate ? Math.floor(first) : first, 0);
  let high = Math.min(yarn.truncate ? Math.ceil(last) : last, dim - 1);
  if (low === high) high += 0.001;
  // 2. Between them a linear ramp.
  return plain.map((velocity, i) => {
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (velocity / yarn.factor) * ramp + velocity * (1 - ramp);
  });
}

/** What cos and sin are multiplied with: 1 where mscale = mscale_all_dim. */
export function attentionFactor(yarn: YarnSpec | null): number {
  if (yarn === null) return 1;
  const { factor, mscale, mscaleAllDim } = yarn;
  if (yarn.attentionFactor !== null) return yarn.attentionFactor;
  if (mscale !== null && mscaleAllDim !== null) return yarnMscale(factor, mscale) / yarnMscale(factor, mscaleAllDim);
  return yarnMscale(factor);
}
