/** Configurations that transformers runs and this framework refuses. */

/** What transformers computes and we don't, by family and case: each is refused, by a message that names this. */
export const REFUSED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  deepseek_v3: {
    'attention_bias: True': 'attention_bias',
    'hidden_act: gelu': 'hidden_act',
    'hidden_act: relu': 'hidden_act',
    // Without a MoE layer.
    'first_k_dense_replace: absent': 'MoE layer',
    // Ignored by transformers, and not by those who write such a configuration.
    'moe_layer_freq: 2': 'moe_layer_freq',
    'moe_layer_freq: [0, 1, 1]': 'moe_layer_freq',
    'topk_method: greedy': 'topk_method',
    'topk_method: group_limited_greedy': 'topk_method',
    'scoring_func: softmax': 'scoring_func',
  },
  deepseek_v2: {},
  kimi_k2: {},
  olmoe: {},
  qwen3_moe: {
    'hidden_act: gelu': 'hidden_act',
    // A shape that transformers fills in, and a published checkpoint says.
    'num_experts: absent': 'num_experts',
    'num_key_value_heads: absent': 'num_key_value_heads',
    'num_experts and num_local_experts differ': 'num_local_experts',
    // Without a MoE layer.
    'mlp_only_layers and decoder_sparse_step': 'MoE layer',
  },
};
