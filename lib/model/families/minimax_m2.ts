/** MiniMax-M2 (MiniMax, 2025): norms of q and k over the whole vector, heads rotated in part, sigmoid gate with a selection bias. */
import * as z from 'zod';
import { PLAIN_GATE } from '../../../compute/base/gate_spec.js';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { OWN_NAMES, PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { requireChoices } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';
import { allMoe, layersOf } from './blocks/layers.js';
import { BLOCK_SPARSE_NAMES } from './blocks/names.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(5e6),
  ...GQA_FIELDS,
  head_dim: count,
  rotary_dim: count.nullish(),
  max_position_embeddings: count.default(196_608),
  intermediate_size: count,
  num_local_experts: count,
  num_experts_per_tok: count,
  // The authors' code has other forms of these, and transformers takes them for granted.
  use_qk_norm: z.literal(true).default(true),
  qk_norm_type: z.literal('per_layer').default('per_layer'),
  use_routing_bias: z.literal(true).default(true),
  scoring_func: z.literal('sigmoid').default('sigmoid'),
  shared_intermediate_size: z.literal([0, null]).optional(),
  attn_type_list: z.array(z.literal(1)).nullish(),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const minimaxM2 = family('minimax_m2', schema, specOf, { num_local_experts: 'num_experts' });

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_local_experts, c.num_hidden_layers);
  requireChoices(c.num_experts_per_tok, c.num_local_experts, ['num_local_experts', 'num_experts_per_tok']);
  const attention = gqaOf(c, { qkNorm: 'vector' });
  const share = (c.rotary_dim ?? c.head_dim) / c.head_dim;
  return {
    ...commonSpec(c),
    rope: ropeOf(c, { headDim: c.head_dim, layout: 'half', maxPositions: c.max_position_embeddings, share }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, allMoe),
    moe: {
      ...PLAIN_EXPERTS,
      gate: {
        ...PLAIN_GATE,
        numExperts: c.num_local_experts,
        numTopk: c.num_experts_per_tok,
        scoring: 'sigmoid',
        normTopkProb: true,
      },
      hasSelectionBias: true,
      intermediateSize: c.intermediate_size,
    },
    stored: {
      ...OWN_NAMES,
      replace: [['.mlp.gate.e_score_correction_bias', '.mlp.e_score_correction_bias'], ...BLOCK_SPARSE_NAMES],
    },
  };
}
