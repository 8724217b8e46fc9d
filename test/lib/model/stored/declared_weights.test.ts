import { expect } from 'chai';
import { join } from 'node:path';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { makeRandomCheckpoint } from '../../../../lib/model/random_checkpoint.js';
import { CODE_FORMATS } from '../../../../lib/model/random_codes.js';
import { randomConfig } from '../../../../lib/model/random_config.js';
import { declaredWeights } from '../../../../lib/model/stored/declared_weights.js';
import { openWeights, type KnownWeights } from '../../../../lib/model/stored/model_weights.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { GPT_OSS_20B, QWEN3, type Config } from '../../../kit/model/published_configs.js';
import { moe7m, tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const all = (weights: KnownWeights): object =>
  Object.fromEntries(
    weights
      .infos(({ length }) => length > 0)
      .map(({ name, shape, dtype }) => [name, { shape, dtype: shape.length === 2 ? dtype : 'any' }]),
  );

/** That config.json alone says what the files say of matrices. */
async function expectAgreed(dir: string): Promise<void> {
  const { config } = await readModelFiles(dir);
  const spec = modelSpecOf(config);
  const weights = await openWeights(dir, spec);
  expect(all(declaredWeights(spec, config))).to.deep.equal(all(weights));
  await weights.close();
}

/** What an expert's matrix, one of attention, the gate and the head are declared as. */
function declaredOf(config: Config): readonly string[] {
  const spec = modelSpecOf(config);
  const weights = declaredWeights(spec, config);
  const layer = 'model.layers.1';
  const names = ['mlp.experts.0.up_proj.weight', 'self_attn.o_proj.weight', 'mlp.gate.weight'];
  return [...names.map((name) => `${layer}.${name}`), 'lm_head.weight'].map((name) => weights.info(name).dtype);
}

describe('what config.json alone says of weights', () => {
  for (const dir of [
    moe7m(),
    ...['deepseek-v3', 'deepseek-v3-fp8', 'gpt-oss', 'mixtral'].map((name) => tinyModel(`tiny-${name}`)),
  ]) {
    it(`is what the files say: ${dir.split('/').at(-1)!}`, () => expectAgreed(dir));
  }

  for (const codes of CODE_FORMATS) {
    it(`is what the files say: ${codes}`, () =>
      withTempFolder(async (parent) => {
        const shape = {
          layers: 2,
          denseLayers: 0,
          hidden: 160,
          experts: 4,
          topk: 2,
          intermediate: 96,
          heads: 4,
          vocab: 64,
        };
        const config = randomConfig('qwen3_moe', { ...shape, dtype: 'BF16' });
        const dir = join(parent, 'model');
        // INT4 and MXFP4 are of routed experts alone.
        await makeRandomCheckpoint(dir, { config, dtype: 'BF16', codes, seed: 3 });
        const read = (await readModelFiles(dir)).config;
        const ignore = codes === 'FP8' ? {} : { ignore: ['re:.*self_attn.*'] };
        const spec = modelSpecOf(read);
        const weights = await openWeights(dir, spec);
        const quantization = { ...(read.quantization_config as object), ...ignore };
        expect(all(declaredWeights(spec, { ...read, quantization_config: quantization }))).to.deep.equal(all(weights));
        await weights.close();
      }));
  }

  it('modules that are left out stay as they are, by name, beginning, glob or simple expression', () => {
    const fp8 = { quant_method: 'fp8', weight_block_size: [128, 128] };
    expect(declaredOf({ ...QWEN3, quantization_config: fp8 })).to.deep.equal(['fp8', 'fp8', 'bf16', 'bf16']);
    for (const out of [
      'model.layers.1.self_attn',
      'o_proj',
      'model.layers.*.self_attn',
      'model.layers.1.self_attn.o_proj',
    ]) {
      const config = { ...QWEN3, quantization_config: { ...fp8, modules_to_not_convert: ['lm_head', out] } };
      expect(declaredOf(config), out).to.deep.equal(['fp8', 'bf16', 'bf16', 'bf16']);
    }
    const groups = {
      group_0: { targets: ['Linear'], weights: { num_bits: 4, type: 'int', group_size: 32, symmetric: true } },
    };
    const kimi = {
      ...{ quant_method: 'compressed-tensors', format: 'pack-quantized', config_groups: groups },
      ignore: ['lm_head', 're:.*self_attn.*', 're:.*shared_experts.*', 're:.*mlp\\.(gate|up|gate_up|down)_proj.*'],
    };
    expect(declaredOf({ ...QWEN3, quantization_config: kimi })).to.deep.equal(['int4', 'bf16', 'bf16', 'bf16']);
  });

  it('other methods: what their codes are kept as', () => {
    const of = (quantization: object): string => declaredOf({ ...QWEN3, quantization_config: quantization })[0]!;
    expect(of({ quant_method: 'awq', bits: 4, group_size: 128 })).to.equal('uint4');
    expect(of({ quant_method: 'gptq', bits: 4, group_size: 128, desc_act: false })).to.equal('uint4');
    expect(of({ quant_method: 'modelopt', quant_algo: 'FP8' })).to.equal('fp8');
    expect(of({ quant_method: 'modelopt', quant_algo: 'NVFP4' })).to.equal('f32');
    expect(declaredOf(GPT_OSS_20B)).to.deep.equal(['fp4', 'bf16', 'bf16', 'bf16']);
    expect(declaredOf({ ...QWEN3, torch_dtype: 'float16' })[0]).to.equal('f32');
  });

  it('an expression that could take for ever, or is none, leaves nothing out', () => {
    for (const pattern of ['re:(a+)+$', 're:(', 're:(.*)*x', `re:${'.*'.repeat(200)}`, 're:[a-z]+']) {
      const config = { ...QWEN3, quantization_config: { quant_method: 'fp8', modules_to_not_convert: [pattern] } };
      expect(declaredOf(config), pattern).to.deep.equal(['fp8', 'fp8', 'bf16', 'bf16']);
    }
  });
});
