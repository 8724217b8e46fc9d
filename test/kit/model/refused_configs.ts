/** Configurations that transformers runs and this framework refuses. */

/** Another activation is another model. */
const ACTIVATION = { 'hidden_act: gelu': 'hidden_act', 'hidden_act: relu': 'hidden_act' };
/** Choices that don't fit in the groups: transformers chooses masked experts then. */
const GROUPS = { 'n_group: 3': 'topk_group 1 of 3 groups' };
/** Ignored by transformers, and not by those who write such a configuration. */
const GATE = { 'topk_method: greedy': 'topk_method', 'scoring_func: softmax': 'scoring_func' };
/** Ignored by transformers: layers that attend to everything here. */
const WINDOW = { 'sliding_window: 4': 'sliding_window' };
/** What no checkpoint of latent attention has. */
const MLA_BIAS = { 'attention_bias: True': 'attention_bias' };

/** What transformers computes and we don't, by family and case: each is refused, by a message that names this. */
export const REFUSED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bailing_moe_v2: {
    ...ACTIVATION,
    'num_experts_per_tok: 1': 'num_experts_per_tok',
    'topk_group: 1': 'topk_group 1 of',
    'norm_topk_prob: False': 'norm_topk_prob',
    'rope_theta: absent': 'rope_theta',
    'max_position_embeddings: absent': 'max_position_embeddings',
  },
  deepseek_v2: {
    ...WINDOW,
    ...ACTIVATION,
    ...MLA_BIAS,
    'mlp_bias: True': 'mlp_bias',
    // Without a MoE layer.
    'first_k_dense_replace: 3': 'MoE layer',
    'topk_group: 1': 'topk_group 1 of 3 groups',
    'norm_topk_prob: True': 'norm_topk_prob',
    'topk_method: greedy, norm_topk_prob: True': 'norm_topk_prob',
    'moe_layer_freq: 2': 'moe_layer_freq',
    'moe_layer_freq: [0, 1, 1]': 'moe_layer_freq',
    'scoring_func: sigmoid': 'scoring_func',
  },
  deepseek_v3: {
    ...WINDOW,
    // Ignored by transformers.
    'rope_parameters by kind of layer': 'rope_parameters',
    ...ACTIVATION,
    ...MLA_BIAS,
    ...GATE,
    // Without a MoE layer.
    'first_k_dense_replace: absent': 'MoE layer',
    'moe_layer_freq: 2': 'moe_layer_freq',
    'moe_layer_freq: [0, 1, 1]': 'moe_layer_freq',
    'topk_method: group_limited_greedy': 'topk_method',
  },
  deepspeed_moe: {
    ...ACTIVATION,
    'attention_bias: True': 'attention_bias',
    'mlp_bias: True': 'mlp_bias',
    'drop_tokens: True': 'drop_tokens',
    'num_experts: absent': 'num_experts',
    // Without a MoE layer.
    'num_experts: 0': 'num_experts is 0',
    'num_experts: 1': 'MoE layer',
  },
  dots1: { 'moe_layer_freq: 2': 'moe_layer_freq', ...ACTIVATION, ...GROUPS, ...GATE },
  ernie4_5_moe: {
    ...WINDOW,
    ...ACTIVATION,
    'moe_num_experts: absent': 'moe_num_experts',
    'moe_k: absent': 'moe_k',
    'use_bias: True': 'use_bias',
  },
  glm4_moe: {
    ...WINDOW,
    ...ACTIVATION,
    ...GROUPS,
    ...GATE,
    // An odd size.
    'head_dim: absent': 'head_dim 9',
    'first_k_dense_replace: 3': 'MoE layer',
  },
  glm4_moe_lite: {
    ...WINDOW,
    ...ACTIVATION,
    ...MLA_BIAS,
    ...GROUPS,
    ...GATE,
    'first_k_dense_replace: 0': 'first_k_dense_replace',
    'first_k_dense_replace: 2': 'first_k_dense_replace',
    'head_dim: 20': 'head_dim',
  },
  gpt_oss: {
    ...ACTIVATION,
    'head_dim: absent': 'head_dim',
    'num_local_experts: absent': 'num_local_experts',
    'num_experts_per_tok: absent': 'num_experts_per_tok',
  },
  granitemoe: {
    'shared_intermediate_size: 12': 'shared_intermediate_size',
    ...WINDOW,
    ...ACTIVATION,
    'num_key_value_heads: absent': 'num_key_value_heads',
    'num_local_experts: absent': 'num_local_experts',
    'num_experts_per_tok: absent': 'num_experts_per_tok',
  },
  kimi_k2: { 'hidden_act: gelu': 'hidden_act', ...MLA_BIAS, ...GATE, 'moe_layer_freq: 2': 'moe_layer_freq' },
  kimi_k25: { 'hidden_act: gelu': 'hidden_act', ...MLA_BIAS, ...GATE, 'moe_layer_freq: 2': 'moe_layer_freq' },
  lfm2_moe: { ...WINDOW, 'hidden_act: gelu': 'hidden_act' },
  minimax_m2: {
    ...WINDOW,
    ...ACTIVATION,
    'head_dim: absent': 'head_dim',
    'num_local_experts: absent': 'num_local_experts',
    'attn_type_list: [1, 0, 1]': 'attn_type_list',
    'use_qk_norm: False': 'use_qk_norm',
    'qk_norm_type: per_head': 'qk_norm_type',
    'scoring_func: softmax': 'scoring_func',
    'use_routing_bias: False': 'use_routing_bias',
    'shared_intermediate_size: 12': 'shared_intermediate_size',
  },
  deepseek_v32: {
    'mlp_bias: True': 'mlp_bias',
    ...WINDOW,
    ...ACTIVATION,
    // Ignored by transformers, and not by those who write such a configuration.
    'rope_interleave: False': 'rope_interleave',
    'indexer_rope_interleave: True': 'indexer_rope_interleave',
    'topk_method: greedy': 'topk_method',
    'scoring_func: softmax': 'scoring_func',
    'moe_layer_freq: 2': 'moe_layer_freq',
    'attention_bias: True': 'attention_bias',
    // Fewer experts in the groups than are chosen.
    'topk_group: 1': 'topk_group',
    // Without a MoE layer.
    'first_k_dense_replace: 3': 'MoE layer',
    'first_k_dense_replace: absent': 'MoE layer',
  },
  glm_moe_dsa: {
    'mlp_bias: True': 'mlp_bias',
    ...WINDOW,
    ...ACTIVATION,
    // Ignored by transformers, and not by those who write such a configuration.
    'rope_interleave: False': 'rope_interleave',
    'indexer_rope_interleave: False': 'indexer_rope_interleave',
    'topk_method: greedy': 'topk_method',
    'scoring_func: softmax': 'scoring_func',
    'moe_layer_freq: 2': 'moe_layer_freq',
    'attention_bias: True': 'attention_bias',
    // Without a MoE layer.
    'first_k_dense_replace: 3': 'MoE layer',
    'first_k_dense_replace: absent': 'MoE layer',
  },
  mixtral: {
    'sliding window by layer_types': 'layer_types',
    ...ACTIVATION,
    'num_local_experts: absent': 'num_local_experts',
    'attention_bias: True': 'attention_bias',
  },
  olmoe: { ...ACTIVATION, 'num_experts: absent': 'num_experts', 'sliding_window: 4': 'sliding_window' },
  phimoe: {
    ...ACTIVATION,
    'num_local_experts: absent': 'num_local_experts',
    // transformers chooses two.
    'num_experts_per_tok: 1': 'num_experts_per_tok',
    'num_experts_per_tok: 3': 'num_experts_per_tok',
  },
  qwen2_moe: {
    ...ACTIVATION,
    'shared_expert_intermediate_size: 0': 'shared_expert_intermediate_size',
    'num_experts: absent': 'num_experts',
    'num_experts as num_local_experts': 'num_experts',
    'attention_bias: True': 'attention_bias',
  },
  qwen3_5_moe: { ...WINDOW, ...ACTIVATION, 'attn_output_gate: False': 'attn_output_gate' },
  qwen3_next: { ...WINDOW, ...ACTIVATION, 'attn_output_gate: False': 'attn_output_gate' },
  qwen3_moe: {
    'shared_expert_intermediate_size: 16': 'shared_expert_intermediate_size',
    // Ignored by transformers.
    'rope_parameters by kind of layer': 'rope_parameters',
    'hidden_act: gelu': 'hidden_act',
    // A shape that transformers fills in, and a published checkpoint says.
    'num_experts: absent': 'num_experts',
    'num_key_value_heads: absent': 'num_key_value_heads',
    'num_experts and num_local_experts differ': 'num_local_experts',
    // Without a MoE layer.
    'mlp_only_layers and decoder_sparse_step': 'MoE layer',
  },
};

/** Where we follow the authors' code, and transformers doesn't. Why: docs/decisions/families.md#where-transformers-leaves-the-authors-code */
export const AUTHORS: Readonly<Record<string, readonly string[]>> = {
  // The long multiplier beside the short factors.
  phimoe: ['rope_scaling: longrope, mscales', 'rope_scaling: longrope, original_max_position_embeddings beside it'],
};
