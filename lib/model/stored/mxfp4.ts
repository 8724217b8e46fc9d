/**
 * MXFP4 (OCP Microscaling Formats, 2023): codes of four bits, low nibble first, and an exponent for each 32 of a row: gpt-oss's `_blocks` [out, in/32, 16] and `_scales` [out, in/32], or
 * compressed-tensors' `weight_packed` and `weight_scale`. Every value is exact in bfloat16. Why: docs/decisions/formats.md#tensors-tell-their-format
 */
import type { TensorInfo } from '../../weights/safetensors_header.js';
import { bf16Of } from '../../../compute/base/weight_matrix.js';
import { e2m1Values, e8m0Values } from '../../../compute/base/small_floats.js';
import { codedRows, copierOf, rowsPart, refuseZeros, unknownDtype, type Format } from './format.js';
import type { DecodeRows } from './packing.js';

/** Values that share an exponent. */
const GROUP = 32;

/** gpt-oss has rows here that are outputs, also where its unquantised tensors have them as columns. */
export const mxfp4Packing: Format = ({ checkpoint }, at, [rows, columns]) => {
  const { base, ending } = at;
  const gptOss = [checkpoint.find(`${base}_blocks`), checkpoint.find(`${base}_scales`)] as const;
  const compressed = [checkpoint.find(`${base}.weight_packed`), checkpoint.find(`${base}.weight_scale`)] as const;
  const isBlocks = gptOss[0]?.dtype === 'U8' && gptOss[1] !== undefined;
  const isCompressed = compressed[0]?.dtype === 'U8' && isExponents(compressed[1]);
  if (ending === '.bias' || ending === '_bias' || columns === undefined || !(isBlocks || isCompressed))
    return undefined;
  const [packed, exponents] = (isBlocks ? gptOss : compressed) as readonly [TensorInfo, TensorInfo];
  refuseZeros(checkpoint, base);
  if (!isExponents(exponents)) throw unknownDtype(exponents, 'of scales');
  if (columns % GROUP !== 0) throw unknownDtype(packed, 'with rows that are no whole groups');
  const numGroups = columns / GROUP;
  const inner = isBlocks ? [numGroups, GROUP / 2] : [columns / 2];
  const parts = [rowsPart(packed, at, rows, inner), rowsPart(exponents, at, rows, [numGroups])];
  const lineOf = (from: number, row: number): number =>
    at.lines.step === 1 ? row : at.lines.first + at.lines.step * (from + row);
  const coded = codedRows('fp4', columns, ([codes, groups], from, out) => {
    const scales = e8m0Values();
    const copy = copierOf(codes!, out);
    return {
      scaleOf: (row, column) => scales[groups![lineOf(from, row) * numGroups + column / GROUP]!]!,
      putCodes: (row, column, end, at) => {
        const line = lineOf(from, row) * columns;
        copy((line + column) / 2, (line + end) / 2, at);
      },
    };
  });
  return { dtype: 'bf16', parts, decode: decodeMxfp4(lineOf, numGroups), coded };
};

const isExponents = (tensor: TensorInfo | undefined): boolean => tensor?.dtype === 'U8' || tensor?.dtype === 'F8_E8M0';

/** `lineOf`: which of the lines that were read is a row. */
function decodeMxfp4(lineOf: (from: number, row: number) => number, numGroups: number): DecodeRows {
  let table: Uint16Array | undefined;
  return ([codes, exponents], from, numRows, out) => {
    table ??= bf16Table();
    const target = new Uint16Array(out.buffer, out.byteOffset, out.byteLength / 2);
    let to = 0;
    for (let row = 0; row < numRows; row++) {
      const line = lineOf(from, row);
      for (let group = line * numGroups; group < (line + 1) * numGroups; group++) {
        const scale = exponents![group]! << 4;
        const end = (group + 1) * (GROUP / 2);
        for (let i = group * (GROUP / 2); i < end; i++) {
          const code = codes![i]!;
          target[to++] = table[scale | (code & 15)]!;
          target[to++] = table[scale | (code >> 4)]!;
        }
      }
    }
  };
}

/** bfloat16 by exponent and code. */
function bf16Table(): Uint16Array {
  const values = e2m1Values();
  const all = new Float32Array(256 * 16);
  for (const [exponent, scale] of e8m0Values().entries()) {
    for (const [code, value] of values.entries()) all[exponent * 16 + code] = value * scale;
  }
  return new Uint16Array(bf16Of(all).buffer);
}
