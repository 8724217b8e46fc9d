/**
 * Multi-head latent attention (DeepSeek-V2, 2024), over a cache of one row [latent | rotated key | 1] per token and layer.
 * Shape suffixes: T tokens, H hidden, C cache row (kvLoraRank + rope + 1), L tokens of a sequence so far.
 *
 * The naive form expands the latents into each head's keys and values; the absorbed form multiplies the queries into the latent space instead, so
 * that all heads read the cache itself. Both give the same values up to rounding.
 */
import {
  columnsFrom,
  joinColumns,
  matMul,
  mul,
  reshape,
  rowsFrom,
  stackRows,
  swapRows,
  toTensor,
  type Tensor2D,
} from '../../../compute/tfjs/tf.js';
import { attend, normalise, type Attention, type StepInputs } from './attention.js';
import { LaneKeyValues } from './key_values.js';
import type { SequencePart } from '../decoder/decoder.js';
import type { KvLanes } from './kv_lanes.js';
import type { TensorKvCache } from './tensor_kv_cache.js';
import { AbsorbedHeads } from './mla_absorbed.js';
import { NaiveHead } from './mla_naive.js';
import type { Norm } from './norm.js';
import type { Rope } from './rope.js';
import type { MlaForm, MlaSpec } from '../spec/spec.js';

/** Projections, transposed for x·W. */
export interface MlaWeights {
  /** Null where q comes straight from the hidden state. */
  readonly qDown: { readonly weight: Tensor2D; readonly norm: Norm } | null;
  /** [·, heads·nope] */
  readonly qNope: Tensor2D;
  /** [·, heads·2·rope], doubled for the rotation (Rope.doubled). */
  readonly qRope: Tensor2D;
  /** [H, kvLoraRank] */
  readonly kvDown: Tensor2D;
  /** [H, 2·rope], doubled for the rotation. */
  readonly kRope: Tensor2D;
  readonly kvNorm: Norm;
  /** kv_b_proj as stored: [heads·(nope + v), kvLoraRank], row-major. */
  readonly kvUp: Float32Array;
  readonly output: Tensor2D;
}

/** One step of one layer: queries of all tokens, and where the keys are. */
interface Queries {
  /** [T, heads·nope] */
  readonly nope: Tensor2D;
  /** [T·heads, rope], rotated. */
  readonly rope: Tensor2D;
  readonly layer: number;
  readonly step: StepInputs;
  readonly cache: TensorKvCache;
}

/** One layer. Each sequence's tokens take the form that {@link MlaForm} says; weights of a form that never runs are not made. */
export class Mla implements Attention {
  readonly lanes: KvLanes;
  private readonly cacheWidth: number;
  private readonly scale_11: Tensor2D;
  /** Scales queries in the latent space, and blanks the column that meets the cache rows' ones. */
  private readonly scale_1C: Tensor2D;
  private readonly naiveHeads: readonly NaiveHead[];
  private readonly absorbedHeads: AbsorbedHeads | null;

  constructor(
    private readonly spec: MlaSpec,
    private readonly weights: MlaWeights,
    private readonly rope: Rope,
    private readonly form: MlaForm,
  ) {
    const { numHeads, kvLoraRank, qkRopeHeadDim, softmaxScale } = spec;
    this.lanes = { numHeads: 1, width: kvLoraRank + qkRopeHeadDim, hasOnes: [true] };
    this.cacheWidth = this.lanes.width + 1;
    this.scale_11 = toTensor(Float32Array.of(softmaxScale), [1, 1]);
    const scales = new Float32Array(this.cacheWidth).fill(softmaxScale);
    scales[this.cacheWidth - 1] = 0;
    this.scale_1C = toTensor(scales, [1, this.cacheWidth]);
    const heads = form === 'absorbed' ? 0 : numHeads;
    this.naiveHeads = Array.from({ length: heads }, (_, head) => new NaiveHead(spec, weights.kvUp, head));
    this.absorbedHeads = form === 'naive' ? null : new AbsorbedHeads(spec, weights.kvUp, this.cacheWidth);
  }

  /** Absorbed parts come first in a step and naive ones last, so results need no sorting. */
  forward(x_TH: Tensor2D, layer: number, step: StepInputs, cache: TensorKvCache): Tensor2D {
    this.append(x_TH, layer, step, cache);
    const { qNope, qRope, qDown, output } = this.weights;
    const { numHeads, qkRopeHeadDim } = this.spec;
    const q = qDown === null ? x_TH : qDown.norm.forward(matMul(x_TH, qDown.weight));
    const doubled = reshape(matMul(q, qRope), [step.numTokens * numHeads, 2 * qkRopeHeadDim]);
    const rope = this.rope.rotateDoubled(doubled, step.qAngles);
    const queries = { nope: matMul(q, qNope), rope, layer, step, cache };
    const isNaive = (part: SequencePart): boolean => this.form === 'naive' || (this.form === 'auto' && part.isPrompt);
    const absorbed = step.parts.filter((part) => !isNaive(part));
    const naive = step.parts.filter(isNaive);
    const rows: Tensor2D[] = [];
    if (absorbed.length > 0) rows.push(this.attendAbsorbed(absorbed, queries));
    if (naive.length > 0) rows.push(this.attendNaive(naive, queries));
    return matMul(stackRows(rows), output);
  }

  private append(x_TH: Tensor2D, layer: number, step: StepInputs, cache: TensorKvCache): void {
    const { kvDown, kRope, kvNorm } = this.weights;
    const latent = kvNorm.forward(matMul(x_TH, kvDown));
    const key = this.rope.rotateDoubled(matMul(x_TH, kRope), step.kAngles);
    const rows_TC = joinColumns([latent, key, step.ones]);
    for (const { rowStart, numTokens, position, blocks } of step.parts) {
      cache.append(blocks, layer, 0, position, rowsFrom(rows_TC, rowStart, numTokens));
    }
  }

  /** [tokens of the parts, heads·V] */
  private attendAbsorbed(parts: readonly SequencePart[], { nope, rope, layer, step, cache }: Queries): Tensor2D {
    const { numHeads } = this.spec;
    const heads = this.absorbedHeads!;
    const [start, count] = extent(parts);
    // 1. Queries in the latent space. The last column may be anything: its scale is 0.
    const latent = heads.intoLatent(rowsFrom(nope, start, count));
    const ownRope = rowsFrom(rope, start * numHeads, count * numHeads);
    const q = mul(joinColumns([latent, ownRope, columnsFrom(ownRope, 0, 1)]), this.scale_1C);
    // 2. Every head of a sequence reads the same cache rows, as keys and as values.
    const contexts = parts.map((part) => {
      const segments = cache.segments(part.blocks, layer, 0, part.position + part.numTokens);
      const q_RD = rowsFrom(q, (part.rowStart - start) * numHeads, part.numTokens * numHeads);
      const values = segments.map(({ rows }) => rows);
      const keyValues = new LaneKeyValues([{ keys: segments.map(({ columns }) => columns), values }]);
      return attend(q_RD, keyValues, step.masks.get(part, numHeads, null));
    });
    // 3. Out of the latent space.
    return heads.outOfLatent(normalise(stackRows(contexts), this.cacheWidth), count);
  }

  /** [tokens of the parts, heads·V] */
  private attendNaive(parts: readonly SequencePart[], { nope, rope, layer, step, cache }: Queries): Tensor2D {
    const { numHeads, vHeadDim, qkNopeHeadDim } = this.spec;
    const nopeRows = reshape(nope, [step.numTokens * numHeads, qkNopeHeadDim]);
    const q = mul(joinColumns([nopeRows, rope]), this.scale_11);
    const outputs = parts.map((part) => {
      const segments = cache.segments(part.blocks, layer, 0, part.position + part.numTokens);
      const rows = segments.map((segment) => segment.rows); // before columns: what is asked for stays
      const columns = segments.map((segment) => segment.columns);
      const own = rowsFrom(q, part.rowStart * numHeads, part.numTokens * numHeads);
      const byHead = swapRows(own, part.numTokens, numHeads);
      const lanes = this.naiveHeads.map((head) => ({
        keys: columns.map((rows_CS) => head.keys(rows_CS)),
        values: rows.map((rows_SC) => head.values(rows_SC)),
      }));
      const sums = attend(byHead, new LaneKeyValues(lanes), step.masks.get(part, 1, null));
      return swapRows(sums, numHeads, part.numTokens);
    });
    const values = normalise(stackRows(outputs), vHeadDim);
    return reshape(values, [values.shape[0] / numHeads, numHeads * vHeadDim]);
  }

  /** Frees all weights, those of both forms. */
  dispose(): void {
    const { qDown, qNope, qRope, kvDown, kRope, kvNorm, output } = this.weights;
    for (const part of [qNope, qRope, kvDown, kRope, kvNorm, output, this.scale_11, this.scale_1C]) part.dispose();
    qDown?.weight.dispose();
    qDown?.norm.dispose();
    for (const head of this.naiveHeads) head.dispose();
    this.absorbedHeads?.dispose();
  }
}

/** First token row and number of token rows of consecutive parts. */
const extent = (parts: readonly SequencePart[]): [number, number] => {
  const last = parts[parts.length - 1]!;
  return [parts[0]!.rowStart, last.rowStart + last.numTokens - parts[0]!.rowStart];
};
