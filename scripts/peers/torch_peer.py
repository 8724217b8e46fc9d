"""torch's own memory bandwidth and products, on the CPU: python torch_peer.py THREADS

{"op": "read"}                                                the sum of 512 MiB
{"op": "matmul", "shape": [m, k, n], "dtype": "f32"}         [m, k] × [k, n]
"""
import os
import sys

os.environ.update(CUDA_VISIBLE_DEVICES="")
import torch

from orders import Stopwatch, serve

READ_BYTES = 512 * 2**20
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Peer:
    def __init__(self):
        self.words = torch.ones(READ_BYTES // 4)
        self.matrices = {}

    def read(self):
        with Stopwatch() as watch:
            self.words.sum()
        return {"ms": watch.ms, "bytes": READ_BYTES}

    def matmul(self, shape, dtype):
        key = (*shape, dtype)
        if key not in self.matrices:
            rows, inner, columns = shape
            # As weights lie: a row of them per output.
            self.matrices[key] = (torch.randn(rows, inner).to(DTYPES[dtype]), torch.randn(columns, inner).to(DTYPES[dtype]))
        rows, weights = self.matrices[key]
        with Stopwatch() as watch:
            torch.nn.functional.linear(rows, weights)
        return {"ms": watch.ms}


def main():
    torch.set_num_threads(int(sys.argv[1]))
    with torch.inference_mode():
        peer = Peer()
        serve({"version": f"torch {torch.__version__}", "built_with": torch.backends.cpu.get_cpu_capability()}, {"read": peer.read, "matmul": peer.matmul})


if __name__ == "__main__":
    main()
