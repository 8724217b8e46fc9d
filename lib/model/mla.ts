/**
 * Multi-head latent attention (DeepSeek-V2, 2024), over a cache of one row [latent | rotated key | 1] per token and layer.
 * Shape suffixes: T tokens, H hidden, C cache row (kvLoraRank + rope + 1), N nope, R rope, L tokens of a sequence so far.
 *
 * naive: expands the latents into each head's keys and values; absorbed: multiplies the queries into the latent space instead, so that all
 * heads read the cache itself. Both give the same values up to rounding.
 */
import { concat, keep, matMul, mul, reshape, slice, tidy, toTensor, transpose, type Tensor2D } from '../../experts/tf.js';
import { attend, joinColumns, rowsFrom, type Attention, type Lane, type SequencePart, type StepInputs } from './attention.js';
import { stackRows } from '../../experts/ffn.js';
import { toHeadMajor, toTokenMajor } from './head_layout.js';
import type { KvCache } from './kv_cache.js';
import type { RmsNorm } from './norm.js';
import type { Rope } from './rope.js';
import type { MlaSpec } from './spec.js';

/** `auto`: naive for prompt tokens, absorbed for generated ones. */
export type MlaForm = 'auto' | 'naive' | 'absorbed';

/** Projections, transposed for x·W. */
export interface MlaWeights {
  /** Null where q comes straight from the hidden state. */
  readonly qDown: { readonly weight: Tensor2D; readonly norm: RmsNorm } | null;
  /** [·, heads·N] and [·, heads·R] */
  readonly qNope: Tensor2D;
  readonly qRope: Tensor2D;
  /** [H, kvLoraRank] and [H, R] */
  readonly kvDown: Tensor2D;
  readonly kRope: Tensor2D;
  readonly kvNorm: RmsNorm;
  /** kv_b_proj as stored: [heads·(N + V), kvLoraRank], row-major. */
  readonly kvUp: Float32Array;
  readonly output: Tensor2D;
}

export class Mla implements Attention {
  private readonly spec: MlaSpec;
  private readonly weights: MlaWeights;
  private readonly rope: Rope;
  private readonly form: MlaForm;
  private readonly naiveHeads: readonly NaiveHead[];
  private readonly absorbedHeads: readonly AbsorbedHead[];

  constructor(spec: MlaSpec, weights: MlaWeights, rope: Rope, form: MlaForm) {
    this.spec = spec;
    this.weights = weights;
    this.rope = rope;
    this.form = form;
    const heads = Array.from({ length: spec.numHeads }, (_, head) => head);
    this.naiveHeads = form === 'absorbed' ? [] : heads.map((head) => naiveHead(spec, weights.kvUp, head));
    this.absorbedHeads = form === 'naive' ? [] : heads.map((head) => absorbedHead(spec, weights.kvUp, head));
  }

  forward(x_TH: Tensor2D, layer: number, step: StepInputs, cache: KvCache): Tensor2D {
    this.append(x_TH, layer, step, cache);
    const { qNope, qRope, qDown, output } = this.weights;
    const q = qDown === null ? x_TH : qDown.norm.forward(matMul(x_TH, qDown.weight));
    const numRows = step.numTokens * this.spec.numHeads;
    const nope: Tensor2D = reshape(matMul(q, qNope), [numRows, this.spec.qkNopeHeadDim]);
    const rope = this.rope.rotate(reshape(matMul(q, qRope), [numRows, this.spec.qkRopeHeadDim]), step.qAngles);
    const isNaive = (part: SequencePart): boolean => this.form === 'naive' || (this.form === 'auto' && part.isPrompt);
    const absorbed = step.parts.filter((part) => !isNaive(part));
    const naive = step.parts.filter(isNaive);
    const rows: Tensor2D[] = [];
    if (absorbed.length > 0) rows.push(this.attendAbsorbed(nope, rope, layer, absorbed, step, cache));
    if (naive.length > 0) rows.push(this.attendNaive(nope, rope, layer, naive, step, cache));
    return matMul(stackRows(rows), output);
  }

  private append(x_TH: Tensor2D, layer: number, step: StepInputs, cache: KvCache): void {
    const { kvDown, kRope, kvNorm } = this.weights;
    const latent = kvNorm.forward(matMul(x_TH, kvDown));
    const key = this.rope.rotate(matMul(x_TH, kRope), step.kAngles);
    const rows_TC: Tensor2D = concat([latent, key, ones(step.numTokens)], 1);
    for (const { rowStart, numTokens, position, blocks } of step.parts) {
      cache.append(blocks, layer, 0, position, rowsFrom(rows_TC, rowStart, numTokens));
    }
  }

  /** [tokens of the parts, heads·V] */
  private attendAbsorbed(
    nope: Tensor2D,
    rope: Tensor2D,
    layer: number,
    parts: readonly SequencePart[],
    step: StepInputs,
    cache: KvCache,
  ): Tensor2D {
    const { numHeads, kvLoraRank, softmaxScale } = this.spec;
    const [start, count] = extent(parts);
    // 1. Queries in the latent space, head by head: q~ = q_nope·W_uk.
    const nope_HT = toHeadMajor(rowsFrom(nope, start * numHeads, count * numHeads), count, numHeads);
    const latent_HT = stackRows(
      this.absorbedHeads.map(({ key }, head) => matMul(slice(nope_HT, [head * count, 0], [count, -1]), key)),
    );
    const latent_TH = toTokenMajor(latent_HT, count, numHeads);
    const ownRope = rowsFrom(rope, start * numHeads, count * numHeads);
    const q_TC: Tensor2D = mul(concat([latent_TH, ownRope], 1), softmaxScale);
    const q: Tensor2D = concat([q_TC, zeros(count * numHeads)], 1);
    // 2. Every head of a sequence reads the same cache rows, as keys and as values.
    const contexts = parts.map((part) => {
      const rows_LC = cache.read(part.blocks, layer, 0, part.position + part.numTokens);
      const q_RD = rowsFrom(q, (part.rowStart - start) * numHeads, part.numTokens * numHeads);
      const k_DL: Tensor2D = transpose(rows_LC);
      const lane: Lane = { q_RD, k_DL, v_L1: rows_LC };
      return attend([lane], step.masks.get(part, numHeads), kvLoraRank);
    });
    // 3. Out of the latent space: ctx·W_uv.
    const contexts_HT = toHeadMajor(stackRows(contexts), count, numHeads);
    return joinColumns(
      this.absorbedHeads.map(({ value }, head) => matMul(slice(contexts_HT, [head * count, 0], [count, -1]), value)),
    );
  }

  /** [tokens of the parts, heads·V] */
  private attendNaive(
    nope: Tensor2D,
    rope: Tensor2D,
    layer: number,
    parts: readonly SequencePart[],
    step: StepInputs,
    cache: KvCache,
  ): Tensor2D {
    const { numHeads, vHeadDim, softmaxScale } = this.spec;
    const q: Tensor2D = mul(concat([nope, rope], 1), softmaxScale);
    const outputs = parts.map((part) => {
      const rows_LC = cache.read(part.blocks, layer, 0, part.position + part.numTokens);
      const rows_CL: Tensor2D = transpose(rows_LC);
      const own = rowsFrom(q, part.rowStart * numHeads, part.numTokens * numHeads);
      const q_HT = toHeadMajor(own, part.numTokens, numHeads);
      const lanes = this.naiveHeads.map(({ key, value }, head): Lane => ({
        q_RD: slice(q_HT, [head * part.numTokens, 0], [part.numTokens, -1]),
        k_DL: matMul(key, rows_CL),
        v_L1: matMul(rows_LC, value),
      }));
      const heads = attend(lanes, step.masks.get(part, 1), vHeadDim);
      const tokens: Tensor2D = toTokenMajor(heads, part.numTokens, numHeads);
      return reshape(tokens, [part.numTokens, numHeads * vHeadDim]) as Tensor2D;
    });
    return stackRows(outputs);
  }

  dispose(): void {
    const { qDown, qNope, qRope, kvDown, kRope, kvNorm, output } = this.weights;
    qDown?.weight.dispose();
    qDown?.norm.dispose();
    kvNorm.dispose();
    for (const tensor of [qNope, qRope, kvDown, kRope, output]) tensor.dispose();
    for (const { key, value } of [...this.naiveHeads, ...this.absorbedHeads]) {
      key.dispose();
      value.dispose();
    }
  }
}

/** First token row and number of token rows of consecutive parts. */
const extent = (parts: readonly SequencePart[]): [number, number] => {
  const last = parts[parts.length - 1]!;
  return [parts[0]!.rowStart, last.rowStart + last.numTokens - parts[0]!.rowStart];
};

const ones = (numRows: number): Tensor2D => toTensor(new Float32Array(numRows).fill(1), [numRows, 1]);
const zeros = (numRows: number): Tensor2D => toTensor(new Float32Array(numRows), [numRows, 1]);

/** A head's expansion of cache rows: key [N+R, C] with keyᵀ = key·rowsᵀ, value [C, V+1] with [values | 1] = rows·value. */
interface NaiveHead {
  readonly key: Tensor2D;
  readonly value: Tensor2D;
}

/** The rotated key and the ones column pass through an identity, which a matmul keeps to the bit. */
function naiveHead({ kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim }: MlaSpec, kvUp: Float32Array, head: number): NaiveHead {
  const width = kvLoraRank + qkRopeHeadDim + 1;
  const firstRow = head * (qkNopeHeadDim + vHeadDim);
  const key = new Float32Array((qkNopeHeadDim + qkRopeHeadDim) * width);
  for (let n = 0; n < qkNopeHeadDim; n++) {
    key.set(kvUp.subarray((firstRow + n) * kvLoraRank, (firstRow + n + 1) * kvLoraRank), n * width);
  }
  for (let r = 0; r < qkRopeHeadDim; r++) key[(qkNopeHeadDim + r) * width + kvLoraRank + r] = 1;
  const value = new Float32Array(width * (vHeadDim + 1));
  for (let v = 0; v < vHeadDim; v++) {
    const row = (firstRow + qkNopeHeadDim + v) * kvLoraRank;
    for (let c = 0; c < kvLoraRank; c++) value[c * (vHeadDim + 1) + v] = kvUp[row + c]!;
  }
  value[value.length - 1] = 1;
  return {
    key: keep(toTensor(key, [qkNopeHeadDim + qkRopeHeadDim, width])),
    value: keep(toTensor(value, [width, vHeadDim + 1])),
  };
}

/** A head's way into the latent space and out of it: key [N, kvLoraRank], value [kvLoraRank, V]. */
interface AbsorbedHead {
  readonly key: Tensor2D;
  readonly value: Tensor2D;
}

function absorbedHead({ kvLoraRank, qkNopeHeadDim, vHeadDim }: MlaSpec, kvUp: Float32Array, head: number): AbsorbedHead {
  const firstRow = head * (qkNopeHeadDim + vHeadDim);
  const rows = (from: number, count: number): Tensor2D =>
    toTensor(kvUp.slice((firstRow + from) * kvLoraRank, (firstRow + from + count) * kvLoraRank), [count, kvLoraRank]);
  return tidy(() => ({
    key: keep(rows(0, qkNopeHeadDim)),
    value: keep(transpose(rows(qkNopeHeadDim, vHeadDim)) as Tensor2D),
  }));
}
