/** Qwen3-Next (Qwen team, 2025): gated delta rules between layers of gated attention, a gated shared expert, norms stored as differences from 1. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { OWN_NAMES, PLAIN_EXPERTS, type LayerSpec, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { softmaxGate } from './blocks/gates.js';
import { gqaOf, NORMED_GQA_FIELDS } from './blocks/gqa.js';
import { isSparse, layersOf, SPARSE_FIELDS } from './blocks/layers.js';
import { LINEAR_FIELDS, linearMixers } from './blocks/linear.js';

/** What it shares with Qwen3.5. */
export const NEXT_FIELDS = {
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...NORMED_GQA_FIELDS,
  ...LINEAR_FIELDS,
  max_position_embeddings: count.default(32_768),
  rms_norm_eps: z.number().nonnegative().default(1e-6),
  head_dim: count.default(256),
  attention_bias: z.boolean().default(false),
  moe_intermediate_size: count,
  shared_expert_intermediate_size: count,
  num_experts: count,
  num_experts_per_tok: count,
} as const;

const schema = z.object({
  ...NEXT_FIELDS,
  ...SPARSE_FIELDS,
  intermediate_size: count,
  norm_topk_prob: z.boolean().default(true),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const qwen3Next = family('qwen3_next', schema, (c) =>
  nextSpec(
    c,
    layersOf(c.num_hidden_layers, c.intermediate_size, isSparse(c), linearMixers(c, 'by_head')),
    c.norm_topk_prob,
  ),
);

/** Of a head, where config.json doesn't say it. */
const ROTATED_SHARE = 0.25;

/** @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export function nextSpec(
  c: z.infer<z.ZodObject<typeof NEXT_FIELDS>>,
  layers: readonly LayerSpec[],
  normTopkProb: boolean,
): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.num_experts, c.num_hidden_layers);
  const attention = gqaOf(c, {
    ...{ qkNorm: 'head', hasOutputGate: true },
    ...{ hasQkvBias: c.attention_bias, hasOutputBias: c.attention_bias },
  });
  return {
    ...commonSpec(c),
    normOffset: 1,
    rope: ropeOf(c, {
      headDim: attention.headDim,
      layout: 'half',
      maxPositions: c.max_position_embeddings,
      share: ROTATED_SHARE,
    }),
    attention,
    layers,
    moe: {
      ...PLAIN_EXPERTS,
      gate: softmaxGate(c.num_experts, c.num_experts_per_tok, normTopkProb, ['num_experts', 'num_experts_per_tok']),
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.shared_expert_intermediate_size,
      hasSharedGate: true,
    },
    stored: { ...OWN_NAMES, replace: [['.mlp.shared_experts.', '.mlp.shared_expert.']] },
  };
}
