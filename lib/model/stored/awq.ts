/**
 * AWQ (Lin et al. 2023), the layout `gemm`: `qweight` [in, out/8] in words of eight codes, whose nibbles hold outputs 0, 2, 4, 6, 1, 3, 5, 7; `qzeros` [groups, out/8] in the same order, and
 * `scales` [groups, out]. A value is (code − zero) · scale, rounded to float32. Why: docs/decisions/formats.md#tensors-tell-their-format
 */
import type { TensorInfo } from '../../weights/safetensors_header.js';
import {
  codedRows,
  floatsIn,
  groupWidth,
  isWholeGroups,
  putNibbles,
  scalesOf,
  sharedPart,
  wordsIn,
  type CodesAndZeros,
  type Format,
} from './format.js';
import type { DecodeRows, Packing } from './packing.js';

/** Codes of a word. */
const PER_WORD = 8;
/** Which nibble holds an output. */
const NIBBLES = [0, 4, 1, 5, 2, 6, 3, 7];

/** `qweight` with a row for each input. */
export const awqPacking: Format = ({ checkpoint, quantization }, at, [, columns]) => {
  const { base, ending, lines, entry } = at;
  const [codes, zeros, scales] = ['qweight', 'qzeros', 'scales'].map((name) => checkpoint.find(`${base}.${name}`));
  if (codes?.dtype !== 'I32' || zeros === undefined || scales === undefined) return undefined;
  if (ending !== '.weight' || columns === undefined || entry !== null || codes.shape[0] !== columns) return undefined;
  if (codes.shape[1] !== lines.of / PER_WORD) return undefined;
  const numGroups = scales.shape[0] ?? 0;
  const width = groupWidth(scales, numGroups, columns, quantization.groupSize);
  const parts = [
    sharedPart(codes, at, [columns, lines.of / PER_WORD]),
    sharedPart(zeros, at, [numGroups, lines.of / PER_WORD]),
    sharedPart(scales, at, [numGroups, lines.of]),
  ];
  const layout = { scales, columns, width, outputs: lines.of, first: lines.first };
  return { dtype: 'f32', parts, decode: decodeAwq(layout), coded: codedAwq(layout) };
};

interface AwqLayout {
  readonly scales: TensorInfo;
  readonly columns: number;
  /** Columns of a group. */
  readonly width: number;
  readonly outputs: number;
  /** The first output. */
  readonly first: number;
}

/** An output's codes and its zero points, 0 … 15. */
function codesAround(
  { width, outputs, first }: AwqLayout,
  [codeBytes, zeroBytes]: readonly Uint8Array[],
  from: number,
): CodesAndZeros {
  const perLine = outputs / PER_WORD;
  const [codes, zeros] = [wordsIn(codeBytes!), wordsIn(zeroBytes!)];
  const nibbleOf = (words: Uint32Array, line: number, row: number): number => {
    const output = first + from + row;
    return (words[line * perLine + Math.floor(output / PER_WORD)]! >>> (4 * NIBBLES[output % PER_WORD]!)) & 15;
  };
  return {
    codeOf: (row, column) => nibbleOf(codes, column, row),
    zeroOf: (row, column) => nibbleOf(zeros, Math.floor(column / width), row),
  };
}

function decodeAwq(layout: AwqLayout): DecodeRows {
  const { scales: tensor, columns, width, outputs, first } = layout;
  return (parts, from, numRows, out) => {
    const { codeOf, zeroOf } = codesAround(layout, parts, from);
    const scales = scalesOf(parts[2]!, tensor);
    const target = floatsIn(out);
    for (let row = 0; row < numRows; row++) {
      for (let column = 0; column < columns; column++) {
        const scale = scales[Math.floor(column / width) * outputs + first + from + row]!;
        target[row * columns + column] = (codeOf(row, column) - zeroOf(row, column)) * scale;
      }
    }
  };
}

function codedAwq(layout: AwqLayout): Packing['coded'] {
  const { scales: tensor, columns, width, outputs, first } = layout;
  if (!isWholeGroups(width, columns)) return undefined;
  return codedRows('uint4', columns, (parts, from, out) => {
    const { codeOf, zeroOf } = codesAround(layout, parts, from);
    const scales = scalesOf(parts[2]!, tensor);
    return {
      scaleOf: (row, column) => scales[Math.floor(column / width) * outputs + first + from + row]!,
      zeroOf,
      putCodes: (row, column, end, at) => putNibbles(out, at, column, end, (each) => codeOf(row, each)),
    };
  });
}
