/** gpt-oss (OpenAI, 2025): windows in every other layer, sinks, biases everywhere, clamped SwiGLU. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { OWN_NAMES, PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { softmaxGate } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';
import { allMoe, layersOf, mixersOf, WINDOW_FIELDS } from './blocks/layers.js';

/** Where config.json says nothing of rotations. */
const USUAL_ROPE = {
  rope_type: 'yarn',
  factor: 32,
  beta_fast: 32,
  beta_slow: 1,
  truncate: false,
  original_max_position_embeddings: 4096,
} as const;

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(150_000),
  ...GQA_FIELDS,
  ...WINDOW_FIELDS,
  head_dim: count.nullable(),
  max_position_embeddings: count.default(131_072),
  rms_norm_eps: z.number().nonnegative().default(1e-5),
  intermediate_size: count,
  num_local_experts: count,
  num_experts_per_tok: count,
  attention_bias: z.boolean().default(true),
  sliding_window: count.nullable().default(128),
  swiglu_alpha: z.number().default(1.702),
  swiglu_limit: z.number().positive().default(7),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const gptOss = family('gpt_oss', schema, specOf, { num_local_experts: 'num_experts' });

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_local_experts, c.num_hidden_layers);
  const attention = gqaOf(c, { hasQkvBias: c.attention_bias, hasOutputBias: c.attention_bias, hasSinks: true });
  const rope = { ...c, rope_parameters: c.rope_parameters ?? USUAL_ROPE };
  const mixerOf = mixersOf(c.num_hidden_layers, c.sliding_window, c.layer_types, (i) => i % 2 === 0);
  const names = ['num_local_experts', 'num_experts_per_tok'] as const;
  return {
    ...commonSpec(c),
    rope: ropeOf(rope, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, allMoe, mixerOf),
    moe: {
      ...PLAIN_EXPERTS,
      // A softmax over the chosen logits is one over all whose chosen are normalised.
      gate: softmaxGate(c.num_local_experts, c.num_experts_per_tok, true, names),
      hasRouterBias: true,
      activation: { kind: 'clamped_swiglu', limit: c.swiglu_limit, alpha: c.swiglu_alpha },
      hasExpertBias: true,
      intermediateSize: c.intermediate_size,
    },
    stored: { ...OWN_NAMES, replace: [['.mlp.gate.', '.mlp.router.']], experts: 'columns' },
  };
}
