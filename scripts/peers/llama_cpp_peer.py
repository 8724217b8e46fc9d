"""llama.cpp as a peer, by PyPI's llama-cpp-python: python llama_cpp_peer.py FILE.gguf THREADS MAX_SEQS MAX_TOKENS

Its low-level interface, which is llama.h: as llama-bench does, with the defaults of llama.h (flash attention: auto, KV in f16, weights repacked where it can), but the
threads. Tokens are the most likely ones, so that they can be compared with those of other engines; finding them is in the time (some microseconds).
"""
import sys

import llama_cpp
import numpy as np

from orders import Stopwatch, serve


@llama_cpp.llama_log_callback
def be_quiet(level, text, _):
    if level >= 4:  # errors
        sys.stderr.write(text.decode("utf-8", "replace"))


class Sequences:
    """A context with room for `count` sequences of `length` tokens."""

    def __init__(self, model, threads, count, length):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = count * length
        params.n_batch = max(params.n_batch, count)
        params.n_seq_max = count
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(model, params)
        if not self.context:
            sys.exit("llama.cpp refuses the context")
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.batch = llama_cpp.llama_batch_init(max(count, length), 0, 1)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))

    def step(self, rows):
        """`rows`: (token, position, sequence, whether its next token is wanted); returns the next tokens of those that want one."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, is_wanted) in enumerate(rows):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = is_wanted
        if llama_cpp.llama_decode(self.context, batch) != 0:
            sys.exit("llama_decode failed")
        return [self.best(i) for i, row in enumerate(rows) if row[3]]

    def best(self, row):
        return int(np.argmax(self.logits(row)))

    def logits(self, row):
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.context, row), shape=(self.vocab_size,))

    def prompt(self, sequence, ids):
        last = len(ids) - 1
        return self.step([(token, i, sequence, i == last) for i, token in enumerate(ids)])[0]

    def forget(self, sequence, position):
        llama_cpp.llama_memory_seq_rm(self.memory, sequence, position, -1)

    def clear(self):
        llama_cpp.llama_memory_clear(self.memory, False)


class Peer:
    def __init__(self, path, threads, max_seqs, max_tokens):
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        model = llama_cpp.llama_model_load_from_file(path.encode(), params)
        if not model:
            sys.exit(f"llama.cpp can't load {path}")
        self.one = Sequences(model, threads, 1, max_tokens)
        self.many = Sequences(model, threads, max_seqs, max_tokens) if max_seqs > 1 else self.one
        self.cached = {}

    def prefill(self, ids):
        self.one.clear()
        self.cached.pop(1, None)
        with Stopwatch() as watch:
            token = self.one.prompt(0, ids)
        return {"ms": watch.ms, "tokens": [[token]]}

    def decode(self, prompts, tokens):
        sequences = self.one if len(prompts) == 1 else self.many
        next_tokens = self.prompts(sequences, prompts)
        told = [[token] for token in next_tokens]
        positions = [len(ids) for ids in prompts]
        with Stopwatch() as watch:
            for i in range(tokens):
                next_tokens = sequences.step([(token, positions[s] + i, s, True) for s, token in enumerate(next_tokens)])
                for s, token in enumerate(next_tokens):
                    told[s].append(token)
        for s, position in enumerate(positions):
            sequences.forget(s, position)
        return {"ms": watch.ms, "tokens": told}

    def prompts(self, sequences, prompts):
        """Their first tokens. Prompts of the last time are still in the cache."""
        kept, first = self.cached.get(len(prompts), (None, None))
        if kept == prompts:
            return first
        sequences.clear()
        first = [sequences.prompt(s, ids) for s, ids in enumerate(prompts)]
        self.cached[len(prompts)] = (prompts, first)
        return first

    def logits(self, ids):
        """Those after the last of the ids."""
        self.one.clear()
        self.cached.pop(1, None)
        self.one.prompt(0, ids)
        return {"logits": self.one.logits(len(ids) - 1).tolist()}


def main():
    path, threads, max_seqs, max_tokens = sys.argv[1], *map(int, sys.argv[2:5])
    llama_cpp.llama_log_set(be_quiet, None)
    llama_cpp.llama_backend_init()
    peer = Peer(path, threads, max_seqs, max_tokens)
    facts = {"version": f"llama-cpp-python {llama_cpp.__version__}", "built_with": llama_cpp.llama_print_system_info().decode().strip()}
    serve(facts, {"prefill": peer.prefill, "decode": peer.decode, "logits": peer.logits})


if __name__ == "__main__":
    main()
