/** Tensor names of Hugging Face checkpoints, which DeepSeek-V3 and Qwen3-MoE share. */

/** [V, H] */
export const EMBEDDING = 'model.embed_tokens.weight';
/** [H] */
export const FINAL_NORM = 'model.norm.weight';
/** [V, H]; checkpoints whose embedding is the head leave it out. */
export const LM_HEAD = 'lm_head.weight';

const layerPrefix = (layer: number): string => `model.layers.${layer}`;

/** The norm before a layer's attention: [H]. */
export const attentionNormName = (layer: number): string => `${layerPrefix(layer)}.input_layernorm.weight`;
/** The norm before a layer's network or experts: [H]. */
export const mlpNormName = (layer: number): string => `${layerPrefix(layer)}.post_attention_layernorm.weight`;
/** For example `q_proj` or `kv_a_layernorm`. */
export const attentionName = (layer: number, part: string): string => `${layerPrefix(layer)}.self_attn.${part}.weight`;
/** The part of such a name. */
export const attentionPart = (name: string): string => name.split('.').at(-2)!;
/** The router of an MoE layer: [E, H]. */
export const gateName = (layer: number): string => `${layerPrefix(layer)}.mlp.gate.weight`;
/** Added to the router's logits, where the model has one: [E]. */
export const gateBiasName = (layer: number): string => `${layerPrefix(layer)}.mlp.gate.bias`;
/** The router's selection bias, where the model has one: [E]. */
export const selectionBiasName = (layer: number): string => `${layerPrefix(layer)}.mlp.gate.e_score_correction_bias`;

/** Prefixes of SwiGLU networks, each with gate_proj, up_proj and down_proj. */
export const denseFfnPrefix = (layer: number): string => `${layerPrefix(layer)}.mlp`;
/** Prefix of one routed expert, as {@link denseFfnPrefix}. */
export const expertPrefix = (layer: number, expert: number): string => `${layerPrefix(layer)}.mlp.experts.${expert}`;
/** Prefix of the fused shared experts, as {@link denseFfnPrefix}. */
export const sharedExpertsPrefix = (layer: number): string => `${layerPrefix(layer)}.mlp.shared_experts`;

/** What a routed expert is called in tables of digests. @param layer of the transformer, dense ones counted */
export const expertKey = (layer: number, expert: number): string => `${layer}.${expert}`;
