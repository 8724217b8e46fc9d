"""What transformers computes, in float32, with the checkpoints that quantised.mjs wrote.

    node quantised.mjs /tmp/quantised && python quantised.py /tmp/quantised ../../test/data/quantised/logits.json
"""

import json
from pathlib import Path

import torch
from transformers import CompressedTensorsConfig, FineGrainedFP8Config

from written import write_logits

DECODING = {
    "compressed-tensors": lambda: CompressedTensorsConfig(dequantize=True),
    "fp8": lambda: FineGrainedFP8Config(dequantize=True),
}


def options_of(folder: Path) -> dict:
    method = json.loads((folder / "config.json").read_text())["quantization_config"]["quant_method"]
    return {"dtype": torch.float32, "quantization_config": DECODING[method]()}


if __name__ == "__main__":
    write_logits(options_of)
