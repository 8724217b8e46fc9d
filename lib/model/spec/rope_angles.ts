/** How fast the channels of a rotary position embedding turn, and what scalings for long contexts change. Pure. */
import type { Llama3Rope, RopeScaling, RopeSpec, YarnSpec } from './spec.js';

/** get_mscale of the YaRN paper's code; 1 for factors up to 1 or m = 0. */
export const yarnMscale = (factor: number, m = 1): number => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);

/** One angle velocity per channel pair, in radians per position, float64. */
export function inverseFrequencies({ dim, theta, scaling }: RopeSpec): Float64Array {
  const plain = Float64Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
  if (scaling === null) return plain;
  switch (scaling.kind) {
    case 'linear':
      return plain.map((velocity) => velocity / scaling.factor);
    case 'proportional':
      return plain.map((velocity, i) => (i < scaling.numTurning ? velocity / scaling.factor : 0));
    case 'llama3':
      return plain.map((velocity) => llama3Velocity(velocity, scaling));
    case 'longrope':
      return plain.map((velocity, i) => velocity / scaling[scaling.inForce].ofPairs[i]!);
    case 'yarn':
      return yarnVelocities(plain, dim, theta, scaling);
  }
}

/** What cos and sin are multiplied with: 1 but for LongRoPE, and YaRN where mscale isn't mscale_all_dim. */
export function attentionFactor(scaling: RopeScaling | null): number {
  if (scaling?.kind === 'longrope') return scaling[scaling.inForce].attentionFactor;
  if (scaling?.kind !== 'yarn') return 1;
  const { factor, mscale, mscaleAllDim } = scaling;
  if (scaling.attentionFactor !== null) return scaling.attentionFactor;
  if (mscale !== null && mscaleAllDim !== null) return yarnMscale(factor, mscale) / yarnMscale(factor, mscaleAllDim);
  return yarnMscale(factor);
}

/**
 * The same rotation for sequences of at most so many tokens. LongRoPE's factors depend on it, for all sequences alike: keys in a cache must not turn at another
 * velocity once their sequence has grown. Why: docs/decisions/families.md#longrope-has-one-set-of-factors-per-run
 */
export function ropeWithin(rope: RopeSpec, maxTokens: number): RopeSpec {
  if (rope.scaling?.kind !== 'longrope') return rope;
  const inForce = maxTokens <= rope.scaling.originalMaxPositions ? 'short' : 'long';
  return { ...rope, scaling: { ...rope.scaling, inForce } };
}

function yarnVelocities(plain: Float64Array, dim: number, theta: number, yarn: YarnSpec): Float64Array {
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

/** By how many times a pair turns over the original context. */
function llama3Velocity(velocity: number, scaling: Llama3Rope): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  const turns = (originalMaxPositions * velocity) / (2 * Math.PI);
  if (turns > highFreqFactor) return velocity;
  if (turns < lowFreqFactor) return velocity / factor;
  const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return ((1 - smooth) * velocity) / factor + smooth * velocity;
}
