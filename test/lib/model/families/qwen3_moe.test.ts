import { expect } from 'chai';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import { FULL_ATTENTION, moeLayersOf, PLAIN_GQA } from '../../../../lib/model/spec/spec.js';
import { type Config, QWEN3, without, refused, moeLayers } from '../../../kit/model/published_configs.js';

describe('Qwen3-MoE family', () => {
  it('reads the published configuration', () => {
    const spec = modelSpecOf(QWEN3);
    expect(spec.attention).to.deep.equal({
      ...PLAIN_GQA,
      numHeads: 32,
      numKvHeads: 4,
      headDim: 128,
      qkNorm: 'head',
      softmaxScale: 128 ** -0.5,
    });
    expect(spec.rope).to.deep.equal({ dim: 128, theta: 1e6, layout: 'half', scaling: null });
    expect(spec.moe.gate).to.deep.equal({
      numExperts: 128,
      numTopk: 8,
      scoring: 'softmax',
      groups: null,
      normTopkProb: true,
      normEps: 0,
      normMin: 0,
      routedScalingFactor: 1,
    });
    expect(spec.moe).to.deep.include({ hasSelectionBias: false, sharedIntermediateSize: 0 });
    expect(moeLayersOf(spec)).to.have.length(48);
  });

  it('norm_topk_prob is off and head_dim is hidden over heads where the configuration leaves them out', () => {
    const spec = modelSpecOf(without(QWEN3, 'norm_topk_prob', 'head_dim'));
    expect(spec.moe.gate.normTopkProb).to.equal(false);
    expect(spec.attention).to.deep.include({ headDim: 64 });
  });

  it('layers of mlp_only_layers and those off decoder_sparse_step are dense', () => {
    const small = { ...QWEN3, num_hidden_layers: 6 };
    expect(moeLayers(small)).to.deep.equal([0, 1, 2, 3, 4, 5]);
    expect(moeLayers({ ...small, decoder_sparse_step: 2 })).to.deep.equal([1, 3, 5]);
    expect(moeLayers({ ...small, mlp_only_layers: [0, 5] })).to.deep.equal([1, 2, 3, 4]);
    expect(moeLayers({ ...small, decoder_sparse_step: 3, mlp_only_layers: [2] })).to.deep.equal([5]);
    expect(moeLayers(without(small, 'mlp_only_layers', 'decoder_sparse_step'))).to.have.length(6);
    expect(modelSpecOf({ ...small, mlp_only_layers: [0] }).layers[0]).to.deep.equal({
      kind: 'dense',
      intermediateSize: 6144,
      mixer: FULL_ATTENTION,
    });
  });

  it('reads rope_parameters', () => {
    const config = {
      ...without(QWEN3, 'rope_theta', 'rope_scaling'),
      rope_parameters: { rope_type: 'default', rope_theta: 1e6 },
    };
    expect(modelSpecOf(config).rope).to.deep.equal(modelSpecOf(QWEN3).rope);
  });

  it('runs YaRN, as Qwen documents it for long contexts', () => {
    const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32768 };
    const { rope } = modelSpecOf({ ...QWEN3, rope_scaling: yarn });
    expect(rope.scaling).to.deep.include({
      kind: 'yarn',
      factor: 4,
      originalMaxPositions: 32768,
      betaFast: 32,
      betaSlow: 1,
    });
  });

  it('takes the number of experts under either name, and no two numbers', async () => {
    const named = { ...without(QWEN3, 'num_experts'), num_local_experts: 128 };
    expect(modelSpecOf(named)).to.deep.equal(modelSpecOf(QWEN3));
    expect(modelSpecOf({ ...QWEN3, num_local_experts: 128 })).to.deep.equal(modelSpecOf(QWEN3));
    await refused(
      { ...QWEN3, num_local_experts: 64 },
      'INVALID_MODEL_CONFIG',
      'num_experts',
      'num_local_experts',
      '64',
    );
  });

  it('all layers have the window that is used, and none has one that is not', () => {
    const windowOf = (config: Config): unknown => modelSpecOf({ ...QWEN3, ...config }).layers[0]!.mixer;
    expect(windowOf({ use_sliding_window: true, sliding_window: 64 })).to.deep.equal({ kind: 'attention', window: 64 });
    expect(windowOf({ use_sliding_window: true, sliding_window: null })).to.deep.equal(FULL_ATTENTION);
    expect(windowOf({ use_sliding_window: false, sliding_window: 64 })).to.deep.equal(FULL_ATTENTION);
  });

  it('refuses shapes that do not fit', async () => {
    await refused(
      { ...QWEN3, num_key_value_heads: 5 },
      'INVALID_MODEL_CONFIG',
      'num_attention_heads 32',
      'num_key_value_heads 5',
    );
    await refused(
      { ...QWEN3, num_experts_per_tok: 129 },
      'INVALID_MODEL_CONFIG',
      'num_experts_per_tok 129',
      'num_experts 128',
    );
    await refused({ ...QWEN3, head_dim: 127 }, 'INVALID_MODEL_CONFIG', 'head_dim 127');
    await refused({ ...without(QWEN3, 'head_dim'), hidden_size: 2050 }, 'INVALID_MODEL_CONFIG', 'head_dim');
  });
});
