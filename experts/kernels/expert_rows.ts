/**
 * A resident expert's weights as one run of rows: 0 … I − 1 the gate's and I … 2I − 1 up's, hidden values each, then H rows of down, intermediate values
 * each; bytes as {@link residentRowBytes}. Pure.
 */
import { residentRowBytes, type ResidentDtype } from './resident_dtype.js';

export interface ExpertShape {
  readonly hidden: number;
  readonly intermediate: number;
}

/** Rows `first` … `end` − 1 of one of the matrices. */
export interface ExpertPart {
  readonly matrix: 'gate' | 'up' | 'down';
  readonly first: number;
  readonly end: number;
}

export const numExpertRows = ({ hidden, intermediate }: ExpertShape): number => 2 * intermediate + hidden;

/** Where rows `from` … `to` − 1 lie, in order. */
export function expertParts({ hidden, intermediate }: ExpertShape, from: number, to: number): ExpertPart[] {
  const part = (matrix: ExpertPart['matrix'], start: number, rows: number): ExpertPart => ({
    matrix,
    first: Math.max(0, from - start),
    end: Math.min(rows, to - start),
  });
  const parts = [
    part('gate', 0, intermediate),
    part('up', intermediate, intermediate),
    part('down', 2 * intermediate, hidden),
  ];
  return parts.filter(({ first, end }) => first < end);
}

/** Bytes of rows `from` … `to` − 1. */
export function expertRowBytes(shape: ExpertShape, dtype: ResidentDtype, from: number, to: number): number {
  const bytes = expertParts(shape, from, to).map(
    ({ matrix, first, end }) =>
      (end - first) * residentRowBytes(dtype, matrix === 'down' ? shape.intermediate : shape.hidden),
  );
  return bytes.reduce((sum, part) => sum + part, 0);
}
