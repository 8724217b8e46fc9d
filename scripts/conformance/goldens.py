"""Golden logits of Hugging Face transformers for every variation of every family's configuration.

    pip install -r requirements.txt
    python goldens.py ../../test/data/conformance [family ...]

Each case becomes a model folder with the configuration exactly as it is written and weights of weights.py, which transformers then loads by itself: so
spellings, defaults and aliases are its own. What it can't load or run is recorded as an error.
"""

import dataclasses
import json
import sys
from pathlib import Path

import transformers
from transformers import AutoConfig

from cases import Family
from families import FAMILIES
from judge import Judge, Run
from tensors import braced, difference

#: The positions whose logits are kept.
KEPT = [1, 11, 23]
DIGITS = 6
NUM_GREEDY = 8
#: Cases whose logits float32 can't give are no goldens.
LARGEST_FLOAT32_ERROR = 3e-5


def prompt_of(vocab_size: int) -> list[int]:
    return [(7 * i * i + 3 * i + 5) % min(vocab_size, 40) for i in range(24)]


def config_of(family: Family, case: dict) -> dict:
    """The base, changed as the case says."""
    varied = {**family.text_config(), **case["set"]}
    for key in case["absent"]:
        varied.pop(key, None)
    return varied if family.within is None else {**family.base, family.within: varied}


def golden_of(judge: Judge, family: Family, case: dict, base: Run | None) -> tuple[dict, Run | None]:
    kept = {key: value for key, value in case.items() if value or key == "name"}
    extra = kept.pop("extra_tensors", {})
    try:
        run = judge.run(config_of(family, case), extra)
    except Exception as error:  # the reference refuses: which error it is doesn't matter
        return {**kept, "error": f"{type(error).__name__}: {error}".splitlines()[0][:160]}, None
    if run.float32_error > LARGEST_FLOAT32_ERROR:
        return {**kept, "error": f"a choice hangs on the last bits: float32 is {run.float32_error:.1e} away"}, None
    tensors = {} if base is None else difference(base.shapes, run.shapes)
    logits = [[float(f"{value:.{DIGITS}g}") for value in row] for row in run.logits[KEPT].tolist()]
    return {**kept, **({"tensors": tensors} if tensors else {}), "logits": logits}, run


def uncovered(family: Family, cases: list[dict]) -> list[str]:
    base = family.text_config()
    config_class = type(AutoConfig.for_model(family.judge or base["model_type"]))
    varied = {key for case in cases for key in [*case["set"], *case["absent"]]}
    own = {field.name for field in dataclasses.fields(config_class)} & set(config_class.__annotations__)
    names = config_class.attribute_map
    known = {names.get(key, key) for key in varied} | varied
    return sorted(key for key in own - known - {"model_type"} if names.get(key) not in known)


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


def write(name: str, cases: list[dict], out: Path) -> None:
    """A golden file; the first case is the base."""
    family = FAMILIES[name]
    tokens = prompt_of(family.text_config()["vocab_size"])
    judge = Judge(tokens, family)
    first, base = golden_of(judge, family, cases[0], None)
    if base is None:
        sys.exit(f"{name}: {first['error']}")
    goldens = shortened([first, *(golden_of(judge, family, case, base)[0] for case in cases[1:])])
    head = {
        "transformers": transformers.__version__,
        **({"judge": family.judge} if family.judge else {}),
        **({"library": family.library} if family.library else {}),
        "tokens": tokens,
        "positions": KEPT,
        "config": family.base,
        **({"within": family.within} if family.within else {}),
        "tensors": braced(base.shapes),
        "greedy": judge.greedy(family.base, base.shapes, NUM_GREEDY),
        "experts": base.experts,
    }
    lines = ",\n".join(json.dumps(golden) for golden in goldens)
    (out / f"{name}.json").write_text(f'{json.dumps(head)[:-1]}, "cases": [\n{lines}\n]}}\n')
    neutral = sum(golden.get("same_as") == goldens[0]["name"] for golden in goldens)
    errors = sum("error" in golden for golden in goldens)
    print(f"{name}: {len(goldens)} cases, {neutral} change nothing, {errors} refused by transformers", flush=True)


def cases_of(name: str) -> list[dict]:
    """Each field's, one by one."""
    family = FAMILIES[name]
    cases = list(family.cases())
    others = FAMILIES[family.covered_by].cases() if family.covered_by else []
    missing = uncovered(family, [*cases, *others])
    if missing:
        sys.exit(f"{name}: no case varies {', '.join(missing)}; add one to families")
    return cases


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for each in sys.argv[2:] or FAMILIES:
        write(each, cases_of(each), folder)
