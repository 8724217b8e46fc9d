import { expect } from 'chai';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { floatsOf } from '../../../../compute/base/weight_matrix.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { OWN_NAMES, type ModelSpec, type StoredNames } from '../../../../lib/model/spec/spec.js';
import { openWeights } from '../../../../lib/model/stored/model_weights.js';
import { WeightError } from '../../../../lib/weights/errors.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { writeSafetensors, type TensorToWrite } from '../../../kit/model/safetensors_writer.js';
import { withWeights } from '../../../kit/model/written_weights.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { encodeFloat32 } from '../../../refs/encoded_floats_ref.js';

const TINY = tinyModel('tiny-qwen3-moe');
const { config } = await readModelFiles(TINY);
const SPEC = modelSpecOf(config);
const [H, I, E] = [SPEC.hiddenSize, SPEC.moe.intermediateSize, SPEC.moe.gate.numExperts];
const HIDDEN = [I, H] as const;
const EXPERT = 'model.layers.0.mlp.experts';

const numbersOf = (shape: readonly number[]): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i + 1);

const f32 = (name: string, shape: readonly number[], values = numbersOf(shape)): TensorToWrite => ({
  ...{ name, dtype: 'F32', shape },
  bytes: new Uint8Array(values.buffer),
});

/** [I,H] of an expert of [E, rows, H] by the plainest loops. */
const rowsOf = (
  numRows: number,
  columns: number,
  at: (row: number, column: number) => number,
): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: numRows * columns }, (_, i) => at(Math.floor(i / columns), i % columns));

const stored = (change: Partial<StoredNames>): ModelSpec => ({ ...SPEC, stored: { ...OWN_NAMES, ...change } });

describe('the view of a checkpoint', () => {
  it('gives matrices as they are stored, F16 as float32, vectors as float32', async () => {
    const values = numbersOf([I, H]).map((value) => value % 128);
    const bf16 = encodeFloat32(values, 'BF16');
    const halves = Uint16Array.from({ length: H }, () => 0x3c00);
    const name = `${EXPERT}.0.gate_proj.weight`;
    const norm = { name: 'model.norm.weight', dtype: 'F16', shape: [H], bytes: new Uint8Array(halves.buffer) };
    await withWeights([{ name, dtype: 'BF16', shape: HIDDEN, bytes: bf16 }, norm], SPEC, async (weights) => {
      const matrix = await weights.matrix(name, HIDDEN);
      expect(matrix).to.deep.include({ dtype: 'bf16', rows: I, columns: H });
      expect([...matrix.bytes]).to.deep.equal([...bf16]);
      expect(weights.info(name)).to.deep.include({ dtype: 'bf16', shape: HIDDEN });
      expect([...(await weights.floats('model.norm.weight', [H]))]).to.deep.equal(new Array(H).fill(1));
      expect(weights.names()).to.have.members([name, 'model.norm.weight']);
    });
  });

  it('rows of a matrix are its bytes on disk, also in shared memory, and nothing else is read', async () => {
    const name = `${EXPERT}.1.up_proj.weight`;
    const bytes = Uint8Array.from({ length: 2 * I * H }, (_, i) => i);
    await withWeights([{ name, dtype: 'F16', shape: HIDDEN, bytes }], SPEC, async (weights) => {
      const rows = weights.stored(name, HIDDEN);
      expect(rows).to.deep.include({ dtype: 'f16', rows: I, columns: H, rowBytes: 2 * H });
      const target = new Uint8Array(new SharedArrayBuffer(8 * H), 4 * H, 4 * H);
      await rows.readRows(2, target);
      expect([...target]).to.deep.equal([...bytes.subarray(4 * H, 8 * H)]);
      expect(weights.checkpoint.bytesRead).to.equal(4 * H);
    });
  });

  it('files know a tensor by what the family says', async () => {
    const names = {
      prefix: 'language_model.',
      replace: [
        ['.mlp.experts.', '.moe.'],
        ['gate_proj', 'w1'],
      ],
    } as const;
    const spec = stored(names);
    await withWeights([f32('language_model.model.layers.0.moe.3.w1.weight', HIDDEN)], spec, async (weights) => {
      expect(weights.names()).to.deep.equal([`${EXPERT}.3.gate_proj.weight`]);
      expect(floatsOf(await weights.matrix(`${EXPERT}.3.gate_proj.weight`, HIDDEN))).to.deep.equal(numbersOf(HIDDEN));
      const error = await errorOf(WeightError, () => weights.matrix(`${EXPERT}.4.gate_proj.weight`, HIDDEN));
      expect(error.message).to.match(/^MISSING_TENSOR: .*"language_model\.model\.layers\.0\.moe\.4\.w1\.weight"/);
    });
  });

  it('experts in one tensor: of each its own rows, and no other bytes are read', async () => {
    const all = numbersOf([E, 2 * I, H]);
    const down = numbersOf([E, H, I]);
    for (const [fused, downName] of [
      [`${EXPERT}.gate_up_proj`, `${EXPERT}.down_proj`],
      ['model.layers.0.mlp.input_linear.weight', 'model.layers.0.mlp.output_linear.weight'],
    ] as const) {
      const tensors = [f32(fused, [E, 2 * I, H], all), f32(downName, [E, H, I], down)];
      await withWeights(tensors, SPEC, async (weights) => {
        for (const [e, part] of [
          [0, 'gate'],
          [3, 'up'],
        ] as const) {
          const first = part === 'gate' ? 0 : I;
          const read = await weights.matrix(`${EXPERT}.${e}.${part}_proj.weight`, HIDDEN);
          const expected = rowsOf(I, H, (row, column) => all[(e * 2 * I + first + row) * H + column]!);
          expect(floatsOf(read), part).to.deep.equal(expected);
        }
        const read = await weights.matrix(`${EXPERT}.${E - 1}.down_proj.weight`, [H, I]);
        expect(floatsOf(read)).to.deep.equal(down.slice((E - 1) * H * I));
        expect(weights.checkpoint.bytesRead).to.equal(3 * 4 * I * H);
      });
    }
  });

  it('experts in one tensor, the other way round and in turn: read once for gate and up, biases too', async () => {
    const all = numbersOf([E, H, 2 * I]);
    const down = numbersOf([E, I, H]);
    const biases = numbersOf([E, 2 * I]);
    const tensors = [
      f32(`${EXPERT}.gate_up_proj`, [E, H, 2 * I], all),
      f32(`${EXPERT}.down_proj`, [E, I, H], down),
      f32(`${EXPERT}.gate_up_proj_bias`, [E, 2 * I], biases),
    ];
    await withWeights(tensors, stored({ experts: 'columns' }), async (weights) => {
      const e = 2;
      const names = ['gate', 'up'].map((part) => `${EXPERT}.${e}.${part}_proj.weight`);
      const opened = names.map((name) => weights.stored(name, HIDDEN));
      const targets = opened.map(() => new Float32Array(I * H));
      const half = Math.ceil(I / 2) * H; // in two pieces
      for (const from of [0, half])
        await Promise.all(
          opened.map((rows, i) =>
            rows.readRows(
              from / H,
              new Uint8Array(
                targets[i]!.subarray(from, from + half).buffer,
                4 * from,
                4 * Math.min(half, I * H - from),
              ),
            ),
          ),
        );
      for (const [i, first] of [0, 1].entries()) {
        const expected = rowsOf(I, H, (row, column) => all[(e * H + column) * 2 * I + first + 2 * row]!);
        expect(targets[i]).to.deep.equal(expected);
      }
      expect(weights.checkpoint.bytesRead).to.equal(4 * 2 * I * H);
      expect(weights.totalBytes(names)).to.equal(weights.checkpoint.bytesRead);
      const read = await weights.matrix(`${EXPERT}.${e}.down_proj.weight`, [H, I]);
      expect(floatsOf(read)).to.deep.equal(rowsOf(H, I, (row, column) => down[(e * I + column) * H + row]!));
      const bias = await weights.floats(`${EXPERT}.${e}.up_proj.bias`, [I]);
      expect(bias).to.deep.equal(rowsOf(I, 1, (row) => biases[e * 2 * I + 2 * row + 1]!));
    });
  });

  it('projections in one tensor: q, k and v, and gate and up of a network', async () => {
    const { numHeads, numKvHeads, headDim } = SPEC.attention as typeof SPEC.attention & { kind: 'gqa' };
    const [q, kv] = [numHeads * headDim, numKvHeads * headDim];
    const dense = { ...SPEC, layers: [{ ...SPEC.layers[0]!, kind: 'dense', intermediateSize: I } as const] };
    const prefix = 'model.layers.0.';
    const tensors = [
      f32(`${prefix}self_attn.query_key_value.weight`, [q + 2 * kv, H]),
      f32(`${prefix}mlp.gate_up_proj.weight`, [2 * I, H]),
    ];
    await withWeights(tensors, dense, async (weights) => {
      for (const [name, first, rows] of [
        ['self_attn.q_proj', 0, q],
        ['self_attn.k_proj', q, kv],
        ['self_attn.v_proj', q + kv, kv],
        ['mlp.gate_proj', 0, I],
        ['mlp.up_proj', I, I],
      ] as const) {
        const read = floatsOf(await weights.matrix(`${prefix}${name}.weight`, [rows, H]));
        expect(read, name).to.deep.equal(rowsOf(rows, H, (row, column) => (first + row) * H + column + 1));
      }
    });
  });

  it('a vector may be stored as a matrix of one row', async () => {
    await withWeights([f32('model.norm.weight', [1, H])], SPEC, async (weights) => {
      expect(await weights.floats('model.norm.weight', [H])).to.deep.equal(numbersOf([H]));
    });
  });

  it('a shape that the model does not imply is refused with both shapes, before any byte is read', async () => {
    const name = `${EXPERT}.gate_up_proj`;
    await withWeights([f32(name, [E, H, I])], SPEC, async (weights) => {
      const error = await errorOf(WeightError, () => weights.info(`${EXPERT}.0.gate_proj.weight`));
      expect(error.code).to.equal('SHAPE_MISMATCH');
      expect(error.message)
        .to.contain(`[${E}, ${H}, ${I}]`)
        .and.contain(`[${E}, ${2 * I}, ${H}]`)
        .and.contain(name);
      expect(weights.checkpoint.bytesRead).to.equal(0);
    });
  });

  it('packed weights are refused by their type, before their shape', async () => {
    const name = `${EXPERT}.0.gate_proj.weight`;
    const tensor = { name, dtype: 'U8', shape: [2, 1], bytes: new Uint8Array(2) };
    await withWeights([tensor], SPEC, async (weights) => {
      const error = await errorOf(WeightError, () => weights.matrix(name, HIDDEN));
      expect(error.code).to.equal('UNKNOWN_DTYPE');
      expect(error.message).to.match(/element type U8: quantised or packed weights/);
    });
  });

  it('links into a cache, as the Hugging Face hub lays them, are followed', async () => {
    await withTempFolder(async (dir) => {
      await writeFile(join(dir, '0a1b'), writeSafetensors([f32('model.norm.weight', [H])]));
      await symlink('0a1b', join(dir, 'model.safetensors'));
      const weights = await openWeights(dir, SPEC);
      expect(await weights.floats('model.norm.weight', [H])).to.deep.equal(numbersOf([H]));
      await weights.close();
    });
  });
});
