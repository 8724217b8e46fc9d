/** ERNIE 4.5 MoE (Baidu, 2025): softmax gate with a selection bias, pairs of adjacent channels rotated. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireExperts } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { OWN_NAMES, PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { softmaxGate } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';
import { layersOf } from './blocks/layers.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(500_000),
  ...GQA_FIELDS,
  max_position_embeddings: count.default(131_072),
  rms_norm_eps: z.number().nonnegative().default(1e-5),
  tie_word_embeddings: z.boolean().default(true),
  use_bias: z.literal(false).default(false),
  intermediate_size: count,
  moe_intermediate_size: count,
  moe_num_experts: count,
  moe_k: count,
  moe_num_shared_experts: z.int().nonnegative().max(1024).default(2),
  moe_layer_start_index: z.int().nonnegative().default(1),
  moe_layer_end_index: z.int().min(-1).default(-1),
  moe_layer_interval: count.default(1),
  moe_norm_min: z.number().nonnegative().default(1e-12),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const ernie45Moe = family('ernie4_5_moe', schema, specOf, {
  moe_num_experts: 'num_experts',
  moe_k: 'num_experts_per_tok',
});

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  requireExperts(c.moe_num_experts, c.num_hidden_layers);
  const attention = gqaOf(c);
  const last = c.moe_layer_end_index === -1 ? c.num_hidden_layers - 1 : c.moe_layer_end_index;
  const isMoe = (i: number): boolean =>
    (i + 1) % c.moe_layer_interval === 0 && i >= c.moe_layer_start_index && i <= last;
  return {
    ...commonSpec(c),
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'interleaved', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, isMoe),
    moe: {
      ...PLAIN_EXPERTS,
      gate: {
        ...softmaxGate(c.moe_num_experts, c.moe_k, true, ['moe_num_experts', 'moe_k']),
        normMin: c.moe_norm_min,
      },
      hasSelectionBias: true,
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.moe_intermediate_size * c.moe_num_shared_experts,
    },
    stored: {
      ...OWN_NAMES,
      replace: [['.mlp.gate.e_score_correction_bias', '.mlp.moe_statics.e_score_correction_bias']],
    },
  };
}
