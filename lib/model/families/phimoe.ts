/**
 * Phi-3.5-MoE (Microsoft, 2024): LayerNorm, biases, sparsemixer, LongRoPE with multipliers of its own.
 * Why: docs/decisions/families.md#where-transformers-leaves-the-authors-code
 */
import * as z from 'zod';
import { PLAIN_GATE } from '../../../compute/base/gate_spec.js';
import { ModelError } from '../spec/errors.js';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { OWN_NAMES, PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { requireChoices } from './blocks/gates.js';
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
  num_experts_per_tok: z.literal(2).default(2), // transformers chooses two whatever it says
  router_jitter_noise: z.number().nonnegative().default(0.01),
  sliding_window: count.nullish(),
  attention_bias: z.boolean().default(false),
  lm_head_bias: z.boolean().default(false),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const phimoe = family('phimoe', schema, specOf);

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_local_experts, c.num_hidden_layers);
  requireChoices(c.num_experts_per_tok, c.num_local_experts, ['num_local_experts', 'num_experts_per_tok']);
  const attention = gqaOf(c, { hasQkvBias: c.attention_bias, hasOutputBias: c.attention_bias });
  const mixerOf = mixersOf(c.num_hidden_layers, c.sliding_window, null, () => !!c.sliding_window);
  return {
    ...commonSpec(c),
    norm: 'layer',
    hasHeadBias: c.lm_head_bias,
    rope: phiRope(c, attention.headDim),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, allMoe, mixerOf),
    moe: {
      ...PLAIN_EXPERTS,
      gate: {
        ...PLAIN_GATE,
        numExperts: c.num_local_experts,
        numTopk: c.num_experts_per_tok,
        scoring: { kind: 'sparsemixer', jitterEps: c.router_jitter_noise },
      },
      intermediateSize: c.intermediate_size,
    },
    stored: { ...OWN_NAMES, replace: BLOCK_SPARSE_NAMES },
  };
}

/** Other scalings take the multipliers too in transformers, which no checkpoint has. */
function phiRope(c: z.infer<typeof schema>, headDim: number): ModelSpec['rope'] {
  const rope = ropeOf(c, { headDim, layout: 'half', maxPositions: c.max_position_embeddings });
  if (rope.scaling === null || rope.scaling.kind === 'longrope') return rope;
  const message = `config.json: rope_scaling is ${rope.scaling.kind}, and phimoe runs with longrope; choose a checkpoint of that form`;
  throw new ModelError('UNSUPPORTED_MODEL', message);
}
