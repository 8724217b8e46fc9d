/** Qwen3-MoE (Qwen team, 2025): grouped-query attention with a norm per head, softmax gate, no shared experts. */
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
import { ModelError } from '../spec/errors.js';
import { PLAIN_EXPERTS, PLAIN_GQA, type ModelSpec } from '../spec/spec.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ROPE_FIELDS,
  max_position_embeddings: count.default(32768),
  num_key_value_heads: count,
  head_dim: count.optional(),
  intermediate_size: count,
  moe_intermediate_size: count,
  num_experts: count,
  num_experts_per_tok: count,
  norm_topk_prob: z.boolean().default(false),
  decoder_sparse_step: count.default(1),
  mlp_only_layers: z.array(z.int()).nullish(),
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.int().nullish(),
});

/** A model from its config.json, with the defaults of Hugging Face's library. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export function qwen3Moe(config: unknown): ModelSpec {
  const c = parseHfConfig('qwen3_moe', schema, withAlias(config, 'num_experts', 'num_local_experts'));
  requireExperts(c.num_experts, c.num_hidden_layers);
  requireFullAttention(c);
  const headDim = c.head_dim ?? c.hidden_size / c.num_attention_heads;
  requireConfig(
    Number.isInteger(headDim) && headDim % 2 === 0,
    `head_dim ${headDim} must be even, or hidden_size must divide by num_attention_heads`,
  );
  requireConfig(
    c.num_attention_heads % c.num_key_value_heads === 0,
    `num_attention_heads ${c.num_attention_heads} must divide by num_key_value_heads ${c.num_key_value_heads}`,
  );
  requireConfig(
    c.num_experts_per_tok <= c.num_experts,
    `num_experts_per_tok ${c.num_experts_per_tok} must be at most num_experts ${c.num_experts}`,
  );
  const rope = ropeOf(c, c.max_position_embeddings);
  const isMoe = (i: number): boolean => !c.mlp_only_layers?.includes(i) && (i + 1) % c.decoder_sparse_step === 0;
  return {
    modelType: 'qwen3_moe',
    ...commonSpec(c),
    rope: { dim: headDim, layout: 'half', ...rope },
    attention: {
      ...PLAIN_GQA,
      numHeads: c.num_attention_heads,
      numKvHeads: c.num_key_value_heads,
      headDim,
      qkNorm: 'head',
      softmaxScale: headDim ** -0.5,
    },
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, isMoe),
    moe: {
      ...PLAIN_EXPERTS,
      gate: {
        ...PLAIN_GATE,
        numExperts: c.num_experts,
        numTopk: c.num_experts_per_tok,
        normTopkProb: c.norm_topk_prob,
      },
      intermediateSize: c.moe_intermediate_size,
    },
  };
}

/** A window of no size is none. */
function requireFullAttention({ use_sliding_window: isUsed, sliding_window: size }: z.infer<typeof schema>): void {
  if (!isUsed || size === null) return;
  throw new ModelError(
    'UNSUPPORTED_MODEL',
    'config.json: use_sliding_window is true, and qwen3_moe runs with false; choose a checkpoint of that form',
  );
}
