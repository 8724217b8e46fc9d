/**
 * Fields of config.json that change what a model computes, by the mechanism that they turn on: a family that doesn't read such a field refuses it, whatever
 * transformers makes of it. Why: docs/decisions/families.md#a-field-that-a-family-does-not-read-is-refused-where-it-turns-something-on
 */
import { shown } from '../../../base/foreign_text.js';
import { ModelError } from './errors.js';

/** Values that turn nothing on, beside null and false. */
interface Mechanism {
  readonly what: string;
  readonly off: readonly unknown[];
}

const mechanism = (what: string, ...off: readonly unknown[]): Mechanism => ({ what, off });

const INDEXER = mechanism('sparse attention by an indexer', 0);
const LINEAR = mechanism('linear attention with a recurrent state', 0, 1);
const STATE_SPACE = mechanism('state-space layers', 0);
const HYPER = mechanism('hyper-connections', 0, 1);
const COMPRESSED = mechanism('compressed attention', 0);
const MULTIPLIER = mechanism('a multiplier', 1);
const SOFT_CAP = mechanism('capped logits', 0);
const IDLE_EXPERTS = mechanism('experts that compute nothing', 0);
const NO_ROPE = mechanism('layers without rotation', 0);
const NORMS = mechanism('norms of queries and keys');
const GATED = mechanism('gated attention');
const SHARED_KV = mechanism('keys and values shared by layers', 0, 1);

/** By field. */
const MECHANISMS: Readonly<Record<string, Mechanism>> = {
  index_topk: INDEXER,
  linear_attn_config: LINEAR,
  linear_num_value_heads: LINEAR,
  full_attention_interval: LINEAR,
  layer_group_size: LINEAR,
  conv_L_cache: mechanism('short convolutions', 0),
  mamba_d_state: STATE_SPACE,
  ssm_state_size: STATE_SPACE,
  hybrid_override_pattern: STATE_SPACE,
  hc_mult: HYPER,
  num_hash_layers: mechanism('layers that route by hashes', 0),
  compress_ratios: COMPRESSED,
  compress_rates: COMPRESSED,
  o_lora_rank: mechanism('an output projection of low rank', 0),
  moe_latent_size: mechanism('experts behind a projection', 0),
  zero_expert_num: IDLE_EXPERTS,
  num_zero_experts: IDLE_EXPERTS,
  final_logit_softcapping: SOFT_CAP,
  attn_logit_softcapping: SOFT_CAP,
  router_logit_softcapping: SOFT_CAP,
  attention_chunk_size: mechanism('attention in chunks', 0),
  dual_chunk_attention_config: mechanism('attention in chunks'),
  attn_temperature_tuning: mechanism('a temperature by position', 0),
  no_rope_layers: NO_ROPE,
  no_rope_layer_interval: NO_ROPE,
  nope_layer_interval: NO_ROPE,
  use_qk_norm: NORMS,
  qk_norm: NORMS,
  qk_layernorm: NORMS,
  attn_output_gate: GATED,
  use_head_wise_attn_gate: GATED,
  use_gated_attention: GATED,
  add_swa_attention_sink_bias: mechanism('attention sinks'),
  add_full_attention_sink_bias: mechanism('attention sinks'),
  use_cla: SHARED_KV,
  cla_share_factor: SHARED_KV,
  num_kv_shared_layers: SHARED_KV,
  hidden_size_per_layer_input: mechanism('embeddings per layer', 0),
  embedding_multiplier: MULTIPLIER,
  residual_multiplier: MULTIPLIER,
  attention_multiplier: mechanism('a multiplier'),
  logits_scaling: MULTIPLIER,
  scale_emb: MULTIPLIER,
  scale_depth: mechanism('a multiplier'),
  dim_model_base: mechanism('a multiplier'),
  query_pre_attn_scalar: mechanism('a multiplier'),
  swiglu_limit: mechanism('clamped activations', 0),
  alibi: mechanism('position biases'),
};

/** @param known fields that the family reads. @throws ModelError UNSUPPORTED_MODEL for one that it doesn't, and that turns something on */
export function refuseMechanisms(modelType: string, config: unknown, known: readonly string[]): void {
  const found = mechanismsOf(config).find(({ field }) => !known.includes(field));
  if (found === undefined) return;
  const { field, value, what } = found;
  throw new ModelError(
    'UNSUPPORTED_MODEL',
    `config.json: ${field} is ${shown(value)}: ${what}, which ${modelType} doesn't have here; choose a checkpoint without`,
  );
}

/** What is turned on in a config.json. */
export function mechanismsOf(
  config: unknown,
): { readonly field: string; readonly value: unknown; readonly what: string }[] {
  return Object.entries((config ?? {}) as Readonly<Record<string, unknown>>).flatMap(([field, value]) => {
    const found = Object.hasOwn(MECHANISMS, field) ? MECHANISMS[field]! : undefined;
    const isOff = value === null || value === false || (Array.isArray(value) && value.length === 0);
    return found === undefined || isOff || found.off.includes(value) ? [] : [{ field, value, what: found.what }];
  });
}
