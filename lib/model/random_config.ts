/** config.json of a model of any shape, for random checkpoints: a few numbers give the rest its usual proportions. */
import { ModelError } from './spec/errors.js';
import type { WritableDtype } from '../weights/dtypes.js';

/** The numbers that a model's size depends on; everything else follows from them. */
export interface RandomModelShape {
  /** Layers, dense ones included. */
  readonly layers: number;
  /** How many of the first layers have a dense network instead of experts. */
  readonly denseLayers: number;
  readonly hidden: number;
  /** One for each layer with experts where they have different numbers, which one family can. */
  readonly experts: number | readonly number[];
  readonly topk: number;
  /** Intermediate size of an expert. */
  readonly intermediate: number;
  readonly heads: number;
  readonly vocab: number;
  readonly dtype: WritableDtype;
  /** A network beside the experts of each layer, mixed with them; one family has that. Default false. */
  readonly residual?: boolean;
}

type HfConfig = Readonly<Record<string, unknown>>;

/** What a family's config.json has beside {@link commonConfig}, by `model_type` as registry.ts lists them. */
const OWN_FIELDS = {
  bailing_moe: (shape: RandomModelShape): HfConfig => ({ ...gqa(shape), ...bailing(shape) }),
  bailing_moe_v2: (shape: RandomModelShape): HfConfig => ({
    ...{ ...gqa(shape), ...bailing(shape), score_function: 'sigmoid', moe_router_enable_expert_bias: true },
    ...{
      use_qk_norm: true,
      rotary_dim: even(headDimOf(shape) / 2),
      n_group: 1,
      topk_group: 1,
      routed_scaling_factor: 2.5,
    },
  }),
  deepseek_v2: (shape: RandomModelShape): HfConfig => ({
    ...{ ...mla(shape), ...dense(shape), n_routed_experts: shape.experts, n_shared_experts: 2 },
    ...{ topk_method: 'greedy', scoring_func: 'softmax', norm_topk_prob: false },
  }),
  deepseek_v3: (shape: RandomModelShape): HfConfig => ({ ...dense(shape), ...mla(shape), ...v3Gate(shape) }),
  deepseek_v32: (shape: RandomModelShape): HfConfig => ({
    ...{ ...dense(shape), ...mla(shape), ...v3Gate(shape), ...indexer(shape) },
  }),
  deepspeed_moe: (shape: RandomModelShape): HfConfig => {
    const { num_local_experts: experts, ...rest } = everywhere(shape, 'deepspeed_moe');
    const own = {
      num_experts: experts,
      expert_interval: 1,
      mlp_type: shape.residual === true ? 'residual' : 'standard',
    };
    return { ...gqa(shape), ...rest, ...own };
  },
  dots1: (shape: RandomModelShape): HfConfig => ({ ...gqa(shape), ...dense(shape), ...v3Gate(shape) }),
  ernie4_5_moe: (shape: RandomModelShape): HfConfig => ({
    ...{ ...gqa(shape), moe_layer_start_index: shape.denseLayers },
    ...{ moe_num_experts: shape.experts, moe_k: shape.topk, moe_num_shared_experts: 2 },
  }),
  glm4_moe: (shape: RandomModelShape): HfConfig => ({
    ...{ ...gqa(shape), ...dense(shape), ...v3Gate(shape) },
    ...{ attention_bias: true, use_qk_norm: true, partial_rotary_factor: halfOf(shape) },
  }),
  glm4_moe_lite: (shape: RandomModelShape): HfConfig => ({
    ...{ ...mla(shape), ...v3Gate(shape) },
    mlp_layer_types: Array.from({ length: shape.layers }, (_, i) => (i < shape.denseLayers ? 'dense' : 'sparse')),
  }),
  glm_moe_dsa: (shape: RandomModelShape): HfConfig => ({
    ...{ ...dense(shape), ...mla(shape), ...v3Gate(shape), ...indexer(shape), index_topk_freq: 2 },
  }),
  gpt_oss: (shape: RandomModelShape): HfConfig => ({
    ...{ ...gqa(shape), ...everywhere(shape, 'gpt_oss') },
    ...{ attention_bias: true, sliding_window: 128, swiglu_limit: 7 },
  }),
  granitemoe: (shape: RandomModelShape): HfConfig => ({
    ...{ ...gqa(shape), ...everywhere(shape, 'granitemoe') },
    ...{
      embedding_multiplier: 12,
      residual_multiplier: 0.22,
      attention_multiplier: headDimOf(shape) ** -0.5,
      logits_scaling: 6,
    },
  }),
  kimi_k2: (shape: RandomModelShape): HfConfig => ({ ...dense(shape), ...mla(shape), ...v3Gate(shape) }),
  lfm2_moe: (shape: RandomModelShape): HfConfig => ({
    ...{ ...gqa(shape), num_experts: shape.experts, num_dense_layers: shape.denseLayers, conv_L_cache: 3 },
    layer_types: Array.from({ length: shape.layers }, (_, i) => (i % 2 === 0 ? 'conv' : 'full_attention')),
  }),
  minimax_m2: (shape: RandomModelShape): HfConfig => ({
    ...{ ...gqa(shape), ...everywhere(shape, 'minimax_m2') },
    ...{ rotary_dim: even(headDimOf(shape) / 2), use_routing_bias: true },
  }),
  mixtral: (shape: RandomModelShape): HfConfig => ({ ...gqa(shape), ...everywhere(shape, 'mixtral') }),
  olmoe: (shape: RandomModelShape): HfConfig => {
    const { num_local_experts: experts, ...rest } = everywhere(shape, 'olmoe');
    // Its heads make up the hidden size.
    return { ...rest, num_key_value_heads: shape.heads, num_experts: experts };
  },
  phimoe: (shape: RandomModelShape): HfConfig => ({
    ...{ ...gqa(shape), ...everywhere(shape, 'phimoe'), attention_bias: true, lm_head_bias: true },
  }),
  qwen2_moe: (shape: RandomModelShape): HfConfig => ({
    ...{ ...gqa(shape), ...sparse(shape), qkv_bias: true },
    shared_expert_intermediate_size: shape.intermediate,
  }),
  qwen3_5_moe_text: (shape: RandomModelShape): HfConfig => {
    everywhere(shape, 'qwen3_5_moe_text'); // refuses dense layers
    return { ...next(shape), ...sparse(shape) };
  },
  qwen3_moe: (shape: RandomModelShape): HfConfig => ({ ...gqa(shape), ...sparse(shape) }),
  qwen3_next: (shape: RandomModelShape): HfConfig => ({ ...next(shape), ...sparse(shape) }),
} as const;

/** Families that are another one's inside a model that sees pictures too. */
const NESTED = { kimi_k25: 'kimi_k2', qwen3_5_moe: 'qwen3_5_moe_text' } as const;

/** A family that has a random config.json. */
export type RandomFamily = keyof typeof OWN_FIELDS | keyof typeof NESTED;

/** Families that have one. */
export const RANDOM_FAMILIES = [...Object.keys(OWN_FIELDS), ...Object.keys(NESTED)] as readonly RandomFamily[];

/** config.json of a family. @throws ModelError UNSUPPORTED_MODEL for dense layers where the family has none */
export function randomConfig(family: RandomFamily, shape: RandomModelShape): HfConfig {
  if (family === 'kimi_k25' || family === 'qwen3_5_moe') {
    return { model_type: family, text_config: randomConfig(NESTED[family], shape) };
  }
  checkOwn(family, shape);
  return { ...commonConfig(family, shape), ...OWN_FIELDS[family](shape) };
}

/** @throws ModelError UNSUPPORTED_MODEL */
function checkOwn(family: RandomFamily, { experts, residual = false }: RandomModelShape): void {
  if (family === 'deepspeed_moe' || (typeof experts === 'number' && !residual)) return;
  const what = residual ? 'no network beside its experts' : 'as many experts in each layer';
  throw new ModelError('UNSUPPORTED_MODEL', `${family} has ${what}; give --family deepspeed_moe`);
}

const gqa = (shape: RandomModelShape): HfConfig => ({ num_key_value_heads: shape.heads, head_dim: headDimOf(shape) });

const mla = (shape: RandomModelShape): HfConfig => ({
  num_key_value_heads: shape.heads,
  q_lora_rank: atLeastOne(shape.hidden / 4),
  kv_lora_rank: atLeastOne(shape.hidden / 8),
  qk_nope_head_dim: headDimOf(shape),
  qk_rope_head_dim: even(headDimOf(shape) / 2),
  v_head_dim: headDimOf(shape),
});

const indexer = (shape: RandomModelShape): HfConfig => ({
  index_topk: 2048,
  index_n_heads: shape.heads,
  index_head_dim: headDimOf(shape),
});

const dense = ({ denseLayers }: RandomModelShape): HfConfig => ({
  first_k_dense_replace: denseLayers,
  moe_layer_freq: 1,
});

const v3Gate = ({ experts }: RandomModelShape): HfConfig => ({
  n_routed_experts: experts,
  n_shared_experts: 1,
  n_group: 1,
  topk_group: 1,
  topk_method: 'noaux_tc',
  scoring_func: 'sigmoid',
  routed_scaling_factor: 2.5,
});

const bailing = ({ experts, denseLayers }: RandomModelShape): HfConfig => ({
  num_experts: experts,
  num_shared_experts: 1,
  first_k_dense_replace: denseLayers,
});

/** Every fourth layer, and the last, attends; the others keep a state. */
const next = (shape: RandomModelShape): HfConfig => ({
  ...gqa(shape),
  layer_types: Array.from({ length: shape.layers }, (_, i) =>
    i % 4 === 3 || i === shape.layers - 1 ? 'full_attention' : 'linear_attention',
  ),
  partial_rotary_factor: halfOf(shape),
  linear_conv_kernel_dim: 4,
  linear_key_head_dim: headDimOf(shape),
  linear_value_head_dim: headDimOf(shape),
  linear_num_key_heads: shape.heads,
  linear_num_value_heads: 2 * shape.heads,
  shared_expert_intermediate_size: shape.intermediate,
});

const sparse = ({ experts, denseLayers }: RandomModelShape): HfConfig => ({
  num_experts: experts,
  decoder_sparse_step: 1,
  mlp_only_layers: Array.from({ length: denseLayers }, (_, i) => i),
});

/** Every layer has experts, of the size that others call the networks'. */
function everywhere({ experts, intermediate, denseLayers }: RandomModelShape, family: string): HfConfig {
  if (denseLayers > 0) {
    throw new ModelError('UNSUPPORTED_MODEL', `${family} has experts in every layer; ask for no dense ones`);
  }
  return { num_local_experts: experts, intermediate_size: intermediate, moe_intermediate_size: undefined };
}

function commonConfig(family: RandomFamily, shape: RandomModelShape): HfConfig {
  return {
    model_type: family,
    architectures: [`${CLASSES[family] ?? pascal(family)}ForCausalLM`],
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

/** What transformers calls families whose names aren't spelt like its classes. */
const CLASSES: Readonly<Record<string, string>> = {
  ernie4_5_moe: 'Ernie4_5_Moe',
  kimi_k2: 'DeepseekV3',
  minimax_m2: 'MiniMaxM2',
};

const pascal = (name: string): string => name.replaceAll(/(?:^|_)(\w)/g, (_, first: string) => first.toUpperCase());

/** Rotary embedding turns channels in pairs. */
const even = (size: number): number => 2 * Math.ceil(size / 2);
/** The share of a head that is rotated where half of it is an even number of channels. */
const halfOf = (shape: RandomModelShape): number => (headDimOf(shape) % 4 === 0 ? 0.5 : 1);
const headDimOf = ({ hidden, heads }: RandomModelShape): number => even(hidden / heads);
const atLeastOne = (size: number): number => Math.max(1, Math.floor(size));
