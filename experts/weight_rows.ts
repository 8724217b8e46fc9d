/** An expert's stored weights as one run of rows: the H rows of gateUp, 2I floats each, then the I rows of down, H floats each. Pure. */
import type { FfnWeights } from './ffn.js';

export type ExpertShape = Pick<FfnWeights, 'hidden' | 'intermediate'>;

export const numRowsOf = ({ hidden, intermediate }: ExpertShape): number => hidden + intermediate;

/** Floats of rows 0 … row − 1. */
export function floatsBefore({ hidden, intermediate }: ExpertShape, row: number): number {
  return row <= hidden ? row * 2 * intermediate : 2 * hidden * intermediate + (row - hidden) * hidden;
}

/** Bytes of rows `from` … `to` − 1. */
export const rowBytes = (shape: ExpertShape, from: number, to: number): number =>
  4 * (floatsBefore(shape, to) - floatsBefore(shape, from));

/** Bytes of the largest row: what a budget must allow. */
export const maxRowBytes = ({ hidden, intermediate }: ExpertShape): number => 4 * Math.max(2 * intermediate, hidden);

/** Where rows from `from` on end that have at most so many bytes. */
export function rowsWithin(shape: ExpertShape, from: number, numBytes: number): number {
  const { hidden, intermediate } = shape;
  const ofGateUp = Math.max(0, Math.min(hidden - from, Math.floor(numBytes / (8 * intermediate))));
  const row = from + ofGateUp;
  if (row < hidden) return row;
  const left = numBytes - rowBytes(shape, from, row);
  return Math.min(numRowsOf(shape), row + Math.floor(left / (4 * hidden)));
}

/** Weights that lie in one array, all rows after one another. */
export function weightsOf(shape: ExpertShape, floats: Float32Array): FfnWeights {
  const start = floatsBefore(shape, shape.hidden);
  return { ...shape, gateUp: floats.subarray(0, start), down: floats.subarray(start) };
}
