"""Masks of methods on the small fixed network of criteria.json, computed with numpy and PyTorch from the papers' formulas: an implementation that shares no code with Sparseland.

Run beside criteria.json: python3 make_methods.py > methods.json (Debian: /usr/bin/python3 with python3-torch). Everything in float64; nothing is copied from the authors' code. Rounding and ties are the library's: of equal
scores the earlier entry is kept, the number to remove is floor(min(gamma (d - m), beta d) + 1e-9) with m rounded up from a value that is rounded to 1e-6 first.
"""
import json
import math
import os

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
base = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "criteria.json")))
widths = base["widths"]
shapes = [(o, i) for i, o in zip(widths, widths[1:])]
weights = [np.array(w).reshape(s) for w, s in zip(base["weights"], shapes)]
biases = [np.array(b) for b in base["biases"]]
inputs = torch.tensor(base["inputs"]).reshape(20, widths[0])
labels = torch.tensor(base["labels"])


def best(scores, count, alive=None):
    """Flags of the best of a flat array, of equal scores the earlier first; what is not alive is never taken."""
    order = sorted((i for i in range(len(scores)) if alive is None or alive[i]), key=lambda i: (-scores[i], i))
    flags = np.zeros(len(scores), bool)
    flags[order[:count]] = True
    return flags


def split(flat):
    cuts = np.cumsum([a * b for a, b in shapes])[:-1]
    return [p.reshape(s) for p, s in zip(np.split(flat, cuts), shapes)]


# Sparsity-informed adaptive pruning (Diao et al. 2023, algorithm 1): magnitudes of one scope, alive entries only.
def sap_cut(w, alive, p, q, gamma=1.0, beta=0.9):
    a = np.abs(w[alive])
    d = len(a)
    norm = lambda r: (a ** r).sum() ** (1 / r)
    index = 1 - d ** (1 / q - 1 / p) * norm(p) / norm(q)
    keep = math.ceil(round(d * (1 - index) ** (p * q / (q - p)), 6))
    remove = max(0, math.floor(min(gamma * (d - keep), beta * d) + 1e-9))
    return best(np.abs(w), d - remove, alive)


def sap(scope, p, q, rounds=3, gamma=1.0, beta=0.9):
    flat = np.concatenate([w.ravel() for w in weights])
    masks = [np.ones(s, bool) for s in shapes]
    for _ in range(rounds):
        if scope == "global":
            masks = split(sap_cut(flat, np.concatenate([m.ravel() for m in masks]), p, q, gamma, beta))
        elif scope == "layer":
            masks = [sap_cut(w.ravel(), m.ravel(), p, q, gamma, beta).reshape(m.shape) for w, m in zip(weights, masks)]
        else:
            masks = [np.stack([sap_cut(r, m, p, q, gamma, beta) for r, m in zip(w, ms)]) for w, ms in zip(weights, masks)]
    return masks


# LAMP (Lee et al. 2021): squares over the sum of all squares that are not smaller.
def lamp(density):
    scores = []
    for w in weights:
        u = w.ravel() ** 2
        order = sorted(range(len(u)), key=lambda i: (u[i], -i))
        s, suffix = np.zeros(len(u)), 0.0
        for i in reversed(order):
            suffix += u[i]
            s[i] = u[i] / suffix
        scores.append(s)
    flat = np.concatenate(scores)
    return split(best(flat, round(density * len(flat))))


def loss(ws, bs):
    x = inputs
    for k, (w, b) in enumerate(zip(ws, bs)):
        x = x @ w.t() + b
        if k + 1 < len(ws):
            x = torch.relu(x)
    return torch.nn.functional.cross_entropy(x, labels)


def gradients(ws, bs):
    """At z = m theta, also where the mask is off."""
    zs = [torch.tensor(w).requires_grad_() for w in ws]
    cs = [torch.tensor(b).requires_grad_() for b in bs]
    g = torch.autograd.grad(loss(zs, cs), zs + cs)
    return [x.numpy() for x in g[:len(zs)]], [x.numpy() for x in g[len(zs):]]


# Lottery jackpots (Zhang et al. 2023, section 3): theta is frozen, scores follow theta g, swaps are restricted.
def jackpots(density=0.4, rate=0.5, momentum=0.9, decay=5e-4, steps=8):
    start = split(best(np.abs(np.concatenate([w.ravel() for w in weights])), round(density * sum(w.size for w in weights))))
    counts = [int(m.sum()) for m in start]
    masks = [m.ravel() for m in start]
    scores = [np.where(m, 1.0, np.float64(np.float32(0.99))) for m in masks]
    velocity = [np.zeros(len(s)) for s in scores]
    for t in range(steps):
        g, _ = gradients([w * m.reshape(w.shape) for w, m in zip(weights, masks)], biases)
        share = (1 - t / steps) ** 4
        for l, w in enumerate(weights):
            velocity[l] = momentum * velocity[l] + w.ravel() * g[l].ravel() + decay * scores[l]
            scores[l] = scores[l] - rate * velocity[l]
            wanted = best(scores[l], counts[l])
            enter = [i for i in range(len(wanted)) if wanted[i] and not masks[l][i]]
            leave = [i for i in range(len(wanted)) if masks[l][i] and not wanted[i]]
            n = math.ceil(share * len(enter) - 1e-9)
            masks[l] = masks[l].copy()
            masks[l][sorted(enter, key=lambda i: (-scores[l][i], i))[:n]] = True
            masks[l][sorted(leave, key=lambda i: (scores[l][i], -i))[:n]] = False
    return [m.reshape(w.shape) for m, w in zip(masks, weights)], scores


# BiP (Zhang et al. 2022, algorithm 1, equation 9): a step of SGD with momentum on m theta, then one on the scores.
def bip(density=0.4, lower=0.05, rate=0.5, momentum=0.9, implicit=0.1, steps=6):
    theta, bias = [w.copy() for w in weights], [b.copy() for b in biases]
    r = [w.copy() for w in weights]
    vr, vt, vb = [np.zeros(s) for s in shapes], [np.zeros(s) for s in shapes], [np.zeros(len(b)) for b in biases]
    total = round(density * sum(w.size for w in weights))
    select = lambda: split(best(np.abs(np.concatenate([x.ravel() for x in r])), total))
    masks = select()
    for _ in range(steps):
        g, gb = gradients([t * m for t, m in zip(theta, masks)], bias)
        for l in range(len(theta)):
            vt[l] = np.where(masks[l], momentum * vt[l] + g[l], 0)
            theta[l] = theta[l] - lower * vt[l]
            vb[l] = momentum * vb[l] + gb[l]
            bias[l] = bias[l] - lower * vb[l]
        g, _ = gradients([t * m for t, m in zip(theta, masks)], bias)
        for l in range(len(theta)):
            d = theta[l] * g[l] - implicit * masks[l] * g[l] ** 2
            vr[l] = momentum * vr[l] + np.where(r[l] < 0, -1, 1) * d
            r[l] = r[l] - rate * vr[l]
        masks = select()
        # What the mask switches off loses its momentum; its value waits.
        vt = [np.where(m, v, 0) for m, v in zip(masks, vt)]
    return masks, r


def ints(masks):
    return [m.astype(int).ravel().tolist() for m in masks]


jackpot_masks, jackpot_scores = jackpots()
bip_masks, bip_scores = bip()
print(json.dumps({
    "provenance": f"make_methods.py, numpy {np.__version__}, PyTorch {torch.__version__.split('+')[0]}, float64",
    "sap": [{"scope": s, "p": p, "q": q, "masks": ints(sap(s, p, q))} for s in ("global", "layer", "neuron") for p, q in ((0.5, 1), (1, 2))],
    "sapLimited": ints(sap("global", 1, 2, 2, 3.0, 0.25)),
    "lamp": ints(lamp(0.3)),
    "jackpotsMask": ints(jackpot_masks), "jackpotsScores": [s.ravel().tolist() for s in jackpot_scores],
    "bipMask": ints(bip_masks), "bipScores": [s.ravel().tolist() for s in bip_scores],
}))
