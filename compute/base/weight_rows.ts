/**
 * An expert's stored weights as one run of rows: the I rows of gate, the I rows of up, H values each, then the H rows of down, I values each; then, where it has
 * biases, a row of one float32 for each of these. Pure.
 */
import type { FfnWeights } from './ffn_weights.js';
import { weightRowBytes, type WeightDtype, type WeightMatrix } from './weight_matrix.js';

/** The sizes of one expert's weights: H, I, and what they are stored as. */
export interface ExpertShape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly dtype: WeightDtype;
  /** Default false. */
  readonly hasBias?: boolean;
}

/** What doesn't depend on how weights are stored. */
export type ExpertSizes = Omit<ExpertShape, 'dtype'>;

/** Rows of all three matrices, and as many biases: 2·I + H, or twice that. */
export const numRowsOf = (sizes: ExpertSizes): number => (sizes.hasBias === true ? 2 : 1) * numMatrixRows(sizes);

const numMatrixRows = ({ hidden, intermediate }: ExpertSizes): number => 2 * intermediate + hidden;

/** Rows that follow each other and have as many bytes each. */
interface Run {
  readonly numRows: number;
  readonly rowBytes: number;
}

function runsOf(shape: ExpertShape): readonly Run[] {
  const { hidden, intermediate, dtype, hasBias } = shape;
  const ofMatrices = [
    { numRows: 2 * intermediate, rowBytes: weightRowBytes(dtype, hidden) },
    { numRows: hidden, rowBytes: weightRowBytes(dtype, intermediate) },
  ];
  return hasBias === true ? [...ofMatrices, { numRows: numMatrixRows(shape), rowBytes: 4 }] : ofMatrices;
}

/** Bytes of rows 0 … row − 1. */
export function bytesBefore(shape: ExpertShape, row: number): number {
  let [bytes, left] = [0, row];
  for (const { numRows, rowBytes } of runsOf(shape)) {
    bytes += Math.min(left, numRows) * rowBytes;
    left -= Math.min(left, numRows);
  }
  return bytes;
}

/** Bytes of rows `from` … `to` − 1. */
export const rowBytes = (shape: ExpertShape, from: number, to: number): number =>
  bytesBefore(shape, to) - bytesBefore(shape, from);

/** Bytes of the largest row: what a budget must allow. */
export const maxRowBytes = (shape: ExpertShape): number => Math.max(...runsOf(shape).map((run) => run.rowBytes));

/** Where rows from `from` on end that have at most so many bytes. */
export function rowsWithin(shape: ExpertShape, from: number, numBytes: number): number {
  let [row, end, left] = [from, 0, numBytes];
  for (const { numRows, rowBytes } of runsOf(shape)) {
    end += numRows;
    const taken = Math.min(Math.max(0, end - row), Math.floor(left / rowBytes));
    row += taken;
    left -= taken * rowBytes;
    if (row < end) break;
  }
  return row;
}

/** Where rows of an expert lie: in which of its matrices or in its biases, and which of them. */
export interface MatrixRows {
  readonly name: 'gate' | 'up' | 'down' | 'biases';
  readonly from: number;
  readonly to: number;
}

/** Rows `from` … `to` − 1 of an expert, matrix by matrix. */
export function matrixRowsOf(sizes: ExpertSizes, from: number, to: number): MatrixRows[] {
  const { hidden, intermediate, hasBias } = sizes;
  const numRows = { gate: intermediate, up: intermediate, down: hidden, biases: numMatrixRows(sizes) } as const;
  const names = ['gate', 'up', 'down', ...(hasBias === true ? (['biases'] as const) : [])] as const;
  let start = 0;
  return names.flatMap((name) => {
    const own = { name, from: Math.max(0, from - start), to: Math.min(numRows[name], to - start) };
    start += numRows[name];
    return own.to > own.from ? [own] : [];
  });
}

/** Weights that lie in one array, all rows after one another. */
export function weightsOf(shape: ExpertShape, bytes: Uint8Array): FfnWeights {
  const { hidden, intermediate, dtype, hasBias } = shape;
  const matrix = (from: number, rows: number, columns: number): WeightMatrix => ({
    ...{ dtype, rows, columns },
    bytes: bytes.subarray(bytesBefore(shape, from), bytesBefore(shape, from + rows)),
  });
  return {
    gate: matrix(0, intermediate, hidden),
    up: matrix(intermediate, intermediate, hidden),
    down: matrix(2 * intermediate, hidden, intermediate),
    ...(hasBias === true && {
      biases: new Float32Array(Uint8Array.from(bytes.subarray(bytesBefore(shape, numMatrixRows(shape)))).buffer), // a copy: they may lie at any offset
    }),
  };
}
