/** Configurations as their authors published them, and that others are refused. */
import { expect } from 'chai';
import { ModelError, type ModelErrorCode } from '../../../lib/model/spec/errors.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { moeLayersOf } from '../../../lib/model/spec/spec.js';
import { errorOf } from '../rejects.js';

/** A config.json. */
export type Config = Readonly<Record<string, unknown>>;

/** The published config.json of DeepSeek-V3, without its quantisation. */
export const V3: Config = {
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
export const QWEN3: Config = {
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

/** The published config.json of Mixtral-8x7B. */
export const MIXTRAL: Config = {
  ...{ model_type: 'mixtral', architectures: ['MixtralForCausalLM'], torch_dtype: 'bfloat16' },
  ...{ hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32, vocab_size: 32000 },
  ...{ num_attention_heads: 32, num_key_value_heads: 8, num_local_experts: 8, num_experts_per_tok: 2 },
  ...{ max_position_embeddings: 32768, rms_norm_eps: 1e-5, rope_theta: 1e6, sliding_window: null },
  ...{ hidden_act: 'silu', tie_word_embeddings: false, bos_token_id: 1, eos_token_id: 2 },
};

/** The published config.json of gpt-oss-20b. */
export const GPT_OSS_20B: Config = {
  ...{ model_type: 'gpt_oss', architectures: ['GptOssForCausalLM'] },
  ...{ hidden_size: 2880, intermediate_size: 2880, num_hidden_layers: 24, vocab_size: 201088, head_dim: 64 },
  ...{ num_attention_heads: 64, num_key_value_heads: 8, num_local_experts: 32, num_experts_per_tok: 4 },
  ...{ experts_per_token: 4, attention_bias: true, attention_dropout: 0, swiglu_limit: 7, sliding_window: 128 },
  layer_types: Array.from({ length: 24 }, (_, i) => (i % 2 === 0 ? 'sliding_attention' : 'full_attention')),
  ...{ max_position_embeddings: 131072, initial_context_length: 4096, rms_norm_eps: 1e-5, rope_theta: 150000 },
  rope_scaling: {
    ...{ rope_type: 'yarn', factor: 32, original_max_position_embeddings: 4096 },
    ...{ beta_fast: 32, beta_slow: 1, truncate: false },
  },
  quantization_config: {
    quant_method: 'mxfp4',
    modules_to_not_convert: ['model.layers.*.self_attn', 'model.layers.*.mlp.router', 'model.embed_tokens', 'lm_head'],
  },
  ...{ hidden_act: 'silu', tie_word_embeddings: false, eos_token_id: 200002, pad_token_id: 199999 },
};

/** The same without some fields. */
export const without = (config: Config, ...keys: readonly string[]): Config =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !keys.includes(key)));

/** That a config is refused with this code and a message that names all of these. */
export async function refused(config: unknown, code: ModelErrorCode, ...names: readonly string[]): Promise<void> {
  const error = await errorOf(ModelError, () => modelSpecOf(config));
  expect(error.code, error.message).to.equal(code);
  for (const name of names) expect(error.message).to.contain(name);
}

/** Which layers of a configuration have experts. */
export const moeLayers = (config: Config): number[] => moeLayersOf(modelSpecOf(config));
