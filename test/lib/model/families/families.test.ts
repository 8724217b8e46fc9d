import { expect } from 'chai';
import { FAMILIES, modelSpecOf } from '../../../../lib/model/families/registry.js';
import { V3, QWEN3, without, refused } from '../../../kit/model/published_configs.js';

describe('model families', () => {
  it('an unknown or missing model_type lists the supported ones', async () => {
    for (const config of [{ model_type: 'llama' }, {}, null, { model_type: 3 }, { model_type: 'constructor' }]) {
      await refused(config, 'UNSUPPORTED_MODEL', 'model_type', ...Object.keys(FAMILIES));
    }
    await refused({ model_type: 'llama' }, 'UNSUPPORTED_MODEL', '"llama"');
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
