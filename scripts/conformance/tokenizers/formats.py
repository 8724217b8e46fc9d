"""Golden outputs of tiktoken and of SentencePiece, for vocabularies in their own formats.

    python formats.py ../../../test/data/tokenizers/formats

Per format a model file and, per text, its ids and what they decode to. SentencePiece's library cuts no special tokens out of a text.
"""

import base64
import io
import json
import sys
import unicodedata
from pathlib import Path

import sentencepiece
import tiktoken

from charsmap import RULES
from goldens import short
from kinds import ALPHABET, CORPUS, FEW_LETTERS, GPT4, KIMI, QWEN, byte_level
from texts import TEXTS
from tokenizers import Regex, pre_tokenizers


def rank_file(pattern):
    """Tokens in the order in which a small BPE learned them."""
    cut = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    vocab = byte_level(cut).get_vocab()
    byte_of = {letter: byte for byte, letter in enumerate(alphabet())}
    return {bytes(byte_of[letter] for letter in token): id for token, id in vocab.items()}


def alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    letters = [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
    assert set(letters) == set(ALPHABET)
    return letters


def tiktoken_case(pattern, specials, normalized=lambda text: text):
    ranks = rank_file(pattern)
    special_tokens = {token: len(ranks) + i for i, token in enumerate(specials)}
    encoding = tiktoken.Encoding("small", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special_tokens)
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in sorted(ranks.items(), key=lambda each: each[1])]
    ids = [encoding.encode(normalized(text), allowed_special="all") for text in TEXTS]
    return "".join(lines).encode(), [[each, encoding.decode(each)] for each in ids]


def sentencepiece_case(corpus, folder, **options):
    model = io.BytesIO()
    rules = folder / "rules.tsv"
    chars = lambda text: " ".join(f"{ord(char):X}" for char in text)
    rules.write_text("".join(f"{chars(key)}\t{chars(text)}\n" for key, text in RULES.items() if key not in ("\0", text)))
    if options.pop("rules", False):
        options["normalization_rule_tsv"] = str(rules)
    one_line = [text.replace("\n", " ") for text in corpus]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(one_line), model_writer=model, minloglevel=2, num_threads=1, max_sentence_length=10000, **options
    )
    rules.unlink()
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return model.getvalue(), [sentencepiece_output(processor, text) for text in TEXTS]


def sentencepiece_output(processor, text):
    """Nothing for texts with special tokens; no text where something is unknown, which the library writes as it likes."""
    if any(special in text for special in ("<s>", "</s>", "<unk>")):
        return None
    ids = processor.encode(text)
    return [ids, None if processor.unk_id() in ids else processor.decode(ids)]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    llama = {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "split_digits": True}
    cases = {
        "kimi.tiktoken": tiktoken_case(KIMI, ["<s>", "</s>", "<|im_end|>", "[MASK]"]),
        "qwen.tiktoken": tiktoken_case(QWEN, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], lambda text: unicodedata.normalize("NFC", text)),
        "gpt4.tiktoken": tiktoken_case(GPT4, ["<|endoftext|>"]),
        "llama.model": sentencepiece_case(CORPUS, folder, vocab_size=900, character_coverage=0.98, **llama),
        "symbols.model": sentencepiece_case(
            CORPUS, folder, vocab_size=920, character_coverage=0.98, user_defined_symbols=["<tool>", "中文", "ing", "▁▁", "<mask>"], **llama
        ),
        "rules.model": sentencepiece_case(FEW_LETTERS, folder, vocab_size=380, model_type="unigram", rules=True, character_coverage=0.98),
        "bytes.model": sentencepiece_case(
            FEW_LETTERS, folder, vocab_size=620, model_type="unigram", rules=True, byte_fallback=True, character_coverage=0.98, add_dummy_prefix=False
        ),
    }
    for name, (model, outputs) in cases.items():
        (folder / name).write_bytes(model)
        lines = ",\n".join(map(short, outputs))
        (folder / f"{name}.json").write_text(f"[\n{lines}\n]\n")
    print(sentencepiece.__version__, tiktoken.__version__)
