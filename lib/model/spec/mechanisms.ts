/**
 * Fields of config.json that change what a model computes, by the mechanism that they turn on: a family that doesn't read such a field refuses it, whatever
 * transformers makes of it. Why: docs/decisions/families.md#a-field-that-a-family-does-not-read-is-refused-where-it-turns-something-on
 */
import { shown } from '../../../base/foreign_text.js';
import { ModelError } from './errors.js';

type Config = Readonly<Record<string, unknown>>;

/** Values that turn nothing on, beside null and false. */
interface Mechanism {
  readonly what: string;
  readonly isOff: (value: unknown, config: Config) => boolean;
}

const mechanism = (what: string, ...off: readonly unknown[]): Mechanism => ({
  what,
  isOff: (value) => off.includes(value),
});

/** Of a list with a value per layer. */
const perLayer = (what: string, isOff: (value: unknown, layer: number, config: Config) => boolean): Mechanism => ({
  what,
  isOff: (values, config) => Array.isArray(values) && values.every((value, layer) => isOff(value, layer, config)),
});

/** A window that no sequence outgrows is none. */
const WINDOWS: Mechanism = {
  what: 'windows of attention',
  isOff: (value, { use_sliding_window: isUsed, max_position_embeddings: longest }) =>
    value === 0 || isUsed === false || (typeof value === 'number' && typeof longest === 'number' && value >= longest),
};

/** Dense layers that first_k_dense_replace says too. */
const isUsualMlp = (isDense: boolean, layer: number, { first_k_dense_replace: numDense = 0 }: Config): boolean =>
  isDense === layer < Number(numDense);

/** @param other the same field's other name */
const scoring = (other: string): Mechanism => ({
  what: 'another function of scores',
  isOff: (value, config) => value === 'softmax' || value === config[other],
});

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
const SHARED_EXPERTS = mechanism('shared experts', 0);
const BIASES = mechanism('biases');
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
  layer_types: perLayer('layers of other kinds', (type) => type === 'full_attention' || type === 'indexed_attention'),
  hybrid_layer_pattern: perLayer('layers of other kinds', (kind) => kind === 0),
  attn_type_list: perLayer('layers of other kinds', (kind) => kind === 1),
  sliding_window: WINDOWS,
  mlp_layer_types: perLayer('other dense layers', (type, i, config) => isUsualMlp(type === 'dense', i, config)),
  moe_layer_freq: {
    what: 'other dense layers',
    isOff: (value, config) =>
      value === 1 || (Array.isArray(value) && value.every((every, i) => isUsualMlp(every === 0, i, config))),
  },
  shared_intermediate_size: SHARED_EXPERTS,
  n_shared_experts: SHARED_EXPERTS,
  num_shared_experts: SHARED_EXPERTS,
  shared_expert_intermediate_size: SHARED_EXPERTS,
  scoring_func: scoring('score_function'),
  score_function: scoring('scoring_func'),
  routed_scaling_factor: MULTIPLIER,
  route_scale: MULTIPLIER,
  mup_enabled: MULTIPLIER,
  mlp_bias: BIASES,
  lm_head_bias: BIASES,
  clip_qkv: mechanism('clipped queries, keys and values'),
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
  const given = (config ?? {}) as Config;
  return Object.entries(given).flatMap(([field, value]) => {
    const found = Object.hasOwn(MECHANISMS, field) ? MECHANISMS[field]! : undefined;
    const isOff = value === null || value === false || (Array.isArray(value) && value.length === 0);
    return found === undefined || isOff || found.isOff(value, given) ? [] : [{ field, value, what: found.what }];
  });
}
