import { expect } from 'chai';
import { ModelError } from '../../../../lib/model/spec/errors.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { FULL_ATTENTION, kvFloatsPerToken, PLAIN_EXPERTS } from '../../../../lib/model/spec/spec.js';
import { errorOf } from '../../../kit/rejects.js';
import { type Config, V3, without, refused, moeLayers } from '../../../kit/model/published_configs.js';

describe('DeepSeek-V3 family', () => {
  it('reads the published configuration', () => {
    const spec = modelSpecOf(V3);
    expect(spec.attention).to.deep.include({ kind: 'mla', numHeads: 128, qLoraRank: 1536, kvLoraRank: 512 });
    expect(spec.rope).to.deep.include({ dim: 64, theta: 10000, layout: 'interleaved' });
    expect(spec.moe).to.deep.equal({
      gate: {
        numExperts: 256,
        numTopk: 8,
        scoring: 'sigmoid',
        groups: { numGroups: 8, topkGroups: 4, score: 'top2_sum' },
        normTopkProb: true,
        normEps: 1e-20,
        normMin: 0,
        routedScalingFactor: 2.5,
      },
      ...PLAIN_EXPERTS,
      hasSelectionBias: true,
      intermediateSize: 2048,
      sharedIntermediateSize: 2048,
    });
    expect(spec.layers).to.have.length(61); // multi-token prediction is not among them
    expect(kvFloatsPerToken(spec)).to.equal(61 * (576 + 1)); // latent, key and a one
  });

  it('has the softmax scale 0.135234 with YaRN and 192^−½ without', () => {
    expect(modelSpecOf(V3).attention.softmaxScale).to.be.closeTo(0.135234, 5e-7);
    expect(modelSpecOf({ ...V3, rope_scaling: null }).attention.softmaxScale).to.equal(192 ** -0.5);
    const rest = without(V3.rope_scaling as Config, 'mscale_all_dim');
    expect(modelSpecOf({ ...V3, rope_scaling: rest }).attention.softmaxScale).to.equal(192 ** -0.5);
  });

  it('rope_scaling with the old type, with rope_type and as rope_parameters are the same', () => {
    const { type, ...yarn } = V3.rope_scaling as Config;
    const old = modelSpecOf(V3).rope;
    const bare = without(V3, 'rope_scaling', 'rope_theta');
    expect(modelSpecOf({ ...V3, rope_scaling: { ...yarn, rope_type: type } }).rope).to.deep.equal(old);
    const parameters = { ...yarn, rope_type: 'yarn', rope_theta: 10000 };
    expect(modelSpecOf({ ...bare, rope_parameters: parameters }).rope).to.deep.equal(old);
    const million = modelSpecOf({ ...bare, rope_parameters: { rope_type: 'default', rope_theta: 1e6 } }).rope;
    expect(million).to.deep.include({ theta: 1e6, scaling: null });
  });

  it('a model without a single MoE layer is refused', async () => {
    const config = { ...V3, num_hidden_layers: 3, first_k_dense_replace: 3 };
    const error = await errorOf(ModelError, () => modelSpecOf(config));
    expect(error.code).to.equal('UNSUPPORTED_MODEL');
    expect(error.message).to.contain('without a single MoE layer');
  });

  it('layers below first_k_dense_replace are dense', () => {
    expect(moeLayers({ ...V3, num_hidden_layers: 6 })).to.deep.equal([3, 4, 5]);
    expect(moeLayers({ ...V3, num_hidden_layers: 4, first_k_dense_replace: 0 })).to.deep.equal([0, 1, 2, 3]);
    expect(modelSpecOf(V3).layers[2]).to.deep.equal({ kind: 'dense', intermediateSize: 18432, mixer: FULL_ATTENTION });
  });

  it('several shared experts are one network, none is none, and q_lora_rank may be null', () => {
    expect(modelSpecOf({ ...V3, n_shared_experts: 2 }).moe.sharedIntermediateSize).to.equal(4096);
    expect(modelSpecOf({ ...V3, n_shared_experts: 0 }).moe.sharedIntermediateSize).to.equal(0);
    expect(modelSpecOf({ ...V3, n_shared_experts: null }).moe.sharedIntermediateSize).to.equal(0);
    expect(modelSpecOf(without(V3, 'n_shared_experts')).moe.sharedIntermediateSize).to.equal(2048);
    expect(modelSpecOf({ ...V3, q_lora_rank: null }).attention).to.deep.include({ qLoraRank: null });
  });

  it('refuses other routings and rotations by name', async () => {
    for (const [field, value] of [
      ['topk_method', 'greedy'],
      ['scoring_func', 'softmax'],
      ['moe_layer_freq', 2],
    ] as const) {
      await refused({ ...V3, [field]: value }, 'UNSUPPORTED_MODEL', field, JSON.stringify(value));
    }
    await refused(
      { ...V3, rope_scaling: { type: 'mrope', factor: 2 } },
      'UNSUPPORTED_MODEL',
      'rope_scaling.type',
      'yarn',
    );
    await refused({ ...V3, rope_scaling: { rope_type: 'yarn' } }, 'INVALID_MODEL_CONFIG', 'factor');
    const partial = { ...(V3.rope_scaling as Config), partial_rotary_factor: 0.5 };
    await refused({ ...V3, rope_scaling: partial }, 'UNSUPPORTED_MODEL', 'partial_rotary_factor');
    await refused({ ...V3, num_key_value_heads: 8 }, 'INVALID_MODEL_CONFIG', 'num_key_value_heads 8');
  });

  it('refuses groups that do not divide the experts or do not hold the choices, and odd rotated channels', async () => {
    await refused({ ...V3, n_group: 7 }, 'INVALID_MODEL_CONFIG', 'n_routed_experts 256', 'n_group 7');
    await refused({ ...V3, topk_group: 9 }, 'INVALID_MODEL_CONFIG', 'topk_group 9');
    await refused(
      { ...V3, n_group: 128, topk_group: 3 },
      'INVALID_MODEL_CONFIG',
      'num_experts_per_tok 8',
      'topk_group 3',
    );
    await refused({ ...V3, qk_rope_head_dim: 63 }, 'INVALID_MODEL_CONFIG', 'qk_rope_head_dim 63');
  });
});
