/**
 * Rotary position embeddings. Shape suffixes: N rows (tokens × heads), R channels of a row, of which the first may be the only ones that are rotated.
 * A rotation is x·cos + (x·P)·sin, where P permutes and negates channels; channels that aren't rotated have cos 1 and no place in P. Both halves come from one product with [I|P], which may be folded into
 * the projection before it, and one with [I;I] adds them: products with 0 and ±1 are exact, for any layout of pairs.
 */
import { matMul, mul, tidy, toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';
import { attentionFactor, inverseFrequencies } from '../spec/rope_angles.js';
import type { RopeSpec } from '../spec/spec.js';

/** The angles of one step's tokens, repeated for each head that is rotated: [N, 2R] of cos and sin. */
export interface RopeAngles {
  readonly cosSin_N2R: Tensor2D;
  /** Frees the tensor. */
  dispose(): void;
}

/** Rotates rows by the angles of their positions; scalings for long contexts change the angles, and some the result. */
export class Rope {
  private readonly velocities: Float64Array;
  /** [I|P] */
  private readonly double_R2R: Tensor2D;
  /** [I;I] */
  private readonly fold_2RR: Tensor2D;

  /** `width`: R. Default: all channels are rotated. */
  constructor(
    private readonly spec: RopeSpec,
    private readonly width = spec.dim,
  ) {
    this.velocities = inverseFrequencies(spec);
    const identity = Float32Array.from({ length: width * width }, (_, i) => +(i % (width + 1) === 0));
    this.double_R2R = toTensor(this.doubled(identity, width), [width, 2 * width]);
    const folded = new Float32Array(2 * identity.length);
    folded.set(identity);
    folded.set(identity, identity.length);
    this.fold_2RR = toTensor(folded, [2 * width, width]);
  }

  /** Angles for rows of `numHeads` consecutive heads per position; the caller disposes them. */
  angles(positions: readonly number[], numHeads: number): RopeAngles {
    const { dim, scaling } = this.spec;
    const factor = attentionFactor(scaling);
    const width = 2 * this.width;
    const values = new Float32Array(positions.length * numHeads * width);
    positions.forEach((position, t) => {
      const row = t * numHeads * width;
      values.fill(1, row + dim, row + this.width);
      for (let r = 0; r < dim; r++) {
        const angle = position * this.velocities[this.pairOf(r)]!;
        values[row + r] = Math.cos(angle) * factor;
        values[row + this.width + r] = Math.sin(angle) * factor;
      }
      for (let head = 1; head < numHeads; head++) values.copyWithin(row + head * width, row, row + width);
    });
    const cosSin_N2R = toTensor(values, [positions.length * numHeads, width]);
    return { cosSin_N2R, dispose: () => cosSin_N2R.dispose() };
  }

  /** [N,R] → [N,R]. `angles` must be of as many rows. */
  rotate(x_NR: Tensor2D, angles: RopeAngles): Tensor2D {
    return tidy(() => this.rotateDoubled(matMul(x_NR, this.double_R2R), angles));
  }

  /** x·[I|P] → rotated x, for projections whose weights were {@link doubled}. */
  rotateDoubled(x_N2R: Tensor2D, { cosSin_N2R }: RopeAngles): Tensor2D {
    return tidy(() => matMul(mul(x_N2R, cosSin_N2R), this.fold_2RR));
  }

  /** W → W·[I|P] for each head's R columns of row-major weights [·, heads·R]: [·, heads·2R]. */
  doubled(weights: Float32Array, numColumns: number): Float32Array {
    const { width } = this;
    const out = new Float32Array(2 * weights.length);
    for (let i = 0; i < weights.length; i++) {
      const channel = (i % numColumns) % width;
      const start = 2 * (i - channel);
      out[start + channel] = weights[i]!;
      if (channel >= this.spec.dim) continue;
      const { partner, sign } = this.rotationOf(channel);
      out[start + width + partner] = sign * weights[i]!;
    }
    return out;
  }

  /** Frees both constant matrices, no angles. */
  dispose(): void {
    this.double_R2R.dispose();
    this.fold_2RR.dispose();
  }

  private pairOf(channel: number): number {
    return this.spec.layout === 'interleaved' ? channel >> 1 : channel % (this.spec.dim / 2);
  }

  /** Where P puts a channel: x·P = (−x₁, x₀, −x₃, x₂, …) interleaved, or (−second half, first half). */
  private rotationOf(channel: number): { readonly partner: number; readonly sign: 1 | -1 } {
    const { dim, layout } = this.spec;
    const isFirst = layout === 'interleaved' ? channel % 2 === 0 : channel < dim / 2;
    const distance = layout === 'interleaved' ? 1 : dim / 2;
    return isFirst ? { partner: channel + distance, sign: 1 } : { partner: channel - distance, sign: -1 };
  }
}
