"""A quadrature rule on arrays, and the algebra of derivatives of densities by their parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
CHUNK = 1024
# Double-exponential rule for integrals over s > 0 of what decays like exp(-s): Takahasi and Mori's
# s = exp(y - exp(-y)), y in steps of 1/20; the range serves decays down to exp(-s / 2).
_Y = np.arange(-4.0, 6.6, 0.05)
NODES = np.exp(_Y - np.exp(-_Y))
WEIGHTS = 0.05 * NODES * (1.0 + np.exp(-_Y))


def bell(n: int, x: list[Array]) -> Array:
    """Complete Bell polynomial Y_n(x_1 ... x_n), of arrays or nodes."""
    y: list[Array] = [1.0]
    for m in range(n):
        terms = [math.comb(m, k) * y[m - k] * x[k] for k in range(m + 1)]
        y.append(sum(terms[1:], terms[0]))
    return y[n]


def elementwise_in_chunks(core: Callable[..., Array], *xs: Array) -> Array:
    """*core* of flat arrays, some hundred numbers of work an element, in pieces of bounded memory."""
    flat = [np.ascontiguousarray(a).ravel() for a in np.broadcast_arrays(*xs)]
    out = np.empty(flat[0].shape)
    for start in range(0, out.size, CHUNK):
        out[start : start + CHUNK] = core(*(a[start : start + CHUNK] for a in flat))
    return out.reshape(np.broadcast_shapes(*(np.shape(x) for x in xs)))
