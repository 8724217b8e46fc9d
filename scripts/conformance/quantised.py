"""What transformers computes, in float32, with the checkpoints that quantised.mjs wrote.

    node quantised.mjs /tmp/quantised && python quantised.py /tmp/quantised ../../test/data/quantised/logits.json
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, CompressedTensorsConfig, FineGrainedFP8Config

EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}
TOKENS = [5, 17, 3, 30, 21, 12, 7, 7, 9, 1, 24, 23]
DECODING = {
    "compressed-tensors": lambda: CompressedTensorsConfig(dequantize=True),
    "fp8": lambda: FineGrainedFP8Config(dequantize=True),
}


def logits_of(folder: Path) -> list:
    method = json.loads((folder / "config.json").read_text())["quantization_config"]["quant_method"]
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=DECODING[method](), output_loading_info=True, **EAGER
    )
    wrong = {key: names for key, names in info.items() if key != "error_msgs" and names}
    if wrong:
        raise SystemExit(f"{folder.name}: {wrong}")
    with torch.no_grad():
        rows = model(torch.tensor([TOKENS]), use_cache=False).logits[0]
    return [[float(f"{value:.7g}") for value in row] for row in rows.tolist()]


if __name__ == "__main__":
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    logits = {each.name: logits_of(each) for each in sorted(folder.iterdir())}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"tokens": TOKENS, "logits": logits}))
