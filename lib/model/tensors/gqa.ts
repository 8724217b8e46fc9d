/**
 * Grouped-query attention (Ainslie et al. 2023) and what families add to it. Cache lanes: 2h = keys of KV head h, 2h + 1 = its values and a column of ones;
 * or 0 = keys of all heads, 1 = values of all heads and a one behind each.
 * Shape suffixes: T tokens, H hidden, D channels of one head.
 */
import {
  add,
  clamp,
  columnsFrom,
  gatherRows,
  hasFastBatches,
  joinColumns,
  matMul,
  mul,
  reshape,
  rowsFrom,
  sigmoid,
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
import type { Norm } from './norm.js';
import type { Rope } from './rope.js';
import type { GqaSpec } from '../spec/spec.js';

/** x·W + b. */
export interface Projection {
  /** Transposed: [in, out]. */
  readonly weight: Tensor2D;
  /** [1, out] */
  readonly bias: Tensor2D | null;
}

/** What a layer with GQA is made of. */
export interface GqaWeights {
  readonly q: Projection;
  readonly k: Projection;
  readonly v: Projection;
  readonly output: Projection;
  readonly qNorm: Norm | null;
  readonly kNorm: Norm | null;
  /** [KV heads, query heads of each] */
  readonly sinks: Tensor2D | null;
  /** Keys that a token sees at most, itself included; null: all. */
  readonly window: number | null;
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
    const { queries, gates } = this.projectQueries(x_TH, q);
    const q_ND = mul(this.rope.rotate(this.finished(queries, step.numTokens, qNorm), step.qAngles), this.scale_11);
    const sums = stackRows(step.parts.map((part) => this.attendPart(q_ND, part, layer, step, cache)));
    const found = normalise(sums, headDim);
    const gated = gates === null ? found : mul(found, sigmoid(gates));
    return project(reshape(gated, [step.numTokens, numHeads * headDim]), output);
  }

  /** [T·heads, D] each. */
  private projectQueries(x_TH: Tensor2D, q: Projection): { queries: Tensor2D; gates: Tensor2D | null } {
    const { headDim, hasOutputGate } = this.spec;
    const projected = project(x_TH, q);
    if (!hasOutputGate) return { queries: byHead(projected, headDim), gates: null };
    const both = byHead(projected, 2 * headDim);
    return { queries: columnsFrom(both, 0, headDim), gates: columnsFrom(both, headDim, headDim) };
  }

  /** What was projected, by token and head [T·heads, D], as RoPE takes it. */
  private finished(rows_ND: Tensor2D, numTokens: number, norm: Norm | null): Tensor2D {
    const { headDim, qkNorm, clip } = this.spec;
    const isVector = qkNorm === 'vector';
    const rows = isVector ? reshape(rows_ND, [numTokens, rows_ND.size / numTokens]) : rows_ND;
    const normed = byHead(norm === null ? rows : norm.forward(rows), headDim);
    return clip === null ? normed : clamp(normed, clip);
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
    const mask = step.masks.get(part, groupSize, this.weights.window);
    const sums = attend(rows, this.keyValues(part, layer, cache), mask, this.sinkRows(numTokens));
    const grouped = reshape(sums, [numKvHeads * numTokens, groupSize * width]);
    return reshape(swapRows(grouped, numKvHeads, numTokens), [numTokens * numHeads, width]);
  }

  /** A score for each row (KV head, token, query head). */
  private sinkRows(numTokens: number): Tensor2D | null {
    const { sinks } = this.weights;
    if (sinks === null) return null;
    const { numHeads, numKvHeads } = this.spec;
    const heads = Int32Array.from({ length: numKvHeads * numTokens }, (_, row) => Math.floor(row / numTokens));
    return reshape(gatherRows(sinks, heads), [numTokens * numHeads, 1]);
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
    const { k, v, kNorm } = this.weights;
    const heads = (projection: Projection, norm: Norm | null): Tensor2D =>
      this.finished(byHead(project(x_TH, projection), this.spec.headDim), step.numTokens, norm);
    const keys = this.rope.rotate(heads(k, kNorm), step.kAngles);
    const values = joinColumns([heads(v, null), step.ones]);
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
    const { q, k, v, output, qNorm, kNorm, sinks } = this.weights;
    for (const { weight, bias } of [q, k, v, output]) {
      weight.dispose();
      bias?.dispose();
    }
    for (const part of [qNorm, kNorm, sinks, this.scale_11]) part?.dispose();
  }
}

const byHead = (x: Tensor2D, width: number): Tensor2D => reshape(x, [x.size / width, width]);

function project(x: Tensor2D, { weight, bias }: Projection): Tensor2D {
  const y = matMul(x, weight);
  return bias === null ? y : add(y, bias);
}
