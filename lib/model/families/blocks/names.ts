/** What several families call the tensors of tensor_names.ts. */
import type { StoredNames } from '../../spec/spec.js';

/** Mixtral's, and of those after it. */
export const BLOCK_SPARSE_NAMES: StoredNames['replace'] = [
  ['.mlp.', '.block_sparse_moe.'],
  ['.gate_proj.', '.w1.'],
  ['.up_proj.', '.w3.'],
  ['.down_proj.', '.w2.'],
];

/** LFM2's. */
export const FEED_FORWARD_NAMES: StoredNames['replace'] = [
  ['model.norm.', 'model.embedding_norm.'],
  ['.input_layernorm.', '.operator_norm.'],
  ['.post_attention_layernorm.', '.ffn_norm.'],
  ['.self_attn.o_proj.', '.self_attn.out_proj.'],
  ['.self_attn.q_norm.', '.self_attn.q_layernorm.'],
  ['.self_attn.k_norm.', '.self_attn.k_layernorm.'],
  ['.mlp.gate.e_score_correction_bias', '.feed_forward.expert_bias'],
  ['.mlp.', '.feed_forward.'],
  ['.gate_proj.', '.w1.'],
  ['.up_proj.', '.w3.'],
  ['.down_proj.', '.w2.'],
];
