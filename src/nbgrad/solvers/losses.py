"""Losses of least squares by number: linear, soft_l1, huber, cauchy, arctan, as SciPy defines them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.machine.intrinsics import reduce_add
from nbgrad.machine.pointers import apart
from nbgrad.solvers.native import F_SCALE, LOSS, M, N

LOSSES = ("linear", "soft_l1", "huber", "cauchy", "arctan")
LEAST = 1e-4


def loss(kind: int, z: float) -> tuple[float, float, float]:
    """The loss of a squared residual, and its first two derivatives."""
    if kind == 1:
        t = 1.0 + z
        root = math.sqrt(t)
        return 2.0 * (root - 1.0), 1.0 / root, -0.5 / (t * root)
    if kind == 2:
        if z <= 1.0:
            return z, 1.0, 0.0
        root = math.sqrt(z)
        return 2.0 * root - 1.0, 1.0 / root, -0.5 / (z * root)
    if kind == 3:
        t = 1.0 + z
        return math.log1p(z), 1.0 / t, -1.0 / (t * t)
    if kind == 4:
        t = 1.0 + z * z
        return math.atan(z), 1.0 / t, -2.0 * z / (t * t)
    return z, 1.0, 0.0


@apart
def cost(k: Any, s: Any, w: Any, r: int) -> Any:
    """Half the sum of the losses of the residuals at *r*."""
    m, kind, total = k[M], k[LOSS], 0.0
    if kind == 0:
        for i in range(m):
            total = reduce_add(total, w[r + i] * w[r + i])
        return 0.5 * total
    for i in range(m):
        total += loss(kind, (w[r + i] / s[F_SCALE]) ** 2)[0]
    return 0.5 * s[F_SCALE] * s[F_SCALE] * total


@apart
def weigh(k: Any, s: Any, w: Any, r: int, a: int) -> float:
    """Weigh the residuals at *r* and the columns at *a*; the length of what the gradient is a product with.

    Negative curvature, of residuals far out, is taken for a small part of the weight.
    """
    n, m, kind, total = k[N], k[M], k[LOSS], 0.0
    for row in range(m):
        z = (w[r + row] / s[F_SCALE]) ** 2
        _, first, second = loss(kind, z)
        curve = max(first + 2.0 * second * z, LEAST * first)
        root = math.sqrt(curve)
        total += (first * w[r + row]) ** 2
        w[r + row] *= first / root
        for i in range(n):
            w[a + i * m + row] *= root
    return math.sqrt(total)


def loss_of(name: str, scale: float) -> Any:
    """Half the sum of the losses of residuals, as a function to be traced."""
    rho: Any = {
        "linear": lambda z: z,
        "soft_l1": lambda z: 2 * (np.sqrt(1 + z) - 1),
        "huber": lambda z: np.where(z <= 1, z, 2 * np.sqrt(np.where(z <= 1, 1.0, z)) - 1),
        "cauchy": np.log1p,
        "arctan": np.arctan,
    }[name]
    return lambda r: 0.5 * scale**2 * rho((r / scale) ** 2).sum()
