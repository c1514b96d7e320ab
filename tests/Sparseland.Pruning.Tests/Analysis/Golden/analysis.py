"""Golden values for the analyses, from definitions and by other routes than the library takes.

Written with numpy alone; run: python3 analysis.py > analysis.json
Kendall's tau-b: sums of sign products over all pairs. Spearman: ranks by counting. Linear CKA: through Gram matrices and HSIC, not through features.
PQ index: numpy's norms. Margins: from differences of logits. Angles: numpy. tau-b p-values: normal approximation, variance for ties by the textbook formula.
"""
import json
import math

import numpy as np


def tau_b(x, y):
    sx, sy = np.sign(np.subtract.outer(x, x)), np.sign(np.subtract.outer(y, y))
    upper = np.triu_indices(len(x), 1)
    s = np.sum((sx * sy)[upper])
    value = s / math.sqrt(np.sum(np.abs(sx[upper])) * np.sum(np.abs(sy[upper])))
    n = len(x)
    tx, ty = [np.unique(v, return_counts=True)[1].astype(float) for v in (x, y)]
    v0, vt, vu = n * (n - 1) * (2 * n + 5), np.sum(tx * (tx - 1) * (2 * tx + 5)), np.sum(ty * (ty - 1) * (2 * ty + 5))
    v1 = np.sum(tx * (tx - 1)) * np.sum(ty * (ty - 1)) / (2 * n * (n - 1))
    v2 = np.sum(tx * (tx - 1) * (tx - 2)) * np.sum(ty * (ty - 1) * (ty - 2)) / (9 * n * (n - 1) * (n - 2))
    z = s / math.sqrt((v0 - vt - vu) / 18 + v1 + v2)
    return [float(value), math.erfc(abs(z) / math.sqrt(2))]


def ranks(x):
    x = np.asarray(x)
    return [float(np.sum(x < v) + (np.sum(x == v) + 1) / 2) for v in x]


def cka(x, y):
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n
    kx, ky = h @ (x @ x.T) @ h, h @ (y @ y.T) @ h
    return float(np.sum(kx * ky) / math.sqrt(np.sum(kx * kx) * np.sum(ky * ky)))


def pq(w, p, q):
    d = len(w)
    return float(1 - d ** (1 / q - 1 / p) * np.sum(np.abs(w) ** p) ** (1 / p) / np.sum(np.abs(w) ** q) ** (1 / q))


def main():
    rng = np.random.default_rng(20260101)
    out = {"numpy": np.__version__, "tau": [], "cka": [], "pq": [], "geometry": []}
    for n, ties in ((12, False), (30, True), (80, True)):
        x, y = rng.normal(size=n), rng.normal(size=n)
        y = y + x
        if ties:
            x, y = np.round(x * 2) / 2, np.round(y)
        out["tau"].append({"x": x.tolist(), "y": y.tolist(), "kendall": tau_b(x, y), "spearman": float(np.corrcoef(ranks(x), ranks(y))[0, 1]), "pearson": float(np.corrcoef(x, y)[0, 1])})
    for n, p, q in ((20, 3, 5), (50, 8, 8)):
        x = rng.normal(size=(n, p)).astype(np.float32)
        y = (rng.normal(size=(n, q)) + x[:, :1]).astype(np.float32)
        out["cka"].append({"x": x.ravel().tolist(), "y": y.ravel().tolist(), "samples": n, "value": cka(x.astype(np.float64), y.astype(np.float64))})
    for d in (7, 200):
        w = (rng.normal(size=d) ** 3).astype(np.float32)
        out["pq"].append({"w": w.tolist(), "values": [[p, q, pq(w.astype(np.float64), p, q)] for p, q in ((0.5, 1), (1, 2), (0.2, 3))]})
    w, b = rng.normal(size=(5, 6)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    for target in range(5):
        f = rng.normal(size=6).astype(np.float32)
        wd, bd, fd = w.astype(np.float64), b.astype(np.float64), f.astype(np.float64)
        logits = wd @ fd + bd
        other = max((c for c in range(5) if c != target), key=lambda c: logits[c])
        margin = (logits[target] - logits[other]) / np.linalg.norm(wd[target] - wd[other])
        angle = np.degrees(np.arctan2(np.linalg.norm(fd / np.linalg.norm(fd) - wd[target] / np.linalg.norm(wd[target])), np.linalg.norm(fd / np.linalg.norm(fd) + wd[target] / np.linalg.norm(wd[target])))) * 2
        out["geometry"].append({"w": w.ravel().tolist(), "b": b.tolist(), "f": f.tolist(), "target": target, "degrees": float(angle), "length": float(np.linalg.norm(fd)), "margin": float(margin), "predicted": int(np.argmax(logits))})
    print(json.dumps(out))


main()
