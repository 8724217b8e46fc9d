"""Golden token ids of Hugging Face's tokenizers library for texts that are cut at added tokens.

    python added_tokens.py ../../test/data/conformance/added_tokens.json

Each case is models/moe-7m's tokenizer with some added tokens and perhaps another normaliser; the file holds them and the ids of each text.
"""

import itertools
import json
import sys
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer

TOKENIZER = json.loads((Path(__file__).parent / "../../models/moe-7m/tokenizer.json").read_text())
FIRST_ID = 2048


def token(content, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}


FLAGS = ["single_word", "lstrip", "rstrip", "normalized"]
ALL_FLAGS = [dict(zip(FLAGS, values)) for values in itertools.product([False, True], repeat=len(FLAGS))]
LOWERCASE = {"type": "Lowercase"}

CASES = [
    *({"name": f"word {flags}", "tokens": [token("word", **flags)], "normalizer": None} for flags in ALL_FLAGS),
    *({"name": f"Word, lower case {flags}", "tokens": [token("Word", **flags)], "normalizer": LOWERCASE} for flags in ALL_FLAGS),
    {"name": "the longest of several", "tokens": [token("wor"), token("word"), token("words"), token("rdfi")], "normalizer": None},
    {"name": "a whole word that begins with another token", "tokens": [token("word", single_word=True), token("<x>"), token("wo")], "normalizer": None},
    {"name": "white space between two that take it", "tokens": [token("<a>", rstrip=True), token("<b>", lstrip=True)], "normalizer": None},
    {"name": "white space as a token", "tokens": [token("  "), token("<a>", lstrip=True)], "normalizer": None},
    {"name": "beside special tokens", "tokens": [token("<s>", special=True), token("word", normalized=True, single_word=True)], "normalizer": LOWERCASE},
]

TEXTS = [
    "swordfish",
    "a word here",
    "word",
    "wordword",
    "word word",
    "  word  ",
    "\u00a0word\u2003\n",
    "wordy words, sword. word! (word)",
    "Word WORD wOrD",
    "éword wordé _word 9word word9",
    "中word word中 wo\u0301rd",
    "<x>word<x> <a> <b>  <a>  word <b>x",
    "<s>word<s> word <|begin|>word<|end|>",
    "",
    " ",
    "no token of them",
    "😀word😀 word",
]


def ids_of(case):
    added = [{"id": FIRST_ID + i, **each} for i, each in enumerate(case["tokens"])]
    spec = {**TOKENIZER, "normalizer": case["normalizer"], "added_tokens": TOKENIZER["added_tokens"] + added}
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    return {**case, "tokens": added, "ids": [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]}


if __name__ == "__main__":
    golden = {"tokenizers": tokenizers.__version__, "texts": TEXTS}
    lines = ",\n".join(json.dumps(ids_of(case)) for case in CASES)
    Path(sys.argv[1]).write_text(f'{json.dumps(golden)[:-1]}, "cases": [\n{lines}\n]}}\n')
