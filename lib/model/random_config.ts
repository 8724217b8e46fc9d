/** config.json of a model of any shape, for random checkpoints: a few numbers give the rest its usual proportions. */
import type { WritableDtype } from '../weights/dtypes.js';

/** The numbers that a model's size depends on; everything else follows from them. */
export interface RandomModelShape {
  /** Layers, dense ones included. */
  readonly layers: number;
  /** How many of the first layers have a dense network instead of experts. */
  readonly denseLayers: number;
  readonly hidden: number;
  readonly experts: number;
  readonly topk: number;
  /** Intermediate size of an expert. */
  readonly intermediate: number;
  readonly heads: number;
  readonly vocab: number;
  readonly dtype: WritableDtype;
}

type HfConfig = Readonly<Record<string, unknown>>;

/** By `model_type`, as registry.ts lists them. */
export const RANDOM_CONFIGS = {
  deepseek_v3: (shape: RandomModelShape): HfConfig => ({
    ...commonConfig('deepseek_v3', 'DeepseekV3ForCausalLM', shape),
    first_k_dense_replace: shape.denseLayers,
    moe_layer_freq: 1,
    num_key_value_heads: shape.heads,
    q_lora_rank: atLeastOne(shape.hidden / 4),
    kv_lora_rank: atLeastOne(shape.hidden / 8),
    qk_nope_head_dim: headDimOf(shape),
    qk_rope_head_dim: even(headDimOf(shape) / 2),
    v_head_dim: headDimOf(shape),
    n_routed_experts: shape.experts,
    n_shared_experts: 1,
    n_group: 1,
    topk_group: 1,
    topk_method: 'noaux_tc',
    scoring_func: 'sigmoid',
    routed_scaling_factor: 2.5,
  }),
  qwen3_moe: (shape: RandomModelShape): HfConfig => ({
    ...commonConfig('qwen3_moe', 'Qwen3MoeForCausalLM', shape),
    num_key_value_heads: shape.heads,
    head_dim: headDimOf(shape),
    num_experts: shape.experts,
    decoder_sparse_step: 1,
    mlp_only_layers: Array.from({ length: shape.denseLayers }, (_, i) => i),
  }),
} as const;

/** A family that has a random config.json. */
export type RandomFamily = keyof typeof RANDOM_CONFIGS;

function commonConfig(modelType: string, architecture: string, shape: RandomModelShape): HfConfig {
  return {
    model_type: modelType,
    architectures: [architecture],
    torch_dtype: shape.dtype === 'BF16' ? 'bfloat16' : 'float32',
    hidden_size: shape.hidden,
    intermediate_size: 4 * shape.hidden,
    moe_intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_experts_per_tok: shape.topk,
    norm_topk_prob: true,
    vocab_size: shape.vocab,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    rope_scaling: null,
    tie_word_embeddings: false,
    hidden_act: 'silu',
    attention_bias: false,
    eos_token_id: null, // a random model has nothing to end
  };
}

/** Rotary embedding turns channels in pairs. */
const even = (size: number): number => 2 * Math.ceil(size / 2);
const headDimOf = ({ hidden, heads }: RandomModelShape): number => even(hidden / heads);
const atLeastOne = (size: number): number => Math.max(1, Math.floor(size));
