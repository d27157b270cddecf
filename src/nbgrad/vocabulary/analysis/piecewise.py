"""Calculus of piecewise polynomials, given by coefficients of shape (degree + 1, intervals, ...)."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.vocabulary.reductions.plain import sum
from nbgrad.vocabulary.reductions.scans import cumsum, diff, window
from nbgrad.vocabulary.shapes import concatenate, reshape


def _factors(values: Any, like: Node) -> Any:
    """A factor for each power, as numbers that broadcast against coefficients."""
    return np.asarray(values, dtype=like.dtype).reshape((-1, *(1,) * (like.ndim - 1)))


def derivative(c: Node, nu: int) -> Node:
    """Coefficients of the *nu*-th derivative."""
    degree = c.shape[0] - 1
    if nu > degree:
        return window(c, 0, 0, 1) * 0.0
    powers = np.arange(degree, nu - 1, -1)
    factors = np.prod([powers - k for k in range(nu)], axis=0) * np.ones(len(powers))
    return window(c, 0, 0, degree + 1 - nu) * _factors(factors, c)


def antiderivative(c: Node, x: Node) -> Node:
    """Coefficients of the integral from the first of the breakpoints *x*."""
    count, n = c.shape[:2]
    higher = c * _factors(1.0 / np.arange(count, 0, -1), c)
    step = reshape(diff(x), (1, n, *(1,) * (c.ndim - 2)))
    powers = concatenate([step**k for k in range(count, 0, -1)])
    pieces = cumsum(sum(higher * powers, 0, keepdims=True), 1)
    start = concatenate([window(pieces, 1, 0, 1) * 0.0, window(pieces, 1, 0, n - 1)], 1)
    return concatenate([higher, start])
