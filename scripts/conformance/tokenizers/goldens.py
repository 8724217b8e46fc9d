"""Golden outputs of Hugging Face's tokenizers library: 200 texts through tokenizers of every kind.

    python goldens.py ../../../test/data/tokenizers

Per kind one file: the tokenizer and, per text, its ids without and with special tokens, and what they decode to.
"""

import json
import sys
from pathlib import Path

import tokenizers

from kinds import KINDS
from texts import TEXTS


def short(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def case_of(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    full = tokenizer.encode(text).ids
    skipped = tokenizer.decode(full)
    whole = tokenizer.decode(full, skip_special_tokens=False)
    return [ids, around(ids, full), skipped, None if whole == skipped else whole]


def around(ids, full):
    """What stands before and behind."""
    before = next(i for i in range(len(full) - len(ids) + 1) if full[i : i + len(ids)] == ids)
    return [full[:before], full[before + len(ids) :]]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "kinds").mkdir(parents=True, exist_ok=True)
    (folder / "texts.json").write_text(short(TEXTS) + "\n")
    for kind in KINDS:
        if sys.argv[2:] and kind.__name__ not in sys.argv[2:]:
            continue
        tokenizer = kind()
        cases = ",\n".join(short(case_of(tokenizer, text)) for text in TEXTS)
        head = short({"tokenizers": tokenizers.__version__, "tokenizer": json.loads(tokenizer.to_str())})
        (folder / "kinds" / f"{kind.__name__}.json").write_text(f'{head[:-1]},"cases":[\n{cases}\n]}}\n')
