/** Grouped-query attention, as most families spell it in config.json. */
import * as z from 'zod';
import { count, requireConfig } from '../../spec/hf_config.js';
import { PLAIN_GQA, type GqaSpec } from '../../spec/spec.js';

/** A null leaves a number to what the others say. */
export const GQA_FIELDS = {
  num_key_value_heads: count.nullable(),
  head_dim: count.nullish(),
} as const;

/** Fields of families whose queries and keys always have norms: published configurations may say so. */
export const NORMED_GQA_FIELDS = { ...GQA_FIELDS, use_qk_norm: z.literal([true, null]).optional() } as const;

type GqaFields = z.infer<z.ZodObject<typeof GQA_FIELDS>> & {
  readonly hidden_size: number;
  readonly num_attention_heads: number;
};

/** @param more what a family adds. @throws ModelError INVALID_MODEL_CONFIG */
export function gqaOf(c: GqaFields, more: Partial<GqaSpec> = {}): GqaSpec {
  const headDim = c.head_dim ?? c.hidden_size / c.num_attention_heads;
  requireConfig(
    Number.isInteger(headDim) && headDim % 2 === 0,
    `head_dim ${headDim} must be even, or hidden_size must divide by num_attention_heads`,
  );
  const numKvHeads = c.num_key_value_heads ?? c.num_attention_heads;
  requireConfig(
    c.num_attention_heads % numKvHeads === 0,
    `num_attention_heads ${c.num_attention_heads} must divide by num_key_value_heads ${numKvHeads}`,
  );
  return { ...PLAIN_GQA, numHeads: c.num_attention_heads, numKvHeads, headDim, softmaxScale: headDim ** -0.5, ...more };
}
