"""Polynomials fitted to points by least squares: ``numpy.polyfit``."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.engine import value_of
from nbgrad.errors import ConcretizationError
from nbgrad.ops.arithmetic import sqrt, square
from nbgrad.ops.declare import call, function
from nbgrad.ops.products import matmul
from nbgrad.ops.reducing import sum
from nbgrad.ops.shaping import as_node, expand_dims, transpose
from nbgrad.vocabulary.grids import vander
from nbgrad.vocabulary.linear_algebra import inv, lstsq


def _points(x: Any, y: Any, deg: int, w: Any) -> tuple[Node, Node]:
    """*x* and *y*, checked as NumPy does."""
    x, y = as_node(x) + 0.0, as_node(y) + 0.0
    if deg < 0:
        raise ValueError(f"polyfit: expected deg >= 0, not {deg}")
    if x.ndim != 1:
        raise TypeError(f"polyfit: expected 1D vector for x, not shape {x.shape}")
    if not x.size:
        raise TypeError("polyfit: expected non-empty vector for x")
    if y.ndim not in (1, 2):
        raise TypeError(f"polyfit: expected 1D or 2D array for y, not shape {y.shape}")
    if x.shape[0] != y.shape[0]:
        raise TypeError(f"polyfit: expected x and y to have same length: {x.shape}, {y.shape}")
    if w is not None and as_node(w).shape != x.shape:
        raise TypeError(f"polyfit: expected weights of shape {x.shape}, not {as_node(w).shape}")
    return x, y


@function(
    "numpy",
    np.polyfit,
    cases=lambda d: [
        call(d.distinct(5), d.real(5), 2),
        call(d.distinct(5), d.real(5, 2), 1, w=d.positive(5)),
        call(d.distinct(6), d.real(6), 1, cov=True),
        call(d.distinct(5), d.real(5), 1, full=True),
    ],
)
def polyfit(
    x: Any,
    y: Any,
    deg: int,
    rcond: Any = None,
    full: bool = False,
    w: Any = None,
    cov: Any = False,
) -> Any:
    """Coefficients, highest power first, of the polynomial of degree *deg* nearest to the points.

    While nbgrad.jit traces, nobody warns of points that do not determine the polynomial.
    """
    order = int(deg) + 1
    x, y = _points(x, y, deg, w)
    rcond = x.shape[0] * np.finfo(x.dtype).eps if rcond is None else rcond
    powers, right = vander(x, order), y
    if w is not None:
        weights = as_node(w) + 0.0
        powers = powers * expand_dims(weights, 1)
        right = right * (expand_dims(weights, 1) if y.ndim == 2 else weights)
    scale = sqrt(sum(square(powers), 0))
    powers = powers / scale
    c, residuals, rank, values = lstsq(powers, right, rcond)
    c = transpose(transpose(c) / scale)
    if full:
        return c, residuals, rank, values, rcond
    with contextlib.suppress(ConcretizationError):
        if int(value_of(rank)) != order:
            message = "Polyfit may be poorly conditioned"
            warnings.warn(message, np.exceptions.RankWarning, stacklevel=4)
    return (c, _covariance(powers, scale, residuals, y, cov)) if cov else c


def _covariance(powers: Node, scale: Node, residuals: Node, y: Node, cov: Any) -> Node:
    count, order = powers.shape
    base = inv(matmul(transpose(powers), powers)) / (expand_dims(scale, 1) * scale)
    if cov != "unscaled":
        if count <= order:
            raise ValueError(
                f"polyfit: {count} points are too few to scale the covariance of {order} "
                "coefficients; pass cov='unscaled'"
            )
        factor = residuals / float(count - order)
    else:
        factor = 1.0
    return base * factor if y.ndim == 1 else expand_dims(base, 2) * factor
