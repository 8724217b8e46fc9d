"""A small table of SentencePiece's normaliser, as its compiler writes it: a double array over the bytes of what is replaced, and the texts in its place."""

import struct

RULES = {
    "\t": " ", "\n": " ", "\r": " ", "\v": " ", "\f": " ", "\u00a0": " ", "\u3000": " ", "\u2003": " ", "\u2028": " ",
    "\u0000": "", "\u0001": "", "\u0002": "", "\u001f": "", "\u007f": "", "\u200b": " ", "\ufeff": "", "\u00ad": "",
    "ﬁ": "fi", "ﬂ": "fl", "ﬀ": "ff", "ﬃ": "ffi", "½": "1⁄2", "²": "2", "³": "3", "™": "TM", "…": "...", "㍿": "株式会社", "㎏": "kg", "Ⅷ": "VIII",
    "Ａ": "A", "Ｆ": "F", "ｕ": "u", "ｌ": "l", "ｗ": "w", "ｉ": "i", "ｄ": "d", "ｔ": "t", "ｈ": "h", "１": "1", "２": "2", "３": "3", "！": "!",
    "e\u0301": "é", "e\u0301\u0323": "ẹ\u0301", "u\u0308": "ü", "o\u0308": "ö", "i\u0308": "ï", "A\u030a": "Å", "Å": "Å", "Ω": "Ω", "K": "K",
    "\u1112\u1161": "하", "\u1112\u1161\u11ab": "한", "ﾊ": "ハ", "ｶ": "カ", "ｸ": "ク", "ﾝ": "ン", "क़": "क\u093c", "👍": "+1", "ab": "ba",
}  # fmt: skip


def charsmap(rules):
    """@returns the table's bytes: size of the double array, its units, and the texts, each with a zero behind it."""
    texts, offsets = bytearray(), {}
    for text in rules.values():
        if text not in offsets:
            offsets[text] = len(texts)
            texts += text.encode() + b"\0"
    root = {}
    for key, text in rules.items():
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = offsets[text]
    units = double_array(root)
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + bytes(texts)


def double_array(root):
    """Units of Darts: a label, whether a leaf hangs here, and how far away its children are (exclusive or). Leaves hang at label 0."""
    units, used = {0: 0}, {0}

    def place(node, at):
        labels = [0 if label is None else label for label in node]
        # Far offsets have no low bits: only near ones are used here.
        base = next(base for base in range(1, 1 << 20) if base ^ at < 1 << 21 and all(base ^ label not in used for label in labels) and base not in used)
        used.update([base, *(base ^ label for label in labels)])
        units[at] |= (base ^ at) << 10 | (256 if None in node else 0)
        for label, child in node.items():
            if label is None:
                units[base] = child | 1 << 31
            else:
                units[base ^ label] = label
        for label, child in node.items():
            if label is not None:
                place(child, base ^ label)

    place(root, 0)
    size = (max(units) // 256 + 1) * 256
    return [units.get(i, 0) for i in range(size)]


CHARSMAP = charsmap(RULES)
