"""Golden logits of Hugging Face transformers for every variation of every family's configuration.

    pip install -r requirements.txt
    python goldens.py ../../test/data/conformance [family ...]

Each case becomes a model folder with the configuration exactly as it is written and weights of weights.py, which transformers then loads by itself: so
spellings, defaults and aliases are its own. What it can't load or run is recorded as an error.
"""

import dataclasses
import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from variations import FAMILIES
from weights import values

#: Tokens of the prompt, and the positions whose logits are kept.
TOKENS = [(7 * i * i + 3 * i + 5) % 40 for i in range(24)]
KEPT = [1, 11, 23]
DIGITS = 7

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.manual_seed(0)


def tensor_shapes(config_dir: Path) -> dict[str, list[int]]:
    """Names and shapes of a checkpoint of this configuration, as transformers writes one."""
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(config_dir))
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        with safe_open(Path(saved) / "model.safetensors", "np") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}


def logits_of(config: dict, extra_tensors: dict) -> np.ndarray:
    """[kept positions, V], computed in float64 from float32 weights."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        shapes = {**tensor_shapes(folder), **extra_tensors}
        save_file({name: values(name, tuple(shape)) for name, shape in shapes.items()}, folder / "model.safetensors")
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
        model.eval()
        with torch.no_grad():
            logits = model(torch.tensor([TOKENS])).logits[0]
        if not torch.isfinite(logits).all():
            raise ValueError("logits are not finite")
        return logits.numpy()[KEPT]


def golden_of(base: dict, case: dict) -> dict:
    config = {**base, **case["set"]}
    for key in case["absent"]:
        config.pop(key, None)
    try:
        logits = logits_of(config, case["extra_tensors"])
        rounded = [[float(f"{value:.{DIGITS}g}") for value in row] for row in logits.tolist()]
        return {**case, "logits": rounded}
    except Exception as error:  # the reference refuses: which error it is doesn't matter
        return {**case, "error": f"{type(error).__name__}: {error}".splitlines()[0][:160]}


def uncovered(base: dict, cases: list[dict]) -> list[str]:
    config_class = type(AutoConfig.for_model(base["model_type"]))
    varied = {key for case in cases for key in [*case["set"], *case["absent"]]}
    own = {field.name for field in dataclasses.fields(config_class)} & set(config_class.__annotations__)
    return sorted(own - varied - {"model_type"})


def shortened(goldens: list[dict]) -> list[dict]:
    """Logits that an earlier case has are named by that case."""
    first: dict[str, str] = {}
    for golden in goldens:
        key = json.dumps(golden.get("logits"))
        if "logits" not in golden:
            continue
        if key in first:
            del golden["logits"]
            golden["same_as"] = first[key]
        else:
            first[key] = golden["name"]
    return goldens


def write(family: str, out: Path) -> None:
    base, variations = FAMILIES[family]
    cases = list(variations())
    missing = uncovered(base, cases)
    if missing:
        sys.exit(f"{family}: no case varies {', '.join(missing)}; add one to variations.py")
    goldens = shortened([golden_of(base, case) for case in cases])
    head = {"transformers": transformers.__version__, "tokens": TOKENS, "positions": KEPT, "config": base}
    lines = ",\n".join(json.dumps(golden) for golden in goldens)
    (out / f"{family}.json").write_text(f'{json.dumps(head)[:-1]}, "cases": [\n{lines}\n]}}\n')
    neutral = sum(golden.get("same_as") == goldens[0]["name"] for golden in goldens)
    errors = sum("error" in golden for golden in goldens)
    print(f"{family}: {len(goldens)} cases, {neutral} change nothing, {errors} refused by transformers")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for each in sys.argv[2:] or FAMILIES:
        write(each, folder)
