/** Random weights in formats of few bits, as checkpoints of them have: codes, and scales that give weights the size that trained ones have. */
import type { TensorSource } from '../weights/checkpoint_writer.js';
import { repeated, type RandomFill } from './random_fill.js';
import type { TensorShape } from './spec/tensor_shape.js';

/** Formats of codes: FP8 in blocks as DeepSeek-V3 has it, of all projections; INT4 as Kimi-K2 has it and MXFP4 as compressed-tensors has it, of routed experts. */
export const CODE_FORMATS = ['FP8', 'INT4', 'MXFP4'] as const;
/** One of them. */
export type CodeFormat = (typeof CODE_FORMATS)[number];

/** What config.json says of it. */
export const QUANTIZATION_CONFIG: Readonly<Record<CodeFormat, object>> = {
  FP8: { quant_method: 'fp8', fmt: 'e4m3', activation_scheme: 'dynamic', weight_block_size: [128, 128] },
  INT4: { quant_method: 'compressed-tensors', format: 'pack-quantized', config_groups: {} },
  MXFP4: { quant_method: 'compressed-tensors', format: 'mxfp4-pack-quantized', config_groups: {} },
};

/** Values of a row that share a scale, in the formats of four bits. */
const GROUP = 32;
const BLOCK = 128;

/** Whether a matrix is stored as codes. */
export function isCoded({ kind, name, shape }: TensorShape, format: CodeFormat): boolean {
  const isProjection = kind === 'matrix' && /_proj(_with_mqa)?\.weight$/.test(name);
  return isProjection && (format === 'FP8' || (name.includes('.experts.') && shape[1]! % GROUP === 0));
}

/** What codes are made from. */
export interface CodedOptions {
  /** Of the weights. */
  readonly deviation: number;
  readonly seed: number;
  readonly random: RandomFill;
}

/** The tensors that a matrix becomes. `name`: as the checkpoint has it. */
export function codedTensors(
  name: string,
  [rows, columns]: readonly [number, number],
  format: CodeFormat,
  { deviation, seed, random }: CodedOptions,
): TensorSource[] {
  const base = name.replace(/\.weight$/, '');
  const codes = (suffix: string, shape: readonly number[], dtype: string, keep: number, set = 0): TensorSource => {
    return { name: base + suffix, shape, dtype, fill: random.codes({ seed, name }, { keep, set }) };
  };
  const same = (suffix: string, shape: readonly number[], dtype: string, element: Uint8Array): TensorSource => ({
    ...{ name: base + suffix, shape, dtype },
    fill: repeated(element),
  });
  switch (format) {
    case 'FP8': {
      const scale = bytesOf(Float32Array.of(deviation / FP8_DEVIATION));
      const blocks = [Math.ceil(rows / BLOCK), Math.ceil(columns / BLOCK)];
      // Of every byte, sign and fraction are random: ± 1 … 1.875.
      return [
        codes('.weight', [rows, columns], 'F8_E4M3', 0x87, 0x38),
        same('.weight_scale_inv', blocks, 'F32', scale),
      ];
    }
    case 'INT4': {
      const scale = bytesOf(Float32Array.of(deviation / INT4_DEVIATION)).subarray(2); // bfloat16
      return [
        codes('.weight_packed', [rows, Math.ceil(columns / 8)], 'I32', 0xff),
        same('.weight_scale', [rows, columns / GROUP], 'BF16', scale),
        same('.weight_shape', [2], 'I64', new Uint8Array(BigInt64Array.of(BigInt(rows), BigInt(columns)).buffer)),
      ];
    }
    case 'MXFP4': {
      const exponent = 127 + Math.round(Math.log2(deviation / MXFP4_DEVIATION));
      return [
        codes('.weight_packed', [rows, columns / 2], 'U8', 0xff),
        same('.weight_scale', [rows, columns / GROUP], 'U8', Uint8Array.of(exponent)),
      ];
    }
  }
}

/** Root mean squares of the codes' values: of 1 + i/8 for i of 0 … 7; of −8 … 7; of 0, ½, 1, 1½, 2, 3, 4, 6. */
const FP8_DEVIATION = Math.sqrt(1100 / 512);
const INT4_DEVIATION = Math.sqrt(21.5);
const MXFP4_DEVIATION = Math.sqrt(68.5 / 8);

const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer);
