/** dots.llm1 (rednote-hilab, 2025): DeepSeek-V3's gate on grouped-query attention with a norm per head. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { V3_GATE_FIELDS, v3Gate } from './blocks/gates.js';
import { gqaOf, NORMED_GQA_FIELDS } from './blocks/gqa.js';
import { layersOf, mixersOf, WINDOW_FIELDS } from './blocks/layers.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...NORMED_GQA_FIELDS,
  ...V3_GATE_FIELDS,
  ...WINDOW_FIELDS,
  max_position_embeddings: count.default(2048),
  intermediate_size: count,
  moe_intermediate_size: count,
  first_k_dense_replace: z.int().nonnegative().default(0),
  n_shared_experts: z.int().nonnegative().max(1024),
  attention_bias: z.boolean().default(false),
  // The published configurations call the scores by the method that chooses.
  scoring_func: z.enum(['sigmoid', 'noaux_tc']).default('sigmoid'),
  sliding_window: count.nullable().default(4096),
  max_window_layers: z.int().nonnegative().default(62),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const dots1 = family('dots1', schema, specOf, { n_routed_experts: 'num_local_experts' });

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  const attention = gqaOf(c, { qkNorm: 'head', hasQkvBias: c.attention_bias, hasOutputBias: c.attention_bias });
  const slides = (i: number): boolean => c.sliding_window !== null && i >= c.max_window_layers;
  const mixerOf = mixersOf(c.num_hidden_layers, c.sliding_window, c.layer_types, slides);
  return {
    ...commonSpec(c),
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, (i) => i >= c.first_k_dense_replace, mixerOf),
    moe: {
      ...PLAIN_EXPERTS,
      gate: v3Gate(c),
      hasSelectionBias: true,
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.moe_intermediate_size * c.n_shared_experts,
    },
  };
}
