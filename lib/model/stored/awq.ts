/**
 * AWQ (Lin et al. 2023), the layout `gemm`: `qweight` [in, out/8] in words of eight codes, whose nibbles hold outputs 0, 2, 4, 6, 1, 3, 5, 7; `qzeros` [groups, out/8] in the same order, and
 * `scales` [groups, out]. A value is (code − zero) · scale, rounded to float32. Why: docs/decisions/formats.md#tensors-tell-their-format
 */
import type { TensorInfo } from '../../weights/safetensors_header.js';
import { floatsIn, scalesOf, sharedPart, wordsIn, type Format } from './format.js';
import type { DecodeRows } from './packing.js';

/** Codes of a word. */
const PER_WORD = 8;
/** Which nibble holds an output. */
const NIBBLES = [0, 4, 1, 5, 2, 6, 3, 7];

/** `qweight` with a row for each input. */
export const awqPacking: Format = ({ checkpoint }, at, [, columns]) => {
  const { base, ending, lines, entry } = at;
  const [codes, zeros, scales] = ['qweight', 'qzeros', 'scales'].map((name) => checkpoint.find(`${base}.${name}`));
  if (codes?.dtype !== 'I32' || zeros === undefined || scales === undefined) return undefined;
  if (ending !== '.weight' || columns === undefined || entry !== null || codes.shape[0] !== columns) return undefined;
  if (codes.shape[1] !== lines.of / PER_WORD) return undefined;
  const numGroups = scales.shape[0]!;
  const parts = [
    sharedPart(codes, at, [columns, lines.of / PER_WORD]),
    sharedPart(zeros, at, [numGroups, lines.of / PER_WORD]),
    sharedPart(scales, at, [numGroups, lines.of]),
  ];
  return { dtype: 'f32', parts, decode: decodeAwq(scales, columns, lines.of, lines.first) };
};

function decodeAwq(scaleTensor: TensorInfo, columns: number, outputs: number, first: number): DecodeRows {
  const width = columns / scaleTensor.shape[0]!;
  const perLine = outputs / PER_WORD;
  return ([codeBytes, zeroBytes, scaleBytes], from, numRows, out) => {
    const [codes, zeros] = [wordsIn(codeBytes!), wordsIn(zeroBytes!)];
    const scales = scalesOf(scaleBytes!, scaleTensor);
    const target = floatsIn(out);
    for (let row = 0; row < numRows; row++) {
      const output = first + from + row;
      const [word, shift] = [Math.floor(output / PER_WORD), 4 * NIBBLES[output % PER_WORD]!];
      for (let column = 0; column < columns; column++) {
        const group = Math.floor(column / width);
        const zero = (zeros[group * perLine + word]! >>> shift) & 15;
        const code = (codes[column * perLine + word]! >>> shift) & 15;
        target[row * columns + column] = (code - zero) * scales[group * outputs + output]!;
      }
    }
  };
}
