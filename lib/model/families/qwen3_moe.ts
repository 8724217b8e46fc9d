/** Qwen3-MoE (Qwen team, 2025): grouped-query attention with a norm per head, softmax gate, no shared experts. */
import * as z from 'zod';
import { COMMON_FIELDS, commonSpec, count, parseHfConfig, requireExperts, withAlias } from '../spec/hf_config.js';
import { ropeFields, ropeOf } from '../spec/rope_config.js';
import { PLAIN_EXPERTS, type ModelSpec } from '../spec/spec.js';
import { softmaxGate } from './blocks/gates.js';
import { GQA_FIELDS, gqaOf } from './blocks/gqa.js';
import { isSparse, layersOf, mixersOf, SPARSE_FIELDS } from './blocks/layers.js';

const schema = z.object({
  ...COMMON_FIELDS,
  ...ropeFields(),
  ...GQA_FIELDS,
  ...SPARSE_FIELDS,
  max_position_embeddings: count.default(32768),
  intermediate_size: count,
  moe_intermediate_size: count,
  num_experts: count,
  num_experts_per_tok: count,
  norm_topk_prob: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.int().nonnegative().nullish(),
});

/** A model from its config.json, with the defaults of Hugging Face's library. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export function qwen3Moe(config: unknown): ModelSpec {
  const c = parseHfConfig('qwen3_moe', schema, withAlias(config, 'num_experts', 'num_local_experts'));
  requireExperts(c.num_experts, c.num_hidden_layers);
  const attention = gqaOf(c, { qkNorm: 'head', hasQkvBias: c.attention_bias, hasOutputBias: c.attention_bias });
  // A window of no size is none.
  const window = c.use_sliding_window ? (c.sliding_window === undefined ? 4096 : c.sliding_window) : null;
  const mixerOf = mixersOf(c.num_hidden_layers, window, null, () => window !== null);
  return {
    modelType: 'qwen3_moe',
    ...commonSpec(c),
    rope: ropeOf(c, { headDim: attention.headDim, layout: 'half', maxPositions: c.max_position_embeddings }),
    attention,
    layers: layersOf(c.num_hidden_layers, c.intermediate_size, isSparse(c), mixerOf),
    moe: {
      ...PLAIN_EXPERTS,
      gate: softmaxGate(c.num_experts, c.num_experts_per_tok, c.norm_topk_prob, ['num_experts', 'num_experts_per_tok']),
      intermediateSize: c.moe_intermediate_size,
    },
  };
}
