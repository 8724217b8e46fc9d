"""Small tokenizers of the kinds that checkpoints ship, trained on the texts themselves. Each is a function that gives a tokenizer."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from charsmap import CHARSMAP
from texts import TEXTS

CORPUS = [text for text in TEXTS if text] * 2
FEW_LETTERS = [text for text in CORPUS if max(text) < "\u0400" or "中" in text]
ALPHABET = pre_tokenizers.ByteLevel.alphabet()

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = GPT4.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
KIMI = "|".join(
    [
        r"[\p{Han}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
DEEPSEEK = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""


def special(*contents, **flags):
    return [AddedToken(content, special=True, normalized=False, **flags) for content in contents]


def isolated(*patterns):
    return [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]


def byte_level(pre_tokenizer, normalizer=None, size=700, **model):
    """BPE over bytes, behind any way to cut words."""
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=ALPHABET, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_fallback(normalizer, pre_tokenizer, decoder, size=700):
    """BPE over characters as SentencePiece has it; a third of the letters have no token and become bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, limit_alphabet=150, max_token_length=12, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = [each for each in spec["added_tokens"] if not each["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(spec))


def begins(tokenizer, token, after=""):
    ids = [(each, tokenizer.token_to_id(each)) for each in (token, after) if each]
    return processors.TemplateProcessing(single=f"{token} $A {after}".strip(), special_tokens=ids)


def gpt2():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(special("<|endoftext|>"))
    return tokenizer


def roberta():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.add_special_tokens(special("<s>", "</s>", "<pad>", "<unk>"))
    tokenizer.add_special_tokens(special("<mask>", lstrip=True))
    ids = {token: tokenizer.token_to_id(token) for token in ("<s>", "</s>")}
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", ids["</s>"]), ("<s>", ids["<s>"]))
    return tokenizer


def added_tokens():
    """Added tokens with every flag, over a normaliser that changes their spelling."""
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.Lowercase())
    tokenizer.add_special_tokens(special("<|endoftext|>", "<s>"))
    tokenizer.add_special_tokens(special("</s>", rstrip=True) + special("<mask>", lstrip=True, rstrip=True))
    tokenizer.add_tokens(
        [
            AddedToken("word", single_word=True, normalized=False),
            AddedToken("Words", single_word=True, normalized=True),
            AddedToken("<TOOL>", lstrip=True, normalized=True),
            AddedToken("fish", normalized=False, rstrip=True),
            AddedToken("  ", normalized=False),
            AddedToken("中文", normalized=True, lstrip=True, rstrip=True),
        ]
    )
    return tokenizer


def qwen():
    cut = pre_tokenizers.Sequence([*isolated(QWEN), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(cut, normalizers.NFC())
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False, special=False)])
    return tokenizer


def deepseek():
    cut = [*isolated(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    tokenizer = byte_level(pre_tokenizers.Sequence(cut), normalizers.Sequence([]))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(special("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"))
    return tokenizer


def llama3():
    """Whole words before merges, and a template in a sequence."""
    cut = pre_tokenizers.Sequence([*isolated(GPT4), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trained = byte_level(cut)
    spec = json.loads(trained.to_str())
    spec["model"]["ignore_merges"] = True
    last = len(spec["model"]["vocab"])
    spec["model"]["vocab"].update({word: last + i for i, word in enumerate(["Ġworld", "ĠQUICK", "txet", "ðŁĺĢ"]) if word not in spec["model"]["vocab"]})
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.add_special_tokens(special("<|begin_of_text|>", "<|endoftext|>"))
    ends = begins(tokenizer, "<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), ends])
    return tokenizer


def gpt_oss():
    cut = pre_tokenizers.Sequence([*isolated(GPT4O), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(cut)
    tokenizer.add_special_tokens(special("<|endoftext|>"))
    return tokenizer


def kimi():
    cut = pre_tokenizers.Sequence([*isolated(KIMI), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(cut)
    tokenizer.add_special_tokens(special("<|im_start|>", "<|im_end|>"))
    return tokenizer


SPACED = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]


def llama2():
    """The older form: white space is replaced before words are cut, and nothing cuts them."""
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer = byte_fallback(normalizer, None, decoders.Sequence([*SPACED, decoders.Strip(" ", 1, 0)]))
    tokenizer.post_processor = begins(tokenizer, "<s>")
    return tokenizer


def mistral():
    cut = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    tokenizer = byte_fallback(None, cut, decoders.Sequence([*SPACED, decoders.Strip(" ", 1, 0)]))
    tokenizer.post_processor = begins(tokenizer, "<s>", "</s>")
    return tokenizer


def metaspace_always():
    cut = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=True)
    return byte_fallback(None, cut, decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace("▁", prepend_scheme="always")]))


def gemma():
    cut = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer = byte_fallback(normalizers.Replace(" ", "▁"), cut, decoders.Sequence(SPACED))
    tokenizer.post_processor = begins(tokenizer, "<s>")
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("\n\n", "\n\n\n", "▁▁", "▁▁▁", "<tool>")])
    return tokenizer


def unigram(normalizer, pre_tokenizer, decoder, size, **pieces):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    trainer = trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", show_progress=False, **pieces)
    tokenizer.train_from_iterator(FEW_LETTERS, trainer)
    return tokenizer


def without(tokenizer, dropped, **model):
    """Some letters get no piece: they are unknown, or bytes."""
    spec = json.loads(tokenizer.to_str())
    kept = [each for each in spec["model"]["vocab"] if not any(letter in each[0] for letter in dropped)]
    added = {each["content"] for each in spec["added_tokens"]}
    if model.get("byte_fallback"):
        kept[3:3] = [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
    kept = [[text, round(score, 6)] for text, score in kept]
    spec["model"] = {**spec["model"], "vocab": kept, "unk_id": [text for text, _ in kept].index("<unk>"), **model}
    ids = {text: i for i, (text, _) in enumerate(kept)}
    spec["added_tokens"] = [{**each, "id": ids[each["content"]]} for each in spec["added_tokens"] if each["content"] in added]
    return Tokenizer.from_str(json.dumps(spec))


def t5():
    normalizer = normalizers.Sequence([normalizers.Precompiled(CHARSMAP), normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    cut = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always")])
    tokenizer = unigram(normalizer, cut, decoders.Metaspace("▁", prepend_scheme="always"), 520, special_tokens=["<pad>", "</s>", "<unk>"])
    tokenizer = without(tokenizer, "qz漢ёé")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))])
    return tokenizer


def unigram_bytes():
    """As newer SentencePiece models: no prefix but the first, bytes for letters without a piece, sequences of spaces kept."""
    normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    cut = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=True)
    tokenizer = unigram(normalizer, cut, decoders.Sequence(SPACED), 520, special_tokens=["<unk>", "<s>", "</s>"])
    tokenizer = without(tokenizer, "qz漢ёé😀한", byte_fallback=True)
    tokenizer.post_processor = begins(tokenizer, "<s>", "</s>")
    return tokenizer


def word_piece(normalizer, pre_tokenizer, prefix="##", size=600):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.WordPiece(prefix=prefix, cleanup=True)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, limit_alphabet=180, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    ids = {token: tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return tokenizer


def bert():
    return word_piece(normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer())


def bert_cased():
    normalizer = normalizers.Sequence([normalizers.BertNormalizer(lowercase=False, strip_accents=False), normalizers.NFKD(), normalizers.StripAccents()])
    return word_piece(normalizer, pre_tokenizers.BertPreTokenizer())


def clip():
    """BPE with a mark at the ends of words."""
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    cut = [pre_tokenizers.Split(Regex(words), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cut)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=ALPHABET, end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(special("<|startoftext|>", "<|endoftext|>"))
    ids = {token: tokenizer.token_to_id(token) for token in ("<|startoftext|>", "<|endoftext|>")}
    tokenizer.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", ids["<|endoftext|>"]), ("<|startoftext|>", ids["<|startoftext|>"]), add_prefix_space=False
    )
    return tokenizer


def suffixed_words():
    """BPE of whole characters with a mark at the ends of words, unknown letters one by one."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>"], end_of_word_suffix="</w>", limit_alphabet=90, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def prefixed_words():
    """BPE with a mark at what continues a word, unknown letters together."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFD(), normalizers.StripAccents()])
    cut = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cut)
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>"], continuing_subword_prefix="##", limit_alphabet=90, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def words():
    """A token per word."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit(" "), pre_tokenizers.Punctuation("isolated")])
    tokenizer.train_from_iterator(CORPUS, trainers.WordLevelTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False))
    return tokenizer


KINDS = [
    gpt2,
    roberta,
    added_tokens,
    qwen,
    deepseek,
    llama3,
    gpt_oss,
    kimi,
    llama2,
    mistral,
    metaspace_always,
    gemma,
    t5,
    unigram_bytes,
    bert,
    bert_cased,
    clip,
    suffixed_words,
    prefixed_words,
    words,
]
