/** What every format of stored weights is asked for, and what several of them share. */
import { printable } from '../../../base/foreign_text.js';
import { SCALE_GROUP, groupHeadBytes, weightRowBytes, type CodedDtype } from '../../../compute/base/weight_matrix.js';
import { wrongShape, type Checkpoint } from '../../weights/checkpoint.js';
import { DTYPE_BITS, decodeToFloat32, isSupportedDtype } from '../../weights/dtypes.js';
import { WeightError } from '../../weights/errors.js';
import type { TensorInfo } from '../../weights/safetensors_header.js';
import { e4m3Values, e8m0Values } from '../../../compute/base/small_floats.js';
import type { Quantization } from '../spec/quantization.js';
import type { Located } from './located.js';
import type { PackedPart, Packing } from './packing.js';

/** Where a format looks, and what the model folder says beside tensors. */
export interface Folder {
  readonly checkpoint: Checkpoint;
  readonly quantization: Omit<Quantization, 'method'>;
  /** Whether a configuration or some tensor's name says that weights have scales. */
  readonly hasScales: () => boolean;
}

/** [rows, columns], or [length] of a vector. Dimensions between them are counted as columns. */
export type Shape = readonly [number, ...number[]];

/** The weights at a place, if they are there and of this format. @throws WeightError SHAPE_MISMATCH, UNKNOWN_DTYPE */
export type Format = (folder: Folder, at: Located, shape: Shape) => Packing | undefined;

/** Values of a row; 1 of a vector. */
export const columnsOf = ([, ...columns]: Shape): number => columns.reduce((product, size) => product * size, 1);

/** Dimensions of 1 count for nothing: some checkpoints store a vector as [1, n]. */
export function isSameBut1(a: readonly number[], b: readonly number[]): boolean {
  const [x, y] = [a, b].map((shape) => shape.filter((size) => size !== 1));
  return x!.length === y!.length && x!.every((size, i) => size === y![i]);
}

/**
 * An entry of a tensor, whose bytes are read once for all rows.
 *
 * @param shape that an entry must have
 * @throws WeightError SHAPE_MISMATCH
 */
export function sharedPart(
  tensor: TensorInfo,
  { entry }: Pick<Located, 'entry'>,
  shape: readonly number[],
): PackedPart {
  const expected = entry === null ? shape : [entry.of, ...shape];
  if (!isSameBut1(tensor.shape, expected)) throw wrongShape(tensor, expected);
  const numBytes = (shape.reduce((product, size) => product * size, 1) * DTYPE_BITS.get(tensor.dtype)!) / 8;
  return { tensor, offset: (entry?.index ?? 0) * numBytes, numBytes, rowBytes: null };
}

/** The same of a tensor of which rows have bytes of their own: those of the lines that are the matrix's rows, if they follow each other. @throws WeightError SHAPE_MISMATCH */
export function rowsPart(tensor: TensorInfo, at: Located, rows: number, inner: readonly number[]): PackedPart {
  const { first, step, of } = at.lines;
  const part = sharedPart(tensor, at, [of, ...inner]);
  if (step !== 1) return part;
  const rowBytes = part.numBytes / of;
  return { tensor, offset: part.offset + first * rowBytes, numBytes: rows * rowBytes, rowBytes };
}

/** Scales as float32, exactly. @throws WeightError UNKNOWN_DTYPE */
export function scalesOf(bytes: Uint8Array, tensor: TensorInfo): Float32Array {
  if (isSupportedDtype(tensor.dtype)) return decodeToFloat32(bytes, tensor.dtype);
  const table = SCALE_TABLES[tensor.dtype]?.();
  if (table === undefined) throw unknownDtype(tensor, 'of scales');
  return Float32Array.from(bytes, (code) => table[code]!);
}

/** U8: exponents, as files had them before the format had a type for them. */
const SCALE_TABLES: Readonly<Record<string, () => Float32Array>> = {
  F8_E8M0: e8m0Values,
  U8: e8m0Values,
  F8_E4M3: e4m3Values,
};

/** UNKNOWN_DTYPE: of a tensor beside weights that are packed in a way that is known. */
export function unknownDtype({ name, file, dtype }: TensorInfo, what: string): WeightError {
  const message = `tensor "${printable(name)}" ${what}, of ${file}, has the element type ${dtype}, which isn't implemented for it; use another checkpoint`;
  return new WeightError('UNKNOWN_DTYPE', message, { file, tensor: name });
}

/** Floats beside zero points are a form that nobody is known to write. @throws WeightError UNKNOWN_DTYPE */
export function refuseZeros(checkpoint: Checkpoint, base: string): void {
  const zeros = checkpoint.find(`${base}.weight_zero_point`);
  if (zeros !== undefined) throw unknownDtype(zeros, 'of zero points');
}

/**
 * Columns that share a scale, of a row of so many scales; the last ones may be fewer where the model folder says how many.
 *
 * @throws WeightError SHAPE_MISMATCH for another number of scales than that makes, or where nothing says it and scales don't divide the columns
 */
export function groupWidth(scales: TensorInfo, numGroups: number, columns: number, groupSize: number | null): number {
  const width = Math.min(columns, groupSize ?? columns / numGroups);
  if (numGroups > 0 && Number.isInteger(width) && Math.ceil(columns / width) === numGroups) return width;
  const expected = groupSize === null ? 'a number that divides them' : String(Math.ceil(columns / width));
  const message = `tensor "${printable(scales.name)}" of ${scales.file} has ${numGroups} scales for ${columns} columns, which want ${expected}; use config.json and weights of the same model`;
  throw new WeightError('SHAPE_MISMATCH', message, { file: scales.file, tensor: scales.name });
}

/** The group of each column as a tensor says it; null: it holds −1 throughout, which says nothing. @throws WeightError SHAPE_MISMATCH for a group that there isn't */
export function groupOrder(bytes: Uint8Array, tensor: TensorInfo, numGroups: number): Uint32Array | null {
  const order = wordsIn(bytes);
  if (order.every((group) => group === 0xffffffff)) return null;
  const wrong = order.find((group) => group >= numGroups);
  if (wrong === undefined) return order;
  const message = `tensor "${printable(tensor.name)}" of ${tensor.file} names group ${wrong | 0}, and there are ${numGroups}; download the file again`;
  throw new WeightError('SHAPE_MISMATCH', message, { file: tensor.file, tensor: tensor.name });
}

/** Makes rows of codes and scales as compute/base/weight_matrix.ts has them. `prepare`: what rows from `from` on, written to `out`, are made of. */
export function codedRows(
  dtype: CodedDtype,
  columns: number,
  prepare: (parts: readonly Uint8Array[], from: number, out: Uint8Array) => CodedRow,
): CodedPacking {
  const rowBytes = weightRowBytes(dtype, columns);
  return {
    dtype,
    decode: (parts, from, numRows, out) => {
      const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
      const { scaleOf, zeroOf, putCodes } = prepare(parts, from, out);
      for (let row = 0; row < numRows; row++) {
        for (let column = 0; column < columns; column += SCALE_GROUP) {
          const at = row * rowBytes + weightRowBytes(dtype, column);
          view.setFloat32(at, scaleOf(row, column), true);
          if (zeroOf !== undefined) view.setFloat32(at + 4, zeroOf(row, column), true);
          putCodes(row, column, Math.min(columns, column + SCALE_GROUP), at + groupHeadBytes(dtype));
        }
      }
    },
  };
}

/** Of rows that are being made, the first of which is 0. */
export interface CodedRow {
  /** Of the group that begins at a column. */
  readonly scaleOf: (row: number, column: number) => number;
  /** The same of types with zeros. */
  readonly zeroOf?: (row: number, column: number) => number;
  /** Writes the codes of columns `column` … `end` − 1 from `at` on. */
  readonly putCodes: (row: number, column: number, end: number, at: number) => void;
}

/** An output's codes, and the zero of each code's group. */
export interface CodesAndZeros {
  readonly codeOf: (row: number, column: number) => number;
  readonly zeroOf: (row: number, column: number) => number;
}

/** Codes of four bits of columns `column` … `end` − 1, of two in a byte the lower first, from `at` on. */
export function putNibbles(
  out: Uint8Array,
  at: number,
  column: number,
  end: number,
  codeOf: (column: number) => number,
): void {
  for (let i = 0; column < end; column++, i++) {
    if (i % 2 === 0) out[at + (i >> 1)] = codeOf(column);
    else out[at + (i >> 1)]! |= codeOf(column) << 4;
  }
}

/** Copies bytes `begin` … `end` − 1 to `at`: by words where all of it is aligned, which takes a fifth of the time for a few bytes. */
export function copierOf(from: Uint8Array, out: Uint8Array): (begin: number, end: number, at: number) => void {
  const isAligned = (from.byteOffset | out.byteOffset) % 4 === 0;
  if (!isAligned) return (begin, end, at) => out.set(from.subarray(begin, end), at);
  const [source, target] = [wholeWordsIn(from), wholeWordsIn(out)];
  return (begin, end, at) => {
    if ((begin | end | at) % 4 !== 0) {
      out.set(from.subarray(begin, end), at);
      return;
    }
    for (let i = begin >> 2, to = at >> 2; i < end >> 2;) target[to++] = source[i++]!;
  };
}

const wholeWordsIn = ({ buffer, byteOffset, byteLength }: Uint8Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, Math.floor(byteLength / 4));

/** As of Packing. */
type CodedPacking = NonNullable<Packing['coded']>;

/** Whether groups of rows of codes lie within groups of so many columns. */
export const isWholeGroups = (width: number, columns: number): boolean => width >= columns || width % SCALE_GROUP === 0;

/** Where rows are to be written as float32. */
export const floatsIn = ({ buffer, byteOffset, byteLength }: Uint8Array): Float32Array =>
  new Float32Array(buffer, byteOffset, byteLength / 4);

/** Packed words of 32 bits. */
export const wordsIn = ({ buffer, byteOffset, byteLength }: Uint8Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, byteLength / 4);
