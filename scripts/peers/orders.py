"""What every peer understands: one JSON order a line on stdin, one JSON answer a line on stdout, after a first line that tells what it is.

{"op": "prefill", "ids": [5, 17, ...]}                       time from a prompt to its first token
{"op": "decode", "prompts": [[5, 17, ...], ...], "tokens": n}  time of n steps that each give every prompt a token, the first tokens not among them
"""
import json
import os
import sys
import time


def serve(facts, handlers):
    """Answers orders until stdin ends. What a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(answer):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    tell({"ready": facts})
    for line in sys.stdin:
        order = json.loads(line)
        tell(handlers[order.pop("op")](**order))


class Stopwatch:
    """`ms` of the block it was the context of."""

    def __enter__(self):
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.ms = 1000 * (time.perf_counter() - self.start)
