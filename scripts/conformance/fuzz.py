"""Golden files of random combinations of the cases' fields, for fuzz.mjs.

    python fuzz.py FOLDER SEED COUNT [family ...]
    node fuzz.mjs FOLDER
"""

import random
import sys
from pathlib import Path

from families import FAMILIES
from goldens import cases_of, write


def mixed(some: list[dict]) -> dict:
    """All of them at once; where two set a field the last one does."""
    changes: dict[str, tuple] = {}
    for each in some:
        changes |= {key: (True, value) for key, value in each["set"].items()}
        changes |= {key: (False, None) for key in each["absent"]}
    return {
        "name": " + ".join(each["name"] for each in some),
        "set": {key: value for key, (is_set, value) in changes.items() if is_set},
        "absent": [key for key, (is_set, _) in changes.items() if not is_set],
        "extra_tensors": {key: shape for each in some for key, shape in each["extra_tensors"].items()},
    }


def combinations(cases: list[dict], chance: random.Random, count: int) -> list[dict]:
    base, *others = cases
    return [base, *(mixed(chance.sample(others, chance.randint(2, 4))) for _ in range(count))]


if __name__ == "__main__":
    folder, seed, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[4:] or FAMILIES:
        write(name, combinations(cases_of(name), random.Random(f"{seed} {name}"), count), folder)
