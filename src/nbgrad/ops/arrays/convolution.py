"""Convolution of arrays over all their dimensions: in full, and where they overlap entirely.

Each is the other's adjoint, with one operand reversed and conjugated, so no cotangent computes
more than it needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.lazy import load
from nbgrad.core.node import Node
from nbgrad.ops.basis import slice_
from nbgrad.ops.kinds.batching import EACH
from nbgrad.ops.kinds.bilinear import bilinear
from nbgrad.ops.kinds.cotangents import conjugate
from nbgrad.ops.kinds.reaching import OVERLAPS, WINDOWS


def reverse(x: Node) -> Node:
    """*x* reversed along every dimension."""
    starts = tuple(max(n - 1, 0) for n in x.shape)
    return slice_(x, starts=starts, sizes=x.shape, steps=(-1,) * x.ndim)


def _mirror(x: Node) -> Node:
    return reverse(conjugate(x))


def _evaluate(mode: str) -> Any:
    def evaluate(a: Any, b: Any) -> Any:
        if a.ndim == 1:
            return np.convolve(a, b, mode)
        if a.dtype.kind == "b":  # SciPy adds booleans up to integers
            return evaluate(a.astype(int), b.astype(int)) != 0
        direct = load("scipy.signal").convolve
        return direct(a, b, mode, method="direct").astype(np.result_type(a, b))

    return evaluate


def _full_aval(a: Aval, b: Aval) -> Aval:
    return make_aval(tuple(m + n - 1 for m, n in zip(a.shape, b.shape, strict=True)), a.dtype)


def _valid_aval(a: Aval, b: Aval) -> Aval:
    return make_aval(tuple(m - n + 1 for m, n in zip(a.shape, b.shape, strict=True)), a.dtype)


convolve_full = bilinear(
    "convolve_full",
    batch=EACH,
    aval=_full_aval,
    adjoints=(
        lambda ct, b, a: convolve_valid(ct, _mirror(b)),
        lambda ct, a, b: convolve_valid(ct, _mirror(a)),
    ),
    evaluate=_evaluate("full"),
    reach=WINDOWS,
    cases=(((4,), (3,)), ((2,), (3,)), ((2, 3), (2, 1))),
    grad_name="Convolution",
    doc="Convolution wherever the operands overlap at all; no operand is empty.",
)
convolve_valid = bilinear(
    "convolve_valid",
    batch=EACH,
    aval=_valid_aval,
    adjoints=(
        lambda ct, b, a: convolve_full(ct, _mirror(b)),
        lambda ct, a, b: convolve_valid(_mirror(a), ct),
    ),
    evaluate=_evaluate("valid"),
    reach=OVERLAPS,
    cases=(((4,), (3,)), ((3, 3), (2, 1))),
    grad_name="Convolution",
    doc="Convolution where the second operand lies within the first, which is nowhere smaller.",
)
