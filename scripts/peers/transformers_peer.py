"""Hugging Face transformers as a peer, on the CPU: python transformers_peer.py MODEL f32|bf16 THREADS

Its own model class with its defaults, in inference mode, with a DynamicCache; tokens are the most likely ones.
"""
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", CUDA_VISIBLE_DEVICES="")
import torch
import transformers

from orders import Stopwatch, serve


class Peer:
    def __init__(self, folder, dtype):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        self.cached = {}

    def prefill(self, ids):
        rows = torch.tensor([ids])
        with Stopwatch() as watch:
            token = int(self.model(rows, use_cache=True, logits_to_keep=1).logits[0, -1].argmax())
        return {"ms": watch.ms, "tokens": [[token]]}

    def decode(self, prompts, tokens):
        cache, first = self.prompts(prompts)
        length = len(prompts[0])
        told = [first]
        with Stopwatch() as watch:
            for i in range(tokens):
                positions = torch.full((len(prompts), 1), length + i)
                logits = self.model(told[-1][:, None], position_ids=positions, cache=cache, use_cache=True).logits
                told.append(logits[:, -1].argmax(-1))
        cache.crop(-tokens)
        return {"ms": watch.ms, "tokens": torch.stack(told, 1).tolist()}

    def prompts(self, prompts):
        """Their cache and first tokens, kept from the last time. All have one length."""
        key = len(prompts)
        if key in self.cached and self.cached[key][0] == prompts:
            return self.cached[key][1:]
        cache = transformers.DynamicCache()
        logits = self.model(torch.tensor(prompts), cache=cache, use_cache=True, logits_to_keep=1).logits
        self.cached[key] = (prompts, cache, logits[:, -1].argmax(-1))
        return self.cached[key][1:]

    def logits(self, ids):
        """Those after the last of the ids."""
        return {"logits": self.model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float().tolist()}


def main():
    folder, dtype, threads = sys.argv[1:4]
    torch.set_num_threads(int(threads))
    with torch.inference_mode():
        peer = Peer(folder, {"f32": torch.float32, "bf16": torch.bfloat16}[dtype])
        facts = {"version": f"transformers {transformers.__version__}, torch {torch.__version__}", "built_with": torch.backends.cpu.get_cpu_capability()}
        serve(facts, {"prefill": peer.prefill, "decode": peer.decode, "logits": peer.logits})


if __name__ == "__main__":
    main()
