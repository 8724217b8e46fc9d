/** FP8 E4M3 in blocks of 128 × 128 as DeepSeek-V3 has it: `weight` and `weight_scale_inv`, which a code is multiplied with. A block's largest magnitude is 448, the largest code. */
import { e4m3Values, nearestE4m3 } from '../../../compute/base/small_floats.js';
import type { EncodedMatrix, FloatMatrix, WeightCoding } from './weight_coding.js';

const BLOCK = 128;
const LARGEST = 448;

/** For any shapes; the last blocks may be smaller. */
export const FP8_CODING: WeightCoding = {
  label: `fp8 in blocks of ${BLOCK}`,
  columnStep: 1,
  resident: null,
  takesExpressions: false,
  sharesRows: true,
  config: (left) => ({
    ...{ quant_method: 'fp8', fmt: 'e4m3', activation_scheme: 'dynamic', weight_block_size: [BLOCK, BLOCK] },
    modules_to_not_convert: left,
  }),
  heads: (module, rows, columns) => [
    { name: `${module}.weight`, dtype: 'F8_E4M3', shape: [rows, columns] },
    { name: `${module}.weight_scale_inv`, dtype: 'F32', shape: [Math.ceil(rows / BLOCK), Math.ceil(columns / BLOCK)] },
  ],
  round: (matrix) => encode(matrix)?.decoded ?? null,
  encode,
};

function encode({ values, rows, columns }: FloatMatrix): EncodedMatrix | null {
  const perRow = Math.ceil(columns / BLOCK);
  const blockOf = (i: number): number => {
    const row = Math.floor(i / columns);
    return Math.floor(row / BLOCK) * perRow + Math.floor((i - row * columns) / BLOCK);
  };
  const scales = new Float32Array(Math.ceil(rows / BLOCK) * perRow);
  for (const [i, value] of values.entries()) {
    const magnitude = Math.abs(value);
    if (!(magnitude < Infinity)) return null;
    const block = blockOf(i);
    if (magnitude > scales[block]!) scales[block] = magnitude;
  }
  for (const [block, largest] of scales.entries()) scales[block] = largest / LARGEST;
  const table = e4m3Values();
  const [codes, decoded] = [new Uint8Array(values.length), new Float32Array(values.length)];
  for (const [i, value] of values.entries()) {
    const scale = scales[blockOf(i)]!;
    const code = scale === 0 ? 0 : nearestE4m3(Math.fround(value / scale));
    codes[i] = code;
    decoded[i] = table[code]! * scale;
  }
  return { bytes: [codes, new Uint8Array(scales.buffer)], decoded };
}
