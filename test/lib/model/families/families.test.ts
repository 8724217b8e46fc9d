import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asRank } from '../../../../base/ids.js';
import { createPlacement, placementFrom } from '../../../../experts/placement/placement.js';
import { ModelError, type ModelErrorCode } from '../../../../lib/model/spec/errors.js';
import { isHeadTied, tensorsOfRank, unusedTensors } from '../../../../lib/model/weights/rank_tensors.js';
import { FAMILIES, modelSpecOf } from '../../../../lib/model/families/registry.js';
import { moeLayersOf, type ModelSpec } from '../../../../lib/model/spec/spec.js';
import { kvFloatsPerToken } from '../../../../lib/model/spec/spec.js';
import { openCheckpoint, type Checkpoint } from '../../../../lib/weights/checkpoint.js';
import { errorOf } from '../../../kit/rejects.js';
import { writeSafetensors } from '../../../kit/safetensors_writer.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

type Config = Readonly<Record<string, unknown>>;

/** The published config.json of DeepSeek-V3, without its quantisation. */
const V3: Config = {
  model_type: 'deepseek_v3',
  hidden_size: 7168,
  intermediate_size: 18432,
  moe_intermediate_size: 2048,
  num_hidden_layers: 61,
  first_k_dense_replace: 3,
  moe_layer_freq: 1,
  num_attention_heads: 128,
  num_key_value_heads: 128,
  n_routed_experts: 256,
  num_experts_per_tok: 8,
  n_shared_experts: 1,
  n_group: 8,
  topk_group: 4,
  topk_method: 'noaux_tc',
  scoring_func: 'sigmoid',
  norm_topk_prob: true,
  routed_scaling_factor: 2.5,
  q_lora_rank: 1536,
  kv_lora_rank: 512,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  v_head_dim: 128,
  rope_theta: 10000,
  rope_scaling: {
    type: 'yarn',
    factor: 40,
    original_max_position_embeddings: 4096,
    beta_fast: 32,
    beta_slow: 1,
    mscale: 1,
    mscale_all_dim: 1,
  },
  max_position_embeddings: 163840,
  rms_norm_eps: 1e-6,
  vocab_size: 129280,
  num_nextn_predict_layers: 1,
  hidden_act: 'silu',
  attention_bias: false,
  tie_word_embeddings: false,
  bos_token_id: 0,
  eos_token_id: 1,
};

/** The published config.json of Qwen3-30B-A3B. */
const QWEN3: Config = {
  model_type: 'qwen3_moe',
  hidden_size: 2048,
  intermediate_size: 6144,
  moe_intermediate_size: 768,
  num_hidden_layers: 48,
  num_attention_heads: 32,
  num_key_value_heads: 4,
  head_dim: 128,
  num_experts: 128,
  num_experts_per_tok: 8,
  norm_topk_prob: true,
  decoder_sparse_step: 1,
  mlp_only_layers: [],
  rope_theta: 1e6,
  rope_scaling: null,
  max_position_embeddings: 40960,
  rms_norm_eps: 1e-6,
  vocab_size: 151936,
  hidden_act: 'silu',
  attention_bias: false,
  use_sliding_window: false,
  sliding_window: null,
  tie_word_embeddings: false,
  eos_token_id: [151645, 151643],
};

const without = (config: Config, ...keys: readonly string[]): Config =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !keys.includes(key)));

/** That a config is refused with this code and a message that names all of these. */
async function refused(config: unknown, code: ModelErrorCode, ...names: readonly string[]): Promise<void> {
  const error = await errorOf(ModelError, () => modelSpecOf(config));
  expect(error.code, error.message).to.equal(code);
  for (const name of names) expect(error.message).to.contain(name);
}

const moeLayers = (config: Config): number[] => moeLayersOf(modelSpecOf(config));

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
      for (const [field, value] of [
        ['hidden_act', 'gelu'],
        ['attention_bias', true],
        ['quantization_config', { quant_method: 'fp8' }],
      ] as const) {
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
        groups: { numGroups: 8, topkGroups: 4 },
        normTopkProb: true,
        normEps: 1e-20,
        routedScalingFactor: 2.5,
      },
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
    expect(million).to.deep.include({ theta: 1e6, yarn: null });
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
    expect(modelSpecOf(V3).layers[2]).to.deep.equal({ kind: 'dense', intermediateSize: 18432 });
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
      { ...V3, rope_scaling: { type: 'linear', factor: 2 } },
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

describe('Qwen3-MoE family', () => {
  it('reads the published configuration', () => {
    const spec = modelSpecOf(QWEN3);
    expect(spec.attention).to.deep.equal({
      kind: 'gqa',
      numHeads: 32,
      numKvHeads: 4,
      headDim: 128,
      qkNorm: true,
      softmaxScale: 128 ** -0.5,
    });
    expect(spec.rope).to.deep.equal({ dim: 128, theta: 1e6, layout: 'half', yarn: null });
    expect(spec.moe.gate).to.deep.equal({
      numExperts: 128,
      numTopk: 8,
      scoring: 'softmax',
      groups: null,
      normTopkProb: true,
      normEps: 0,
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
    expect(rope.yarn).to.deep.include({ factor: 4, originalMaxPositions: 32768, betaFast: 32, betaSlow: 1 });
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

  it('refuses sliding windows and shapes that do not fit', async () => {
    await refused(
      { ...QWEN3, use_sliding_window: true, sliding_window: 4096 },
      'UNSUPPORTED_MODEL',
      'use_sliding_window',
    );
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

describe('tensors of a rank', () => {
  const config = {
    ...V3,
    num_hidden_layers: 2,
    first_k_dense_replace: 1,
    n_routed_experts: 4,
    n_group: 1,
    topk_group: 1,
    num_experts_per_tok: 2,
  };
  const expert = (layer: number, e: number): string => `model.layers.${layer}.mlp.experts.${e}.up_proj.weight`;
  const withNames = <T>(names: readonly string[], use: (checkpoint: Checkpoint) => T): Promise<T> =>
    withTempFolder(async (dir) => {
      const tensors = names.map((name) => ({ name, dtype: 'F32', shape: [1], bytes: new Uint8Array(4) }));
      await writeFile(join(dir, 'model.safetensors'), writeSafetensors(tensors));
      const checkpoint = await openCheckpoint(dir);
      const result = use(checkpoint);
      await checkpoint.close();
      return result;
    });
  const DENSE = ['lm_head.weight', 'model.embed_tokens.weight', 'model.layers.1.mlp.gate.weight', 'model.norm.weight'];
  const MTP = ['model.layers.2.enorm.weight', 'model.layers.2.mlp.gate.weight', expert(2, 0)];

  /** Names that a rank of three reads. */
  async function namesOf(
    spec: ModelSpec,
    rank: number,
    placement = createPlacement('round_robin', { numLayers: 1, numExperts: 4, numRanks: 3 }),
  ): Promise<string[]> {
    const names = [...DENSE, ...MTP, ...[0, 1, 2, 3].map((e) => expert(1, e))];
    return withNames(names, (checkpoint) => tensorsOfRank(spec, checkpoint, placement, asRank(rank)));
  }

  it('are the dense ones and its own experts, without the layer for multi-token prediction', async () => {
    const spec = modelSpecOf(config);
    expect(await namesOf(spec, 0)).to.have.members([...DENSE, expert(1, 0), expert(1, 3)]);
    expect(await namesOf(spec, 1)).to.have.members([...DENSE, expert(1, 1)]);
    expect(await namesOf(spec, 2)).to.have.members([...DENSE, expert(1, 2)]);
  });

  it('include redundant experts, as often as the rank holds them', async () => {
    const placement = placementFrom(0, 3, 4, [Int32Array.of(0, 3, 1, 1, 2, 2, 2, 1, -1)]);
    expect(await namesOf(modelSpecOf(config), 1, placement)).to.have.members([
      ...[...DENSE, expert(1, 1)],
      ...[expert(1, 2), expert(1, 2)],
    ]);
  });

  it('the head is the embedding where it is tied, unless it is stored', async () => {
    const tied = modelSpecOf({ ...config, tie_word_embeddings: true });
    expect(await withNames(DENSE.slice(1), (checkpoint) => isHeadTied(tied, checkpoint))).to.equal(true);
    expect(await withNames(DENSE, (checkpoint) => isHeadTied(tied, checkpoint))).to.equal(false);
    expect(await withNames(DENSE, (checkpoint) => isHeadTied(modelSpecOf(config), checkpoint))).to.equal(false);
  });

  it('that the configuration gives no meaning to are known by name; prediction layers and stored frequencies are no surprise', async () => {
    const odd = [
      'model.layers.0.self_attn.q_proj.bias',
      'model.layers.3.mlp.gate.weight',
      expert(1, 4),
      'visual.patch.weight',
    ];
    const fine = ['model.layers.0.self_attn.rotary_emb.inv_freq', 'mtp.fc.weight', ...MTP];
    const names = [...DENSE, ...fine, ...odd, expert(1, 0)];
    const unused = await withNames(names, (checkpoint) => unusedTensors(modelSpecOf(config), checkpoint));
    expect(unused).to.have.members(odd);
  });
});
