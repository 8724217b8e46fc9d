/**
 * GPTQ (Frantar et al. 2022): `qweight` [in · bits / 32, out] in words of inputs, the lowest bits first; `qzeros` [groups, out · bits / 32] in words of outputs, which the first format of
 * files stores one too small; `scales` [groups, out], and `g_idx` [in], the group of each input, where groups are not in order. Why: docs/decisions/formats.md#tensors-tell-their-format
 */
import { wrongShape } from '../../weights/checkpoint.js';
import type { TensorInfo } from '../../weights/safetensors_header.js';
import {
  codedRows,
  floatsIn,
  groupOrder,
  groupWidth,
  isWholeGroups,
  putNibbles,
  scalesOf,
  sharedPart,
  unknownDtype,
  wordsIn,
  type CodesAndZeros,
  type Format,
} from './format.js';
import type { DecodeRows, PackedPart, Packing } from './packing.js';

/** `qweight` with a column for each output. */
export const gptqPacking: Format = ({ checkpoint, quantization }, at, [, columns]) => {
  const { base, ending, lines, entry } = at;
  const [codes, zeros, scales, order] = ['qweight', 'qzeros', 'scales', 'g_idx'].map((name) =>
    checkpoint.find(`${base}.${name}`),
  );
  if (codes?.dtype !== 'I32' || zeros === undefined || scales === undefined) return undefined;
  if (ending !== '.weight' || columns === undefined || entry !== null) return undefined;
  const numBits = ((codes.shape[0] ?? 0) * 32) / columns;
  const isSaid = (quantization.numBits ?? numBits) === numBits;
  if (![2, 4, 8].includes(numBits) || !isSaid || codes.shape[1] !== lines.of)
    throw wrongShape(codes, [(columns * (quantization.numBits ?? 4)) / 32, lines.of]);
  if (order === undefined && quantization.hasOrder) throw checkpoint.missingTensor(`${base}.g_idx`);
  const numGroups = scales.shape[0] ?? 0;
  const width = groupWidth(scales, numGroups, columns, quantization.groupSize);
  const parts: PackedPart[] = [
    sharedPart(codes, at, [codes.shape[0]!, lines.of]),
    sharedPart(zeros, at, [numGroups, Math.ceil((lines.of * numBits) / 32)]),
    sharedPart(scales, at, [numGroups, lines.of]),
  ];
  if (order !== undefined) {
    if (order.dtype !== 'I32') throw unknownDtype(order, 'of groups');
    parts.push(sharedPart(order, at, [columns]));
  }
  const { zeroOffset } = quantization;
  const layout = { scales, order, numBits, columns, width, outputs: lines.of, first: lines.first, zeroOffset };
  return {
    dtype: 'f32',
    parts,
    decode: decodeGptq(layout),
    coded: order === undefined ? codedGptq(layout) : undefined,
  };
};

interface GptqLayout {
  readonly scales: TensorInfo;
  /** The group of each column; undefined: they are in order. */
  readonly order: TensorInfo | undefined;
  /** Columns of a group. */
  readonly width: number;
  readonly numBits: number;
  readonly columns: number;
  readonly outputs: number;
  /** The first output. */
  readonly first: number;
  readonly zeroOffset: 0 | 1;
}

/** An output's codes and its zero points. `order`: the group of each column. */
function codesAround(
  { numBits, outputs, first, zeroOffset }: GptqLayout,
  [codeBytes, zeroBytes]: readonly Uint8Array[],
  from: number,
  groupOf: (column: number) => number,
): CodesAndZeros {
  const perWord = 32 / numBits;
  const mask = 2 ** numBits - 1;
  const perGroup = Math.ceil(outputs / perWord);
  const [codes, zeros] = [wordsIn(codeBytes!), wordsIn(zeroBytes!)];
  return {
    codeOf: (row, column) =>
      (codes[Math.floor(column / perWord) * outputs + first + from + row]! >>> (numBits * (column % perWord))) & mask,
    zeroOf(row, column) {
      const output = first + from + row;
      const word = zeros[groupOf(column) * perGroup + Math.floor(output / perWord)]!;
      return ((word >>> (numBits * (output % perWord))) + zeroOffset) & mask; // a zero of 0 was stored as −1, all bits set
    },
  };
}

function decodeGptq(layout: GptqLayout): DecodeRows {
  const { scales: tensor, columns, width, outputs, first } = layout;
  return (parts, from, numRows, out) => {
    const order = layout.order === undefined ? null : groupOrder(parts[3]!, layout.order, tensor.shape[0]!);
    const groupOf = (column: number): number => order?.[column] ?? Math.floor(column / width);
    const { codeOf, zeroOf } = codesAround(layout, parts, from, groupOf);
    const scales = scalesOf(parts[2]!, tensor);
    const target = floatsIn(out);
    for (let row = 0; row < numRows; row++) {
      for (let column = 0; column < columns; column++) {
        const scale = scales[groupOf(column) * outputs + first + from + row]!;
        target[row * columns + column] = (codeOf(row, column) - zeroOf(row, column)) * scale;
      }
    }
  };
}

/** Eight bits have no type with zeros. */
function codedGptq(layout: GptqLayout): Packing['coded'] {
  const { scales: tensor, numBits, columns, width, outputs, first } = layout;
  if (numBits === 8 || !isWholeGroups(width, columns)) return undefined;
  const groupOf = (column: number): number => Math.floor(column / width);
  return codedRows('uint4', columns, (parts, from, out) => {
    const { codeOf, zeroOf } = codesAround(layout, parts, from, groupOf);
    const scales = scalesOf(parts[2]!, tensor);
    return {
      scaleOf: (row, column) => scales[groupOf(column) * outputs + first + from + row]!,
      zeroOf,
      putCodes: (row, column, end, at) => putNibbles(out, at, column, end, (each) => codeOf(row, each)),
    };
  });
}
