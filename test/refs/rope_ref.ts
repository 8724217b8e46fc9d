/** Rotary embeddings in float64, each layout as its origin writes it. */
import type { RopeSpec } from '../../lib/model/spec/spec.js';

/** get_mscale of the YaRN code. */
export const mscaleRef = (f: number, m: number): number => (f <= 1 ? 1 : 0.1 * m * Math.log(f) + 1);

/** Inverse frequencies of the channel pairs, formula by formula as the YaRN code computes them. */
export function inverseFrequenciesRef({ dim: d, theta, yarn }: RopeSpec): number[] {
  const inv = Array.from({ length: d / 2 }, (_, i) => 1 / theta ** ((2 * i) / d));
  if (yarn === null) return inv;
  const { factor: f, originalMaxPositions, betaFast, betaSlow, truncate } = yarn;
  const whole = (round: (x: number) => number, x: number): number => (truncate ? round(x) : x);
  const corr = (r: number): number => (d * Math.log(originalMaxPositions / (r * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(whole(Math.floor, corr(betaFast)), 0);
  const ceiling = Math.min(whole(Math.ceil, corr(betaSlow)), d - 1);
  const high = low === ceiling ? ceiling + 0.001 : ceiling;
  const ramp = inv.map((_, i) => Math.min(1, Math.max(0, (i - low) / (high - low))));
  return inv.map((value, i) => (value / f) * ramp[i]! + value * (1 - ramp[i]!));
}

/** What YaRN multiplies cos and sin with. */
export function attentionFactorRef({ yarn }: RopeSpec): number {
  if (yarn === null) return 1;
  const { factor, mscale, mscaleAllDim, attentionFactor } = yarn;
  if (attentionFactor !== null) return attentionFactor;
  if (mscale === null || mscaleAllDim === null) return mscaleRef(factor, 1);
  return mscaleRef(factor, mscale) / mscaleRef(factor, mscaleAllDim);
}

/** One row at a position. */
export const rotateRef = (x: ArrayLike<number>, position: number, spec: RopeSpec): number[] =>
  spec.layout === 'interleaved' ? complexRef(x, position, spec) : rotateHalfRef(x, position, spec);

/** Adjacent channels are a complex number, multiplied with e^{i·angle}: DeepSeek's code. */
function complexRef(x: ArrayLike<number>, position: number, spec: RopeSpec): number[] {
  const factor = attentionFactorRef(spec);
  return inverseFrequenciesRef(spec).flatMap((velocity, pair) => {
    const [re, im] = [x[2 * pair]!, x[2 * pair + 1]!];
    const [cos, sin] = [Math.cos(position * velocity) * factor, Math.sin(position * velocity) * factor];
    return [re * cos - im * sin, re * sin + im * cos];
  });
}

/** x·cos + rotate_half(x)·sin with the angles repeated: Hugging Face's code. */
function rotateHalfRef(x: ArrayLike<number>, position: number, spec: RopeSpec): number[] {
  const factor = attentionFactorRef(spec);
  const angles = [...inverseFrequenciesRef(spec), ...inverseFrequenciesRef(spec)].map(
    (velocity) => position * velocity,
  );
  const row = Array.from(x);
  const half = row.length / 2;
  const rotated = [...row.slice(half).map((value) => -value), ...row.slice(0, half)];
  return row.map((value, r) => (value * Math.cos(angles[r]!) + rotated[r]! * Math.sin(angles[r]!)) * factor);
}
