import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { floatsOf, isCoded } from '../../../../compute/base/weight_matrix.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { quantizationOf } from '../../../../lib/model/spec/quantization.js';
import { OWN_NAMES, type ModelSpec } from '../../../../lib/model/spec/spec.js';
import type { ModelWeights } from '../../../../lib/model/stored/model_weights.js';
import { WeightError } from '../../../../lib/weights/errors.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { e2m1Values, e4m3Values, e8m0Values } from '../../../../compute/base/small_floats.js';
import type { TensorToWrite } from '../../../kit/model/safetensors_writer.js';
import { withWeights } from '../../../kit/model/written_weights.js';
import { repoRoot, tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';

const { config } = await readModelFiles(tinyModel('tiny-qwen3-moe'));
const BASE = 'model.layers.0.mlp.experts.1.gate_proj';

interface Goldens {
  readonly rows: number;
  readonly columns: number;
  readonly codes: Readonly<Record<'F8_E4M3' | 'F8_E8M0', readonly (number | null)[]>>;
  readonly cases: readonly {
    readonly name: string;
    readonly tensors: Readonly<Record<string, { dtype: string; shape: readonly number[]; data: string }>>;
    readonly expected: string;
  }[];
}

/** What PyTorch and compressed-tensors make of them (scripts/conformance/stored_values.py). */
const GOLDENS = JSON.parse(readFileSync(join(repoRoot(), 'test', 'data', 'formats', 'values.json'), 'utf8')) as Goldens;

/** A model whose experts' gate projection has so many rows and columns. */
const specOf = (rows: number, columns: number, quantization: object | null = null): ModelSpec => ({
  ...modelSpecOf({ ...config, hidden_size: columns, moe_intermediate_size: rows }),
  quantization: quantizationOf(quantization),
});

/** Codes and scales, where there are types for them, stand for the same values; by rows too. */
async function expectSameCodes(
  weights: ModelWeights,
  name: string,
  shape: readonly [number, number],
  values: Float32Array,
): Promise<void> {
  const { dtype: as } = weights.info(name);
  if (!isCoded(as)) return;
  const coded = await weights.matrix(name, shape, { as });
  expect(coded.dtype).to.equal(as);
  const same = floatsOf(coded).findIndex(
    (value, i) => !(value === values[i] || (value !== value && values[i] !== values[i])),
  );
  expect(same, `${as} ${shape.join()}`).to.equal(-1);
  const rows = weights.stored(name, shape, { as });
  const bytes = new Uint8Array(rows.rowBytes * rows.rows);
  for (let row = 0; row < rows.rows; row++)
    await rows.readRows(row, bytes.subarray(row * rows.rowBytes, (row + 1) * rows.rowBytes));
  expect(Buffer.from(bytes).equals(Buffer.from(coded.bytes)), as).to.equal(true);
}

/** All values, read at once, and row by row into shared memory: the same bits, and every byte read once. */
async function decoded(tensors: readonly TensorToWrite[], spec: ModelSpec): Promise<Float32Array> {
  return withWeights(tensors, spec, async (weights) => {
    const shape = [spec.moe.intermediateSize, spec.hiddenSize] as const;
    const name = `${BASE}.weight`;
    const all = floatsOf(await weights.matrix(name, shape));
    const numBytes = weights.totalBytes([name]);
    expect(weights.checkpoint.bytesRead).to.equal(numBytes);
    const rows = weights.stored(name, shape);
    const bytes = new Uint8Array(new SharedArrayBuffer(rows.rowBytes * rows.rows));
    for (let row = rows.rows - 1; row >= 0; row--)
      await rows.readRows(row, bytes.subarray(row * rows.rowBytes, (row + 1) * rows.rowBytes));
    const dtype = rows.dtype as 'f32' | 'bf16'; // of nobody who asks for codes
    const again = floatsOf({ dtype, rows: rows.rows, columns: rows.columns, bytes });
    expect(Buffer.from(again.buffer).equals(Buffer.from(all.buffer))).to.equal(true);
    await expectSameCodes(weights, name, shape, all);
    return all;
  });
}

const tensor = (
  ending: string,
  dtype: string,
  shape: readonly number[],
  values: Uint8Array | Int32Array | Uint32Array | Float32Array | Uint16Array,
  base = BASE,
): TensorToWrite => ({
  ...{ name: base + ending, dtype, shape },
  bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});

const numbers = <T>(length: number, at: (i: number) => T): T[] => Array.from({ length }, (_, i) => at(i));
/** A number without a pattern. */
const mixed = (i: number): number => (Math.imul(i + 1, 0x9e3779b1) >>> 8) & 0xffff;

describe('formats of weights', () => {
  it('codes of small floats have the values that PyTorch gives them, and the specification', () => {
    for (const [values, golden] of [
      [e4m3Values(), GOLDENS.codes.F8_E4M3],
      [e8m0Values(), GOLDENS.codes.F8_E8M0],
    ] as const) {
      expect(Array.from(values, (value) => (Number.isNaN(value) ? null : value))).to.deep.equal(golden);
      expect(Object.is(values[0x80], -0)).to.equal(golden === GOLDENS.codes.F8_E4M3);
    }
    const positive = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
    expect([...e2m1Values()]).to.deep.equal([...positive, ...positive.map((value) => -value)]);
  });

  for (const { name, tensors, expected } of GOLDENS.cases) {
    it(`${name}: every value to the bit`, async () => {
      const stored = Object.entries(tensors).map(([ending, { dtype, shape, data }]) =>
        tensor(`.${ending}`, dtype, shape, new Uint8Array(Buffer.from(data, 'base64'))),
      );
      const values = await decoded(stored, specOf(GOLDENS.rows, GOLDENS.columns));
      const golden = new Float32Array(new Uint8Array(Buffer.from(expected, 'base64')).buffer);
      expect(values.findIndex((value, i) => !Object.is(value, golden[i]))).to.equal(-1);
      expect(values.length).to.equal(golden.length);
    });
  }

  describe('FP8 in blocks', () => {
    const [rows, columns] = [144, 160];
    const codes = Uint8Array.from({ length: rows * columns }, (_, i) => mixed(i) % 127);
    const weight = tensor('.weight', 'F8_E4M3', [rows, columns], codes);
    const scales = Float32Array.of(0.125, 3.7, 1e-3, 5);
    const table = e4m3Values();
    const expected = (height: number, width: number, perRow: number, of: Float32Array): Float32Array =>
      Float32Array.from(codes, (code, i) => {
        const block = Math.floor(Math.floor(i / columns) / height) * perRow + Math.floor((i % columns) / width);
        return table[code]! * of[block]!;
      });

    it('of 128 × 128, the last ones smaller', async () => {
      const spec = specOf(rows, columns, { quant_method: 'fp8', weight_block_size: [128, 128] });
      const scale = tensor('.weight_scale_inv', 'F32', [2, 2], scales);
      expect(await decoded([weight, scale], spec)).to.deep.equal(expected(128, 128, 2, scales));
      expect(await decoded([weight, scale], specOf(rows, columns)), 'without a word in config.json').to.deep.equal(
        expected(128, 128, 2, scales),
      );
    });

    it('of another size, with scales in bfloat16 or powers of two', async () => {
      const spec = specOf(rows, columns, { quant_method: 'fp8', weight_block_size: [96, 64] });
      const bf16 = Uint16Array.of(0x3f80, 0x4000, 0x3e00, 0xc0a0, 0x3f81, 0x0080);
      const ofBf16 = Float32Array.of(1, 2, 0.125, -5, 1.0078125, 2 ** -126);
      const inBf16 = tensor('.weight_scale_inv', 'BF16', [2, 3], bf16);
      expect(await decoded([weight, inBf16], spec)).to.deep.equal(expected(96, 64, 3, ofBf16));
      const inE8m0 = tensor('.weight_scale_inv', 'F8_E8M0', [2, 3], Uint8Array.of(127, 0, 120, 130, 1, 126));
      const powers = Float32Array.of(1, 2 ** -127, 2 ** -7, 8, 2 ** -126, 0.5);
      expect(await decoded([weight, inE8m0], spec)).to.deep.equal(expected(96, 64, 3, powers));
    });

    it('of compressed-tensors, and of experts in one tensor', async () => {
      const group = { weights: { block_structure: [96, 64] } };
      const spec = specOf(rows, columns, { quant_method: 'compressed-tensors', config_groups: { group_0: group } });
      const ofBlocks = Float32Array.from({ length: 6 }, (_, i) => i + 0.25);
      const scale = tensor('.weight_scale', 'F32', [2, 3], ofBlocks);
      expect(await decoded([weight, scale], spec)).to.deep.equal(expected(96, 64, 3, ofBlocks));
      const numExperts = spec.moe.gate.numExperts;
      const fused = 'model.layers.0.mlp.experts.gate_up_proj';
      const both = new Uint8Array(numExperts * 2 * rows * columns);
      both.set(codes, 1 * 2 * rows * columns); // gate of expert 1
      const perExpert = 3 * 3; // 288 rows are 96 · 3
      const all = Float32Array.from({ length: numExperts * perExpert }, (_, i) => i + 1);
      const tensors = [
        tensor('', 'F8_E4M3', [numExperts, 2 * rows, columns], both, fused),
        tensor('_scale_inv', 'F32', [numExperts, 3, 3], all, fused),
      ];
      const read = await decoded(tensors, spec);
      expect(read).to.deep.equal(expected(96, 64, 3, all.subarray(perExpert)));
    });

    it('whose number no shape explains are refused with what would', async () => {
      const scale = tensor('.weight_scale_inv', 'F32', [3, 2], new Float32Array(6));
      await withWeights([weight, scale], specOf(rows, columns), async (weights) => {
        const error = await errorOf(WeightError, () => weights.info(`${BASE}.weight`));
        expect(error.message).to.match(/^SHAPE_MISMATCH: .*weight_scale_inv.*\[3, 2\].*\[2, 2\]/);
      });
    });
  });

  it("gpt-oss's MXFP4: rows of gate and up in turn, low nibble first, every code with every exponent", async () => {
    const [rows, columns] = [128, 64];
    const spec = { ...specOf(rows, columns), stored: { ...OWN_NAMES, experts: 'columns' } as const };
    const numExperts = spec.moe.gate.numExperts;
    const fused = 'model.layers.0.mlp.experts.gate_up_proj';
    const blocks = new Uint8Array((numExperts * 2 * rows * columns) / 2).map((_, i) => mixed(i));
    const scales = new Uint8Array((numExperts * 2 * rows * columns) / 32).map((_, i) => i >> 1);
    const tensors = [
      tensor('_blocks', 'U8', [numExperts, 2 * rows, columns / 32, 16], blocks, fused),
      tensor('_scales', 'U8', [numExperts, 2 * rows, columns / 32], scales, fused),
    ];
    const values = e2m1Values();
    const expected = Float32Array.from({ length: rows * columns }, (_, i) => {
      const at = (1 * 2 * rows + 2 * Math.floor(i / columns)) * columns + (i % columns);
      const code = (blocks[at >> 1]! >> (4 * (at & 1))) & 15;
      const exponent = scales[Math.floor(at / 32)]!;
      return exponent === 255 ? NaN : values[code]! * 2 ** (exponent - 127);
    });
    const read = await decoded(tensors, spec);
    expect(read.findIndex((value, i) => !Object.is(value, expected[i]))).to.equal(-1);
    expect(new Set(scales.subarray(2 * rows * 2, 4 * rows * 2)).size, 'exponents').to.be.above(100);
    await withWeights(tensors, spec, async (weights) => {
      const names = ['gate', 'up'].map((part) => `${BASE.replace('gate_proj', part)}_proj.weight`);
      const rowsOf = names.map((name) => weights.stored(name, [rows, columns]));
      await Promise.all(rowsOf.map((each) => each.readRows(0, new Uint8Array(each.rowBytes * rows))));
      const numBytes = rows * columns + (2 * rows * columns) / 32;
      expect([weights.checkpoint.bytesRead, weights.totalBytes(names)]).to.deep.equal([numBytes, numBytes]);
    });
  });

  describe('codes in columns', () => {
    const [rows, columns, width] = [32, 64, 16];
    const numGroups = columns / width;
    const codeOf = (row: number, column: number, bits = 4): number => mixed(row * columns + column) % 2 ** bits;
    const zeroOf = (row: number, group: number, bits = 4): number => mixed(7 * row + 31 * group) % 2 ** bits;
    const halves = Uint16Array.from({ length: numGroups * rows }, (_, i) => 0x2c00 + (mixed(i) % 0x1000));
    const scaleOf = (row: number, group: number): number => {
      const half = halves[group * rows + row]!;
      return (1 + (half & 0x3ff) / 1024) * 2 ** ((half >> 10) - 15);
    };
    const scales = tensor('.scales', 'F16', [numGroups, rows], halves);
    const expected = (zero: (row: number, group: number) => number, groupOf: (column: number) => number, bits = 4) =>
      Float32Array.from({ length: rows * columns }, (_, i) => {
        const [row, column] = [Math.floor(i / columns), i % columns];
        const group = groupOf(column);
        return (codeOf(row, column, bits) - zero(row, group)) * scaleOf(row, group);
      });
    const inOrder = (column: number): number => Math.floor(column / width);

    it('AWQ: words of eight outputs, in its own order', async () => {
      const order = [0, 2, 4, 6, 1, 3, 5, 7]; // output of each nibble, as AutoAWQ packs them
      const pack = (numLines: number, at: (line: number, output: number) => number): Int32Array =>
        Int32Array.from({ length: (numLines * rows) / 8 }, (_, i) => {
          const [line, word] = [Math.floor(i / (rows / 8)), i % (rows / 8)];
          return order.reduce((bits, output, nibble) => bits | (at(line, 8 * word + output) << (4 * nibble)), 0);
        });
      const tensors = [
        tensor(
          '.qweight',
          'I32',
          [columns, rows / 8],
          pack(columns, (column, row) => codeOf(row, column)),
        ),
        tensor(
          '.qzeros',
          'I32',
          [numGroups, rows / 8],
          pack(numGroups, (group, row) => zeroOf(row, group)),
        ),
        scales,
      ];
      const spec = specOf(rows, columns, { quant_method: 'awq', bits: 4, group_size: width, zero_point: true });
      expect(await decoded(tensors, spec)).to.deep.equal(expected(zeroOf, inOrder));
    });

    for (const bits of [2, 4, 8]) {
      for (const format of ['gptq', 'gptq_v2'] as const) {
        it(`GPTQ of ${bits} bits, ${format}, groups in order and not`, async () => {
          const perWord = 32 / bits;
          const pack = (length: number, at: (i: number) => number): Int32Array =>
            Int32Array.from({ length: length / perWord }, (_, word) =>
              numbers(perWord, (i) => at(word * perWord + i)).reduce((sum, code, i) => sum | (code << (bits * i)), 0),
            );
          const words = numbers(columns / perWord, (line) =>
            numbers(rows, (row) => pack(perWord, (i) => codeOf(row, line * perWord + i, bits))[0]!),
          );
          const less = format === 'gptq' ? 1 : 0; // the first format stores zeros less one, in so many bits
          const zeros = numbers(numGroups, (group) => [
            ...pack(rows, (row) => (zeroOf(row, group, bits) - less) & (2 ** bits - 1)),
          ]);
          const groups = numbers(columns, (column) => mixed(column) % numGroups);
          const tensors = [
            tensor('.qweight', 'I32', [columns / perWord, rows], Int32Array.from(words.flat())),
            tensor('.qzeros', 'I32', [numGroups, rows / perWord], Int32Array.from(zeros.flat())),
            scales,
          ];
          const spec = specOf(rows, columns, { quant_method: 'gptq', bits, checkpoint_format: format });
          const zero = (row: number, group: number): number => zeroOf(row, group, bits);
          expect(await decoded(tensors, spec)).to.deep.equal(expected(zero, inOrder, bits));
          const order = tensor('.g_idx', 'I32', [columns], Int32Array.from(groups));
          const anyOrder = expected(zero, (column) => groups[column]!, bits);
          expect(await decoded([...tensors, order], spec)).to.deep.equal(anyOrder);
        });
      }
    }
  });

  it('compressed-tensors with groups in any order of columns, and integers of 8 bits that nobody packed', async () => {
    const [rows, columns, numGroups] = [8, 32, 4];
    const codes = Uint8Array.from({ length: rows * columns }, (_, i) => mixed(i));
    const scales = Float32Array.from({ length: rows * numGroups }, (_, i) => i + 0.5);
    const groups = Int32Array.from({ length: columns }, (_, i) => mixed(i) % numGroups);
    const signed = Float32Array.from(codes, (code, i) => {
      const group = groups[i % columns]!;
      return ((code << 24) >> 24) * scales[Math.floor(i / columns) * numGroups + group]!;
    });
    const spec = specOf(rows, columns);
    const others = [
      tensor('.weight_scale', 'F32', [rows, numGroups], scales),
      tensor('.weight_g_idx', 'I32', [columns], groups),
    ];
    expect(await decoded([tensor('.weight', 'I8', [rows, columns], codes), ...others], spec)).to.deep.equal(signed);
    const packed = tensor(
      '.weight_packed',
      'I32',
      [rows, columns / 4],
      codes.map((code) => code ^ 0x80),
    );
    expect(await decoded([packed, ...others], spec)).to.deep.equal(signed);
    const plain = tensor('.weight', 'I8', [rows, columns], codes);
    const perRow = tensor('.weight_scale', 'F32', [rows, 1], scales.subarray(0, rows));
    const zeros = tensor(
      '.weight_zero_point',
      'I8',
      [rows, 1],
      Uint8Array.from({ length: rows }, (_, i) => 250 + i),
    );
    const shifted = Float32Array.from(codes, (code, i) => {
      const row = Math.floor(i / columns);
      return (((code << 24) >> 24) - (((250 + row) << 24) >> 24)) * scales[row]!;
    });
    expect(await decoded([plain, perRow, zeros], spec)).to.deep.equal(shifted);
  });

  describe('what a folder says and tensors lack, or the other way round', () => {
    const [rows, columns] = [32, 48];
    const refusal = async (tensors: readonly TensorToWrite[], quantization: object | null): Promise<string> =>
      withWeights(tensors, specOf(rows, columns, quantization), async (weights) => {
        const name = `${BASE}.weight`;
        const read = (): Promise<unknown> => Promise.resolve(weights.matrix(name, [rows, columns]));
        return (await errorOf(WeightError, read)).message;
      });
    const fp8 = tensor('.weight', 'F8_E4M3', [rows, columns], new Uint8Array(rows * columns).fill(0x38));
    const int4 = tensor('.weight_packed', 'I32', [rows, columns / 8], new Int32Array((rows * columns) / 8));
    const scalesOf = (numGroups: number): TensorToWrite =>
      tensor('.weight_scale', 'F32', [rows, numGroups], new Float32Array(rows * numGroups).fill(1));
    const compressed = (weights: object): object => ({
      quant_method: 'compressed-tensors',
      config_groups: { group_0: { weights: { num_bits: 4, ...weights } } },
    });
    const gptq = (order: readonly number[] | null): TensorToWrite[] => [
      tensor('.qweight', 'I32', [columns / 8, rows], new Int32Array((columns / 8) * rows)),
      tensor('.qzeros', 'I32', [3, rows / 8], new Int32Array((3 * rows) / 8)),
      tensor('.scales', 'F16', [3, rows], new Uint16Array(3 * rows).fill(0x3c00)),
      ...(order === null ? [] : [tensor('.g_idx', 'I32', [columns], Int32Array.from(order))]),
    ];

    it('FP8 without a scale is a value where nobody speaks of scales, and a missing tensor elsewhere', async () => {
      expect((await decoded([fp8], specOf(rows, columns)))[0]).to.equal(1);
      expect(await refusal([fp8], { quant_method: 'fp8' })).to.match(/^MISSING_TENSOR: .*gate_proj\.weight_scale_inv"/);
      const other = tensor('.weight_scale', 'F32', [1], new Float32Array(1), 'model.layers.0.self_attn.q_proj');
      expect(await refusal([fp8, other], null)).to.match(/^MISSING_TENSOR: .*gate_proj\.weight_scale_inv"/);
    });

    it('groups that don’t divide the columns: the last is smaller where the size is said, refused where it isn’t', async () => {
      const scales = tensor(
        '.weight_scale',
        'F32',
        [rows, 2],
        Float32Array.from({ length: 2 * rows }, (_, i) => 1 + (i % 2)),
      );
      const values = await decoded(
        [fp8, scales],
        specOf(rows, columns, compressed({ type: 'float', num_bits: 8, group_size: 32 })),
      );
      expect([values[31], values[32], values[47]]).to.deep.equal([1, 2, 2]);
      const ints = await decoded([int4, scales], specOf(rows, columns, compressed({ group_size: 32 })));
      expect([ints[31], ints[32], ints[47]]).to.deep.equal([-8, -16, -16]);
      for (const numGroups of [5, 7, 100]) {
        expect(await refusal([int4, scalesOf(numGroups)], null)).to.match(/^SHAPE_MISMATCH: .*weight_scale"/);
        expect(await refusal([fp8, scalesOf(numGroups)], null)).to.match(/^SHAPE_MISMATCH: .*weight_scale"/);
      }
      expect(await refusal([int4, scalesOf(3)], compressed({ group_size: 32 }))).to.match(/^SHAPE_MISMATCH/);
    });

    it('what stands beside codes and isn’t read is refused by its name', async () => {
      const scale = tensor('.weight_scale', 'F32', [1], new Float32Array(1));
      const zeros = tensor('.weight_zero_point', 'I8', [1], new Uint8Array(1));
      expect(await refusal([fp8, scale, zeros], null)).to.match(/^UNKNOWN_DTYPE: .*weight_zero_point" of zero points/);
      const inputs = tensor('.pre_quant_scale', 'F32', [columns], new Float32Array(columns));
      expect(await refusal([fp8, scale, inputs], null)).to.match(/^UNKNOWN_DTYPE: .*pre_quant_scale" of inputs/);
    });

    it('packed weights without what must be beside them: that is what is missing', async () => {
      const u8 = (ending: string): TensorToWrite =>
        tensor(ending, 'U8', [rows, columns / 2], new Uint8Array((rows * columns) / 2));
      const fp8Scales = tensor('.weight_scale', 'F8_E4M3', [rows, 3], new Uint8Array(3 * rows));
      const [qweight, qzeros] = gptq(null);
      for (const [tensors, lacks] of [
        [[int4], '.weight_scale'],
        [[u8('.weight_packed'), fp8Scales], '.weight_global_scale'],
        [[u8('.weight'), fp8Scales], '.weight_scale_2'],
        [[qweight!], '.qzeros'],
        [[qweight!, qzeros!], '.scales'],
      ] as const) {
        expect(await refusal(tensors, null)).to.contain(`there is no tensor "${BASE}${lacks}"`);
      }
    });

    it("modelopt's blocks have dimensions of 1 between", async () => {
      const scale = tensor('.weight_scale', 'F32', [2, 1, 3, 1], Float32Array.of(1, 2, 3, 4, 5, 6));
      const [numRows, numColumns] = [144, 300];
      const weight = tensor(
        '.weight',
        'F8_E4M3',
        [numRows, numColumns],
        new Uint8Array(numRows * numColumns).fill(0x38),
      );
      const values = await decoded([weight, scale], specOf(numRows, numColumns));
      expect([values[0], values[128], values[299], values[128 * 300]]).to.deep.equal([1, 2, 3, 4]);
    });
  });

  it('what is packed in no known way is refused by its type', async () => {
    for (const [dtype, size] of [
      ['U8', 1],
      ['I8', 1],
      ['F8_E5M2', 1],
      ['I64', 8],
    ] as const) {
      const unknown = tensor('.weight', dtype, [2, 2], new Uint8Array(4 * size));
      await withWeights([unknown], specOf(2, 2), async (weights) => {
        const error = await errorOf(WeightError, () => weights.info(`${BASE}.weight`));
        expect(error.message).to.match(new RegExp(`^UNKNOWN_DTYPE: .*element type ${dtype}`));
      });
    }
  });
});
