"""What the peers in PyTorch share: memory that stays with the process, the threads of torch and of its BLAS, and variants that take turns.

torch.set_num_threads does not reach the OpenBLAS that Debian's torch calls for matrix products: left alone it takes every core, also
where torch was given one thread. And while its idle threads look for work (100 ms after a product) torch's own threads wait for a core:
a perceptron's step of 118 ms with two threads of each takes 71 with one of torch and two of OpenBLAS. So both numbers are set, and tried.
"""
import ctypes
import math
import os
import statistics
import subprocess
import sys

KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
STARTED = "SPARSELAND_PEER_STARTED"  # says to the second start that it is one
OPENBLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
TRIAL = """
import array, ctypes, time
size = 768
blas = ctypes.CDLL("libopenblas.so.0")
blas.openblas_set_num_threads(1)
room = [(ctypes.c_float * (size * size)).from_buffer(array.array("f", [0.5]) * (size * size)) for _ in range(3)]
one = ctypes.c_float(1)
times = []
for _ in range(7):
    start = time.perf_counter()
    blas.cblas_sgemm(101, 111, 111, size, size, size, one, room[0], size, room[1], size, one, room[2], size)
    times.append(time.perf_counter() - start)
print(min(times))
"""


def kernels_environment():
    """The environment in which OpenBLAS computes a product fastest, by processes in turn: as it is, without what it says of kernels, or with those for AVX-512.

    Images of machines name older kernels there: OPENBLAS_CORETYPE=Haswell stood in the one of a Zen 5, where those do half of what
    the kernels for AVX-512 do, which OpenBLAS chooses by itself when nothing is named.
    """
    own = {name: value for name, value in os.environ.items() if name not in OPENBLAS}
    choices = [dict(os.environ), own]
    with open("/proc/cpuinfo") as info:
        if "avx512f" in info.read():
            choices.append({**own, OPENBLAS[0]: "SKYLAKEX"})
    times = [[] for _ in choices]
    for _ in range(2):
        for choice, its in zip(choices, times):
            try:
                its.append(float(subprocess.run([sys.executable, "-c", TRIAL], env=choice, check=True, capture_output=True, text=True).stdout))
            except (OSError, ValueError, subprocess.CalledProcessError):
                its.append(math.inf)  # another BLAS, an OpenBLAS that has no such kernels, or kernels that fail here
    return choices[min(range(len(choices)), key=lambda i: min(times[i]))]


if STARTED not in os.environ:
    # A C library that keeps memory: it would give it back after each step and fault it in again. It reads these when a process
    # starts, and OpenBLAS its kernels when it is loaded, so this program is started once more, before it loads torch.
    os.execve(sys.executable, [sys.executable, *sys.argv], {**kernels_environment(), **KEEP, STARTED: "1"})

import torch


def _open_blas():
    with open("/proc/self/maps") as maps:
        paths = sorted({line.split()[-1] for line in maps if ".so" in line and "blas" in os.path.basename(line.split()[-1])})
    for path in paths:
        library = ctypes.CDLL(path)
        if hasattr(library, "openblas_set_num_threads"):
            return library
    return None


_BLAS = _open_blas()


def engine():
    """What this engine is, with the kernels that its matrix products run."""
    if _BLAS is None or not hasattr(_BLAS, "openblas_get_corename"):
        return f"pytorch {torch.__version__}"
    _BLAS.openblas_get_corename.restype = ctypes.c_char_p
    return f"pytorch {torch.__version__} (OpenBLAS with {_BLAS.openblas_get_corename().decode()} kernels)"


def use_threads(torch_threads, blas_threads):
    """Sets how many threads torch's own loops and convolutions have, and how many its matrix products."""
    if torch.get_num_threads() != torch_threads:
        torch.set_num_threads(torch_threads)
    if _BLAS is not None:
        _BLAS.openblas_set_num_threads(blas_threads)


def threads_to_try(threads):
    """Pairs of numbers for use_threads, by name."""
    if threads == 1:
        return {"": (1, 1)}
    if _BLAS is None:
        return {"": (threads, threads), "1 thread": (1, 1)}
    return {"": (threads, threads), f"1 thread, {threads} of OpenBLAS": (1, threads), f"{threads} threads, 1 of OpenBLAS": (threads, 1), "1 thread": (1, 1)}


def contenders(variants, limit, rounds=3):
    """Variants (name -> run, which returns milliseconds) whose median over rounds in turn is within a limit of the best."""
    times = {name: [] for name in variants}
    for _ in range(2):
        last = {name: variants[name]() for name in times}
        # A first pass asks the system for memory; a second one that takes twice the limit is no contender.
        best = min(last.values())
    times = {name: [] for name in times if last[name] <= 2 * limit * best}
    for _ in range(rounds):
        for name in times:
            times[name].append(variants[name]())
    medians = {name: statistics.median(t) for name, t in times.items()}
    return {name: variants[name] for name in medians if medians[name] <= limit * min(medians.values())}


def serve(variants):
    """Names the variants in one line, then answers each line "run NUMBER" with that variant's milliseconds."""
    print("; ".join([engine(), *variants]), flush=True)
    runs = list(variants.values())
    for line in sys.stdin:
        command, _, number = line.strip().partition(" ")
        if command != "run":
            break
        print(f"{runs[int(number or 0)]():.6f}", flush=True)


def read(folder, name, shape, kind=torch.float32):
    """A tensor from a file of raw numbers."""
    with open(os.path.join(folder, name), "rb") as f:
        return torch.frombuffer(bytearray(f.read()), dtype=kind).reshape(shape)


def write(folder, name, tensors):
    """Tensors, one after the other, as raw numbers."""
    with open(os.path.join(folder, name), "wb") as f:
        for tensor in tensors:
            f.write(tensor.detach().contiguous().numpy().tobytes())
