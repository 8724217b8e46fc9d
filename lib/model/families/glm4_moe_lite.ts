/** GLM-4.7-Flash (Z.ai, 2026): DeepSeek-V3's form with kinds of layers by name. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, requireConfig } from '../spec/hf_config.js';
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
  max_position_embeddings: count.default(202_752),
  rms_norm_eps: z.number().nonnegative().default(1e-5),
  q_lora_rank: count.nullable().default(768),
  intermediate_size: count,
  moe_intermediate_size: count,
  mlp_layer_types: z.array(z.enum(['dense', 'sparse'])).nullish(),
  // transformers has one dense layer whatever it says.
  first_k_dense_replace: z.literal(1).optional(),
  rope_interleave: z.boolean().default(true),
  n_shared_experts: z.int().nonnegative().max(1024).default(1),
  norm_topk_prob: z.boolean().default(true),
  routed_scaling_factor: z.number().default(1.8),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const glm4MoeLite = family('glm4_moe_lite', schema, specOf, {
  n_routed_experts: 'num_local_experts',
  qk_rope_head_dim: 'head_dim',
});

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  const types = c.mlp_layer_types;
  requireConfig(
    !types || types.length === c.num_hidden_layers,
    `mlp_layer_types has ${types?.length} entries, and num_hidden_layers is ${c.num_hidden_layers}`,
  );
  const isMoe = (i: number): boolean => (types ? types[i] === 'sparse' : i > 0);
  return {
    ...commonSpec(c),
    ...mlaOf(c, c.rope_interleave ? 'interleaved' : 'half'),
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, isMoe),
    moe: {
      ...PLAIN_EXPERTS,
      gate: v3Gate(c),
      hasSelectionBias: true,
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.moe_intermediate_size * c.n_shared_experts,
    },
  };
}
