/** OLMoE (Muennighoff et al. 2024): norms of q and k over the whole vector, softmax gate, every layer with experts. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireConfig, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { softmaxGate } from './blocks/gates.js';
import { gqaOf, NORMED_GQA_FIELDS } from './blocks/gqa.js';
import { allMoe, layersOf } from './blocks/layers.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...NORMED_GQA_FIELDS,
  num_key_value_heads: count.nullish(),
  max_position_embeddings: count.default(4096),
  rms_norm_eps: z.number().nonnegative().default(1e-5),
  intermediate_size: count,
  num_experts: count,
  num_experts_per_tok: count,
  norm_topk_prob: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  clip_qkv: z.number().positive().nullish(),
  // Some ways of computing attention in the reference take it, and others don't.
  sliding_window: z.literal(null).optional(),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const olmoe = family('olmoe', schema, specOf, { num_experts: 'num_local_experts' });

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_experts, c.num_hidden_layers);
  const [hasQkvBias, hasOutputBias] = [c.attention_bias, c.attention_bias];
  const kvHeads = c.num_key_value_heads ?? null;
  const attention = gqaOf(
    { ...c, num_key_value_heads: kvHeads },
    { qkNorm: 'vector', hasQkvBias, hasOutputBias, clip: c.clip_qkv ?? null },
  );
  requireConfig(
    attention.headDim * attention.numHeads === c.hidden_size,
    `head_dim ${attention.headDim} of ${attention.numHeads} heads must make hidden_size ${c.hidden_size}`,
  );
  return {
    ...commonSpec(c),
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, allMoe),
    moe: {
      ...PLAIN_EXPERTS,
      gate: softmaxGate(c.num_experts, c.num_experts_per_tok, c.norm_topk_prob, ['num_experts', 'num_experts_per_tok']),
      intermediateSize: c.intermediate_size,
    },
  };
}
