import { expect } from 'chai';
import { ModelError } from '../../../../lib/model/spec/errors.js';
import { quantizationOf, UNSAID, withQuantConfig } from '../../../../lib/model/spec/quantization.js';
import { errorOf } from '../../../kit/rejects.js';

describe('what a folder says of quantised weights', () => {
  it('is nothing, or what their tensors don’t tell', () => {
    expect([quantizationOf(undefined), quantizationOf(null)]).to.deep.equal([null, null]);
    const fp8 = { quant_method: 'fp8', fmt: 'e4m3', activation_scheme: 'dynamic', scale_fmt: 'ue8m0' };
    expect(quantizationOf(fp8)).to.deep.equal({ method: 'fp8', ...UNSAID });
    expect(quantizationOf({ ...fp8, weight_block_size: [64, 32] })?.blockSize).to.deep.equal([64, 32]);
    const group = { weights: { strategy: 'block', block_structure: [16, 128] }, input_activations: { num_bits: 8 } };
    const compressed = { quant_method: 'compressed-tensors', format: 'float-quantized', config_groups: { group } };
    expect(quantizationOf(compressed)?.blockSize).to.deep.equal([16, 128]);
    expect(quantizationOf({ quant_method: 'gptq', bits: 4 })?.zeroOffset).to.equal(1);
    expect(quantizationOf({ quant_method: 'gptq', checkpoint_format: 'gptq_v2' })?.zeroOffset).to.equal(0);
    expect(quantizationOf({ quant_method: 'mxfp4', modules_to_not_convert: ['lm_head'] })?.method).to.equal('mxfp4');
  });

  it('is what groups of modules say alike: bits and zero points of integers, sizes of groups, whether a tensor orders columns', () => {
    const said = (...weights: object[]): object =>
      quantizationOf({
        quant_method: 'compressed-tensors',
        config_groups: Object.fromEntries(weights.map((each, i) => [`group_${i}`, { weights: each }])),
      })!;
    const int4 = { num_bits: 4, type: 'int', group_size: 32, symmetric: false, actorder: 'group' };
    expect(said(int4, int4)).to.include({ numBits: 4, groupSize: 32, hasZeros: true, hasOrder: true });
    const none = { numBits: null, groupSize: null, hasZeros: false, hasOrder: false };
    expect(said()).to.include(none);
    expect(said(int4, { ...int4, num_bits: 8, group_size: 128, symmetric: true, actorder: 'weight' })).to.include(none);
    expect(said({ ...int4, symmetric: true, actorder: null, group_size: -1 })).to.include({
      ...{ numBits: 4, groupSize: Infinity, hasZeros: false, hasOrder: false },
    });
    const gptq = { quant_method: 'gptq', bits: 8, group_size: 64, desc_act: true };
    expect(quantizationOf(gptq)).to.include({ numBits: 8, groupSize: 64, hasOrder: true });
    expect(quantizationOf({ quant_method: 'awq', bits: 4, group_size: 64 })).to.include({ groupSize: 64 });
    expect(quantizationOf({ quant_method: 'awq', w_bit: 4, q_group_size: 128 })).to.include({ groupSize: 128 });
    const own = { ...gptq, dynamic: { '+:.*down.*': { bits: 4 } } };
    expect(quantizationOf(own)).to.include({ numBits: null, groupSize: null, hasOrder: false });
  });

  it('calls forms by their old names or by their new one, in any case', () => {
    for (const name of ['checkpoint_format', 'format'])
      expect(quantizationOf({ quant_method: 'gptq', [name]: 'GPTQ_v2' })?.zeroOffset, name).to.equal(0);
    expect(quantizationOf({ quant_method: 'gptq', checkpoint_format: null, format: 'gptq' })?.zeroOffset).to.equal(1);
    for (const name of ['version', 'format'])
      expect(quantizationOf({ quant_method: 'awq', [name]: 'GEMM' })?.method, name).to.equal('awq');
  });

  for (const [config, field, value] of [
    [{ quant_method: 'bitsandbytes', load_in_4bit: true }, 'quant_method', 'bitsandbytes'],
    [{ bits: 4 }, 'quant_method', 'missing'],
    [{ quant_method: 'fp8', fmt: 'e5m2' }, 'fmt', 'e5m2'],
    [{ quant_method: 'fp8', expert_dtype: 'fp4' }, 'expert_dtype', 'fp4'],
    [{ quant_method: 'awq', bits: 8 }, 'bits', '8'],
    [{ quant_method: 'awq', w_bit: 3 }, 'w_bit', '3'],
    [{ quant_method: 'awq', version: 'gemv' }, 'version', 'gemv'],
    [{ quant_method: 'gptq', bits: 3 }, 'bits', '3'],
    [{ quant_method: 'gptq', checkpoint_format: 'marlin' }, 'checkpoint_format', 'marlin'],
    [{ quant_method: 'gptq', format: 'marlin' }, 'format', 'marlin'],
    [{ quant_method: 'awq', format: 'llm-awq' }, 'format', 'llm-awq'],
    [{ quant_method: 'modelopt', quant_algo: 'W4A16_AWQ' }, 'quant_algo', 'W4A16_AWQ'],
    [{ quant_method: 'compressed-tensors', format: 'marlin-24' }, 'format', 'marlin-24'],
    [
      { quant_method: 'compressed-tensors', config_groups: { a: { format: 'sparse-bitmask' } } },
      'config_groups.a.format',
      'sparse-bitmask',
    ],
    [
      { quant_method: 'compressed-tensors', sparsity_config: { format: 'sparse-24-bitmask' } },
      'sparsity_config.format',
      'sparse-24-bitmask',
    ],
    [
      { quant_method: 'compressed-tensors', transform_config: { config_groups: { u: { type: 'hadamard' } } } },
      'transform_config.config_groups',
      'hadamard',
    ],
  ] as const) {
    it(`${field} ${value} is refused by name`, async () => {
      const error = await errorOf(ModelError, () => quantizationOf(config));
      expect(error.code).to.equal('UNSUPPORTED_MODEL');
      expect(error.message).to.contain(`quantization_config.${field} is`).and.contain(value);
    });
  }

  it('may be in hf_quant_config.json alone; config.json counts first', () => {
    const config = { model_type: 'qwen3_moe' };
    const file = { producer: { name: 'modelopt' }, quantization: { quant_algo: 'NVFP4', kv_cache_quant_algo: 'FP8' } };
    const quantised = { quant_method: 'modelopt', quant_algo: 'NVFP4' };
    expect(withQuantConfig(config, file)).to.deep.equal({ ...config, quantization_config: quantised });
    const own = { ...config, quantization_config: { quant_method: 'fp8' } };
    expect(withQuantConfig(own, file)).to.equal(own);
    expect(withQuantConfig(config, { quantization: { quant_algo: null } })).to.equal(config);
    expect(withQuantConfig(config, undefined)).to.equal(config);
  });
});
