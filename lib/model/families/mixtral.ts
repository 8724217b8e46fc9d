/** Mixtral (Mistral AI, 2024): grouped-query attention, softmax gate whose weights are always normalised, no shared experts. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { OWN_NAMES, PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { softmaxGate } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';
import { allMoe, layersOf, mixersOf } from './blocks/layers.js';
import { BLOCK_SPARSE_NAMES } from './blocks/names.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(1e6),
  ...GQA_FIELDS,
  max_position_embeddings: count.default(131_072),
  rms_norm_eps: z.number().nonnegative().default(1e-5),
  intermediate_size: count,
  num_local_experts: count,
  num_experts_per_tok: count.default(2),
  sliding_window: count.nullish(),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const mixtral = family('mixtral', schema, specOf, { num_local_experts: 'num_experts' });

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_local_experts, c.num_hidden_layers);
  const attention = gqaOf(c);
  const mixerOf = mixersOf(c.num_hidden_layers, c.sliding_window, null, () => !!c.sliding_window);
  const names = ['num_local_experts', 'num_experts_per_tok'] as const;
  return {
    ...commonSpec(c),
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, allMoe, mixerOf),
    moe: {
      ...PLAIN_EXPERTS,
      gate: softmaxGate(c.num_local_experts, c.num_experts_per_tok, true, names),
      intermediateSize: c.intermediate_size,
    },
    stored: { ...OWN_NAMES, replace: BLOCK_SPARSE_NAMES },
  };
}
