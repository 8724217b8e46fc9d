/** Groups of integers: how wide they are, and tensors that must be beside them. */
import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { quantizationOf } from '../../../../lib/model/spec/quantization.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import { openWeights } from '../../../../lib/model/stored/model_weights.js';
import { WeightError } from '../../../../lib/weights/errors.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { writeSafetensors, type TensorToWrite } from '../../../kit/model/safetensors_writer.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const { config } = await readModelFiles(tinyModel('tiny-qwen3-moe'));
const BASE = 'model.layers.0.mlp.experts.1.gate_proj';
const [ROWS, COLUMNS] = [8, 48];
/** Scales 1, 2, … of a row, and codes that are all 1. */
const NUM_GROUPS = 2;

const specOf = (quantization: object | null): ModelSpec => ({
  ...modelSpecOf({ ...config, hidden_size: COLUMNS, moe_intermediate_size: ROWS }),
  quantization: quantizationOf(quantization),
});

function tensor(
  suffix: string,
  dtype: string,
  shape: readonly number[],
  values: Int32Array | Float32Array | Uint16Array,
): TensorToWrite {
  return { name: BASE + suffix, dtype, shape: [...shape], bytes: new Uint8Array(values.buffer) };
}

const words = (count: number, word: number): Int32Array => new Int32Array(count).fill(word);

/** Codes 1 as nine: eight is zero. */
const compressed = (numGroups = NUM_GROUPS, ...more: readonly TensorToWrite[]): TensorToWrite[] => [
  tensor('.weight_packed', 'I32', [ROWS, COLUMNS / 8], words((ROWS * COLUMNS) / 8, 0x99999999)),
  tensor(
    '.weight_scale',
    'F32',
    [ROWS, numGroups],
    Float32Array.from({ length: ROWS * numGroups }, (_, i) => 1 + (i % numGroups)),
  ),
  ...more,
];
const orderOf = (suffix: string, groups: (column: number) => number): TensorToWrite =>
  tensor(
    suffix,
    'I32',
    [COLUMNS],
    Int32Array.from({ length: COLUMNS }, (_, i) => groups(i)),
  );

/** Half-precision 1, 2, … of each group. */
const halves = (numGroups: number): Uint16Array =>
  Uint16Array.from({ length: numGroups * ROWS }, (_, i) => 0x3c00 + 0x400 * Math.floor(i / ROWS));
const gptq = (...more: readonly TensorToWrite[]): TensorToWrite[] => [
  tensor('.qweight', 'I32', [COLUMNS / 8, ROWS], words((COLUMNS * ROWS) / 8, 0x99999999)),
  tensor('.qzeros', 'I32', [NUM_GROUPS, 1], words(NUM_GROUPS, 0x77777777)),
  tensor('.scales', 'F16', [NUM_GROUPS, ROWS], halves(NUM_GROUPS)),
  ...more,
];
const awq = (): TensorToWrite[] => [
  tensor('.qweight', 'I32', [COLUMNS, ROWS / 8], words(COLUMNS, 0x99999999)),
  tensor('.qzeros', 'I32', [NUM_GROUPS, 1], words(NUM_GROUPS, 0x88888888 | 0)),
  tensor('.scales', 'F16', [NUM_GROUPS, ROWS], halves(NUM_GROUPS)),
];

/** The first row. */
async function rowOf(tensors: readonly TensorToWrite[], quantization: object | null): Promise<number[]> {
  return withTempFolder(async (dir) => {
    await writeFile(join(dir, 'model.safetensors'), writeSafetensors(tensors));
    const weights = await openWeights(dir, specOf(quantization));
    try {
      const values = await weights.floats(`${BASE}.weight`, [ROWS, COLUMNS]);
      return [...values.subarray(0, COLUMNS)];
    } finally {
      await weights.close();
    }
  });
}

const refusal = (tensors: readonly TensorToWrite[], quantization: object | null): Promise<WeightError> =>
  errorOf(WeightError, () => rowOf(tensors, quantization));

const wide = (width: number): number[] => Array.from({ length: COLUMNS }, (_, i) => 1 + Math.floor(i / width));
const INT4 = { num_bits: 4, type: 'int', strategy: 'group', symmetric: true };
const said = (weights: object): object => ({ quant_method: 'compressed-tensors', config_groups: { a: { weights } } });

describe('groups of integers', () => {
  it('are as wide as the folder says, the last one what is left; or share the columns evenly where it says nothing', async () => {
    expect(await rowOf(compressed(), said({ ...INT4, group_size: 32 }))).to.deep.equal(wide(32));
    expect(await rowOf(compressed(), null)).to.deep.equal(wide(24));
    expect(await rowOf(gptq(), { quant_method: 'gptq', bits: 4, group_size: 32 })).to.deep.equal(wide(32));
    expect(await rowOf(gptq(), { quant_method: 'gptq' })).to.deep.equal(wide(24));
    expect(await rowOf(awq(), { quant_method: 'awq', group_size: 32 })).to.deep.equal(wide(32));
    expect(await rowOf(compressed(1), said({ ...INT4, group_size: 128 }))).to.deep.equal(wide(COLUMNS));
    expect(await rowOf(compressed(1), said({ ...INT4, group_size: -1 }))).to.deep.equal(wide(COLUMNS));
  });

  it('of another number than that makes, or that nothing explains, are refused with both numbers', async () => {
    for (const [tensors, quantization] of [
      [compressed(), said({ ...INT4, group_size: 16 })],
      [compressed(5), null],
      [gptq(), { quant_method: 'gptq', group_size: 16 }],
      [awq(), { quant_method: 'awq', group_size: 64 }],
    ] as const) {
      const error = await refusal(tensors, quantization);
      expect(error.code).to.equal('SHAPE_MISMATCH');
      expect(error.message).to.match(
        /scales" of .* has \d scales for 48 columns|weight_scale" of .* has \d scales for 48/,
      );
    }
  });

  it('whose zero points or order the folder announces are refused without them, by the tensor’s name', async () => {
    for (const [tensors, quantization, name] of [
      [compressed(), said({ ...INT4, symmetric: false }), 'weight_zero_point'],
      [compressed(), said({ ...INT4, actorder: 'group' }), 'weight_g_idx'],
      [gptq(), { quant_method: 'gptq', desc_act: true }, 'g_idx'],
    ] as const) {
      const error = await refusal(tensors, quantization);
      expect(error.code).to.equal('MISSING_TENSOR');
      expect(error.message).to.contain(`${BASE}.${name}`);
    }
  });

  it('of fewer bits than the folder says are refused', async () => {
    for (const [tensors, quantization] of [
      [compressed(), said({ ...INT4, num_bits: 8 })],
      [gptq(), { quant_method: 'gptq', bits: 8 }],
    ] as const)
      expect((await refusal(tensors, quantization)).code).to.equal('SHAPE_MISMATCH');
  });

  it('in an order that names a group which there isn’t are refused; −1 throughout says nothing', async () => {
    const swapped = (column: number): number => 1 - Math.floor(column / 24);
    const turned = wide(24).toReversed();
    expect(await rowOf(compressed(NUM_GROUPS, orderOf('.weight_g_idx', swapped)), null)).to.deep.equal(turned);
    expect(
      await rowOf(
        compressed(
          NUM_GROUPS,
          orderOf('.weight_g_idx', () => -1),
        ),
        null,
      ),
    ).to.deep.equal(wide(24));
    for (const group of [2, -1]) {
      const wrong = (column: number): number => (column === 7 ? group : 0);
      for (const tensors of [compressed(NUM_GROUPS, orderOf('.weight_g_idx', wrong)), gptq(orderOf('.g_idx', wrong))]) {
        const error = await refusal(tensors, null);
        expect(error.code).to.equal('SHAPE_MISMATCH');
        expect(error.message).to.contain(`names group ${group}, and there are 2`);
      }
    }
  });
});
