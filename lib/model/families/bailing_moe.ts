/** Ling and Ring of both generations (inclusionAI, 2025); the second has DeepSeek-V3's gate, norms per head and heads rotated in part. */
import * as z from 'zod';
import { PLAIN_GATE, type GateSpec } from '../../../compute/base/gate_spec.js';
import { COMMON_FIELDS, commonSpec, count, requireConfig } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { OWN_NAMES, PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { family } from './blocks/family.js';
import { groupsOf, softmaxGate } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';
import { layersOf } from './blocks/layers.js';

const off = z.literal([false, null]).default(false);

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...GQA_FIELDS,
  // Every checkpoint has its own.
  rope_theta: z.number().positive().nullish(),
  rotary_dim: count.nullish(),
  max_position_embeddings: count,
  intermediate_size: count,
  moe_intermediate_size: count,
  num_experts: count,
  num_experts_per_tok: count,
  num_shared_experts: z.int().nonnegative().max(1024).nullish(),
  first_k_dense_replace: z.int().nonnegative().default(0),
  score_function: z.enum(['softmax', 'sigmoid']).default('softmax'),
  moe_router_enable_expert_bias: z.boolean().default(false),
  norm_topk_prob: z.literal(true).default(true),
  n_group: count.default(1),
  topk_group: count.default(1),
  routed_scaling_factor: z.number().default(1),
  use_qkv_bias: z.boolean().default(false),
  use_qk_norm: z.boolean().default(false),
  use_bias: off,
  norm_head: off,
  norm_softmax: off,
  multi_gate: off,
  use_sliding_window: off,
});

/** What they call our tensors. */
const NAMES = [
  ['model.embed_tokens.', 'model.word_embeddings.'],
  ['.self_attn.q_norm.', '.attention.query_layernorm.'],
  ['.self_attn.k_norm.', '.attention.key_layernorm.'],
  ['.self_attn.o_proj.', '.attention.dense.'],
  ['.self_attn.', '.attention.'],
  ['.e_score_correction_bias', '.expert_bias'],
] as const;

type Fields = z.infer<typeof schema>;

/** A model from its config.json. The reference is the authors' code: transformers has none. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const bailingMoe = family('bailing_moe', schema, specOf);

/** The same under the name that some checkpoints of the second generation have. */
export const bailingMoeV2 = family('bailing_moe_v2', schema, specOf);

function specOf(c: Fields): Omit<ModelSpec, 'modelType'> {
  const attention = gqaOf(c, { qkNorm: c.use_qk_norm ? 'head' : null, hasQkvBias: c.use_qkv_bias });
  const { headDim } = attention;
  // Where rope_scaling counts, rope_parameters doesn't.
  const theta = c.rope_theta ?? (c.rope_scaling ? c.rope_scaling.rope_theta : c.rope_parameters?.rope_theta);
  requireConfig(typeof theta === 'number', 'rope_theta is missing');
  const share = (c.rotary_dim ?? headDim) / headDim;
  return {
    ...commonSpec(c),
    rope: ropeOf(
      { ...c, rope_theta: theta! },
      { headDim, layout: 'half', maxPositions: c.max_position_embeddings, share },
    ),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, (i) => i >= c.first_k_dense_replace),
    moe: {
      ...PLAIN_EXPERTS,
      gate: gateOf(c),
      hasSelectionBias: c.moe_router_enable_expert_bias,
      intermediateSize: c.moe_intermediate_size,
      sharedIntermediateSize: c.moe_intermediate_size * (c.num_shared_experts ?? 0),
    },
    stored: { ...OWN_NAMES, replace: NAMES },
  };
}

/** The first generation has a softmax and nothing else, the second a sigmoid with a selection bias and groups. */
function gateOf(c: Fields): GateSpec {
  const isSecond = c.score_function === 'sigmoid';
  requireConfig(
    isSecond === c.moe_router_enable_expert_bias,
    `score_function is ${c.score_function} and moe_router_enable_expert_bias ${c.moe_router_enable_expert_bias}, which no checkpoint has together`,
  );
  if (!isSecond) return softmaxGate(c.num_experts, c.num_experts_per_tok, true, ['num_experts', 'num_experts_per_tok']);
  // The authors' code doesn't normalise a single weight, and ports of it do.
  requireConfig(c.num_experts_per_tok > 1, 'num_experts_per_tok is 1, and bailing_moe runs with more');
  const groups = groupsOf({ ...c, n_routed_experts: c.num_experts });
  return {
    ...PLAIN_GATE,
    numExperts: c.num_experts,
    numTopk: c.num_experts_per_tok,
    scoring: 'sigmoid',
    groups: { ...groups, score: 'top2_sum' },
    normTopkProb: true,
    normEps: 1e-20,
    routedScalingFactor: c.routed_scaling_factor,
  };
}
