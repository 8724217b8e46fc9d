"""Checkpoints that the project wrote, as transformers loads and computes them: what pruned.py and quantised.py have in common."""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}
TOKENS = [5, 17, 3, 30, 21, 12, 7, 7, 9, 1, 24, 23]


def logits_of(folder: Path, **options) -> list:
    """Of TOKENS; ends where a tensor is missing, left over or of another shape."""
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **EAGER, **options)
    wrong = {key: names for key, names in info.items() if key != "error_msgs" and names}
    if wrong:
        raise SystemExit(f"{folder.name}: {wrong}")
    with torch.no_grad():
        rows = model(torch.tensor([TOKENS]), use_cache=False).logits[0]
    return [[float(f"{value:.7g}") for value in row] for row in rows.tolist()]


def write_logits(options_of) -> None:
    """FOLDER OUT.json on the command line: each folder in FOLDER, loaded with what `options_of` says of it."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    logits = {each.name: logits_of(each, **options_of(each)) for each in sorted(folder.iterdir())}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"tokens": TOKENS, "logits": logits}))
