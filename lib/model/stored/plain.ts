/** Weights that are numbers already. */
import { DTYPE_BITS, isSupportedDtype, type SupportedDtype } from '../../weights/dtypes.js';
import { columnsOf, rowsPart, sharedPart, wordsIn, type Format } from './format.js';
import type { Lines } from './located.js';
import type { DecodeRows, PlainDtype } from './packing.js';

/** BF16, F16 or F32. */
export const plainPacking: Format = ({ checkpoint }, at, shape) => {
  const tensor = checkpoint.find(at.base + at.ending);
  if (tensor === undefined || !isSupportedDtype(tensor.dtype)) return undefined;
  const [rows, ...inner] = shape;
  const { lines } = at;
  const part = lines.axis === 0 ? rowsPart(tensor, at, rows, inner) : sharedPart(tensor, at, [...inner, lines.of]);
  const size = DTYPE_BITS.get(tensor.dtype)! / 8;
  const decode = part.rowBytes === null ? pickedLines(lines, columnsOf(shape), size) : null;
  return { dtype: STORED[tensor.dtype], parts: [part], decode };
};

const STORED: Readonly<Record<SupportedDtype, PlainDtype>> = { BF16: 'bf16', F16: 'f16', F32: 'f32' };

/** Elements of 2 or 4 bytes. */
function pickedLines({ axis, first, step, of }: Lines, columns: number, size: number): DecodeRows {
  return ([bytes], from, numRows, out) => {
    const [source, target] = size === 2 ? [words16(bytes!), words16(out)] : [wordsIn(bytes!), wordsIn(out)];
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
