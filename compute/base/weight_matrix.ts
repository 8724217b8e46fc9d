/**
 * Weights as a checkpoint stores them: what every backend makes its own from, and what travels when experts move. Pure.
 * Why: docs/decisions/memory.md#weights-stay-as-the-checkpoint-has-them
 */
import { ExpertError } from './errors.js';
import { e2m1Values, e4m3Values } from './small_floats.js';

/** Element types that weights can be converted to. */
export const CHOICE_DTYPES = ['f32', 'bf16', 'fp8', 'int8', 'int4', 'uint4'] as const;
/** Element types of weights in memory and between ranks. `fp4` is of checkpoints that have such codes, and nothing is rounded to it. Kernels know them by their places. */
export const WEIGHT_DTYPES = ['f32', 'bf16', 'int8', 'fp8', 'int4', 'fp4', 'uint4'] as const;
/** One of {@link WEIGHT_DTYPES}. */
export type WeightDtype = (typeof WEIGHT_DTYPES)[number];

/** Values of a row that share a scale, where a type has scales. */
export const SCALE_GROUP = 32;

/** Bits of a code: whole numbers, E4M3, whole numbers −8 … 7, E2M1, whole numbers 0 … 15. */
const CODE_BITS = { int8: 8, fp8: 8, int4: 4, fp4: 4, uint4: 4 } as const;
/** Types with scales. */
export type CodedDtype = keyof typeof CODE_BITS;

/** Whether a type has codes, and scales of groups of them. */
export const isCoded = (dtype: string): dtype is CodedDtype => Object.hasOwn(CODE_BITS, dtype);

/** Bytes before the codes of a group: a float32 scale, and of uint4 a whole number in float32, which is its zero. */
export const groupHeadBytes = (dtype: CodedDtype): number => (dtype === 'uint4' ? 8 : 4);

/**
 * A linear layer's weights [rows = outputs, columns = inputs], row by row, little-endian. A row of a coded type is group by group of {@link SCALE_GROUP} values (the last may have
 * fewer): a float32 scale, of uint4 a float32 zero, then codes, of two in a byte the lower first. A weight is code · scale, of uint4 (code − zero) · scale, rounded to float32.
 */
export interface WeightMatrix {
  readonly dtype: WeightDtype;
  readonly rows: number;
  readonly columns: number;
  /** May begin at any offset of its buffer. */
  readonly bytes: Uint8Array;
}

/** Bytes of one row. */
export function weightRowBytes(dtype: WeightDtype, columns: number): number {
  switch (dtype) {
    case 'f32':
      return 4 * columns;
    case 'bf16':
      return 2 * columns;
    case 'int8':
    case 'fp8':
    case 'int4':
    case 'fp4':
    case 'uint4':
      return groupHeadBytes(dtype) * Math.ceil(columns / SCALE_GROUP) + Math.ceil((columns * CODE_BITS[dtype]) / 8);
  }
}

/** float32 values [rows, columns] as a matrix, without a copy. */
export const matrixOf = (values: Float32Array, rows: number, columns: number): WeightMatrix => ({
  dtype: 'f32',
  rows,
  columns,
  bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});

/** [rows · columns], as they are stored. */
export function floatsOf(matrix: WeightMatrix): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(matrix.rows * matrix.columns);
  decodeRows(matrix, 0, matrix.rows, bits);
  return new Float32Array(bits.buffer);
}

/** [columns · rows]: for x·W products. */
export function transposedFloats(matrix: WeightMatrix): Float32Array<ArrayBuffer> {
  const { rows, columns } = matrix;
  // Moved as bit patterns: a float32 that passes through a JavaScript number may lose the payload of a NaN.
  const out = new Uint32Array(rows * columns);
  const band = new Uint32Array(Math.min(BLOCK, rows) * columns);
  for (let row0 = 0; row0 < rows; row0 += BLOCK) {
    const bandRows = Math.min(BLOCK, rows - row0);
    decodeRows(matrix, row0, bandRows, band);
    for (let column0 = 0; column0 < columns; column0 += BLOCK) {
      const end = Math.min(column0 + BLOCK, columns);
      for (let column = column0; column < end; column++) {
        for (let i = 0; i < bandRows; i++) out[column * rows + row0 + i] = band[i * columns + column]!;
      }
    }
  }
  return new Float32Array(out.buffer);
}

/** Rows and columns moved together: 32 × 32 words are 4 KiB on either side, which stays in the first-level cache. */
const BLOCK = 32;

/** Bit patterns of float32. A DataView reads at any alignment and states the byte order instead of assuming the machine's. */
function decodeRows({ dtype, columns, bytes }: WeightMatrix, fromRow: number, numRows: number, out: Uint32Array): void {
  const rowBytes = weightRowBytes(dtype, columns);
  const view = new DataView(bytes.buffer, bytes.byteOffset + fromRow * rowBytes, numRows * rowBytes);
  const numValues = numRows * columns;
  switch (dtype) {
    case 'f32':
      for (let i = 0; i < numValues; i++) out[i] = view.getUint32(4 * i, true);
      return;
    case 'bf16':
      for (let i = 0; i < numValues; i++) out[i] = view.getUint16(2 * i, true) << 16;
      return;
    case 'int8':
    case 'fp8':
    case 'int4':
    case 'fp4':
    case 'uint4': {
      const values = new Float32Array(out.buffer, out.byteOffset, numValues);
      const table = codeValues(dtype);
      const headBytes = groupHeadBytes(dtype);
      for (let i = 0; i < numValues; i++) {
        const column = i % columns;
        const group = Math.floor(i / columns) * rowBytes + weightRowBytes(dtype, column - (column % SCALE_GROUP));
        const value = table[codeAt(view, group + headBytes, column % SCALE_GROUP, CODE_BITS[dtype])]!;
        const zero = dtype === 'uint4' ? view.getFloat32(group + 4, true) : 0;
        values[i] = (value - zero) * view.getFloat32(group, true);
      }
    }
  }
}

function codeAt(view: DataView, at: number, index: number, bits: 4 | 8): number {
  return bits === 8 ? view.getUint8(at + index) : (view.getUint8(at + (index >> 1)) >> (4 * (index & 1))) & 15;
}

/** By code. */
function codeValues(dtype: CodedDtype): Float32Array {
  switch (dtype) {
    case 'int8':
      return Float32Array.from({ length: 256 }, (_, code) => (code << 24) >> 24);
    case 'fp8':
      return e4m3Values();
    case 'int4':
      return Float32Array.from({ length: 16 }, (_, code) => (code << 28) >> 28);
    case 'fp4':
      return e2m1Values();
    case 'uint4':
      return Float32Array.from({ length: 16 }, (_, code) => code);
  }
}

/** A matrix in another element type: to bf16 rounds, to f32 is exact. @throws ExpertError INVALID_ARGUMENT to a coded type, which the kernels alone compute with */
export function convertMatrix(matrix: WeightMatrix, dtype: WeightDtype): WeightMatrix {
  if (matrix.dtype === dtype) return matrix;
  if (isCoded(dtype)) {
    throw new ExpertError(
      'INVALID_ARGUMENT',
      `${dtype} weights need the kernels; choose bf16 or f32, or compute: kernels`,
    );
  }
  const values = floatsOf(matrix);
  return { ...matrix, dtype, bytes: dtype === 'bf16' ? bf16Of(values) : matrixOf(values, 1, 1).bytes };
}

/** float32 rounded to the nearest bf16, ties to even; a NaN becomes quiet and keeps its sign and upper payload, as in the kernels (convert.as.ts). */
export function bf16Of(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const codes = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    // Rounding would carry the payload of a NaN over into its exponent and sign: all ones became 0.
    const isNaN = (word & 0x7fffffff) > 0x7f800000;
    codes[i] = (isNaN ? word | 0x00400000 : word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(codes.buffer);
}
