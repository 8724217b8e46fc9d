/**
 * GPTQ (Frantar et al. 2022): `qweight` [in · bits / 32, out] in words of inputs, the lowest bits first; `qzeros` [groups, out · bits / 32] in words of outputs, which the first format of
 * files stores one too small; `scales` [groups, out], and `g_idx` [in], the group of each input, where groups are not in order. Why: docs/decisions/formats.md#tensors-tell-their-format
 */
import { wrongShape } from '../../weights/checkpoint.js';
import type { TensorInfo } from '../../weights/safetensors_header.js';
import { floatsIn, scalesOf, sharedPart, unknownDtype, wordsIn, type Format } from './format.js';
import type { DecodeRows, PackedPart } from './packing.js';

/** `qweight` with a column for each output. */
export const gptqPacking: Format = ({ checkpoint, quantization }, at, [, columns]) => {
  const { base, ending, lines, entry } = at;
  const [codes, zeros, scales, order] = ['qweight', 'qzeros', 'scales', 'g_idx'].map((name) =>
    checkpoint.find(`${base}.${name}`),
  );
  if (codes?.dtype !== 'I32' || zeros === undefined || scales === undefined) return undefined;
  if (ending !== '.weight' || columns === undefined || entry !== null) return undefined;
  const numBits = ((codes.shape[0] ?? 0) * 32) / columns;
  if (![2, 4, 8].includes(numBits) || codes.shape[1] !== lines.of) throw wrongShape(codes, [columns / 8, lines.of]);
  const numGroups = scales.shape[0]!;
  const parts: PackedPart[] = [
    sharedPart(codes, at, [codes.shape[0]!, lines.of]),
    sharedPart(zeros, at, [numGroups, (lines.of * numBits) / 32]),
    sharedPart(scales, at, [numGroups, lines.of]),
  ];
  if (order !== undefined) {
    if (order.dtype !== 'I32') throw unknownDtype(order, 'of groups');
    parts.push(sharedPart(order, at, [columns]));
  }
  const layout = { numBits, columns, outputs: lines.of, first: lines.first, zeroOffset: quantization.zeroOffset };
  return { dtype: 'f32', parts, decode: decodeGptq(scales, layout) };
};

interface GptqLayout {
  readonly numBits: number;
  readonly columns: number;
  readonly outputs: number;
  /** The first output. */
  readonly first: number;
  readonly zeroOffset: 0 | 1;
}

function decodeGptq(scaleTensor: TensorInfo, { numBits, columns, outputs, first, zeroOffset }: GptqLayout): DecodeRows {
  const perWord = 32 / numBits;
  const mask = 2 ** numBits - 1;
  const width = Math.ceil(columns / scaleTensor.shape[0]!);
  return ([codeBytes, zeroBytes, scaleBytes, orderBytes], from, numRows, out) => {
    const [codes, zeros] = [wordsIn(codeBytes!), wordsIn(zeroBytes!)];
    const order = orderBytes === undefined ? null : wordsIn(orderBytes);
    const scales = scalesOf(scaleBytes!, scaleTensor);
    const target = floatsIn(out);
    for (let row = 0; row < numRows; row++) {
      const output = first + from + row;
      const [zeroWord, zeroShift] = [Math.floor(output / perWord), numBits * (output % perWord)];
      for (let column = 0; column < columns; column++) {
        const group = order?.[column] ?? Math.floor(column / width);
        // A zero of 0 was stored as −1, all bits set.
        const zero = ((zeros[(group * outputs) / perWord + zeroWord]! >>> zeroShift) + zeroOffset) & mask;
        const code =
          (codes[Math.floor(column / perWord) * outputs + output]! >>> (numBits * (column % perWord))) & mask;
        target[row * columns + column] = (code - zero) * scales[group * outputs + output]!;
      }
    }
  };
}
