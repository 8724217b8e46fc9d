import { expect } from 'chai';
import type { WeightDtype } from '../../../../compute/base/weight_matrix.js';
import { ExpertError } from '../../../../compute/base/errors.js';
import {
  commonDtype,
  denseDtype,
  keptDtype,
  residenceOf,
  type Residence,
  type ResidenceChoice,
} from '../../../../lib/model/weights/residence.js';
import { openWeights, type ModelWeights } from '../../../../lib/model/stored/model_weights.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { isExpertTensor, layerOf } from '../../../../lib/model/weights/rank_tensors.js';
import { matchesGlob, overridesOf } from '../../../../lib/model/weights/resident_overrides.js';
import { moe7m } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';

const AUTO: ResidenceChoice = { compute: 'auto', experts: 'auto', dense: 'auto' };
const KERNELS: Residence = { compute: 'kernels', experts: 'bf16', dense: 'auto', kv: 'f32' };

const openMoe7m = async (): Promise<ModelWeights> =>
  openWeights(moe7m(), modelSpecOf((await readModelFiles(moe7m())).config));

describe('what weights are kept as', () => {
  it('auto is the kernels on wasm, tensors elsewhere, and what the checkpoint stores', async () => {
    const weights = await openMoe7m();
    expect(residenceOf(AUTO, 'wasm', weights)).to.deep.equal(KERNELS);
    expect(residenceOf(AUTO, 'cpu', weights)).to.deep.equal({ ...KERNELS, compute: 'tensors' });
    expect(residenceOf({ ...AUTO, experts: 'int8', dense: 'f32' }, 'wasm', weights)).to.deep.equal({
      compute: 'kernels',
      experts: 'int8',
      dense: 'f32',
      kv: 'f32',
    });
    expect(residenceOf({ ...AUTO, kv: 'int8' }, 'wasm', weights)).to.deep.equal({ ...KERNELS, kv: 'int8' });
    await weights.close();
  });

  it('refuses kernels beside another backend, and int8 without kernels, with what to set', async () => {
    const weights = await openMoe7m();
    const kernels = await errorOf(ExpertError, () => residenceOf({ ...AUTO, compute: 'kernels' }, 'cpu', weights));
    expect(kernels.message).to.match(/^BACKEND_UNAVAILABLE: .*backend: wasm.*this rank has cpu.*compute: auto$/);
    for (const choice of [{ experts: 'int8' }, { dense: 'int8' }] as const) {
      const int8 = await errorOf(ExpertError, () => residenceOf({ ...AUTO, ...choice }, 'tensorflow', weights));
      expect(int8.message).to.match(
        /^INVALID_ARGUMENT: int8 .*tensorflow tensors; choose bf16 or f32, or backend: wasm$/,
      );
    }
    for (const kv of ['bf16', 'int8'] as const) {
      const { message } = await errorOf(ExpertError, () => residenceOf({ ...AUTO, kv }, 'tensorflow', weights));
      expect(message).to.match(
        new RegExp(`^INVALID_ARGUMENT: engine.kv_dtype is ${kv}, .*tensorflow tensors; choose f32, or backend: wasm$`),
      );
    }
    await weights.close();
  });

  it('overrides decide by name, the last that matches counts, and one that matches a matrix counts for its network', async () => {
    const weights = await openMoe7m();
    const overrides = overridesOf({
      'layers.*': 'int8',
      'layers.*.mlp.experts.1.*': 'f32',
      'layers.2.mlp.experts.1.up_proj.*': 'int4',
      'lm_head.weight': 'fp8',
    });
    const residence = residenceOf({ ...AUTO, overrides }, 'wasm', weights);
    const table = residence.experts as readonly (readonly WeightDtype[])[];
    const firstMoe = weights.infos(isExpertTensor).map(({ name }) => layerOf(name)!);
    const offset = Math.min(...firstMoe);
    expect(table[2 - offset]!.slice(0, 3)).to.deep.equal(['int8', 'int4', 'int8']);
    expect(table[3 - offset]!.slice(0, 3)).to.deep.equal(['int8', 'f32', 'int8']);
    expect(keptDtype(weights, 'model.layers.0.self_attn.o_proj.weight', residence)).to.equal('int8');
    expect(keptDtype(weights, 'model.layers.3.mlp.gate.weight', residence)).to.equal('bf16');
    expect(keptDtype(weights, 'lm_head.weight', residence)).to.equal('fp8');
    const refused = await errorOf(ExpertError, () => residenceOf({ ...AUTO, overrides }, 'cpu', weights));
    expect(refused.message).to.match(/^INVALID_ARGUMENT: int8 weights need compute: kernels/);
    await weights.close();
  });

  it('stars of a glob stand for any characters, and names are without model.', () => {
    const names = ['model.layers.0.mlp.gate_proj.weight', 'lm_head.weight'];
    const isMatching = (glob: string): boolean => names.some((name) => matchesGlob(glob, name));
    for (const glob of ['layers.0.*', '*', 'lm_head.weight', 'layers.*.gate_proj.*', 'l*weight']) {
      expect(isMatching(glob), glob).to.equal(true);
    }
    for (const glob of ['layers.1.*', 'model.layers.0.*', 'lm_head.weight*weight', 'layers', '']) {
      expect(isMatching(glob), glob).to.equal(false);
    }
  });

  it('matrices of one network have one type: what holds all of them', () => {
    const dtypes: Record<string, WeightDtype> = { gate: 'fp8', up: 'fp8', down: 'bf16' };
    const weights = {
      has: () => true,
      info: (name: string) => ({ name, dtype: dtypes[/(gate|up|down)_proj/.exec(name)?.[1] ?? ''] ?? 'fp8' }),
    } as unknown as ModelWeights;
    const prefix = 'model.layers.0.mlp.';
    expect(keptDtype(weights, `${prefix}gate_proj.weight`, { dense: 'auto' })).to.equal('f32');
    expect(keptDtype(weights, `${prefix}gate_proj.weight`, { dense: 'bf16' })).to.equal('bf16');
    dtypes.down = 'fp8';
    expect(keptDtype(weights, `${prefix}down_proj.weight`, { dense: 'auto' })).to.equal('fp8');
    expect(keptDtype(weights, 'model.layers.0.self_attn.o_proj.weight', { dense: 'auto' })).to.equal('fp8');
  });

  it('gate and embedding are never int8; everything else is what is wanted', () => {
    const gate = { name: 'model.layers.3.mlp.gate.weight', dtype: 'f32' } as const;
    const embedding = { name: 'model.embed_tokens.weight', dtype: 'bf16' } as const;
    const other = { name: 'model.layers.3.self_attn.o_proj.weight', dtype: 'f32' } as const;
    const dtypes = (choice: 'auto' | 'f32' | 'bf16' | 'int8'): string[] =>
      [gate, embedding, other].map((info) => denseDtype(info, choice));
    expect(dtypes('auto')).to.deep.equal(['f32', 'bf16', 'f32']);
    expect(dtypes('int8')).to.deep.equal(['f32', 'bf16', 'int8']);
    expect(dtypes('bf16')).to.deep.equal(['bf16', 'bf16', 'bf16']);
    expect(dtypes('f32')).to.deep.equal(['f32', 'f32', 'f32']);
    const stored = [gate, embedding, other].map((info) => denseDtype({ ...info, dtype: 'fp8' }, 'auto'));
    expect(stored, 'codes').to.deep.equal(['f32', 'f32', 'fp8']);
    expect([commonDtype(['fp8', 'fp8']), commonDtype(['fp8', 'bf16']), commonDtype([])]).to.deep.equal([
      ...['fp8', 'f32', 'f32'],
    ]);
  });
});
