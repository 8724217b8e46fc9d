/** Tensor names of Hugging Face checkpoints, which DeepSeek-V3 and Qwen3-MoE share. */

export const EMBEDDING = 'model.embed_tokens.weight';
export const FINAL_NORM = 'model.norm.weight';
export const LM_HEAD = 'lm_head.weight';

const layerPrefix = (layer: number): string => `model.layers.${layer}`;

export const attentionNormName = (layer: number): string => `${layerPrefix(layer)}.input_layernorm.weight`;
export const mlpNormName = (layer: number): string => `${layerPrefix(layer)}.post_attention_layernorm.weight`;
/** For example `q_proj` or `kv_a_layernorm`. */
export const attentionName = (layer: number, part: string): string => `${layerPrefix(layer)}.self_attn.${part}.weight`;
/** The part of such a name. */
export const attentionPart = (name: string): string => name.split('.').at(-2)!;
export const gateName = (layer: number): string => `${layerPrefix(layer)}.mlp.gate.weight`;
export const gateBiasName = (layer: number): string => `${layerPrefix(layer)}.mlp.gate.e_score_correction_bias`;

/** Prefixes of SwiGLU networks, each with gate_proj, up_proj and down_proj. */
export const denseFfnPrefix = (layer: number): string => `${layerPrefix(layer)}.mlp`;
export const expertPrefix = (layer: number, expert: number): string => `${layerPrefix(layer)}.mlp.experts.${expert}`;
export const sharedExpertsPrefix = (layer: number): string => `${layerPrefix(layer)}.mlp.shared_experts`;

/** What a routed expert is called in tables of digests. @param layer of the transformer, dense ones counted */
export const expertKey = (layer: number, expert: number): string => `${layer}.${expert}`;
