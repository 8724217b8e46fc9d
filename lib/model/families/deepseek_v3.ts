/** DeepSeek-V3 and R1 (DeepSeek-AI, 2024): latent attention, sigmoid gate with selection bias and groups, fused shared experts. */
import * as z from 'zod';
import { PLAIN_GATE } from '../../../compute/base/gate_spec.js';
import {
  COMMON_FIELDS,
  commonSpec,
  count,
  layersOf,
  parseHfConfig,
  requireConfig,
  requireExperts,
  ROPE_FIELDS,
  ropeOf,
  withAlias,
} from '../spec/hf_config.js';
import { yarnMscale } from '../spec/rope_angles.js';
import { PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';

/** Not configurable in the reference. */
const LATENT_NORM_EPS = 1e-6;

const schema = z.object({
  ...COMMON_FIELDS,
  ...ROPE_FIELDS,
  max_position_embeddings: count.default(4096),
  num_key_value_heads: count.nullish(),
  intermediate_size: count,
  moe_intermediate_size: count,
  first_k_dense_replace: z.int().nonnegative().default(3),
  moe_layer_freq: z.literal(1).default(1),
  q_lora_rank: count.nullable().default(1536),
  kv_lora_rank: count,
  qk_nope_head_dim: count,
  qk_rope_head_dim: count,
  v_head_dim: count,
  rope_interleave: z.boolean().nullable().default(true),
  n_routed_experts: count,
  num_experts_per_tok: count,
  n_shared_experts: z.int().nonnegative().max(1024).nullable().default(1),
  n_group: count.default(8),
  topk_group: count.default(4),
  topk_method: z.literal('noaux_tc').default('noaux_tc'),
  scoring_func: z.literal('sigmoid').default('sigmoid'),
  norm_topk_prob: z.boolean().nullable().default(true),
  routed_scaling_factor: z.number().default(2.5),
});

/** A model from its config.json, with the defaults of Hugging Face's library. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export function deepseekV3(config: unknown): ModelSpec {
  const c = parseHfConfig('deepseek_v3', schema, withAlias(config, 'n_routed_experts', 'num_local_experts'));
  requireExperts(c.n_routed_experts, c.num_hidden_layers);
  const groupSize = c.n_routed_experts / c.n_group;
  requireConfig(
    Number.isInteger(groupSize),
    `n_routed_experts ${c.n_routed_experts} must divide by n_group ${c.n_group}`,
  );
  requireConfig(
    c.topk_group <= c.n_group && c.num_experts_per_tok <= groupSize * c.topk_group,
    `num_experts_per_tok ${c.num_experts_per_tok} must fit in topk_group ${c.topk_group} of ${c.n_group} groups`,
  );
  requireConfig(c.qk_rope_head_dim % 2 === 0, `qk_rope_head_dim ${c.qk_rope_head_dim} must be even`);
  const numKvHeads = c.num_key_value_heads ?? c.num_attention_heads;
  requireConfig(
    numKvHeads === c.num_attention_heads,
    `num_key_value_heads ${numKvHeads} must be num_attention_heads ${c.num_attention_heads}, since latents are of all heads`,
  );
  const rope = ropeOf(c, c.max_position_embeddings);
  // YaRN's temperature multiplies the whole logit, the part without rotation included.
  const mscale = rope.yarn === null ? 1 : yarnMscale(rope.yarn.factor, rope.yarn.mscaleAllDim ?? 0);
  const isMoe = (i: number): boolean => i >= c.first_k_dense_replace;
  return {
    modelType: 'deepseek_v3',
    ...commonSpec(c),
    rope: { dim: c.qk_rope_head_dim, layout: c.rope_interleave === true ? 'interleaved' : 'half', ...rope },
    attention: {
      kind: 'mla',
      numHeads: c.num_attention_heads,
      qLoraRank: c.q_lora_rank ?? null,
      kvLoraRank: c.kv_lora_rank,
      qkNopeHeadDim: c.qk_nope_head_dim,
      qkRopeHeadDim: c.qk_rope_head_dim,
      vHeadDim: c.v_head_dim,
      latentNormEps: LATENT_NORM_EPS,
      softmaxScale: (c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5 * mscale ** 2,
    },
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, isMoe),
    moe: {
      ...PLAIN_EXPERTS,
      gate: {
        ...PLAIN_GATE,
        numExperts: c.n_routed_experts,
        numTopk: c.num_experts_per_tok,
        scoring: 'sigmoid',
        groups: { numGroups: c.n_group, topkGroups: c.topk_group, score: 'top2_sum' },
        normTopkProb: c.norm_topk_prob === true,
        normEps: 1e-20,
        routedScalingFactor: c.routed_scaling_factor,
      },
      hasSelectionBias: true,
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.moe_intermediate_size * (c.n_shared_experts ?? 0),
    },
  };
}
