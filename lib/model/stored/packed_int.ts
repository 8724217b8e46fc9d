/**
 * Integers of 4 or 8 bits with scales of groups or rows, as compressed-tensors stores them: `weight_packed` (words of 32 bits, the lowest bits first, an offset of half the range), or
 * plain I8 as `weight`; `weight_scale`, and where zero isn't zero `weight_zero_point`. A value is (code − zero) · scale, rounded to float32. Why: docs/decisions/formats.md#tensors-tell-their-format
 */
import { wrongShape, type Checkpoint } from '../../weights/checkpoint.js';
import type { TensorInfo } from '../../weights/safetensors_header.js';
import {
  codedRows,
  floatsIn,
  groupOrder,
  groupWidth,
  isWholeGroups,
  rowsPart,
  scalesOf,
  sharedPart,
  unknownDtype,
  wordsIn,
  type Format,
} from './format.js';
import type { Located } from './located.js';
import type { DecodeRows, PackedPart, Packing } from './packing.js';

/** I32 `weight_packed`, or I8 `weight`. */
export const packedIntPacking: Format = ({ checkpoint, quantization }, at, [rows, columns]) => {
  const { base, ending, lines } = at;
  if (ending !== '.weight' || columns === undefined || lines.axis === 1 || lines.step !== 1) return undefined;
  const [packed, plain] = [checkpoint.find(`${base}.weight_packed`), checkpoint.find(`${base}.weight`)];
  const codes = packed?.dtype === 'I32' ? packed : plain?.dtype === 'I8' ? plain : undefined;
  const scales = checkpoint.find(`${base}.weight_scale`);
  if (codes === undefined || scales === undefined) return undefined;
  const numBits = codes === plain ? 8 : bitsOf(codes, columns, quantization.numBits);
  const numGroups = groupsOf(scales, lines.of);
  const width = numGroups === 0 ? columns : groupWidth(scales, numGroups, columns, quantization.groupSize);
  const inner = codes === plain ? columns : codes.shape.at(-1)!;
  const parts: PackedPart[] = [rowsPart(codes, at, rows, [inner]), scalePart(scales, at, rows, numGroups)];
  const zeros = beside(checkpoint, `${base}.weight_zero_point`, quantization.hasZeros);
  const zeroOf = zeros === undefined ? null : zeroPart(zeros, at, numBits, numGroups);
  if (zeroOf !== null) parts.push(zeroOf.part);
  const order = beside(checkpoint, `${base}.weight_g_idx`, quantization.hasOrder);
  if (order !== undefined) {
    if (order.dtype !== 'I32') throw unknownDtype(order, 'of groups');
    parts.push(sharedPart(order, at, [columns]));
  }
  const layout = { numBits, columns, numGroups, width, isPacked: codes !== plain, scales, order, first: lines.first };
  const decode = decodeInts(layout, zeroOf?.at ?? null);
  return {
    dtype: 'f32',
    parts,
    decode,
    coded: order === undefined ? codedInts(layout, zeroOf?.at ?? null) : undefined,
  };
};

/** A tensor that may be there, or must. @throws WeightError MISSING_TENSOR */
function beside(checkpoint: Checkpoint, name: string, isNeeded: boolean): TensorInfo | undefined {
  const tensor = checkpoint.find(name);
  if (tensor === undefined && isNeeded) throw checkpoint.missingTensor(name);
  return tensor;
}

/** Of the words of a row: each row begins with a new one. @throws WeightError SHAPE_MISMATCH */
function bitsOf(codes: TensorInfo, columns: number, said: number | null): 4 | 8 {
  const width = codes.shape.at(-1);
  const found = ([4, 8] as const).find((bits) => width === Math.ceil((columns * bits) / 32));
  if (found !== undefined && (said === null || said === found)) return found;
  throw wrongShape(codes, [...codes.shape.slice(0, -1), Math.ceil((columns * (said ?? 4)) / 32)]);
}

/** Scales of a row; one for all counts as 0. */
function groupsOf(scales: TensorInfo, rows: number): number {
  if (scales.shape.every((size) => size === 1) && rows > 1) return 0;
  return scales.shape.length < 2 ? 1 : scales.shape.at(-1)!;
}

const scalePart = (scales: TensorInfo, at: Located, rows: number, numGroups: number): PackedPart =>
  numGroups === 0 ? sharedPart(scales, { entry: null }, []) : rowsPart(scales, at, rows, [numGroups]);

/** Of a row and a group. */
type ZeroOf = (bytes: Uint8Array, row: number, group: number) => number;

/** I8 [out, groups], or packed along the rows. Codes of both have the same offset, which falls out of their difference. */
function zeroPart(
  zeros: TensorInfo,
  at: Located,
  numBits: 4 | 8,
  numGroups: number,
): { readonly part: PackedPart; readonly at: ZeroOf } {
  const perRow = Math.max(1, numGroups);
  const offset = 2 ** (numBits - 1);
  if (zeros.dtype === 'I8') {
    const part = sharedPart(zeros, at, [at.lines.of, perRow]);
    return { part, at: (bytes, row, group) => ((bytes[row * perRow + group]! << 24) >> 24) + offset };
  }
  if (zeros.dtype !== 'I32') throw unknownDtype(zeros, 'of zero points');
  const perWord = 32 / numBits;
  const part = sharedPart(zeros, at, [Math.ceil(at.lines.of / perWord), perRow]);
  const mask = 2 ** numBits - 1;
  const find: ZeroOf = (bytes, row, group) =>
    (wordsIn(bytes)[Math.floor(row / perWord) * perRow + group]! >>> (numBits * (row % perWord))) & mask;
  return { part, at: find };
}

interface IntLayout {
  readonly numBits: 4 | 8;
  readonly columns: number;
  readonly numGroups: number;
  /** Columns of a group. */
  readonly width: number;
  /** The group of each column; undefined: they are in order. */
  readonly order: TensorInfo | undefined;
  readonly isPacked: boolean;
  readonly scales: TensorInfo;
  /** The first stored row. */
  readonly first: number;
}

/** Codes around zero stay as they are; those of four bits around another one have a type with zeros. */
function codedInts(layout: IntLayout, zeroOf: ZeroOf | null): Packing['coded'] {
  const { numBits, columns, numGroups, width, isPacked, first } = layout;
  const perRow = Math.max(1, numGroups);
  if (!isWholeGroups(width, columns) || (numBits === 8 && zeroOf !== null)) return undefined;
  const bytesPerRow = isPacked ? 4 * Math.ceil((columns * numBits) / 32) : columns;
  const isSame = zeroOf === null;
  const flipped = !isSame ? 0 : numBits === 4 ? 0x88 : isPacked ? 0x80 : 0; // an offset of half the range is a sign that is flipped
  const dtype = numBits === 8 ? 'int8' : isSame ? 'int4' : 'uint4';
  return codedRows(dtype, columns, ([codes, scaleBytes, zeros], from, out) => {
    const scales = scalesOf(scaleBytes!, layout.scales);
    return {
      scaleOf: (row, column) => scales[numGroups === 0 ? 0 : row * perRow + Math.floor(column / width)]!,
      ...(zeroOf !== null && {
        zeroOf: (row: number, column: number) => zeroOf(zeros!, first + from + row, Math.floor(column / width)),
      }),
      putCodes: (row, column, end, at) => {
        const start = row * bytesPerRow;
        const last = Math.ceil((end * numBits) / 8);
        for (let i = (column * numBits) / 8; i < last; i++) out[at++] = codes![start + i]! ^ flipped;
      },
    };
  });
}

function decodeInts(layout: IntLayout, zeroOf: ZeroOf | null): DecodeRows {
  const { numBits, columns, numGroups, width, isPacked, first } = layout;
  const perRow = Math.max(1, numGroups);
  const bytesPerRow = isPacked ? 4 * Math.ceil((columns * numBits) / 32) : columns;
  const sign = isPacked ? 0 : 0x80; // plain codes as packed ones: with an offset of half their range
  return (parts, from, numRows, out) => {
    const codes = parts[0]!;
    const scales = scalesOf(parts[1]!, layout.scales);
    const order = layout.order === undefined ? null : groupOrder(parts.at(-1)!, layout.order, perRow);
    const target = floatsIn(out);
    const zeros = new Float32Array(perRow).fill(2 ** (numBits - 1));
    for (let row = 0, to = 0; row < numRows; row++) {
      if (zeroOf !== null) for (let g = 0; g < perRow; g++) zeros[g] = zeroOf(parts[2]!, first + from + row, g);
      const firstScale = numGroups === 0 ? 0 : row * perRow;
      const at = row * bytesPerRow;
      for (let column = 0; column < columns; column++) {
        const group = order === null ? Math.floor(column / width) : order[column]!;
        // The lowest bits of a word are the first: bytes in their order, low nibble first.
        const code =
          numBits === 4 ? (codes[at + (column >> 1)]! >> ((column & 1) << 2)) & 15 : codes[at + column]! ^ sign;
        target[to++] = (code - zeros[group]!) * scales[firstScale + group]!;
      }
    }
  };
}
