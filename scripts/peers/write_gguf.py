"""Writes the GGUF file of a model folder (config.json and safetensors), for llama.cpp, in f32, bf16, q8_0 or q4_0.

python write_gguf.py MODEL OUT.gguf f32|bf16|q8_0|q4_0

Weights are those of the safetensors: f32 and bf16 of a bfloat16 checkpoint hold the same numbers. As llama.cpp's own converter does, vectors and gates stay f32, and
a matrix whose rows don't divide into blocks of q8_0 or q4_0 does too. There is no vocabulary in the file: tokens are ids.
"""
import json
import os
import sys

import gguf
import numpy as np

from checkpoint import Checkpoint

DTYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}
BLOCKS = (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0)
BLOCK = 32


def refuse(message):
    sys.exit(f"write_gguf.py: {message}")


class Writer:
    """The file to be, and the names of its tensors."""

    def __init__(self, path, architecture, dtype):
        self.gguf = gguf.GGUFWriter(path, architecture, use_temp_file=False)
        self.type, file_type = DTYPES[dtype]
        self.gguf.add_file_type(file_type)
        self.gguf.add_quantization_version(gguf.GGML_QUANT_VERSION)
        self.gguf.add_tokenizer_model("none")

    def vector(self, name, values):
        self.gguf.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32))

    def matrix(self, name, values):
        """The last dimension is that of a product's sum."""
        if self.type == gguf.GGMLQuantizationType.F32 or (self.type in BLOCKS and values.shape[-1] % BLOCK != 0):
            return self.vector(name, values)
        self.gguf.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(values), self.type), raw_dtype=self.type)

    def close(self):
        self.gguf.write_header_to_file()
        self.gguf.write_kv_data_to_file()
        self.gguf.write_tensors_to_file()
        self.gguf.close()


def add_common(out, config, rope_theta):
    out.add_vocab_size(config["vocab_size"])
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_block_count(config["num_hidden_layers"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(config["num_attention_heads"])
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(rope_theta)
    out.add_expert_used_count(config["num_experts_per_tok"])
    out.add_expert_feed_forward_length(config["moe_intermediate_size"])


def add_embeddings(writer, weights):
    writer.matrix("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.vector("output_norm.weight", weights["model.norm.weight"])
    if "lm_head.weight" in weights:
        writer.matrix("output.weight", weights["lm_head.weight"])


def add_experts(writer, weights, layer, prefix, count):
    for ours, theirs in (("gate_proj", "ffn_gate_exps"), ("up_proj", "ffn_up_exps"), ("down_proj", "ffn_down_exps")):
        stacked = np.stack([weights[f"{prefix}.experts.{expert}.{ours}.weight"] for expert in range(count)])
        writer.matrix(f"blk.{layer}.{theirs}.weight", stacked)


def write_qwen3_moe(writer, config, weights, rope_theta):
    out = writer.gguf
    add_common(out, config, rope_theta)
    out.add_head_count_kv(config["num_key_value_heads"])
    out.add_key_length(config["head_dim"])
    out.add_value_length(config["head_dim"])
    count = config.get("num_experts") or config["num_local_experts"]
    out.add_expert_count(count)
    if not config.get("norm_topk_prob", True):
        refuse("llama.cpp always normalises the gate's weights of qwen3moe; norm_topk_prob is false")
    add_embeddings(writer, weights)
    for layer in range(config["num_hidden_layers"]):
        name, to = f"model.layers.{layer}", f"blk.{layer}"
        if f"{name}.mlp.gate.weight" not in weights:
            refuse(f"layer {layer} has no experts, which qwen3moe can't have in llama.cpp")
        writer.vector(f"{to}.attn_norm.weight", weights[f"{name}.input_layernorm.weight"])
        writer.vector(f"{to}.ffn_norm.weight", weights[f"{name}.post_attention_layernorm.weight"])
        for ours, theirs in (("q", "attn_q"), ("k", "attn_k"), ("v", "attn_v"), ("o", "attn_output")):
            writer.matrix(f"{to}.{theirs}.weight", weights[f"{name}.self_attn.{ours}_proj.weight"])
        for part in ("q", "k"):
            writer.vector(f"{to}.attn_{part}_norm.weight", weights[f"{name}.self_attn.{part}_norm.weight"])
        writer.vector(f"{to}.ffn_gate_inp.weight", weights[f"{name}.mlp.gate.weight"])
        add_experts(writer, weights, layer, f"{name}.mlp", count)


def write_deepseek_v3(writer, config, weights, rope_theta):
    out = writer.gguf
    nope, rope, v_dim = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    heads, latent = config["num_attention_heads"], config["kv_lora_rank"]
    add_common(out, config, rope_theta)
    # Attention over the latents: one head of keys and values that all heads read.
    out.add_head_count_kv(1)
    out.add_key_length(latent + rope)
    out.add_value_length(latent)
    out.add_key_length_mla(nope + rope)
    out.add_value_length_mla(v_dim)
    out.add_kv_lora_rank(latent)
    if config.get("q_lora_rank"):
        out.add_q_lora_rank(config["q_lora_rank"])
    out.add_rope_dimension_count(rope)
    count = config["n_routed_experts"]
    out.add_expert_count(count)
    out.add_expert_shared_count(config["n_shared_experts"] or 0)
    out.add_leading_dense_block_count(config["first_k_dense_replace"])
    out.add_expert_weights_scale(config["routed_scaling_factor"])
    out.add_expert_weights_norm(config["norm_topk_prob"])
    out.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if config.get("n_group", 1) > 1:
        out.add_expert_group_count(config["n_group"])
        out.add_expert_group_used_count(config["topk_group"])
    add_embeddings(writer, weights)
    for layer in range(config["num_hidden_layers"]):
        name, to = f"model.layers.{layer}", f"blk.{layer}"
        writer.vector(f"{to}.attn_norm.weight", weights[f"{name}.input_layernorm.weight"])
        writer.vector(f"{to}.ffn_norm.weight", weights[f"{name}.post_attention_layernorm.weight"])
        attention = f"{name}.self_attn"
        if config.get("q_lora_rank"):
            writer.matrix(f"{to}.attn_q_a.weight", weights[f"{attention}.q_a_proj.weight"])
            writer.vector(f"{to}.attn_q_a_norm.weight", weights[f"{attention}.q_a_layernorm.weight"])
            writer.matrix(f"{to}.attn_q_b.weight", weights[f"{attention}.q_b_proj.weight"])
        else:
            writer.matrix(f"{to}.attn_q.weight", weights[f"{attention}.q_proj.weight"])
        writer.matrix(f"{to}.attn_kv_a_mqa.weight", weights[f"{attention}.kv_a_proj_with_mqa.weight"])
        writer.vector(f"{to}.attn_kv_a_norm.weight", weights[f"{attention}.kv_a_layernorm.weight"])
        kv_b = weights[f"{attention}.kv_b_proj.weight"].reshape(heads, nope + v_dim, latent)
        writer.matrix(f"{to}.attn_k_b.weight", kv_b[:, :nope].transpose(0, 2, 1))
        writer.matrix(f"{to}.attn_v_b.weight", kv_b[:, nope:])
        writer.matrix(f"{to}.attn_output.weight", weights[f"{attention}.o_proj.weight"])
        if layer < config["first_k_dense_replace"]:
            for part in ("gate", "up", "down"):
                writer.matrix(f"{to}.ffn_{part}.weight", weights[f"{name}.mlp.{part}_proj.weight"])
            continue
        writer.vector(f"{to}.ffn_gate_inp.weight", weights[f"{name}.mlp.gate.weight"])
        writer.vector(f"{to}.exp_probs_b.bias", weights[f"{name}.mlp.gate.e_score_correction_bias"])
        add_experts(writer, weights, layer, f"{name}.mlp", count)
        for part in ("gate", "up", "down"):
            writer.matrix(f"{to}.ffn_{part}_shexp.weight", weights[f"{name}.mlp.shared_experts.{part}_proj.weight"])


FAMILIES = {"qwen3_moe": ("qwen3moe", write_qwen3_moe), "deepseek_v3": ("deepseek2", write_deepseek_v3)}


def main():
    if len(sys.argv) != 4 or sys.argv[3] not in DTYPES:
        refuse("usage: write_gguf.py MODEL OUT.gguf f32|bf16|q8_0")
    folder, path, dtype = sys.argv[1:]
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    family = config.get("model_type")
    if family not in FAMILIES:
        refuse(f"{family} isn't written; there are: {', '.join(FAMILIES)}")
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        refuse("RoPE with scaling isn't written")
    if config.get("attention_bias"):
        refuse("attention with biases isn't written")
    architecture, write = FAMILIES[family]
    # A file that is complete, or none.
    partial = f"{path}.partial"
    writer = Writer(partial, architecture, dtype)
    write(writer, config, Checkpoint(folder), config.get("rope_theta") or rope.get("rope_theta", 10000.0))
    writer.close()
    os.replace(partial, path)


if __name__ == "__main__":
    main()
