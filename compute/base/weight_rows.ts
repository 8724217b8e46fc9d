/** An expert's stored weights as one run of rows: the I rows of gate, the I rows of up, H values each, then the H rows of down, I values each. Pure. */
import type { FfnWeights } from './ffn_weights.js';
import { weightRowBytes, type WeightDtype, type WeightMatrix } from './weight_matrix.js';

/** The sizes of one expert's weights: H, I, and what they are stored as. */
export interface ExpertShape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly dtype: WeightDtype;
}

/** Rows of all three matrices: 2·I + H. */
export const numRowsOf = ({ hidden, intermediate }: ExpertShape): number => 2 * intermediate + hidden;

/** Bytes of rows 0 … row − 1. */
export function bytesBefore({ hidden, intermediate, dtype }: ExpertShape, row: number): number {
  const ofGateUp = Math.min(row, 2 * intermediate);
  return ofGateUp * weightRowBytes(dtype, hidden) + (row - ofGateUp) * weightRowBytes(dtype, intermediate);
}

/** Bytes of rows `from` … `to` − 1. */
export const rowBytes = (shape: ExpertShape, from: number, to: number): number =>
  bytesBefore(shape, to) - bytesBefore(shape, from);

/** Bytes of the largest row: what a budget must allow. */
export const maxRowBytes = ({ hidden, intermediate, dtype }: ExpertShape): number =>
  weightRowBytes(dtype, Math.max(hidden, intermediate));

/** Where rows from `from` on end that have at most so many bytes. */
export function rowsWithin(shape: ExpertShape, from: number, numBytes: number): number {
  const { hidden, intermediate, dtype } = shape;
  const fitting = (bytes: number, columns: number): number => Math.floor(bytes / weightRowBytes(dtype, columns));
  const ofGateUp = Math.max(0, Math.min(2 * intermediate - from, fitting(numBytes, hidden)));
  const row = from + ofGateUp;
  if (row < 2 * intermediate) return row;
  return Math.min(numRowsOf(shape), row + fitting(numBytes - rowBytes(shape, from, row), intermediate));
}

/** Where rows of an expert lie: which of its matrices, and which rows of that. */
export interface MatrixRows {
  readonly name: 'gate' | 'up' | 'down';
  readonly from: number;
  readonly to: number;
}

/** Rows `from` … `to` − 1 of an expert, matrix by matrix. */
export function matrixRowsOf(
  { hidden, intermediate }: Omit<ExpertShape, 'dtype'>,
  from: number,
  to: number,
): MatrixRows[] {
  const starts = { gate: 0, up: intermediate, down: 2 * intermediate } as const;
  const sizes = { gate: intermediate, up: intermediate, down: hidden } as const;
  return (['gate', 'up', 'down'] as const)
    .map((name) => ({
      name,
      from: Math.max(0, from - starts[name]),
      to: Math.min(sizes[name], to - starts[name]),
    }))
    .filter((rows) => rows.to > rows.from);
}

/** Weights that lie in one array, all rows after one another. */
export function weightsOf(shape: ExpertShape, bytes: Uint8Array): FfnWeights {
  const { hidden, intermediate, dtype } = shape;
  const matrix = (from: number, rows: number, columns: number): WeightMatrix => ({
    ...{ dtype, rows, columns },
    bytes: bytes.subarray(bytesBefore(shape, from), bytesBefore(shape, from + rows)),
  });
  return {
    gate: matrix(0, intermediate, hidden),
    up: matrix(intermediate, intermediate, hidden),
    down: matrix(2 * intermediate, hidden, intermediate),
  };
}
