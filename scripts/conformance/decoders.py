"""How far other decoders are from ours in numpy (stored.py), on the bytes of stored_models.py.

    pip install compressed-tensors accelerate autoawq   # without their dependencies will do
    python decoders.py ../../test/data/formats/decoders.json

- "library": the weights of every projection, decoded by compressed-tensors or by AutoAWQ.
- "transformers": the logits of the whole checkpoint as transformers loads it. It may decode to bfloat16.
"""

import importlib.util
import json
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import compressed_tensors
import numpy as np
import torch
import transformers
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationScheme
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, CompressedTensorsConfig, FineGrainedFP8Config, Mxfp4Config

import stored_models
from fills import filled
from judge import Judge
from stored import Tensors


def autoawq_file(path: str):
    """A file of AutoAWQ, without the packages that it otherwise loads."""
    folder = importlib.util.find_spec("awq").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("autoawq", f"{folder}/{path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


autoawq = autoawq_file("utils/packing_utils.py")
VIEWS = {"BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn, "F8_E8M0": torch.float8_e8m0fnu}


def tensor(name: str, dtype: str, shape: list[int], fill: dict) -> torch.Tensor:
    array = torch.from_numpy(np.ascontiguousarray(filled(name, dtype, shape, fill)))
    return array.view(VIEWS[dtype]) if dtype in VIEWS else array


def by_library(quantization: dict | None, module: str, tensors: Tensors) -> np.ndarray | None:
    """The projection as its format's makers decode it."""
    loaded = {name[len(module) + 1 :]: tensor(name, *each) for name, each in tensors.items()}
    method = (quantization or {}).get("quant_method")
    if method == "awq":
        return autoawq.dequantize_gemm(loaded["qweight"], loaded["qzeros"], loaded["scales"].double(), 4, 32).T.numpy()
    if method != "compressed-tensors" or "weight_g_idx" in loaded:
        return None
    scheme = QuantizationScheme(**{**quantization["config_groups"]["group_0"], "format": quantization["format"]})
    widened = {name: each.float() if name == "weight_scale" and each.dtype == torch.bfloat16 else each for name, each in loaded.items()}
    decoded = BaseCompressor.load_from_registry(quantization["format"]).decompress(widened, scheme)
    return decoded["weight"].double().numpy()


def options(quantization: dict | None) -> dict:
    """How transformers is told to decode."""
    made = {"fp8": FineGrainedFP8Config, "mxfp4": Mxfp4Config, "compressed-tensors": CompressedTensorsConfig}.get((quantization or {}).get("quant_method"))
    return {} if made is None else {"quantization_config": made(dequantize=True)}


def by_transformers(config: dict, quantization: dict | None, tensors: Tensors) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "config.json").write_text(json.dumps({**config, **({"quantization_config": quantization} if quantization else {})}))
        save_file({name: tensor(name, *each) for name, each in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager", **options(quantization))
        return Judge.logits(model.float().eval(), stored_models.TOKENS)


def difference(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def attempt(compute) -> float | str | None:
    """What it computes, or the name of its error."""
    try:
        error = compute()
        return None if error is None else float(f"{error:.1g}")
    except Exception as error:
        return type(error).__name__


def row(name: str, config: dict, quantization: dict | None, files: dict, stored: tuple[Tensors, dict]) -> dict:
    tensors, decoded = stored

    def library() -> float | None:
        errors = []
        for weight, expected in decoded.items():
            module = weight.removesuffix(".weight")
            own = {key: each for key, each in tensors.items() if key.startswith(f"{module}.")}
            if len(own) < 2:
                continue
            actual = by_library(quantization, module, own)
            if actual is None:
                return None
            errors.append(difference(actual, expected))
        return max(errors, default=None)

    def whole() -> float | None:
        if files or (quantization or {}).get("quant_method") in ["awq", "gptq", "modelopt"]:
            return None
        return difference(by_transformers(config, quantization, tensors), stored_models.logits_of(config, decoded))

    return {"name": name, "library": attempt(library), "transformers": attempt(whole)}


if __name__ == "__main__":
    versions = {"compressed-tensors": compressed_tensors.__version__, "AutoAWQ": metadata.version("autoawq"), "transformers": transformers.__version__}
    rows = ",\n".join(json.dumps(row(*each)) for each in stored_models.cases())
    Path(sys.argv[1]).write_text(f'{{"versions": {json.dumps(versions)}, "rows": [\n{rows}\n]}}\n')
