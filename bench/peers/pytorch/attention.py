"""Times scaled dot-product attention in PyTorch's own operations, as a peer for `sparseland-bench attention`.

Usage: python3 attention.py [--heads 12] [--tokens 1024] [--size 64] [--threads 2] [--backward] --serve
Prints its name when it is ready; then one pass for each line "run", answered by its milliseconds.
"""
import argparse
import math
import sys
import time

import torch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backward", action="store_true")
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = (1, options.heads, options.tokens, options.size)
    q, k, v, g = (torch.randn(shape) for _ in range(4))
    for x in (q, k, v):
        x.requires_grad_(options.backward)

    def run():
        start = time.perf_counter()
        y = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(options.size), -1) @ v
        if options.backward:
            torch.autograd.grad(y, (q, k, v), g)
        return (time.perf_counter() - start) * 1000

    print(f"pytorch {torch.__version__}", flush=True)
    for line in sys.stdin:
        if line.strip() != "run":
            break
        run()  # wakes the threads; the second pass counts
        print(f"{run():.6f}", flush=True)


if __name__ == "__main__":
    main()
