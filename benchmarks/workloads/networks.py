"""Networks: what is left beside the matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads.base import Sides, Workload, of_libraries

BATCH, SIZES = 128, (784, 256, 10)


def loss(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any, xp: Any) -> Any:
    """Mean cross-entropy of a network with one hidden layer of hyperbolic tangents."""
    z = xp.tanh(x @ w1 + b1) @ w2 + b2
    top = z.max(-1).values if xp.__name__ == "torch" else z.max(-1)
    z = z - top[:, None]
    return (xp.log(xp.exp(z).sum(-1)) - (z * y).sum(-1)).mean()


def by_hand(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> tuple[Any, tuple[Any, ...]]:
    """In NumPy, in place where that saves a pass."""
    h = x @ w1
    h += b1
    np.tanh(h, out=h)
    z = h @ w2
    z += b2
    z -= z.max(-1)[:, None]
    e = np.exp(z)
    s = e.sum(-1)
    value = (np.log(s) - (z * y).sum(-1)).mean()
    e /= s[:, None]
    e -= y
    e /= len(x)
    g = e @ w2.T
    by_w2, by_b2 = h.T @ e, e.sum(0)
    np.multiply(h, h, out=h)
    np.subtract(1.0, h, out=h)
    g *= h
    return value, (x.T @ g, g.sum(0), by_w2, by_b2)


def network() -> Sides:
    rng = np.random.default_rng(0)
    w1, w2 = (rng.normal(size=s) / np.sqrt(s[0]) for s in (SIZES[:2], SIZES[1:]))
    x, y = rng.normal(size=(BATCH, SIZES[0])), np.eye(10)[rng.integers(0, 10, BATCH)]
    arrays = (w1, np.zeros(SIZES[1]), w2, np.zeros(SIZES[2]), x, y)
    ours, peers = of_libraries(loss, arrays, 4)
    return Sides(ours, lambda: by_hand(*arrays), peers)


WORKLOADS = [Workload("MLP 784-256-10, batch 128", network, 0.9)]
