"""Golden logits of quantised and otherwise stored weights: what numpy decodes them to, run by transformers in float64.

    python stored_models.py ../../test/data/formats/models.json

A case is a configuration and a list of tensors with their types, shapes and fills (fills.py): no weights. transformers sees the decoded weights, so that
what is judged is this decoding alone; where it has a decoder of its own, loads.py says how far that one is away.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from cases import Family
from families import FAMILIES
from fills import as_float, filled
from judge import Judge
from stored import Layout, Loaded, Tensors, awq, fp8, fp8_blocks, gptq, int8_channels, mxfp4_experts, nvfp4, packed_ints
from tensors import braced

TOKENS = [(7 * i * i + 3 * i + 5) % 29 for i in range(12)]
KEPT = [0, 5, 11]
DIGITS = 6

#: Everything is a multiple of 32, and experts are wide enough for three groups of 32.
EVEN = dict(
    model_type="qwen3_moe",
    vocab_size=29,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    intermediate_size=64,
    moe_intermediate_size=96,
    num_experts=4,
    num_experts_per_tok=2,
    norm_topk_prob=True,
    decoder_sparse_step=1,
    mlp_only_layers=[0],
    hidden_act="silu",
    max_position_embeddings=128,
    rms_norm_eps=1e-6,
    tie_word_embeddings=False,
    rope_theta=10000.0,
    attention_bias=False,
)
#: Blocks of 128 don't divide it: 144 is 128 and 16.
RAGGED = {**EVEN, "hidden_size": 144, "head_dim": 36, "moe_intermediate_size": 40, "intermediate_size": 136}
#: Groups of 32 don't divide it: 80 is 32, 32 and 16, and 48 is 32 and 16.
UNEVEN = {**EVEN, "hidden_size": 80, "moe_intermediate_size": 48}
GPT_OSS = {**FAMILIES["gpt_oss"].base, "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]}


def compressed(format: str, weights: dict, **more) -> dict:
    scheme = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    ignore = ["lm_head", "re:.*mlp.gate$"]
    return {"quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed", "config_groups": {"group_0": scheme}, "ignore": ignore, **more}


def numbers(bits: int, type: str, strategy: str, **more) -> dict:
    return {"num_bits": bits, "type": type, "strategy": strategy, "symmetric": True, "dynamic": False, "group_size": None, **more}


FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
INT4 = numbers(4, "int", "group", group_size=32)
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm", "modules_to_not_convert": ["lm_head", "mlp.gate"]}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True, "lm_head": False}
NVFP4 = {"quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head", "*mlp.gate"]}}

#: name: (configuration, quantization_config, other files, layout of projections)
CASES: dict[str, tuple[dict, dict | None, dict, Layout]] = {
    "fp8 blocks": (RAGGED, FP8, {}, fp8_blocks(".weight_scale_inv", "F32")),
    "fp8 blocks, bf16 scales": (RAGGED, FP8, {}, fp8_blocks(".weight_scale_inv", "BF16")),
    "fp8 blocks, ue8m0 scales": (RAGGED, {**FP8, "scale_fmt": "ue8m0"}, {}, fp8_blocks(".weight_scale_inv", "F8_E8M0")),
    "fp8 blocks of 32": (EVEN, {**FP8, "weight_block_size": [32, 32]}, {}, fp8_blocks(".weight_scale_inv", "F32", 32)),
    "fp8 blocks of 32, ue8m0 scales": (
        EVEN,
        {**FP8, "weight_block_size": [32, 32], "scale_fmt": "ue8m0"},
        {},
        fp8_blocks(".weight_scale_inv", "F8_E8M0", 32),
    ),
    "fp8 blocks that only tensors tell of": (RAGGED, None, {}, fp8_blocks(".weight_scale_inv", "F32")),
    "compressed-tensors fp8 per channel": (EVEN, compressed("float-quantized", numbers(8, "float", "channel")), {}, fp8("channel", "BF16")),
    "compressed-tensors fp8 per tensor": (EVEN, compressed("float-quantized", numbers(8, "float", "tensor")), {}, fp8("tensor")),
    "compressed-tensors fp8 blocks": (
        RAGGED,
        compressed("float-quantized", numbers(8, "float", "block", block_structure=[128, 128])),
        {},
        fp8_blocks(".weight_scale", "BF16"),
    ),
    "compressed-tensors int4 groups": (EVEN, compressed("pack-quantized", INT4), {}, packed_ints(4, 32)),
    "compressed-tensors int4 groups with zeros": (EVEN, compressed("pack-quantized", {**INT4, "symmetric": False}), {}, packed_ints(4, 32, zeros=True)),
    "compressed-tensors int4 groups in an order": (EVEN, compressed("pack-quantized", {**INT4, "actorder": "group"}), {}, packed_ints(4, 32, order=True)),
    "compressed-tensors int4 groups, the last one smaller": (UNEVEN, compressed("pack-quantized", INT4), {}, packed_ints(4, 32)),
    "compressed-tensors int4 channels": (EVEN, compressed("pack-quantized", numbers(4, "int", "channel")), {}, packed_ints(4, None)),
    "compressed-tensors int8 groups": (EVEN, compressed("pack-quantized", {**INT4, "num_bits": 8}), {}, packed_ints(8, 32, dtype="F32")),
    "compressed-tensors int8 channels": (EVEN, compressed("int-quantized", numbers(8, "int", "channel")), {}, int8_channels()),
    "awq": (EVEN, AWQ, {}, awq(32)),
    "gptq": (EVEN, GPTQ, {}, gptq(4, 32)),
    "gptq in an order": (EVEN, {**GPTQ, "desc_act": True}, {}, gptq(4, 32, order=True)),
    "gptq, the last group smaller": (UNEVEN, GPTQ, {}, gptq(4, 32)),
    "gptq of 8 bits": (EVEN, {**GPTQ, "bits": 8}, {}, gptq(8, 32)),
    "gptq_v2": (EVEN, {**GPTQ, "checkpoint_format": "gptq_v2"}, {}, gptq(4, 32, zero_offset=0)),
    "nvfp4 of modelopt": (EVEN, None, {"hf_quant_config.json": NVFP4}, nvfp4("modelopt")),
    "modelopt fp8": (EVEN, {"quant_method": "modelopt", "quant_algo": "FP8"}, {}, fp8("scalar")),
    "nvfp4 of compressed-tensors": (EVEN, compressed("nvfp4-pack-quantized", numbers(4, "float", "tensor_group", group_size=16)), {}, nvfp4("compressed-tensors")),
}


def plain(shapes: dict[str, list[int]], dtype: str) -> Tensors:
    return {name: (dtype, shape, {"kind": "value"}) for name, shape in shapes.items()}


def quantised(config: dict, layout: Layout) -> tuple[Tensors, dict[str, np.ndarray]]:
    """Projections by the layout, the rest in BF16."""
    shapes = Judge(TOKENS, Family(config, lambda: [])).shapes(config)
    tensors, decoded = {}, {}
    for name, shape in shapes.items():
        if name.endswith("_proj.weight"):
            module = name.removesuffix(".weight")
            own = layout.tensors(module, *shape)
            tensors |= own
            decoded[name] = layout.decode(Loaded(module, own), *shape)
        else:
            own = plain({name: shape}, "BF16")
            tensors |= own
            decoded[name] = as_float(filled(name, *own[name]), "BF16")
    return tensors, decoded


def fused(config: dict, dtype: str) -> tuple[Tensors, dict[str, np.ndarray]]:
    """Experts as transformers has them in memory: gate and up in one tensor."""
    shapes = Judge(TOKENS, Family(config, lambda: [])).shapes(config)
    experts, inner, hidden = config["num_experts"], config["moe_intermediate_size"], config["hidden_size"]
    own = {name: shape for name, shape in shapes.items() if ".experts." not in name}
    for prefix in sorted({name.split(".experts.")[0] for name in shapes if ".experts." in name}):
        own[f"{prefix}.experts.gate_up_proj"] = [experts, 2 * inner, hidden]
        own[f"{prefix}.experts.down_proj"] = [experts, hidden, inner]
    tensors = plain(own, dtype)
    return tensors, {name: as_float(filled(name, *each), dtype) for name, each in tensors.items()}


def mxfp4(config: dict) -> tuple[Tensors, dict[str, np.ndarray]]:
    """gpt-oss: experts packed, all else BF16."""
    shapes = Judge(TOKENS, Family(config, lambda: [])).shapes(config)
    packed, rest = {}, {}
    for name, shape in shapes.items():
        (packed if name.endswith((".gate_up_proj", ".down_proj")) else rest)[name] = shape
    tensors = plain(rest, "BF16")
    decoded = {name: as_float(filled(name, *each), "BF16") for name, each in tensors.items()}
    for name, (experts, columns, rows) in packed.items():
        own, decoded[name] = mxfp4_experts(name, experts, rows, columns)
        tensors |= own
    return tensors, decoded


def logits_of(config: dict, decoded: dict[str, np.ndarray]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        save_file({name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in decoded.items()}, folder / "model.safetensors")
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager")
        logits = Judge.logits(model.eval(), TOKENS)
        error = np.abs(Judge.logits(model.float(), TOKENS) - logits).max() / np.abs(logits).max()
        if error > 3e-5:
            raise ValueError(f"a choice hangs on the last bits: float32 is {error:.1e} away")
        return logits


def golden_of(name: str, config: dict, quantization: dict | None, files: dict, stored: tuple[Tensors, dict]) -> dict:
    tensors, decoded = stored
    logits = logits_of(config, decoded)
    short = braced({tensor: [dtype, shape, fill] for tensor, (dtype, shape, fill) in tensors.items()}, json.dumps)
    print(f"{name}: largest logit {np.abs(logits).max():.2f}")
    return {
        "name": name,
        "config": {**config, **({"quantization_config": quantization} if quantization else {})},
        **({"files": files} if files else {}),
        "tensors": short,
        "logits": [[float(f"{value:.{DIGITS}g}") for value in row] for row in logits[KEPT].tolist()],
    }


def cases():
    for name, (config, quantization, files, layout) in CASES.items():
        yield name, config, quantization, files, quantised(config, layout)
    yield "mxfp4", GPT_OSS, {"quant_method": "mxfp4"}, {}, mxfp4(GPT_OSS)
    for dtype in ["F32", "BF16", "F16"]:
        yield f"fused experts, {dtype}", EVEN, None, {}, fused(EVEN, dtype)


if __name__ == "__main__":
    head = {"transformers": transformers.__version__, "tokens": TOKENS, "positions": KEPT}
    lines = ",\n".join(json.dumps(golden_of(*each)) for each in cases())
    Path(sys.argv[1]).write_text(f'{json.dumps(head)[:-1]}, "cases": [\n{lines}\n]}}\n')
