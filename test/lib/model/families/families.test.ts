import { expect } from 'chai';
import { FAMILIES, modelSpecOf } from '../../../../lib/model/families/registry.js';
import { ModelError } from '../../../../lib/model/spec/errors.js';
import { errorOf } from '../../../kit/rejects.js';
import { readConformance } from '../../../kit/model/conformance.js';
import { V3, QWEN3, without, refused, type Config } from '../../../kit/model/published_configs.js';

describe('model families', () => {
  it('an unknown or missing model_type lists the supported ones', async () => {
    for (const config of [{ model_type: 'llama' }, {}, null, { model_type: 3 }, { model_type: 'constructor' }]) {
      await refused(config, 'UNSUPPORTED_MODEL', 'model_type', ...Object.keys(FAMILIES));
    }
    await refused({ model_type: 'llama' }, 'UNSUPPORTED_MODEL', '"llama"');
  });

  it('an unknown model_type is told which family its fields are those of, or are most like', async () => {
    const likeV3 = 'its fields are those of deepseek_v3';
    await refused({ ...V3, model_type: 'kimi_k3' }, 'UNSUPPORTED_MODEL', 'kimi_k3', likeV3, 'model_type=deepseek_v3');
    await refused({ ...QWEN3, model_type: 'qwen9' }, 'UNSUPPORTED_MODEL', 'its fields are those of qwen3_moe');
    const odd = { ...QWEN3, model_type: 'qwen9', hidden_act: 'gelu' };
    await refused(odd, 'UNSUPPORTED_MODEL', 'it is most like qwen3_moe, which says: hidden_act is "gelu"');
    await refused({ ...V3, model_type: 'deepseek_v9', hc_mult: 4 }, 'UNSUPPORTED_MODEL', 'hc_mult (hyper-connections)');
  });

  it('fields can be set to something else, the family too, but none that nobody reads', async () => {
    expect(modelSpecOf(V3, { num_experts_per_tok: 4 }).moe.gate.numTopk).to.equal(4);
    expect(modelSpecOf({ ...V3, model_type: 'kimi_k3' }, { model_type: 'deepseek_v3' })).to.deep.equal(modelSpecOf(V3));
    const { scaling } = modelSpecOf(V3, { rope_scaling: { factor: 2 } }).rope;
    expect(scaling).to.deep.include({ kind: 'yarn', factor: 2, originalMaxPositions: 4096 });
    const error = await errorOf(ModelError, () => modelSpecOf(V3, { num_expert_per_tok: 4 }));
    expect(error.message).to.contain('model_overrides.num_expert_per_tok').and.contain('"num_experts_per_tok"');
  });

  it('an override must be read, in text_config and rope_scaling too and whatever config.json has', async () => {
    const { config } = readConformance('qwen3_5_moe').cases[0]!;
    expect(modelSpecOf(config, { text_config: { num_experts_per_tok: 2 } }).moe.gate.numTopk).to.equal(2);
    expect(modelSpecOf({ ...QWEN3, hc_mult: 4 }, { hc_mult: null })).to.deep.equal(modelSpecOf(QWEN3));
    for (const [of, overrides, named] of [
      [config, { text_config: { num_expert_per_tok: 2 } }, '"text_config.num_experts_per_tok"'],
      [config, { num_experts_per_tok: 2 }, '"text_config.num_experts_per_tok"'],
      [{ ...QWEN3, experts_per_token: 8 }, { experts_per_token: 1 }, 'experts_per_token'],
      [V3, { rope_scaling: { facotr: 8 } }, '"rope_scaling.factor"'],
      [config, { text_config: { rope_parameters: { rope_thet: 9 } } }, '"text_config.rope_parameters.rope_theta"'],
    ] as const) {
      const error = await errorOf(ModelError, () => modelSpecOf(of, overrides));
      expect(error.code).to.equal('INVALID_MODEL_CONFIG');
      expect(error.message).to.contain(named);
    }
  });

  it('fields of mechanisms that a family does not have are refused under any model_type', async () => {
    for (const config of [V3, QWEN3]) {
      for (const [field, value] of [
        ['index_topk', 2048],
        ['hc_mult', 4],
        ['linear_attn_config', { short_conv_kernel_size: 4 }],
        ['final_logit_softcapping', 30],
      ] as const) {
        await refused({ ...config, [field]: value }, 'UNSUPPORTED_MODEL', field, String(config.model_type));
        expect(modelSpecOf({ ...config, [field]: null })).to.deep.equal(modelSpecOf(config));
      }
    }
  });

  it('fields that choose another mechanism pass where they choose what the family does', async () => {
    const kinds = (kind: string): string[] => new Array<string>(48).fill(kind);
    const neutral = {
      layer_types: kinds('full_attention'),
      mlp_layer_types: kinds('sparse'),
      moe_layer_freq: 1,
      sliding_window: 4096, // use_sliding_window is false
      shared_expert_intermediate_size: 0,
      scoring_func: 'softmax',
      routed_scaling_factor: 1,
      mlp_bias: false,
    };
    expect(modelSpecOf({ ...QWEN3, ...neutral })).to.deep.equal(modelSpecOf(QWEN3));
    for (const [field, value] of [
      ['layer_types', kinds('sliding_attention')],
      ['mlp_layer_types', kinds('dense')],
      ['moe_layer_freq', 2],
      ['shared_expert_intermediate_size', 512],
      ['scoring_func', 'sigmoid'],
      ['routed_scaling_factor', 2.5],
      ['mlp_bias', true],
      ['clip_qkv', 8],
    ] as const) {
      await refused({ ...QWEN3, [field]: value }, 'UNSUPPORTED_MODEL', field);
    }
    await refused({ ...V3, sliding_window: 4096 }, 'UNSUPPORTED_MODEL', 'sliding_window');
    expect(modelSpecOf({ ...V3, sliding_window: 163840 })).to.deep.equal(modelSpecOf(V3));
    const likely = { ...QWEN3, model_type: 'qwen9', odd_gate: 'odd' };
    await refused(likely, 'UNSUPPORTED_MODEL', "qwen3_moe, which doesn't read odd_gate");
  });

  it('rope_parameters by kind of layer are refused, and rope_theta may be null beside one in them', async () => {
    const { rope } = modelSpecOf(QWEN3);
    const kinds = { full_attention: { rope_theta: 5e6 }, sliding_attention: { rope_theta: 1e4 } };
    for (const field of ['rope_parameters', 'rope_scaling']) {
      const config = { ...without(QWEN3, 'rope_theta'), [field]: kinds };
      await refused(config, 'UNSUPPORTED_MODEL', `${field}.full_attention`);
    }
    const given = { rope_theta: 1e6, rope_type: null, type: 'default' };
    expect(modelSpecOf({ ...QWEN3, rope_theta: null, rope_parameters: given }).rope).to.deep.equal(rope);
    await refused({ ...QWEN3, rope_theta: null }, 'INVALID_MODEL_CONFIG', 'rope_theta is null');
  });

  it('the text of Qwen3.5 is read alone too, by its own names', () => {
    const { config } = readConformance('qwen3_5_moe').cases[0]!;
    const whole = modelSpecOf(config);
    const alone = modelSpecOf({ ...(config.text_config as Config), model_type: 'qwen3_5_moe_text' });
    const replace = whole.stored.replace.filter(([, stored]) => stored !== 'model.language_model.');
    const stored = { ...whole.stored, replace };
    expect(alone).to.deep.equal({ ...whole, modelType: 'qwen3_5_moe_text', stored });
  });

  it('what a family always does may be said, and the opposite is refused', async () => {
    const coder = { ...QWEN3, use_qk_norm: true, qkv_bias: false, shared_expert_intermediate_size: 0 };
    expect(modelSpecOf(coder)).to.deep.equal(modelSpecOf(QWEN3));
    await refused({ ...QWEN3, use_qk_norm: false }, 'UNSUPPORTED_MODEL', 'use_qk_norm is false');
  });

  for (const config of [V3, QWEN3]) {
    const modelType = String(config.model_type);

    it(`${modelType}: values that are not implemented are refused by name`, async () => {
      for (const [field, value] of [['hidden_act', 'gelu']] as const) {
        await refused({ ...config, [field]: value }, 'UNSUPPORTED_MODEL', field, JSON.stringify(value), modelType);
      }
    });

    it(`${modelType}: missing, mistyped and impossible fields are refused by name`, async () => {
      for (const field of ['hidden_size', 'num_hidden_layers', 'vocab_size', 'moe_intermediate_size']) {
        await refused(without(config, field), 'INVALID_MODEL_CONFIG', field, 'missing');
        await refused({ ...config, [field]: 'many' }, 'INVALID_MODEL_CONFIG', field, '"many"');
        await refused({ ...config, [field]: -1 }, 'INVALID_MODEL_CONFIG', field, '-1');
      }
    });

    it(`${modelType}: numbers that no model has are refused before anything is made of them`, async () => {
      for (const field of [
        'hidden_size',
        'num_hidden_layers',
        'vocab_size',
        'num_attention_heads',
        'moe_intermediate_size',
      ]) {
        for (const value of [1e9, 2 ** 53, 1e300]) {
          await refused({ ...config, [field]: value }, 'INVALID_MODEL_CONFIG', field, JSON.stringify(value));
        }
      }
      const experts = 'num_experts' in config ? 'num_experts' : 'n_routed_experts';
      const many = { ...config, [experts]: 65536, num_hidden_layers: 4096 };
      await refused(many, 'INVALID_MODEL_CONFIG', '4096 layers of 65536 experts');
    });

    it(`${modelType}: eos_token_id may be one id, several or none`, () => {
      const eosOf = (value: unknown): readonly number[] => modelSpecOf({ ...config, eos_token_id: value }).eosTokenIds;
      expect([eosOf(5), eosOf([5, 6]), eosOf(null), eosOf(undefined)]).to.deep.equal([[5], [5, 6], [], []]);
    });

    it(`${modelType}: unknown fields are ignored`, () => {
      expect(modelSpecOf({ ...config, transformers_version: '9', use_cache: true })).to.deep.equal(modelSpecOf(config));
    });
  }
});
