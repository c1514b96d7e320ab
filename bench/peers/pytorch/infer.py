"""Runs one model in PyTorch, on request, so that a benchmark can interleave it with other engines.

Usage: python3 infer.py FOLDER THREADS
FOLDER holds graph.json (nodes of an ONNX graph), weights.bin and inputs.json, as Sparseland writes them.
The graph's operators are executed with torch functions; a model with another operator is refused by name.
What is timed is the fastest of plain execution, channels last and traced graphs that PyTorch froze and optimised for inference, with as many
threads as were given or one, of torch and of its BLAS: all of them are tried in turn, after a rest, as a benchmark has them run.
Protocol, one line each way: "run" -> milliseconds; "outputs DIR" -> JSON of the outputs, written raw into DIR.
"""
import json
import os
import statistics
import sys
import time
import warnings

from peer import engine, threads_to_try, use_threads  # before torch: it starts this program anew

import torch
import torch.nn.functional as F

TYPES = {
    "float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "int64": torch.int64, "int32": torch.int32,
    "uint8": torch.uint8, "int8": torch.int8, "bool": torch.bool,
}
ONNX_TYPES = {1: torch.float32, 2: torch.uint8, 3: torch.int8, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64}


WARM_MS = 10


class Unsupported(Exception):
    pass


def ints(tensor):
    return [int(v) for v in tensor.reshape(-1).tolist()]


def spatial_padding(a, x, kernel, strides, dilations):
    """Symmetric padding for the function itself, and what has to be padded beforehand (left, right per dimension, last first)."""
    rank = x.dim() - 2
    auto = a.get("auto_pad", "NOTSET")
    pads = a.get("pads") or [0] * (2 * rank)
    if auto == "VALID":
        pads = [0] * (2 * rank)
    elif auto != "NOTSET":
        begin, end = [], []
        for d in range(rank):
            size, reach = x.shape[2 + d], (kernel[d] - 1) * dilations[d] + 1
            total = max(0, (-(-size // strides[d]) - 1) * strides[d] + reach - size)
            small = total // 2
            begin.append(small if auto == "SAME_UPPER" else total - small)
            end.append(total - begin[-1])
        pads = begin + end
    if pads[:rank] == pads[rank:]:
        return pads[:rank], None
    before = []
    for d in reversed(range(rank)):
        before += [pads[d], pads[rank + d]]
    return [0] * rank, before


def conv(a, x, w, b=None):
    rank = x.dim() - 2
    strides, dilations = a.get("strides") or [1] * rank, a.get("dilations") or [1] * rank
    padding, before = spatial_padding(a, x, list(w.shape[2:]), strides, dilations)
    if before:
        x = F.pad(x, before)
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    return function(x, w, b, strides, padding, dilations, a.get("group", 1))


def gemm(a, x, w, b=None):
    if a.get("transA", 0):
        x = x.t()
    if a.get("alpha", 1.0) == 1.0 and (b is None or (b.dim() == 1 and a.get("beta", 1.0) == 1.0)):
        return F.linear(x, w if a.get("transB", 0) else w.t(), b)
    y = a.get("alpha", 1.0) * (x @ (w.t() if a.get("transB", 0) else w))
    return y if b is None else y + a.get("beta", 1.0) * b


def max_pool(a, x):
    kernel = a["kernel_shape"]
    strides, dilations = a.get("strides") or [1] * len(kernel), a.get("dilations") or [1] * len(kernel)
    padding, before = spatial_padding(a, x, kernel, strides, dilations)
    if before:
        x = F.pad(x, before, value=float("-inf"))
    return F.max_pool2d(x, kernel, strides, padding, dilations, bool(a.get("ceil_mode", 0)))


def average_pool(a, x):
    kernel = a["kernel_shape"]
    strides = a.get("strides") or [1] * len(kernel)
    padding, before = spatial_padding(a, x, kernel, strides, [1] * len(kernel))
    if before:
        raise Unsupported("AveragePool with unequal padding")
    return F.avg_pool2d(x, kernel, strides, padding, bool(a.get("ceil_mode", 0)), bool(a.get("count_include_pad", 0)))


def batch_norm(a, x, scale, bias, mean, variance):
    return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, a.get("epsilon", 1e-5))


def layer_norm(a, x, scale, bias=None):
    axis = a.get("axis", -1) % x.dim()
    return F.layer_norm(x, list(x.shape[axis:]), scale, bias, a.get("epsilon", 1e-5))


def rms_norm(a, x, scale):
    axis = a.get("axis", -1) % x.dim()
    return x * torch.rsqrt(x.square().mean(tuple(range(axis, x.dim())), keepdim=True) + a.get("epsilon", 1e-5)) * scale


def attention(a, q, k, v, mask=None):
    heads = a.get("q_num_heads")
    split = q.dim() == 3
    if split:
        groups = a.get("kv_num_heads", heads)
        q, k, v = (t.view(t.shape[0], t.shape[1], h, -1).transpose(1, 2) for t, h in ((q, heads), (k, groups), (v, groups)))
    if k.shape[1] != q.shape[1]:
        k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    scores = q @ k.transpose(-1, -2) * a.get("scale", q.shape[-1] ** -0.5)
    if a.get("softcap", 0):
        raise Unsupported("Attention with softcap")
    if a.get("is_causal", 0):
        n, m = scores.shape[-2:]
        scores = scores.masked_fill(torch.ones(n, m, dtype=torch.bool).triu(m - n + 1), float("-inf"))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    y = scores.softmax(-1) @ v
    return y.transpose(1, 2).flatten(2) if split else y


def slice_(a, x, starts=None, ends=None, axes=None, steps=None):
    starts, ends = ints(starts), ints(ends)
    axes = ints(axes) if axes is not None else list(range(len(starts)))
    steps = ints(steps) if steps is not None else [1] * len(starts)
    index = [slice(None)] * x.dim()
    for s, e, axis, step in zip(starts, ends, axes, steps):
        if step < 0:
            raise Unsupported("Slice with a negative step")
        index[axis] = slice(s, e if abs(e) < 1 << 31 else None, step)
    return x[tuple(index)]


def pad(a, x, pads, value=None, axes=None):
    if a.get("mode", "constant") != "constant":
        raise Unsupported(f"Pad with mode {a['mode']}")
    pads = ints(pads)
    axes = [i % x.dim() for i in ints(axes)] if axes is not None else list(range(x.dim()))
    both = dict(zip(axes, zip(pads[: len(axes)], pads[len(axes):])))
    flat = []
    for d in reversed(range(x.dim())):
        flat += both.get(d, (0, 0))
    return F.pad(x, flat, value=float(value) if value is not None else 0.0)


def reshape(a, x, shape):
    shape = ints(shape)
    if not a.get("allowzero", 0):
        shape = [x.shape[i] if s == 0 else s for i, s in enumerate(shape)]
    return x.reshape(shape)


def reduce(function):
    def run(a, x, axes=None):
        axes = ints(axes) if axes is not None else a.get("axes") or list(range(x.dim()))
        return function(x, axes, bool(a.get("keepdims", 1)))
    return run


def split(a, x, sizes=None):
    axis = a.get("axis", 0)
    return torch.split(x, ints(sizes) if sizes is not None else -(-x.shape[axis] // a["num_outputs"]), axis)


def clip(a, x, low=None, high=None):
    return torch.clamp(x, None if low is None else float(low), None if high is None else float(high))


def gather(a, x, index):
    axis = a.get("axis", 0) % x.dim()
    index = torch.where(index < 0, index + x.shape[axis], index)
    return torch.index_select(x, axis, index.reshape(-1)).reshape(list(x.shape[:axis]) + list(index.shape) + list(x.shape[axis + 1:]))


def shape_of(a, x):
    return torch.tensor(list(x.shape)[slice(a.get("start", 0), a.get("end", None))], dtype=torch.int64)


def unsqueeze(a, x, axes):
    rank = x.dim() + axes.numel()
    for axis in sorted(i % rank for i in ints(axes)):
        x = x.unsqueeze(axis)
    return x


def squeeze(a, x, axes=None):
    if axes is None:
        return x.squeeze()
    for axis in sorted((i % x.dim() for i in ints(axes)), reverse=True):
        x = x.squeeze(axis)
    return x


def flatten(a, x):
    axis = a.get("axis", 1)
    return x.flatten(axis) if axis == 1 else x.reshape(int(torch.tensor(x.shape[:axis]).prod()), -1)


OPERATORS = {
    "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Mul": lambda a, x, y: x * y, "Div": lambda a, x, y: x / y, "Pow": lambda a, x, y: x ** y,
    "Relu": lambda a, x: F.relu(x), "Sigmoid": lambda a, x: torch.sigmoid(x), "Tanh": lambda a, x: torch.tanh(x), "Sqrt": lambda a, x: torch.sqrt(x),
    "Erf": lambda a, x: torch.erf(x), "Exp": lambda a, x: torch.exp(x), "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)),
    "HardSwish": lambda a, x: F.hardswish(x), "HardSigmoid": lambda a, x: torch.clamp(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0, 1),
    "Gelu": lambda a, x: F.gelu(x, approximate=a.get("approximate", "none")), "Clip": clip, "Identity": lambda a, x: x, "Dropout": lambda a, x, *_: x,
    "Softmax": lambda a, x: torch.softmax(x, a.get("axis", -1)), "LogSoftmax": lambda a, x: torch.log_softmax(x, a.get("axis", -1)),
    "Conv": conv, "Gemm": gemm, "MatMul": lambda a, x, y: torch.matmul(x, y), "MaxPool": max_pool, "AveragePool": average_pool,
    "GlobalAveragePool": lambda a, x: F.adaptive_avg_pool2d(x, 1), "BatchNormalization": batch_norm, "LayerNormalization": layer_norm, "RMSNormalization": rms_norm,
    "Attention": attention, "Slice": slice_, "Pad": pad, "Reshape": reshape, "Transpose": lambda a, x: x.permute(a.get("perm") or list(reversed(range(x.dim())))),
    "Concat": lambda a, *x: torch.cat(x, a["axis"]), "Split": split, "Gather": gather, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze,
    "Shape": shape_of, "Expand": lambda a, x, s: x * torch.ones(ints(s), dtype=x.dtype), "Cast": lambda a, x: x.to(ONNX_TYPES[a["to"]]),
    "Constant": lambda a: a["value"], "ReduceMean": reduce(lambda x, d, k: x.mean(d, k)), "ReduceSum": reduce(lambda x, d, k: x.sum(d, k)),
}


class Graph(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        with open(os.path.join(folder, "graph.json")) as f:
            graph = json.load(f)
        with open(os.path.join(folder, "weights.bin"), "rb") as f:
            data = f.read()

        def tensor(entry):
            kind = TYPES.get(entry["type"])
            if kind is None:
                raise Unsupported(f"tensors of type {entry['type']}")
            if entry["bytes"] == 0:
                return torch.empty(entry["shape"], dtype=kind)
            raw = bytearray(data[entry["offset"]: entry["offset"] + entry["bytes"]])
            return torch.frombuffer(raw, dtype=kind).reshape(entry["shape"])

        self.slots = {}
        for name, entry in graph["weights"].items():
            self.slots[name] = f"w{len(self.slots)}"
            self.register_buffer(self.slots[name], tensor(entry))
        for node in graph["nodes"]:
            if node["op"] not in OPERATORS:
                raise Unsupported(f"operator {node['op']} (node '{node['name']}')")
            node["attributes"] = {k: tensor(v["tensor"]) if isinstance(v, dict) else v for k, v in node["attributes"].items()}
        with open(os.path.join(folder, "inputs.json")) as f:
            self.input_names = [i["name"] for i in json.load(f)]
        self.nodes, self.output_names = graph["nodes"], graph["outputs"]

    def forward(self, *inputs):
        values = dict(zip(self.input_names, inputs))

        def value(name):
            return None if not name else values[name] if name in values else getattr(self, self.slots[name])

        for node in self.nodes:
            result = OPERATORS[node["op"]](node["attributes"], *[value(i) for i in node["inputs"]])
            if isinstance(result, torch.Tensor):
                result = (result,)
            values.update(zip(node["outputs"], result))
        return tuple(value(o) for o in self.output_names)


def milliseconds(run, inputs):
    start = time.perf_counter()
    run(*inputs)
    return (time.perf_counter() - start) * 1000


def candidates_of(model, inputs):
    """Plain execution, the same with channels last, frozen traces: those that run here and compute what plain execution does."""
    expected = model(*inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        candidates = {"eager": (model, inputs)}
        images = [i.contiguous(memory_format=torch.channels_last) if i.dim() == 4 else i for i in inputs]
        if any(i.dim() == 4 for i in inputs):
            candidates["eager, channels last"] = (model, images)
        try:
            traced = torch.jit.freeze(torch.jit.trace(model, tuple(inputs), check_trace=False))
            candidates["traced and frozen"] = (traced, inputs)
            candidates["traced, frozen, optimised for inference"] = (torch.jit.optimize_for_inference(traced), inputs)
        except Exception as e:  # a trace that cannot be made is no reason to have no peer
            print(f"no trace: {e}", file=sys.stderr)
        sound = {}
        for name, (run, values) in candidates.items():
            try:
                for _ in range(3):
                    outputs = run(*values)
                # PyTorch 1.13's optimised graphs of some small networks are wrong (a MobileNet-v2 of quarter width is one).
                if all(torch.allclose(o, e, rtol=1e-3, atol=1e-3 * float(e.abs().max())) for o, e in zip(outputs, expected) if e.is_floating_point()):
                    sound[name] = (run, values)
                else:
                    print(f"{name} computes something else", file=sys.stderr)
            except Exception as e:
                print(f"{name} does not run: {e}", file=sys.stderr)
        return sound


def fastest(candidates, threads):
    """The fastest of the candidates and of the threads: rounds in turn, each pass after a rest and 10 ms untimed, so that none is measured in a state that it has alone."""
    def hot(key):
        run, values = candidates[key[0]]
        use_threads(*settings[key[1]])
        time.sleep(0.1 if threads > 1 else 0.003)
        spent = 0
        while spent < WARM_MS:
            spent += milliseconds(run, values)
        return milliseconds(run, values)

    settings = threads_to_try(threads)
    times = {(name, setting): [] for name in candidates for setting in settings}
    for round in range(5):
        for key in times:
            times[key].append(hot(key))
        if round == 1:
            bound = 3 * min(min(t) for t in times.values())
            times = {key: t for key, t in times.items() if min(t) <= bound}
    name, setting = min(times, key=lambda key: statistics.median(times[key]))
    use_threads(*settings[setting])
    return name + (f", {setting}" if setting else ""), candidates[name]


def main():
    folder, threads = sys.argv[1], int(sys.argv[2])
    use_threads(threads, threads)
    try:
        model = Graph(folder).eval()
        inputs = []
        with open(os.path.join(folder, "inputs.json")) as f:
            for entry in json.load(f):
                with open(os.path.join(folder, entry["file"]), "rb") as raw:
                    inputs.append(torch.frombuffer(bytearray(raw.read()), dtype=TYPES[entry["type"]]).reshape(entry["shape"]))
        with torch.inference_mode():
            model(*inputs)
    except (Unsupported, KeyError) as e:
        print(f"this model needs {e}, which bench/peers/pytorch/infer.py does not execute", file=sys.stderr)
        sys.exit(2)

    with torch.no_grad():
        how, (run, values) = fastest(candidates_of(model, inputs), threads)
    last = None
    print(f"{engine()}, {how}", flush=True)
    with torch.no_grad():
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            if command == "run":
                start = time.perf_counter()
                last = run(*values)
                print(f"{(time.perf_counter() - start) * 1000:.6f}", flush=True)
            elif command == "outputs":
                last = last if last is not None else run(*values)
                listed = []
                for i, (name, tensor) in enumerate(zip(model.output_names, last)):
                    file = f"output_{i}.bin"
                    with open(os.path.join(argument, file), "wb") as f:
                        f.write(tensor.contiguous().numpy().tobytes())
                    listed.append({"name": name, "type": str(tensor.dtype).replace("torch.", ""), "shape": list(tensor.shape), "file": file})
                print(json.dumps(listed), flush=True)
            else:
                break


if __name__ == "__main__":
    main()
