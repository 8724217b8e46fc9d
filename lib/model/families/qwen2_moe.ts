/** Qwen1.5-MoE and Qwen2-MoE (Qwen team, 2024): grouped-query attention with biases, softmax gate, shared experts behind a gate of their own. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { OWN_NAMES, PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { softmaxGate } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';
import { isSparse, layersOf, mixersOf, SPARSE_FIELDS, WINDOW_FIELDS } from './blocks/layers.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...GQA_FIELDS,
  ...SPARSE_FIELDS,
  ...WINDOW_FIELDS,
  max_position_embeddings: count.default(32768),
  intermediate_size: count,
  moe_intermediate_size: count,
  shared_expert_intermediate_size: count,
  num_experts: count,
  num_experts_per_tok: count,
  norm_topk_prob: z.boolean().default(false),
  qkv_bias: z.boolean().default(true),
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.int().nonnegative().nullable().default(4096),
  max_window_layers: z.int().nonnegative().default(28),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const qwen2Moe = family('qwen2_moe', schema, specOf);

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_experts, c.num_hidden_layers);
  const attention = gqaOf(c, { hasQkvBias: c.qkv_bias });
  const slides = (i: number): boolean => c.use_sliding_window && i % 2 === 0 && i < c.max_window_layers;
  const window = c.use_sliding_window ? c.sliding_window : null;
  return {
    ...commonSpec(c),
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(
      c.num_hidden_layers,
      c.intermediate_size,
      isSparse(c),
      mixersOf(c.num_hidden_layers, window, c.layer_types, slides),
    ),
    moe: {
      ...PLAIN_EXPERTS,
      gate: softmaxGate(c.num_experts, c.num_experts_per_tok, c.norm_topk_prob, ['num_experts', 'num_experts_per_tok']),
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.shared_expert_intermediate_size,
      hasSharedGate: true,
    },
    stored: { ...OWN_NAMES, replace: [['.mlp.shared_experts.', '.mlp.shared_expert.']] },
  };
}
