/** Weights that are numbers already. */
import type { StoredDtype } from '../../../compute/base/stored_matrix.js';
import { wrongShape, type Checkpoint } from '../../weights/checkpoint.js';
import { DTYPE_BITS, isSupportedDtype, type SupportedDtype } from '../../weights/dtypes.js';
import type { Lines, Located } from './located.js';
import type { DecodeRows, Packing } from './packing.js';

/** [rows, columns], or [length] of a vector. Dimensions between them are counted as columns. */
export type Shape = readonly [number, ...number[]];

/** Values of a row; 1 of a vector. */
export const columnsOf = ([, ...columns]: Shape): number => columns.reduce((product, size) => product * size, 1);

/** BF16, F16 or F32 at a place; undefined: there is none. @throws WeightError SHAPE_MISMATCH */
export function plainPacking(checkpoint: Checkpoint, at: Located, shape: Shape): Packing | undefined {
  const tensor = checkpoint.find(at.base + at.ending);
  if (tensor === undefined || !isSupportedDtype(tensor.dtype)) return undefined;
  const { entry, lines } = at;
  const [rows, ...inner] = shape;
  const columns = columnsOf(shape);
  const stored = lines.axis === 0 ? [lines.of, ...inner] : [...inner, lines.of];
  const expected = entry === null ? stored : [entry.of, ...stored];
  if (!isSameBut1(tensor.shape, expected)) throw wrongShape(tensor, expected);
  const size = DTYPE_BITS.get(tensor.dtype)! / 8;
  const rowBytes = size * columns;
  const entryOffset = (entry?.index ?? 0) * lines.of * rowBytes;
  const dtype = STORED[tensor.dtype];
  if (lines.axis === 0 && lines.step === 1) {
    const offset = entryOffset + lines.first * rowBytes;
    return { dtype, parts: [{ tensor, offset, numBytes: rows * rowBytes, rowBytes }], decode: null };
  }
  const part = { tensor, offset: entryOffset, numBytes: lines.of * rowBytes, rowBytes: null };
  return { dtype, parts: [part], decode: pickedLines(lines, columns, size) };
}

const STORED: Readonly<Record<SupportedDtype, StoredDtype>> = { BF16: 'bf16', F16: 'f16', F32: 'f32' };

/** Dimensions of 1 count for nothing: some checkpoints store a vector as [1, n]. */
export function isSameBut1(a: readonly number[], b: readonly number[]): boolean {
  const [x, y] = [a, b].map((shape) => shape.filter((size) => size !== 1));
  return x!.length === y!.length && x!.every((size, i) => size === y![i]);
}

/** Elements of 2 or 4 bytes. */
function pickedLines({ axis, first, step, of }: Lines, columns: number, size: number): DecodeRows {
  return ([bytes], from, numRows, out) => {
    const [source, target] = size === 2 ? [words16(bytes!), words16(out)] : [words32(bytes!), words32(out)];
    const [rowStep, columnStep] = axis === 0 ? [step * columns, 1] : [step, of];
    const begin = axis === 0 ? (first + step * from) * columns : first + step * from;
    // Columns outside where they lie apart, so that what is read next to each other lies next to each other.
    for (let column0 = 0; column0 < columns; column0 += BLOCK) {
      const end = Math.min(columns, column0 + BLOCK);
      for (let row = 0; row < numRows; row++) {
        let at = begin + row * rowStep + column0 * columnStep;
        for (let column = column0; column < end; column++, at += columnStep)
          target[row * columns + column] = source[at]!;
      }
    }
  };
}

/** Columns that are moved together: their lines stay in the cache while rows go by. */
const BLOCK = 32;

const words16 = ({ buffer, byteOffset, byteLength }: Uint8Array): Uint16Array =>
  new Uint16Array(buffer, byteOffset, byteLength / 2);
const words32 = ({ buffer, byteOffset, byteLength }: Uint8Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, byteLength / 4);
