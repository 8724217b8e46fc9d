/**
 * Whole numbers of 4 or 8 bits as compressed-tensors has them, `pack-quantized` in groups of columns: `weight_packed` in words of 32 bits, the lowest bits first, each code offset by half the
 * range; `weight_scale` [rows, groups]; for asymmetric ones `weight_zero_point`, packed along the rows; `weight_shape`.
 */
import { roundGroup, type RoundedType } from '../../../compute/base/code_rounding.js';
import { bf16Of } from '../../../compute/base/weight_matrix.js';
import type { FloatMatrix, WeightCoding } from './weight_coding.js';

/** Which of them. */
export interface IntCodingOptions {
  readonly type: RoundedType;
  /** Columns that share a scale: a multiple of 8. */
  readonly group: number;
  /** Of scales. Those of four bits are numbers of bfloat16 anyway; those of eight are not, and lie as F32 always. */
  readonly scaleDtype: 'BF16' | 'F32';
}

/** Columns that share a scale in memory. */
const RESIDENT_GROUP = 32;

/** For any shapes whose columns are whole groups. */
export function intCoding({ type, group, scaleDtype }: IntCodingOptions): WeightCoding {
  const numBits = type === 'int8' ? 8 : 4;
  const hasZeros = type === 'uint4';
  const scales = type === 'int8' ? 'F32' : scaleDtype;
  const perWord = 32 / numBits;
  return {
    label: `${type} in groups of ${group}`,
    columnStep: group,
    resident: group === RESIDENT_GROUP ? type : null,
    takesExpressions: true,
    sharesRows: false,
    config: (left) => compressedTensors({ numBits, isSymmetric: !hasZeros, group, left }),
    heads: (module, rows, columns) => [
      { name: `${module}.weight_packed`, dtype: 'I32', shape: [rows, columns / perWord] },
      { name: `${module}.weight_scale`, dtype: scales, shape: [rows, columns / group] },
      ...(hasZeros
        ? [{ name: `${module}.weight_zero_point`, dtype: 'I32', shape: [Math.ceil(rows / perWord), columns / group] }]
        : []),
      { name: `${module}.weight_shape`, dtype: 'I64', shape: [2] },
    ],
    round: (matrix) => roundedMatrix(type, matrix, group)?.decoded ?? null,
    encode: (matrix) => {
      const made = roundedMatrix(type, matrix, group);
      if (made === null) return null;
      const { rows, columns } = matrix;
      const { codes, zeros, decoded } = made;
      const scaleBytes = scales === 'BF16' ? bf16Of(made.scales) : bytesOf(made.scales);
      const shape = bytesOf(BigInt64Array.of(BigInt(rows), BigInt(columns)));
      const offset = type === 'uint4' ? 0 : 2 ** (numBits - 1);
      const packed = packedCodes(codes, numBits, offset);
      const packedZeros = hasZeros ? [packedDown(zeros, rows, columns / group)] : [];
      return { bytes: [packed, scaleBytes, ...packedZeros, shape], decoded };
    },
  };
}

interface SchemeOptions {
  readonly numBits: number;
  readonly isSymmetric: boolean;
  readonly group: number;
  readonly left: readonly string[];
}

/** As compressed-tensors writes it: vLLM looks for the target `Linear` where layers have experts. */
function compressedTensors({ numBits, isSymmetric, group, left }: SchemeOptions): object {
  const weights = {
    ...{ num_bits: numBits, type: 'int', symmetric: isSymmetric, strategy: 'group', group_size: group },
    ...{ dynamic: false, actorder: null, block_structure: null, observer: 'mse' },
  };
  const scheme = { targets: ['Linear'], weights, input_activations: null, output_activations: null };
  return {
    ...{ quant_method: 'compressed-tensors', format: 'pack-quantized', quantization_status: 'compressed' },
    ...{ config_groups: { group_0: scheme }, ignore: left, kv_cache_scheme: null },
  };
}

interface RoundedMatrix {
  readonly codes: Int8Array;
  /** [rows · groups] each. */
  readonly scales: Float32Array;
  readonly zeros: Int8Array;
  readonly decoded: Float32Array;
}

function roundedMatrix(type: RoundedType, { values, rows, columns }: FloatMatrix, group: number): RoundedMatrix | null {
  const codes = new Int8Array(values.length);
  const numGroups = (rows * columns) / group;
  const [scales, zeros] = [new Float32Array(numGroups), new Int8Array(numGroups)];
  const decoded = new Float32Array(values.length);
  for (let g = 0; g < numGroups; g++) {
    const [from, to] = [g * group, (g + 1) * group];
    const { scale, zero } = roundGroup(type, values, from, to, codes);
    if (Number.isNaN(scale)) return null;
    scales[g] = scale;
    zeros[g] = zero;
    for (let i = from; i < to; i++) decoded[i] = (codes[i]! - zero) * scale;
  }
  return { codes, scales, zeros, decoded };
}

/** Rows hold whole words, so codes follow each other throughout. */
function packedCodes(codes: Int8Array, numBits: 4 | 8, offset: number): Uint8Array {
  if (numBits === 8) return Uint8Array.from(codes, (code) => code + offset);
  const bytes = new Uint8Array(codes.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = (codes[2 * i]! + offset) | ((codes[2 * i + 1]! + offset) << 4);
  }
  return bytes;
}

/** Eight rows in a word, of which the last may have fewer. What is offset as codes are has their bits. */
function packedDown(zeros: Int8Array, rows: number, numGroups: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(rows / 8) * numGroups);
  for (const [i, zero] of zeros.entries()) {
    const row = Math.floor(i / numGroups);
    words[Math.floor(row / 8) * numGroups + (i % numGroups)]! |= zero << (4 * (row % 8));
  }
  return bytesOf(words);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array | BigInt64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
