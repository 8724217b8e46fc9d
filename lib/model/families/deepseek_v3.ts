/** DeepSeek-V3 and R1 (DeepSeek-AI, 2024): latent attention, sigmoid gate with selection bias and groups, fused shared experts. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count } from '../spec/hf_config.js';
import { ropeFields } from '../spec/rope_config.js';
import { PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { V3_GATE_FIELDS, v3Gate } from './blocks/gates.js';
import { layersOf } from './blocks/layers.js';
import { MLA_FIELDS, mlaOf } from './blocks/mla.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...MLA_FIELDS,
  ...V3_GATE_FIELDS,
  max_position_embeddings: count.default(4096),
  q_lora_rank: count.nullable().default(1536),
  intermediate_size: count,
  moe_intermediate_size: count,
  first_k_dense_replace: z.int().nonnegative().default(3),
  moe_layer_freq: z.literal(1).default(1),
  rope_interleave: z.boolean().nullable().default(true),
  n_shared_experts: z.int().nonnegative().max(1024).nullable().default(1),
  n_group: count.default(8),
  topk_group: count.default(4),
  norm_topk_prob: z.boolean().nullable().default(true),
  routed_scaling_factor: z.number().default(2.5),
});

const ALIASES = { n_routed_experts: 'num_local_experts' };

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const deepseekV3 = family('deepseek_v3', schema, specOf, ALIASES);

/** Kimi-K2 (Moonshot AI, 2025) is the same under another name. */
export const kimiK2 = family('kimi_k2', schema, specOf, ALIASES);

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  return {
    ...commonSpec(c),
    ...mlaOf(c, c.rope_interleave === true ? 'interleaved' : 'half'),
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, (i) => i >= c.first_k_dense_replace),
    moe: {
      ...PLAIN_EXPERTS,
      gate: v3Gate(c),
      hasSelectionBias: true,
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.moe_intermediate_size * (c.n_shared_experts ?? 0),
    },
  };
}
