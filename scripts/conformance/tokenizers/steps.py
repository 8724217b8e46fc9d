"""Golden outputs of single steps of Hugging Face's tokenizers library: every way to split, with and without inversion.

    python steps.py ../../../test/data/tokenizers/steps.json
"""

import json
import sys
from pathlib import Path

from tokenizers import Regex
from tokenizers.pre_tokenizers import Digits, FixedLength, Punctuation, Split

from goldens import short

PATTERNS = [
    {"String": " "},
    *({"Regex": regex} for regex in [r"\s+", r"\w+|[^\w\s]", r"[\w.]+", r"\W", r"\bs", r"(?i:a|b)+", r"^a|s$", r"x*", r"(?<=a)b", r"[a-z&&[^b]]+", r"[[:alpha:]]+", r"\h+"]),
]
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
NAMES = {"removed": "Removed", "isolated": "Isolated", "merged_with_previous": "MergedWithPrevious", "merged_with_next": "MergedWithNext", "contiguous": "Contiguous"}
TEXTS = ["a  b, as!\n s", "½1⅓2Ⅷ3 x²xx", "abba.b_s  ", " é漢 Ab😀bs", "...a12b٣"]


def split(pattern, behavior, invert):
    [[kind, text]] = pattern.items()
    step = Split(text if kind == "String" else Regex(text), behavior, invert)
    return {"type": "Split", "pattern": pattern, "behavior": NAMES[behavior], "invert": invert}, step


STEPS = [
    *(split(pattern, behavior, invert) for pattern in PATTERNS for behavior in BEHAVIORS for invert in (False, True)),
    *(({"type": "Punctuation", "behavior": NAMES[behavior]}, Punctuation(behavior)) for behavior in BEHAVIORS),
    *(({"type": "Digits", "individual_digits": each}, Digits(each)) for each in (False, True)),
    ({"type": "FixedLength", "length": 2}, FixedLength(2)),
]

if __name__ == "__main__":
    lines = [short([spec, [[text for text, _ in step.pre_tokenize_str(each)] for each in TEXTS]]) for spec, step in STEPS]
    rows = ",\n".join(lines)
    Path(sys.argv[1]).write_text(f'{{"texts":{short(TEXTS)},"steps":[\n{rows}\n]}}\n')
