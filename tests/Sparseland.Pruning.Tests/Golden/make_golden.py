"""Scores of criteria on a small fixed network, computed with PyTorch from the papers' formulas: an implementation that shares no code with Sparseland.

Run with any PyTorch: python3 make_golden.py > criteria.json (Debian: /usr/bin/python3 with python3-torch). GraSP uses exact double backpropagation, SynFlow float64.
"""
import json
import torch

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)
WIDTHS = [12, 10, 8, 5]
weights = [torch.randn(o, i) * (2.0 / (i + o)) ** 0.5 for i, o in zip(WIDTHS, WIDTHS[1:])]
biases = [0.1 * torch.randn(o) for o in WIDTHS[1:]]
# What both sides hold are float32 numbers.
weights, biases = [w.float().double() for w in weights], [b.float().double() for b in biases]
inputs = torch.randn(20, WIDTHS[0]).float().double()
labels = torch.arange(20) % 5


def forward(ws, bs, x):
    for k, (w, b) in enumerate(zip(ws, bs)):
        x = x @ w.t() + b
        if k + 1 < len(ws):
            x = torch.relu(x)
    return x


def gradients(ws, temperature=1.0, graph=False):
    ws = [w.clone().requires_grad_() for w in ws]
    loss = torch.nn.functional.cross_entropy(forward(ws, biases, inputs) / temperature, labels)
    return ws, torch.autograd.grad(loss, ws, create_graph=graph)


def keep(scores, count, alive=None):
    """Flags of the best, of equal scores the earlier first."""
    flat = torch.cat([s.flatten() for s in scores])
    if alive is not None:
        flat = torch.where(torch.cat([a.flatten() for a in alive]), flat, torch.full_like(flat, -float("inf")))
    order = sorted(range(len(flat)), key=lambda i: (-flat[i].item(), i))
    flags = torch.zeros(len(flat), dtype=torch.bool)
    flags[order[:count]] = True
    out, at = [], 0
    for s in scores:
        out.append(flags[at:at + s.numel()].reshape(s.shape))
        at += s.numel()
    return out


total = sum(w.numel() for w in weights)
_, g = gradients(weights)
snip = [(w * x).abs() for w, x in zip(weights, g)]

ws, g = gradients(weights, 200.0, graph=True)
z = sum((x.detach() * x).sum() for x in g)
hg = torch.autograd.grad(z, ws)
grasp = [w.detach() * h for w, h in zip(ws, hg)]


def synflow_scores(masks):
    ws = [(w.abs() * m).requires_grad_() for w, m in zip(weights, masks)]
    r = forward(ws, [b.abs() for b in biases], torch.ones(1, WIDTHS[0])).sum()
    return [(w.detach() * x).abs() for w, x in zip(ws, torch.autograd.grad(r, ws))]


ones = [torch.ones_like(w) for w in weights]
synflow = synflow_scores(ones)
masks = ones
for t in range(1, 11):
    masks = [m.double() for m in keep(synflow_scores(masks), round(0.1 ** (t / 10) * total), [m > 0 for m in masks])]
synflow_mask = masks


def rounds(revival, density=0.1, count=5):
    masks = ones
    for t in range(1, count + 1):
        _, g = gradients([w * m for w, m in zip(weights, masks)])
        scores = [((w if revival else w * m) * x).abs() for w, m, x in zip(weights, masks, g)]
        masks = [m.double() for m in keep(scores, round(density ** (t / count) * total), None if revival else [m > 0 for m in masks])]
    return masks


def lists(ts):
    return [t.flatten().tolist() for t in ts]


print(json.dumps({
    "provenance": "make_golden.py, PyTorch " + torch.__version__.split("+")[0] + ", float64",
    "widths": WIDTHS, "weights": lists(weights), "biases": lists(biases), "inputs": inputs.flatten().tolist(), "labels": labels.tolist(),
    "snip": lists(snip), "grasp": lists(grasp), "synflow": lists(synflow),
    "synflowMask": [[int(v) for v in m] for m in lists(synflow_mask)],
    "forceMask": [[int(v) for v in m] for m in lists(rounds(True))],
    "iterSnipMask": [[int(v) for v in m] for m in lists(rounds(False))],
}))
