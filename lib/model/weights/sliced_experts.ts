/**
 * A checkpoint's routed experts as ranks hold them: whole ones, or slices of them, cut as they are read. Rows of gate and up are read for a slice alone; of down each
 * row is read whole, and its part kept. Why: docs/decisions/placement.md#a-slice-is-an-expert
 */
import {
  SCALE_GROUP,
  groupHeadBytes,
  weightRowBytes,
  type WeightDtype,
  type WeightMatrix,
} from '../../../compute/base/weight_matrix.js';
import { storedOf, type StoredDtype, type StoredFfn, type StoredMatrix } from '../../../compute/base/stored_matrix.js';
import type { FfnWeights } from '../../../compute/base/ffn_weights.js';
import type { WeightSource } from '../../../compute/base/weight_source.js';
import type { Placement } from '../../../experts/placement/placement.js';
import type { Rank } from '../../../base/ids.js';
import { sliceWidth } from '../spec/slice_width.js';
import { numSlicesOf } from '../spec/slices.js';
import { wholeSizesOf, type ModelSpec } from '../spec/spec.js';
import type { ModelWeights } from '../stored/model_weights.js';
import { isExpertTensor, tensorsOfRank } from './rank_tensors.js';
import type { Residence } from './residence.js';
import { CheckpointExperts, type CheckpointExpertsOptions } from './weight_reader.js';

/** Experts, or slices, by the numbers that placements have for them. */
export type HeldExperts = Required<WeightSource> & Pick<CheckpointExperts, 'stored'>;

/** `options`: of whole experts. */
export function heldExperts(weights: ModelWeights, spec: ModelSpec, options?: CheckpointExpertsOptions): HeldExperts {
  const whole = new CheckpointExperts(weights, wholeSizesOf(spec), options);
  return numSlicesOf(spec) === 1 ? whole : new SlicedExperts(whole, spec);
}

/** What loading a rank reads of its checkpoint, about. */
export function bytesToRead({ spec, weights, placement, rank, residence }: ToRead): number {
  const all = tensorsOfRank(spec, weights, placement, rank);
  const bytes = weights.totalBytes(all);
  const numSlices = numSlicesOf(spec);
  if (numSlices === 1 || residence.compute === 'tensors') return bytes;
  const unread = (2 * (1 - 1 / numSlices)) / 3; // of gate and up
  return bytes - unread * weights.totalBytes(all.filter(isExpertTensor));
}

/** A rank, and what it loads. */
export interface ToRead {
  readonly spec: ModelSpec;
  readonly weights: ModelWeights;
  readonly placement: Placement;
  readonly rank: Rank;
  readonly residence: Pick<Residence, 'compute'>;
}

class SlicedExperts implements HeldExperts {
  private readonly numSlices: number;
  private readonly intermediate: number;
  private readonly width: number;

  constructor(
    private readonly whole: CheckpointExperts,
    spec: ModelSpec,
  ) {
    this.numSlices = numSlicesOf(spec);
    this.intermediate = spec.moe.intermediateSize;
    this.width = sliceWidth(this.intermediate, this.numSlices);
  }

  /** @throws WeightError as the checkpoint */
  stored(layer: number, held: number): StoredFfn {
    const { numSlices } = this;
    return this.cut(this.whole.stored(layer, Math.floor(held / numSlices)), held % numSlices);
  }

  /** Of an expert that has to prove what it is all is read. @throws WeightError as {@link CheckpointExperts.expert} */
  async expert(layer: number, held: number, digest?: string): Promise<FfnWeights> {
    const { numSlices } = this;
    const { biases, ...whole } = await this.whole.expert(layer, Math.floor(held / numSlices), digest);
    const matrices = { gate: storedOf(whole.gate), up: storedOf(whole.up), down: storedOf(whole.down) };
    const slice = this.cut({ ...matrices, biases: biases && (() => Promise.resolve(biases)) }, held % numSlices);
    const [gate, up, down] = await Promise.all([slice.gate, slice.up, slice.down].map(matrixRead));
    return { gate: gate!, up: up!, down: down!, biases: await slice.biases?.() };
  }

  checkUnchanged(): Promise<void> {
    return this.whole.checkUnchanged();
  }

  private cut({ gate, up, down, biases }: StoredFfn, slice: number): StoredFfn {
    const { width } = this;
    const from = slice * width;
    return {
      gate: someRows(gate, from, width),
      up: someRows(up, from, width),
      down: someColumns(down, from, width),
      ...(biases !== undefined && { biases: async () => this.biasesOf(await biases(), slice) }),
    };
  }

  /** What is added behind down is added once: by the first slice. */
  private biasesOf(all: Float32Array, slice: number): Float32Array {
    const { width, intermediate } = this;
    const own = new Float32Array(all.length - 2 * intermediate + 2 * width);
    const [from, end] = [slice * width, Math.min(intermediate, (slice + 1) * width)];
    own.set(all.subarray(from, end));
    own.set(all.subarray(intermediate + from, intermediate + end), width);
    if (slice === 0) own.set(all.subarray(2 * intermediate), 2 * width);
    return own;
  }
}

/** Rows `first` … `first + count − 1`; behind the last one zeros. */
function someRows(whole: StoredMatrix, first: number, count: number): StoredMatrix {
  const { dtype, columns, rowBytes } = whole;
  return {
    ...{ dtype, columns, rowBytes, rows: count },
    async readRows(from, target) {
      const there = Math.max(0, Math.min(target.length, (whole.rows - first - from) * rowBytes));
      target.fill(0, there);
      if (there > 0) await whole.readRows(first + from, target.subarray(0, there));
    },
  };
}

/** Columns `first` … `first + count − 1`, which lie in one group or are whole ones; behind the last one zeros, which are all zero bits but in groups of uint4. */
function someColumns(whole: StoredMatrix, first: number, count: number): StoredMatrix {
  const { dtype, rows } = whole;
  const rowBytes = rowBytesOf(dtype, count);
  const there = Math.max(0, Math.min(count, whole.columns - first));
  const pieces = there === 0 ? [] : piecesOf(dtype, first, there);
  return {
    ...{ dtype, rows, rowBytes, columns: count },
    async readRows(from, target) {
      const numRows = target.length / rowBytes;
      const all = new Uint8Array(numRows * whole.rowBytes);
      await whole.readRows(from, all);
      target.fill(0);
      for (let row = 0; row < numRows; row++) {
        for (const { at, end, to } of pieces) {
          const own = all.subarray(row * whole.rowBytes + at, row * whole.rowBytes + end);
          target.set(own, row * rowBytes + to);
        }
        if (dtype === 'uint4') fillZeros(target.subarray(row * rowBytes, (row + 1) * rowBytes), there, count);
      }
    },
  };
}

/** Of a row of uint4 the columns `there` … `count` − 1 that share a group with columns before them: codes of the group's zero. */
function fillZeros(row: Uint8Array, there: number, count: number): void {
  const inner = there % SCALE_GROUP;
  if (inner === 0) return;
  const group = weightRowBytes('uint4', there - inner);
  const zero = new DataView(row.buffer, row.byteOffset + group).getFloat32(4, true) & 15;
  for (let i = inner; i < Math.min(SCALE_GROUP, count - there + inner); i++)
    row[group + groupHeadBytes('uint4') + (i >> 1)]! |= zero << (4 * (i & 1));
}

/** Bytes `at` … `end` − 1 of a row, which go to `to`. */
interface Piece {
  readonly at: number;
  readonly end: number;
  readonly to: number;
}

/** Where columns of a row lie: one run, but for part of a group, whose scale lies before the codes of others. */
function piecesOf(dtype: StoredDtype, first: number, count: number): readonly Piece[] {
  const start = rowBytesOf(dtype, first - (first % SCALE_GROUP));
  const inner = first % SCALE_GROUP;
  if (inner === 0 || dtype === 'f16' || dtype === 'f32' || dtype === 'bf16') {
    const at = inner === 0 ? start : rowBytesOf(dtype, first);
    return [{ at, end: at + rowBytesOf(dtype, count), to: 0 }];
  }
  const scaleBytes = weightRowBytes(dtype, 2) - codeBytes(dtype, 2);
  const at = start + scaleBytes + codeBytes(dtype, inner);
  return [
    { at: start, end: start + scaleBytes, to: 0 },
    { at, end: at + codeBytes(dtype, count), to: scaleBytes },
  ];
}

/** Of codes of one group. */
const codeBytes = (dtype: WeightDtype, numCodes: number): number =>
  Math.ceil((numCodes * (weightRowBytes(dtype, SCALE_GROUP) - weightRowBytes(dtype, SCALE_GROUP - 2))) / 2);

const rowBytesOf = (dtype: StoredDtype, columns: number): number =>
  dtype === 'f16' ? 2 * columns : weightRowBytes(dtype, columns);

async function matrixRead(stored: StoredMatrix): Promise<WeightMatrix> {
  const { dtype, rows, columns, rowBytes } = stored;
  const bytes = new Uint8Array(rows * rowBytes);
  await stored.readRows(0, bytes);
  return { dtype: dtype as WeightDtype, rows, columns, bytes }; // of a matrix in memory, which is never f16
}
