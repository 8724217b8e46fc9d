/** DeepSeek-V2 and V2-Lite (DeepSeek-AI, 2024): latent attention, softmax gate, groups by their best expert, fused shared experts. */
import * as z from 'zod';
import { PLAIN_GATE, type GateSpec } from '../../../compute/base/gate_spec.js';
import { COMMON_FIELDS, commonSpec, count } from '../spec/hf_config.js';
import { ropeFields } from '../spec/rope_config.js';
import { PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { groupsOf, V3_GATE_FIELDS } from './blocks/gates.js';
import { layersOf } from './blocks/layers.js';
import { MLA_FIELDS, mlaOf } from './blocks/mla.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...MLA_FIELDS,
  ...V3_GATE_FIELDS,
  max_position_embeddings: count.default(2048),
  q_lora_rank: count.nullable().default(1536),
  intermediate_size: count,
  moe_intermediate_size: count,
  first_k_dense_replace: z.int().nonnegative().default(0),
  moe_layer_freq: z.literal(1).default(1),
  mlp_bias: z.literal(false).default(false),
  n_shared_experts: z.int().nonnegative().max(1024).nullable().default(2),
  topk_method: z.enum(['greedy', 'group_limited_greedy']).default('greedy'),
  scoring_func: z.literal('softmax').default('softmax'),
  // transformers ignores it, and the authors' code divides by the sum instead of scaling.
  norm_topk_prob: z.literal([false, null]).default(false),
  routed_scaling_factor: z.number().default(1),
});

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const deepseekV2 = family('deepseek_v2', schema, specOf, { n_routed_experts: 'num_experts' });

function specOf(c: z.infer<typeof schema>): Omit<ModelSpec, 'modelType'> {
  return {
    ...commonSpec(c),
    ...mlaOf(c, 'interleaved'),
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, (i) => i >= c.first_k_dense_replace),
    moe: {
      ...PLAIN_EXPERTS,
      gate: gateOf(c),
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.moe_intermediate_size * (c.n_shared_experts ?? 0),
    },
  };
}

function gateOf(c: z.infer<typeof schema>): GateSpec {
  const hasGroups = c.topk_method === 'group_limited_greedy';
  const groups = groupsOf(hasGroups ? c : { ...c, n_group: 1, topk_group: 1 });
  return {
    ...PLAIN_GATE,
    numExperts: c.n_routed_experts,
    numTopk: c.num_experts_per_tok,
    groups: hasGroups ? { ...groups, score: 'max' } : null,
    routedScalingFactor: c.routed_scaling_factor,
  };
}
