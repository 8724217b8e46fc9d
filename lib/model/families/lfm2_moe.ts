/** LFM2-MoE (Liquid AI, 2025): short convolutions between layers of grouped-query attention, sigmoid gate with a selection bias. */
import * as z from 'zod';
import { PLAIN_GATE } from '../../../compute/base/gate_spec.js';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { FULL_ATTENTION, OWN_NAMES, PLAIN_EXPERTS, type MixerSpec, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { requireChoices } from './blocks/gates.js';
import { gqaOf, NORMED_GQA_FIELDS } from './blocks/gqa.js';
import { layersOf } from './blocks/layers.js';
import { requireTypes } from './blocks/linear.js';
import { FEED_FORWARD_NAMES } from './blocks/names.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(1_000_000),
  ...NORMED_GQA_FIELDS,
  max_position_embeddings: count.default(128_000),
  norm_eps: z.number().positive().default(1e-5),
  tie_word_embeddings: z.boolean().default(true),
  tie_embedding: z.boolean().optional(), // counts before the other spelling
  intermediate_size: count,
  moe_intermediate_size: count,
  num_dense_layers: z.int().nonnegative().default(2),
  num_experts: count,
  num_experts_per_tok: count,
  norm_topk_prob: z.boolean().default(true),
  use_expert_bias: z.boolean().default(true),
  routed_scaling_factor: z.number().default(1),
  conv_L_cache: count.min(2).default(3),
  conv_bias: z.boolean().default(false),
  layer_types: z.array(z.enum(['conv', 'full_attention'])),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const lfm2Moe = family('lfm2_moe', schema, specOf);

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_experts, c.num_hidden_layers);
  requireTypes(c.layer_types, c.num_hidden_layers);
  requireChoices(c.num_experts_per_tok, c.num_experts, ['num_experts', 'num_experts_per_tok']);
  const attention = gqaOf(c, { qkNorm: 'head' });
  const convolution: MixerSpec = { kind: 'short_conv', width: c.conv_L_cache, hasBias: c.conv_bias };
  return {
    ...commonSpec(c),
    normEps: c.norm_eps,
    tieWordEmbeddings: c.tie_embedding ?? c.tie_word_embeddings,
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(
      c.num_hidden_layers,
      c.intermediate_size,
      (layer) => layer >= c.num_dense_layers,
      (layer) => (c.layer_types[layer] === 'conv' ? convolution : FULL_ATTENTION),
    ),
    moe: {
      ...PLAIN_EXPERTS,
      gate: {
        ...PLAIN_GATE,
        numExperts: c.num_experts,
        numTopk: c.num_experts_per_tok,
        scoring: 'sigmoid',
        normTopkProb: c.norm_topk_prob,
        normEps: 1e-6,
        routedScalingFactor: c.routed_scaling_factor,
      },
      hasSelectionBias: c.use_expert_bias,
      intermediateSize: c.moe_intermediate_size,
    },
    stored: { ...OWN_NAMES, replace: FEED_FORWARD_NAMES },
  };
}
