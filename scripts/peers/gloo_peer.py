"""gloo's all-to-all between processes of this machine, by torch.distributed: python gloo_peer.py RANKS

{"op": "exchange", "bytes": n, "iterations": k}   n bytes from each rank to each other, k times; microseconds of the slowest rank of each
"""
import os
import socket
import subprocess
import sys
import time

os.environ.update(CUDA_VISIBLE_DEVICES="", GLOO_SOCKET_IFNAME="lo")
import torch
import torch.distributed as dist

from orders import serve


def exchange(size, numbers):
    """All ranks at once; `numbers` are bytes and iterations."""
    count, iterations = numbers
    sent, received = torch.zeros(size * count, dtype=torch.uint8), torch.empty(size * count, dtype=torch.uint8)
    us = torch.zeros(iterations, dtype=torch.float64)
    for i in range(iterations):
        dist.barrier()
        start = time.perf_counter()
        dist.all_to_all_single(received, sent)
        us[i] = 1e6 * (time.perf_counter() - start)
    dist.all_reduce(us, op=dist.ReduceOp.MAX)
    return us.tolist()


def join(rank, size, port):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)


def follow(size):
    """A rank other than the first does what that is told, until it is told 0 bytes."""
    while True:
        numbers = torch.zeros(2, dtype=torch.int64)
        dist.broadcast(numbers, 0)
        if numbers[0] == 0:
            return
        exchange(size, numbers.tolist())


def main():
    size = int(sys.argv[1])
    torch.set_num_threads(1)
    if len(sys.argv) == 4:
        join(int(sys.argv[2]), size, int(sys.argv[3]))
        return follow(size)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    others = [subprocess.Popen([sys.executable, __file__, str(size), str(rank), str(port)]) for rank in range(1, size)]
    join(0, size, port)

    def told(count, iterations):
        numbers = torch.tensor([count, iterations])
        dist.broadcast(numbers, 0)
        return exchange(size, numbers.tolist()) if count else None

    serve({"version": f"torch {torch.__version__}", "built_with": "gloo"}, {"exchange": lambda bytes, iterations: {"us": told(bytes, iterations)}})
    told(0, 0)
    for other in others:
        other.wait()


if __name__ == "__main__":
    main()
