/**
 * Grouped-query attention (Ainslie et al. 2023) with an optional norm per head before RoPE. Cache lanes: 2h = keys of KV head h, 2h + 1 = its values and a column of ones;
 * or 0 = keys of all heads, 1 = values of all heads and a one behind each.
 * Shape suffixes: T tokens, H hidden, D channels of one head.
 */
import {
  hasFastBatches,
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
import { BatchedKeyValues, LaneKeyValues, type KeyValues } from './key_values.js';
import type { KvRows } from './kv_segment.js';
import type { SequencePart } from '../decoder/decoder.js';
import type { KvLanes } from './kv_lanes.js';
import type { TensorKvCache } from './tensor_kv_cache.js';
import type { RmsNorm } from './norm.js';
import type { Rope } from './rope.js';
import type { GqaSpec } from '../spec/spec.js';

/** Projections, transposed for x·W. */
export interface GqaWeights {
  readonly q: Tensor2D;
  readonly k: Tensor2D;
  readonly v: Tensor2D;
  readonly output: Tensor2D;
  readonly qNorm: RmsNorm | null;
  readonly kNorm: RmsNorm | null;
}

/** One layer. By default heads go into one batched product where the backend is fast at that; the cache's lanes differ then. */
export class Gqa implements Attention {
  readonly lanes: KvLanes;
  /** One product for all heads, where the backend is quick at that. */
  private readonly isBatched: boolean;
  private readonly scale_11: Tensor2D;

  constructor(
    private readonly spec: GqaSpec,
    private readonly weights: GqaWeights,
    private readonly rope: Rope,
    isBatched = hasFastBatches(),
  ) {
    this.isBatched = isBatched && spec.numKvHeads > 1;
    const numHeads = this.isBatched ? spec.numKvHeads : 1;
    const hasOnes = Array.from({ length: (2 * spec.numKvHeads) / numHeads }, (_, lane) => lane % 2 === 1);
    this.lanes = { numHeads, width: spec.headDim, hasOnes };
    this.scale_11 = toTensor(Float32Array.of(spec.softmaxScale), [1, 1]);
  }

  /** Keys with the norm and RoPE applied go into the cache; queries are turned and scaled. */
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
    const { numTokens, rowStart } = part;
    const groupSize = numHeads / numKvHeads;
    // Rows (token, KV head, query head of its group) → (KV head, token, query head): one lane per KV head.
    const own = rowsFrom(q_ND, rowStart * numHeads, numTokens * numHeads);
    const groups = swapRows(reshape(own, [numTokens * numKvHeads, groupSize * headDim]), numTokens, numKvHeads);
    const rows = reshape(groups, [numTokens * numHeads, headDim]);
    const width = headDim + 1;
    const grouped = reshape(attend(rows, this.keyValues(part, layer, cache), step.masks.get(part, groupSize)), [
      numKvHeads * numTokens,
      groupSize * width,
    ]);
    return reshape(swapRows(grouped, numKvHeads, numTokens), [numTokens * numHeads, width]);
  }

  private keyValues({ blocks, position, numTokens }: SequencePart, layer: number, cache: TensorKvCache): KeyValues {
    const { numKvHeads } = this.spec;
    const read = (lane: number): KvRows[] => cache.segments(blocks, layer, lane, position + numTokens);
    if (this.isBatched) return new BatchedKeyValues(numKvHeads, read(0), read(1));
    return new LaneKeyValues(
      Array.from({ length: numKvHeads }, (_, head) => ({
        keys: read(2 * head).map(({ columns }) => columns),
        values: read(2 * head + 1).map(({ rows }) => rows),
      })),
    );
  }

  private append(x_TH: Tensor2D, layer: number, step: StepInputs, cache: TensorKvCache): void {
    const { numKvHeads, headDim } = this.spec;
    const { k, v, kNorm } = this.weights;
    const projected = reshape(matMul(x_TH, k), [step.numTokens * numKvHeads, headDim]);
    const keys = this.rope.rotate(kNorm === null ? projected : kNorm.forward(projected), step.kAngles);
    const values = joinColumns([reshape(matMul(x_TH, v), [step.numTokens * numKvHeads, headDim]), step.ones]);
    const lanes = [keys, values].map((rows) => this.laneRows(rows, step.numTokens));
    for (const { rowStart, numTokens, position, blocks } of step.parts) {
      for (let lane = 0; lane < this.lanes.hasOnes.length; lane++) {
        const start = Math.floor(lane / 2) * step.numTokens + rowStart;
        cache.append(blocks, layer, lane, position, rowsFrom(lanes[lane % 2]!, start, numTokens));
      }
    }
  }

  /** Rows (token, head) → what lanes hold of each token: all heads, or below each other one head after another. */
  private laneRows(rows: Tensor2D, numTokens: number): Tensor2D {
    const { numKvHeads } = this.spec;
    return this.isBatched
      ? reshape(rows, [numTokens, numKvHeads * rows.shape[1]])
      : swapRows(rows, numTokens, numKvHeads);
  }

  /** Frees all weights. */
  dispose(): void {
    const { q, k, v, output, qNorm, kNorm } = this.weights;
    for (const tensor of [q, k, v, output, this.scale_11]) tensor.dispose();
    qNorm?.dispose();
    kNorm?.dispose();
  }
}
