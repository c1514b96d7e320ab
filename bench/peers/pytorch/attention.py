"""Times scaled dot-product attention in PyTorch's own operations, as a peer for `sparseland-bench attention`.

Usage: python3 attention.py FOLDER [--heads 12] [--tokens 1024] [--size 64] [--threads 2] [--block 64] [--backward]
FOLDER has q.bin, k.bin, v.bin and g.bin (the gradient of the result), [heads, tokens, size] each, and bytes that say what is seen:
own.bin [heads, blocks, blocks], shared.bin [blocks, blocks], kept.bin [tokens]. The result, and with --backward the gradients of q, k
and v behind it, is written to results_dense.bin, results_causal.bin, results_own.bin, ..., to be compared. Then it says its name and those of its variants (threads of torch and of
its BLAS), and answers each line "run I" with the milliseconds of a pass of that variant at its best: hot (passes before it wake
threads and fill caches; the median of three where they are short), with memory that is kept from pass to pass.
"""
import argparse
import math
import time

from peer import contenders, read, serve, threads_to_try, use_threads, write  # before torch: it starts this program anew

import torch

LONG_MS = 100  # a longer pass wakes threads and fills caches by itself
WARM_MS = 20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--backward", action="store_true")
    options = parser.parse_args()
    shape = (1, options.heads, options.tokens, options.size)
    q, k, v, g = (read(options.folder, name + ".bin", shape) for name in "qkvg")
    for x in (q, k, v):
        x.requires_grad_(options.backward)

    def attention():
        y = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(options.size), -1) @ v
        return (y, *torch.autograd.grad(y, (q, k, v), g)) if options.backward else (y,)

    def masked(seen):
        # A query that sees nothing gives zeros.
        p = torch.softmax((q @ k.transpose(-2, -1) / math.sqrt(options.size)).masked_fill(~seen, -1e30), -1) * seen
        y = p @ v
        return (y, *torch.autograd.grad(y, (q, k, v), g)) if options.backward else (y,)

    def run():
        start = time.perf_counter()
        attention()
        return (time.perf_counter() - start) * 1000

    def hot(threads):
        use_threads(*threads)
        spent = last = 0
        while spent < WARM_MS:
            last = run()
            spent += last
        return last if last > LONG_MS else sorted(run() for _ in range(3))[1]

    def blocks(name, heads):
        side = -(-options.tokens // options.block)
        seen = read(options.folder, name + ".bin", (heads, side, side), torch.bool)
        return seen.repeat_interleave(options.block, 1).repeat_interleave(options.block, 2)[:, : options.tokens, : options.tokens]

    kept = read(options.folder, "kept.bin", (options.tokens,), torch.bool)
    use_threads(options.threads, options.threads)
    write(options.folder, "results_dense.bin", attention())
    write(options.folder, "results_causal.bin", masked(torch.ones(options.tokens, options.tokens, dtype=torch.bool).tril()))
    write(options.folder, "results_own.bin", masked(blocks("own", options.heads)))
    write(options.folder, "results_shared.bin", masked(blocks("shared", 1)))
    write(options.folder, "results_kept.bin", masked(kept[:, None] & kept))
    variants = {name or "plain": (lambda t=threads: hot(t)) for name, threads in threads_to_try(options.threads).items()}
    # A generous limit: beside another engine, after a rest, the order is another one.
    serve(contenders(variants, 2.5))


if __name__ == "__main__":
    main()
