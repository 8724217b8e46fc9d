/**
 * Rotary position embeddings, with YaRN. Shape suffixes: N rows (tokens × heads), R rotated channels.
 * A rotation is x·cos + (x·P)·sin, where P permutes and negates channels: one small matmul that is exact for any layout.
 */
import { add, matMul, mul, tidy, toTensor, type Tensor2D } from '../../experts/tf.js';
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
  const low = Math.max(Math.floor(correction(yarn.betaFast)), 0);
  let high = Math.min(Math.ceil(correction(yarn.betaSlow)), dim - 1);
  if (low === high) high += 0.001;
  // 2. Between them a linear ramp.
  return plain.map((velocity, i) => {
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (velocity / yarn.factor) * ramp + velocity * (1 - ramp);
  });
}

/** What cos and sin are multiplied with: 1 where mscale = mscale_all_dim. */
function attentionFactor(yarn: YarnSpec | null): number {
  if (yarn === null) return 1;
  const { factor, mscale, mscaleAllDim } = yarn;
  if (mscale !== null && mscaleAllDim !== null) return yarnMscale(factor, mscale) / yarnMscale(factor, mscaleAllDim);
  return yarnMscale(factor);
}

/** The angles of one step's tokens, repeated for each head that is rotated. */
export interface RopeAngles {
  readonly cos_NR: Tensor2D;
  readonly sin_NR: Tensor2D;
}

export class Rope {
  private readonly permutation_RR: Tensor2D;
  private readonly velocities: Float64Array;
  private readonly spec: RopeSpec;

  constructor(spec: RopeSpec) {
    this.spec = spec;
    this.velocities = inverseFrequencies(spec);
    this.permutation_RR = toTensor(rotationMatrix(spec), [spec.dim, spec.dim]);
  }

  /** Angles for rows of `numHeads` consecutive heads per position; the caller disposes them. */
  angles(positions: readonly number[], numHeads: number): RopeAngles {
    const { dim, yarn } = this.spec;
    const factor = attentionFactor(yarn);
    const cos = new Float32Array(positions.length * numHeads * dim);
    const sin = new Float32Array(cos.length);
    positions.forEach((position, t) => {
      const row = t * numHeads * dim;
      for (let r = 0; r < dim; r++) {
        const angle = position * this.velocities[pairOf(this.spec, r)]!;
        cos[row + r] = Math.cos(angle) * factor;
        sin[row + r] = Math.sin(angle) * factor;
      }
      for (let head = 1; head < numHeads; head++) {
        cos.copyWithin(row + head * dim, row, row + dim);
        sin.copyWithin(row + head * dim, row, row + dim);
      }
    });
    const shape = [positions.length * numHeads, dim] as const;
    return { cos_NR: toTensor(cos, shape), sin_NR: toTensor(sin, shape) };
  }

  rotate(x_NR: Tensor2D, { cos_NR, sin_NR }: RopeAngles): Tensor2D {
    return tidy(() => add(mul(x_NR, cos_NR), mul(matMul(x_NR, this.permutation_RR), sin_NR)));
  }

  dispose(): void {
    this.permutation_RR.dispose();
  }
}

const pairOf = ({ dim, layout }: RopeSpec, channel: number): number =>
  layout === 'interleaved' ? channel >> 1 : channel % (dim / 2);

/** P [R·R] with x·P = (−x₁, x₀, −x₃, x₂, …) interleaved, or (−second half, first half). */
function rotationMatrix({ dim, layout }: RopeSpec): Float32Array {
  const matrix = new Float32Array(dim * dim);
  for (let pair = 0; pair < dim / 2; pair++) {
    const [a, b] = layout === 'interleaved' ? [2 * pair, 2 * pair + 1] : [pair, pair + dim / 2];
    matrix[b * dim + a] = -1;
    matrix[a * dim + b] = 1;
  }
  return matrix;
}
