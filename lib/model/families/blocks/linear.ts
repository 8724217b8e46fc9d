/** Layers of linear attention between layers of full attention, as Qwen3-Next and Qwen3.5 spell them in config.json. */
import * as z from 'zod';
import { count, requireConfig } from '../../spec/hf_config.js';
import { FULL_ATTENTION, type DeltaRuleMixer, type MixerSpec } from '../../spec/spec.js';

/** With the defaults of both. */
export const LINEAR_FIELDS = {
  linear_conv_kernel_dim: count.min(2).default(4),
  linear_key_head_dim: count.default(128),
  linear_value_head_dim: count.default(128),
  linear_num_key_heads: count.default(16),
  linear_num_value_heads: count.default(32),
  full_attention_interval: count.default(4),
  layer_types: z.array(z.enum(['linear_attention', 'full_attention'])).nullish(),
  /** Without it the full attention would be another. */
  attn_output_gate: z.literal(true).default(true),
} as const;

type LinearFields = z.infer<z.ZodObject<typeof LINEAR_FIELDS>> & { readonly num_hidden_layers: number };

/** The mixer of each layer. @throws ModelError INVALID_MODEL_CONFIG */
export function linearMixers(
  c: LinearFields,
  projections: DeltaRuleMixer['projections'],
): (layer: number) => MixerSpec {
  const { linear_num_key_heads: numKeyHeads, linear_num_value_heads: numValueHeads, layer_types: types } = c;
  requireConfig(
    numValueHeads % numKeyHeads === 0,
    `linear_num_value_heads ${numValueHeads} must divide by linear_num_key_heads ${numKeyHeads}`,
  );
  requireTypes(types, c.num_hidden_layers);
  const linear: DeltaRuleMixer = {
    ...{ kind: 'delta_rule', numKeyHeads, numValueHeads, projections },
    keyHeadDim: c.linear_key_head_dim,
    valueHeadDim: c.linear_value_head_dim,
    width: c.linear_conv_kernel_dim,
  };
  const isFull = (layer: number): boolean =>
    types ? types[layer] === 'full_attention' : (layer + 1) % c.full_attention_interval === 0;
  return (layer) => (isFull(layer) ? FULL_ATTENTION : linear);
}

/** @throws ModelError INVALID_MODEL_CONFIG where not every layer has a type */
export function requireTypes(types: readonly string[] | null | undefined, numLayers: number): void {
  requireConfig(
    !types || types.length === numLayers,
    `layer_types has ${types?.length} entries, and num_hidden_layers is ${numLayers}`,
  );
}
