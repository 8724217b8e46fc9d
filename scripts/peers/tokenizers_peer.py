"""Hugging Face's Rust library for tokenizers, timed: expertwire bench tokenizer --python PYTHON.

Reads from standard input one JSON object: file (tokenizer.json), texts, repeats. Writes one: version, and seconds of each repeat.
"""

import json
import sys
import time

import tokenizers

task = json.load(sys.stdin)
tokenizer = tokenizers.Tokenizer.from_file(task["file"])


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def encode():
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in task["texts"]]


ids = encode()
rounds = range(task["repeats"])
answer = {
    "version": tokenizers.__version__,
    "encode": [seconds(encode) for _ in rounds],
    "decode": [seconds(lambda: [tokenizer.decode(each) for each in ids]) for _ in rounds],
    "num_tokens": sum(map(len, ids)),
}
json.dump(answer, sys.stdout)
