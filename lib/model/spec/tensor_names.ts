/** The names that tensors have inside the program, whatever a checkpoint calls them (StoredNames in spec.ts): those of DeepSeek-V3 and Qwen3-MoE, with further ones of their kind. */

/** [V, H] */
export const EMBEDDING = 'model.embed_tokens.weight';
/** [H] */
export const FINAL_NORM = 'model.norm.weight';
/** [V, H]; checkpoints whose embedding is the head leave it out. */
export const LM_HEAD = 'lm_head.weight';
/** [V], where the head has one. */
export const LM_HEAD_BIAS = 'lm_head.bias';

/** What is added behind a matrix, or behind a norm's weight, by its name. */
export const biasOf = (weight: string): string => weight.replace(/\.weight$/, '.bias');

const layerPrefix = (layer: number): string => `model.layers.${layer}`;

/** The norm before a layer's attention: [H]. */
export const attentionNormName = (layer: number): string => `${layerPrefix(layer)}.input_layernorm.weight`;
/** The norm before a layer's network or experts: [H]. */
export const mlpNormName = (layer: number): string => `${layerPrefix(layer)}.post_attention_layernorm.weight`;
/** For example `q_proj`, `kv_a_layernorm`, `q_proj.bias` or `sinks`. */
export const attentionName = (layer: number, part: string): string =>
  `${layerPrefix(layer)}.self_attn.${part}${part === 'sinks' || part.endsWith('.bias') ? '' : '.weight'}`;
/** The part of such a name. */
export const attentionPart = (name: string): string =>
  name
    .split('.')
    .slice(4)
    .join('.')
    .replace(/\.weight$/, '');
/** Of a layer with short convolutions, for example `in_proj.weight`. */
export const shortConvName = (layer: number, part: string): string => `${layerPrefix(layer)}.conv.${part}`;
/** Of a layer with a delta rule, for example `in_proj_qkvz.weight` or `A_log`. */
export const deltaRuleName = (layer: number, part: string): string => `${layerPrefix(layer)}.linear_attn.${part}`;
/** The router of an MoE layer: [E, H]. */
export const gateName = (layer: number): string => `${layerPrefix(layer)}.mlp.gate.weight`;
/** Added to the router's logits, where the model has one: [E]. */
export const gateBiasName = (layer: number): string => `${layerPrefix(layer)}.mlp.gate.bias`;
/** The router's selection bias, where the model has one: [E]. */
export const selectionBiasName = (layer: number): string => `${layerPrefix(layer)}.mlp.gate.e_score_correction_bias`;

/** One row, whose product with the hidden state gates what shared experts make: [1, H]. */
export const sharedGateName = (layer: number): string => `${layerPrefix(layer)}.mlp.shared_expert_gate.weight`;

/** Two rows, whose products with the hidden state say what of it is the routed experts' and what the shared ones': [2, H], and a bias [2]. */
export const mixName = (layer: number): string => `${layerPrefix(layer)}.mlp.coefficient.weight`;

/** Prefixes of SwiGLU networks, each with gate_proj, up_proj and down_proj. */
export const denseFfnPrefix = (layer: number): string => `${layerPrefix(layer)}.mlp`;
/** Prefix of one routed expert, as {@link denseFfnPrefix}. */
export const expertPrefix = (layer: number, expert: number): string => `${layerPrefix(layer)}.mlp.experts.${expert}`;
/** Prefix of the fused shared experts, as {@link denseFfnPrefix}. */
export const sharedExpertsPrefix = (layer: number): string => `${layerPrefix(layer)}.mlp.shared_experts`;

/** What a routed expert is called in tables of digests. @param layer of the transformer, dense ones counted */
export const expertKey = (layer: number, expert: number): string => `${layer}.${expert}`;
