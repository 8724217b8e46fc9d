/** Granite 3 MoE (IBM, 2024): multipliers of embeddings, residuals, attention and logits. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { OWN_NAMES, PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { softmaxGate } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';
import { allMoe, layersOf } from './blocks/layers.js';

const multiplier = z.number().default(1);

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...GQA_FIELDS,
  max_position_embeddings: count.default(2048),
  intermediate_size: count,
  num_local_experts: count,
  num_experts_per_tok: count,
  attention_bias: z.boolean().default(false),
  embedding_multiplier: multiplier,
  residual_multiplier: multiplier,
  attention_multiplier: multiplier,
  logits_scaling: z.number().positive().default(1),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const graniteMoe = family('granitemoe', schema, specOf);

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_local_experts, c.num_hidden_layers);
  const [hasQkvBias, hasOutputBias] = [c.attention_bias, c.attention_bias];
  const attention = gqaOf(c, { hasQkvBias, hasOutputBias, softmaxScale: c.attention_multiplier });
  const names = ['num_local_experts', 'num_experts_per_tok'] as const;
  return {
    ...commonSpec(c),
    multipliers: {
      embedding: c.embedding_multiplier,
      residual: c.residual_multiplier,
      logits: 1 / c.logits_scaling,
    },
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, allMoe),
    moe: {
      ...PLAIN_EXPERTS,
      // A softmax over the chosen logits is one over all whose chosen are normalised.
      gate: softmaxGate(c.num_local_experts, c.num_experts_per_tok, true, names),
      intermediateSize: c.intermediate_size,
    },
    stored: {
      ...OWN_NAMES,
      replace: [
        ['.mlp.gate.', '.mlp.router.layer.'],
        ['.mlp.', '.block_sparse_moe.'],
      ],
    },
  };
}
