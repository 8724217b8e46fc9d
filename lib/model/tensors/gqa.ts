/**
 * Grouped-query attention (Ainslie et al. 2023) with an optional norm per head before RoPE. Cache lanes: 2h = keys of KV head h, 2h + 1 = its values and a column of ones.
 * Shape suffixes: T tokens, H hidden, D channels of one head.
 */
import {
  joinColumns,
  matMul,
  mul,
  reshape,
  rowsFrom,
  stackRows,
  swapRows,
  toTensor,
  type Tensor2D,
} from '../../../experts/tf.js';
import { attend, normalise, type Attention, type Lane, type StepInputs } from './attention.js';
import type { SequencePart } from '../decoder.js';
import type { TensorKvCache } from './tensor_kv_cache.js';
import type { RmsNorm } from './norm.js';
import type { Rope } from './rope.js';
import type { GqaSpec } from '../spec.js';

/** Projections, transposed for x·W. */
export interface GqaWeights {
  readonly q: Tensor2D;
  readonly k: Tensor2D;
  readonly v: Tensor2D;
  readonly output: Tensor2D;
  readonly qNorm: RmsNorm | null;
  readonly kNorm: RmsNorm | null;
}

export class Gqa implements Attention {
  private readonly spec: GqaSpec;
  private readonly weights: GqaWeights;
  private readonly rope: Rope;
  private readonly scale_11: Tensor2D;

  constructor(spec: GqaSpec, weights: GqaWeights, rope: Rope) {
    this.spec = spec;
    this.weights = weights;
    this.rope = rope;
    this.scale_11 = toTensor(Float32Array.of(spec.softmaxScale), [1, 1]);
  }

  forward(x_TH: Tensor2D, layer: number, step: StepInputs, cache: TensorKvCache): Tensor2D {
    const { numHeads, headDim } = this.spec;
    this.append(x_TH, layer, step, cache);
    const { q, qNorm, output } = this.weights;
    const projected = reshape(matMul(x_TH, q), [step.numTokens * numHeads, headDim]);
    const rotated = this.rope.rotate(qNorm === null ? projected : qNorm.forward(projected), step.qAngles);
    const q_ND = mul(rotated, this.scale_11);
    const sums = stackRows(step.parts.map((part) => this.attendPart(q_ND, part, layer, step, cache)));
    return matMul(reshape(normalise(sums, headDim), [step.numTokens, numHeads * headDim]), output);
  }

  /** Sums and denominators, [tokens of the part · heads, D + 1]. */
  private attendPart(
    q_ND: Tensor2D,
    part: SequencePart,
    layer: number,
    step: StepInputs,
    cache: TensorKvCache,
  ): Tensor2D {
    const { numHeads, numKvHeads, headDim } = this.spec;
    const { numTokens, rowStart, position, blocks } = part;
    const groupSize = numHeads / numKvHeads;
    // Rows (token, KV head, query head of its group) → (KV head, token, query head): one lane per KV head.
    const own = rowsFrom(q_ND, rowStart * numHeads, numTokens * numHeads);
    const groups = swapRows(reshape(own, [numTokens * numKvHeads, groupSize * headDim]), numTokens, numKvHeads);
    const rows = reshape(groups, [numTokens * numHeads, headDim]);
    const numRows = numTokens * groupSize;
    const lanes = Array.from({ length: numKvHeads }, (_, head): Lane => ({
      q_RD: rowsFrom(rows, head * numRows, numRows),
      keys: cache.read(blocks, layer, 2 * head, position + numTokens).map(({ columns }) => columns),
      values: cache.read(blocks, layer, 2 * head + 1, position + numTokens).map(({ rows }) => rows),
    }));
    const width = headDim + 1;
    const grouped = reshape(attend(lanes, step.masks.get(part, groupSize)), [
      numKvHeads * numTokens,
      groupSize * width,
    ]);
    return reshape(swapRows(grouped, numKvHeads, numTokens), [numTokens * numHeads, width]);
  }

  private append(x_TH: Tensor2D, layer: number, step: StepInputs, cache: TensorKvCache): void {
    const { numKvHeads, headDim } = this.spec;
    const { k, v, kNorm } = this.weights;
    const projected = reshape(matMul(x_TH, k), [step.numTokens * numKvHeads, headDim]);
    const keys = this.rope.rotate(kNorm === null ? projected : kNorm.forward(projected), step.kAngles);
    const plainValues = reshape(matMul(x_TH, v), [step.numTokens * numKvHeads, headDim]);
    const keysByHead = swapRows(keys, step.numTokens, numKvHeads);
    const valuesByHead = swapRows(joinColumns([plainValues, step.ones]), step.numTokens, numKvHeads);
    for (const { rowStart, numTokens, position, blocks } of step.parts) {
      for (let head = 0; head < numKvHeads; head++) {
        const start = head * step.numTokens + rowStart;
        cache.append(blocks, layer, 2 * head, position, rowsFrom(keysByHead, start, numTokens));
        cache.append(blocks, layer, 2 * head + 1, position, rowsFrom(valuesByHead, start, numTokens));
      }
    }
  }

  dispose(): void {
    const { q, k, v, output, qNorm, kNorm } = this.weights;
    for (const tensor of [q, k, v, output, this.scale_11]) tensor.dispose();
    qNorm?.dispose();
    kNorm?.dispose();
  }
}
