/** Qwen3-MoE (Qwen team, 2025): grouped-query attention with a norm per head, softmax gate, no shared experts. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { softmaxGate } from './blocks/gates.js';
import { gqaOf, NORMED_GQA_FIELDS } from './blocks/gqa.js';
import { isSparse, layersOf, mixersOf, SPARSE_FIELDS } from './blocks/layers.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...NORMED_GQA_FIELDS,
  ...SPARSE_FIELDS,
  max_position_embeddings: count.default(32768),
  intermediate_size: count,
  moe_intermediate_size: count,
  num_experts: count,
  num_experts_per_tok: count,
  norm_topk_prob: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.int().nonnegative().nullish(),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const qwen3Moe = family('qwen3_moe', schema, specOf, { num_experts: 'num_local_experts' });

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_experts, c.num_hidden_layers);
  const attention = gqaOf(c, { qkNorm: 'head', hasQkvBias: c.attention_bias, hasOutputBias: c.attention_bias });
  // A window of no size is none.
  const window = c.use_sliding_window ? (c.sliding_window === undefined ? 4096 : c.sliding_window) : null;
  const mixerOf = mixersOf(c.num_hidden_layers, window, null, () => window !== null);
  return {
    ...commonSpec(c),
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, isSparse(c), mixerOf),
    moe: {
      ...PLAIN_EXPERTS,
      gate: softmaxGate(c.num_experts, c.num_experts_per_tok, c.norm_topk_prob, ['num_experts', 'num_experts_per_tok']),
      intermediateSize: c.moe_intermediate_size,
    },
  };
}
