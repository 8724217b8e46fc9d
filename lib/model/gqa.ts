/**
 * Grouped-query attention (Ainslie et al. 2023) with an optional norm per head before RoPE. Cache lanes: 2h = keys of KV head h, 2h + 1 = its values and a column of ones.
 * Shape suffixes: T tokens, H hidden, D channels of one head.
 */
import { concat, matMul, mul, reshape, slice, toTensor, transpose, type Tensor2D } from '../../experts/tf.js';
import { stackRows } from '../../experts/ffn.js';
import { attend, rowsFrom, type Attention, type StepInputs } from './attention.js';
import { toHeadMajor, toTokenMajor } from './head_layout.js';
import type { KvCache } from './kv_cache.js';
import type { RmsNorm } from './norm.js';
import type { Rope } from './rope.js';
import type { GqaSpec } from './spec.js';

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

  constructor(spec: GqaSpec, weights: GqaWeights, rope: Rope) {
    this.spec = spec;
    this.weights = weights;
    this.rope = rope;
  }

  forward(x_TH: Tensor2D, layer: number, step: StepInputs, cache: KvCache): Tensor2D {
    const { numHeads, numKvHeads, headDim, softmaxScale } = this.spec;
    this.append(x_TH, layer, step, cache);
    const { q, qNorm, output } = this.weights;
    const projected: Tensor2D = reshape(matMul(x_TH, q), [step.numTokens * numHeads, headDim]);
    const rotated = this.rope.rotate(qNorm === null ? projected : qNorm.forward(projected), step.qAngles);
    const q_TD: Tensor2D = mul(rotated, softmaxScale);
    const groupSize = numHeads / numKvHeads;
    const outputs = step.parts.map((part) => {
      const { numTokens, rowStart, position, blocks } = part;
      // Rows (token, KV head, query head of its group) → (KV head, token, query head): one lane per KV head.
      const own = rowsFrom(q_TD, rowStart * numHeads, numTokens * numHeads);
      const q_KT = toHeadMajor(reshape(own, [numTokens * numKvHeads, groupSize * headDim]), numTokens, numKvHeads);
      const rows: Tensor2D = reshape(q_KT, [numTokens * numHeads, headDim]);
      const numRows = numTokens * groupSize;
      const lanes = Array.from({ length: numKvHeads }, (_, head) => ({
        q_RD: rowsFrom(rows, head * numRows, numRows),
        k_DL: transpose(cache.read(blocks, layer, 2 * head, position + numTokens)) as Tensor2D,
        v_L1: cache.read(blocks, layer, 2 * head + 1, position + numTokens),
      }));
      const attended = attend(lanes, step.masks.get(part, groupSize), headDim);
      const grouped: Tensor2D = reshape(attended, [numKvHeads * numTokens, groupSize * headDim]);
      const tokens = toTokenMajor(grouped, numTokens, numKvHeads);
      return reshape(tokens, [numTokens, numHeads * headDim]) as Tensor2D;
    });
    return matMul(stackRows(outputs), output);
  }

  private append(x_TH: Tensor2D, layer: number, step: StepInputs, cache: KvCache): void {
    const { numKvHeads, headDim } = this.spec;
    const { k, v, kNorm } = this.weights;
    const numRows = step.numTokens * numKvHeads;
    const projected: Tensor2D = reshape(matMul(x_TH, k), [numRows, headDim]);
    const keys = this.rope.rotate(kNorm === null ? projected : kNorm.forward(projected), step.kAngles);
    const ones = toTensor(new Float32Array(numRows).fill(1), [numRows, 1]);
    const values: Tensor2D = concat([reshape(matMul(x_TH, v), [numRows, headDim]), ones], 1);
    const keys_KT = toHeadMajor(keys, step.numTokens, numKvHeads);
    const values_KT = toHeadMajor(values, step.numTokens, numKvHeads);
    for (const { rowStart, numTokens, position, blocks } of step.parts) {
      for (let head = 0; head < numKvHeads; head++) {
        const start = head * step.numTokens + rowStart;
        cache.append(blocks, layer, 2 * head, position, slice(keys_KT, [start, 0], [numTokens, headDim]));
        cache.append(blocks, layer, 2 * head + 1, position, slice(values_KT, [start, 0], [numTokens, headDim + 1]));
      }
    }
  }

  dispose(): void {
    const { q, k, v, output, qNorm, kNorm } = this.weights;
    for (const tensor of [q, k, v, output]) tensor.dispose();
    qNorm?.dispose();
    kNorm?.dispose();
  }
}
