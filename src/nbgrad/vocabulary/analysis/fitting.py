"""Least-squares polynomials: ``numpy.polyfit``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nbgrad.core.lookup import ours
from nbgrad.core.node import Node
from nbgrad.core.values import known_value
from nbgrad.ops.elements.arithmetic import sqrt
from nbgrad.ops.linalg import products
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import as_dtype, sum
from nbgrad.vocabulary.shapes import as_node, concatenate, reshape, transpose
from nbgrad.vocabulary.support import repeats

SIZES = "polyfit: expected {what} for {name}"


def _checked(x: Any, y: Any, deg: int) -> tuple[Node, Node]:
    places, values = as_node(x) + 0.0, as_node(y) + 0.0
    if deg < 0:
        raise ValueError("polyfit: expected deg >= 0")
    if places.ndim != 1:
        raise TypeError(SIZES.format(what="1D vector", name="x"))
    if not places.size:
        raise TypeError(SIZES.format(what="non-empty vector", name="x"))
    if values.ndim not in (1, 2):
        raise TypeError(SIZES.format(what="1D or 2D array", name="y"))
    if places.shape[0] != values.shape[0]:
        raise TypeError("polyfit: expected x and y to have same length")
    return places, values


def _powers(x: Node, order: int) -> Node:
    """Columns of powers of *x*, the highest first."""
    column = reshape(x, (-1, 1))
    found = [column * 0.0 + 1.0]
    for _ in range(order - 1):
        found.insert(0, found[0] * column)
    return concatenate(found, 1)


@function(
    "numpy",
    np.polyfit,
    cases=lambda d: [
        call(d.distinct(6), d(6), 2, w=d.positive(6)),
        call(d.distinct(5), d(5, 2), 1, cov=True),
        call(d.distinct(5), d(5), 1, cov="unscaled"),
    ],
    complex=True,
)
def polyfit(
    x: Any,
    y: Any,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: Any = None,
    cov: Any = False,
) -> Any:
    """Coefficients of the polynomial of degree *deg* that fits *y* at *x* best, highest first.

    Differentiable in *x*, *y* and the weights *w*; with *full*, or *cov*, it returns what NumPy
    does beside the coefficients.
    """
    places, values = _checked(x, y, repeats("polyfit", "deg", deg))
    order = int(deg) + 1
    if rcond is None:
        rcond = places.size * float(np.finfo(places.dtype).eps)
    matrix = _powers(as_dtype(places, np.promote_types(places.dtype, int)), order)
    right = values if values.ndim == 2 else reshape(values, (-1, 1))
    if w is not None:
        weights = as_node(w) + 0.0
        if weights.ndim != 1:
            raise TypeError("polyfit: expected a 1-d array for weights")
        if weights.shape[0] != values.shape[0]:
            raise TypeError("polyfit: expected w and y to have the same length")
        column = reshape(weights, (-1, 1))
        matrix, right = matrix * column, right * column
    scale = sqrt(sum(matrix * matrix, 0))
    matrix = matrix / scale
    solution, residuals, rank, singular = ours(np.linalg.lstsq)(matrix, right, rcond)
    found = solution / reshape(scale, (-1, 1))
    found = found if values.ndim == 2 else reshape(found, (-1,))
    if full:
        return found, residuals, rank, singular, rcond
    if (known := known_value(rank)) is not None and int(known) != order:
        message = "Polyfit may be poorly conditioned"
        warnings.warn(message, np.exceptions.RankWarning, stacklevel=2)
    if not cov:
        return found
    base = ours(np.linalg.inv)(products.matmul(transpose(matrix), matrix))
    base = base / (reshape(scale, (-1, 1)) * scale)
    if cov != "unscaled":
        if places.size <= order:
            raise ValueError(
                "polyfit: the number of data points must exceed order to scale the covariance "
                "matrix"
            )
        residuals = residuals / (places.size - order)
        base = reshape(base, (order, order, 1)) * residuals
        base = base if values.ndim == 2 else reshape(base, (order, order))
    elif values.ndim == 2:
        base = reshape(base, (order, order, 1))
    return found, base
