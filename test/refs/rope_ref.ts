/** Rotary embeddings in float64, each layout as its origin writes it. */
import type { Llama3Rope, RopeSpec, YarnSpec } from '../../lib/model/spec/spec.js';

/** get_mscale of the YaRN code. */
export const mscaleRef = (f: number, m: number): number => (f <= 1 ? 1 : 0.1 * m * Math.log(f) + 1);

/** Inverse frequencies of the channel pairs, formula by formula as the authors' codes compute them. */
export function inverseFrequenciesRef({ dim: d, theta, scaling }: RopeSpec): number[] {
  const inv = Array.from({ length: d / 2 }, (_, i) => 1 / theta ** ((2 * i) / d));
  switch (scaling?.kind) {
    case undefined:
      return inv;
    case 'linear':
      return inv.map((value) => value / scaling.factor);
    case 'proportional':
      return [...inv.slice(0, scaling.numTurning), ...inv.slice(scaling.numTurning).fill(0)].map(
        (value) => value / scaling.factor,
      );
    case 'longrope': {
      const factors = scaling.inForce === 'short' ? scaling.short : scaling.long;
      return inv.map((_, i) => 1 / (factors.ofPairs[i]! * theta ** ((2 * i) / d)));
    }
    case 'llama3':
      return inv.map((value) => llama3Ref(value, scaling));
    case 'yarn':
      return yarnRef(inv, d, theta, scaling);
  }
}

/** By wavelengths, as Llama's code has it. */
function llama3Ref(
  inv: number,
  { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: l }: Llama3Rope,
) {
  const wavelength = (2 * Math.PI) / inv;
  if (wavelength < l / high) return inv;
  if (wavelength > l / low) return inv / factor;
  const smooth = (l / wavelength - low) / (high - low);
  return (1 - smooth) * (inv / factor) + smooth * inv;
}

function yarnRef(inv: readonly number[], d: number, theta: number, yarn: YarnSpec): number[] {
  const { factor: f, originalMaxPositions, betaFast, betaSlow, truncate } = yarn;
  const whole = (round: (x: number) => number, x: number): number => (truncate ? round(x) : x);
  const corr = (r: number): number => (d * Math.log(originalMaxPositions / (r * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(whole(Math.floor, corr(betaFast)), 0);
  const ceiling = Math.min(whole(Math.ceil, corr(betaSlow)), d - 1);
  const high = low === ceiling ? ceiling + 0.001 : ceiling;
  const ramp = inv.map((_, i) => Math.min(1, Math.max(0, (i - low) / (high - low))));
  return inv.map((value, i) => (value / f) * ramp[i]! + value * (1 - ramp[i]!));
}

/** What YaRN and LongRoPE multiply cos and sin with. */
export function attentionFactorRef({ scaling }: RopeSpec): number {
  if (scaling?.kind === 'longrope') return scaling[scaling.inForce].attentionFactor;
  if (scaling?.kind !== 'yarn') return 1;
  const { factor, mscale, mscaleAllDim, attentionFactor } = scaling;
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
