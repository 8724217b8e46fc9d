/** Latent attention, as DeepSeek's families and those after them spell it in config.json. */
import * as z from 'zod';
import { count, requireConfig } from '../../spec/hf_config.js';
import { logitMscale, ropeOf, type RopeFields } from '../../spec/rope_config.js';
import type { MlaSpec, RopeSpec } from '../../spec/spec.js';

/** Not configurable in the reference. */
const LATENT_NORM_EPS = 1e-6;

/** Fields of latent attention; the rank of queries has another default in each family, or none. */
export const MLA_FIELDS = {
  num_key_value_heads: count.nullish(),
  q_lora_rank: count.nullable(),
  kv_lora_rank: count,
  qk_nope_head_dim: count,
  qk_rope_head_dim: count,
  v_head_dim: count,
} as const;

type MlaFields = z.infer<z.ZodObject<typeof MLA_FIELDS>> &
  RopeFields & { readonly num_attention_heads: number; readonly max_position_embeddings: number };

/** @throws ModelError INVALID_MODEL_CONFIG, UNSUPPORTED_MODEL */
export function mlaOf(
  c: MlaFields,
  layout: RopeSpec['layout'],
): { readonly attention: MlaSpec; readonly rope: RopeSpec } {
  requireConfig(c.qk_rope_head_dim % 2 === 0, `qk_rope_head_dim ${c.qk_rope_head_dim} must be even`);
  const numKvHeads = c.num_key_value_heads ?? c.num_attention_heads;
  requireConfig(
    numKvHeads === c.num_attention_heads,
    `num_key_value_heads ${numKvHeads} must be num_attention_heads ${c.num_attention_heads}, since latents are of all heads`,
  );
  // YaRN's temperature multiplies the whole logit, the part without rotation included.
  const mscale = logitMscale(c);
  return {
    attention: {
      kind: 'mla',
      numHeads: c.num_attention_heads,
      qLoraRank: c.q_lora_rank,
      kvLoraRank: c.kv_lora_rank,
      qkNopeHeadDim: c.qk_nope_head_dim,
      qkRopeHeadDim: c.qk_rope_head_dim,
      vHeadDim: c.v_head_dim,
      latentNormEps: LATENT_NORM_EPS,
      indexer: null,
      softmaxScale: (c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5 * mscale ** 2,
    },
    rope: ropeOf(c, { headDim: c.qk_rope_head_dim, layout, maxPositions: c.max_position_embeddings }),
  };
}
