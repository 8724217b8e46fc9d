/** GLM-4.5 to 4.7 (Z.ai, 2025): DeepSeek-V3's gate on grouped-query attention whose heads are rotated in part. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { V3_GATE_FIELDS, v3Gate } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';
import { layersOf } from './blocks/layers.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...GQA_FIELDS,
  ...V3_GATE_FIELDS,
  max_position_embeddings: count.default(131_072),
  rms_norm_eps: z.number().nonnegative().default(1e-5),
  intermediate_size: count,
  moe_intermediate_size: count,
  first_k_dense_replace: z.int().nonnegative().default(1),
  n_shared_experts: z.int().nonnegative().max(1024).default(1),
  norm_topk_prob: z.boolean().default(true),
  attention_bias: z.boolean().default(false),
  use_qk_norm: z.boolean().default(false),
});

/** Of a head, where config.json doesn't say it. */
const ROTATED_SHARE = 0.5;

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const glm4Moe = family('glm4_moe', schema, specOf, { n_routed_experts: 'num_local_experts' });

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  const attention = gqaOf(c, { qkNorm: c.use_qk_norm ? 'head' : null, hasQkvBias: c.attention_bias });
  return {
    ...commonSpec(c),
    rope: ropeOf(c, {
      headDim: attention.headDim,
      layout: 'half',
      maxPositions: c.max_position_embeddings,
      share: ROTATED_SHARE,
    }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, (i) => i >= c.first_k_dense_replace),
    moe: {
      ...PLAIN_EXPERTS,
      gate: v3Gate(c),
      hasSelectionBias: true,
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.moe_intermediate_size * c.n_shared_experts,
    },
  };
}
