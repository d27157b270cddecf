"""Derivatives and integrals of sampled functions: gradient, trapezoid."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import single_axis
from nbgrad.core.node import Node
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import as_dtype, sum
from nbgrad.vocabulary.reductions.scans import diff, window
from nbgrad.vocabulary.shapes import as_node, concatenate, reshape

Spacing = Any  # a number, a 0-d node, or a 1-D node of the distances between neighbours


def _spacing(given: Any, n: int) -> Spacing:
    """What NumPy accepts for one axis: a distance, or coordinates."""
    node = as_node(given)
    if not node.ndim:
        return node if given.__class__ is Node or np.ndim(given) else given
    if node.ndim != 1:
        raise ValueError("gradient: distances must be either scalars or 1d")
    if node.shape[0] != n:
        raise ValueError(
            "gradient: when 1d, distances must match the length of the corresponding dimension"
        )
    return diff(node if node.aval.inexact else as_dtype(node, float))


@function(
    "numpy",
    np.gradient,
    cases=lambda d: [
        call(d(5)),
        call(d(3, 3), 0.5, d.distinct(3), edge_order=2),
        call(d(2, 4), np.cumsum(d.positive(4)), axis=1),
        call(d(4), d.positive(), edge_order=2),
    ],
    complex=True,
)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Derivative along each axis by central differences, one-sided at the ends.

    *varargs* are distances or coordinates for each axis, which are differentiable too.
    """
    node = as_node(f)
    axes = tuple(range(node.ndim)) if axis is None else axis
    axes = axes if isinstance(axes, (tuple, list)) else (axes,)
    axes = tuple(single_axis("gradient", k, node.ndim) for k in axes)
    if edge_order > 2:
        raise ValueError("gradient: 'edge_order' greater than 2 not supported")
    if not node.aval.inexact:
        node = as_dtype(node, float)
    if not varargs:
        steps: list[Spacing] = [1.0] * len(axes)
    elif len(varargs) == 1 and as_node(varargs[0]).ndim == 0:
        steps = [varargs[0]] * len(axes)
    elif len(varargs) == len(axes):
        steps = [_spacing(v, node.shape[k]) for v, k in zip(varargs, axes, strict=True)]
    else:
        raise TypeError("gradient: invalid number of arguments")
    found = [_slope(node, k, step, edge_order) for k, step in zip(axes, steps, strict=True)]
    return found[0] if len(axes) == 1 else tuple(found)


def _slope(f: Node, axis: int, step: Spacing, edge_order: int) -> Node:
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ValueError(
            "gradient: shape of array too small to calculate a numerical gradient, at least "
            "(edge_order + 1) elements are required."
        )
    ends = _edges_1 if edge_order == 1 else _edges_2
    parts = [*ends(f, axis, step)]
    if n > 2:
        parts.insert(1, _interior(f, axis, step))
    return as_dtype(concatenate(parts, axis), f.dtype)


def _uniform(step: Spacing) -> bool:
    return np.ndim(step) == 0 if step.__class__ is not Node else step.ndim == 0


def _column(x: Node, like: Node, axis: int) -> Node:
    return reshape(x, tuple(-1 if k == axis else 1 for k in range(like.ndim)))


def _interior(f: Node, axis: int, step: Spacing) -> Node:
    n = f.shape[axis]
    before, here, after = (window(f, axis, k, n - 2 + k) for k in range(3))
    if _uniform(step):
        return (after - before) / (2.0 * step)
    left, right = (_column(window(step, 0, k, n - 2 + k), f, axis) for k in range(2))
    a = -right / (left * (left + right))
    b = (right - left) / (left * right)
    c = left / (right * (left + right))
    return a * before + b * here + c * after


def _ends(f: Node, axis: int, step: Spacing, count: int) -> Any:
    """The *count* samples at either end, and the distances between them."""
    n = f.shape[axis]
    for start in (0, n - count):
        samples = [window(f, axis, k, k + 1) for k in range(start, start + count)]
        if _uniform(step):
            yield samples, [step] * (count - 1)
        else:
            gaps = range(start, start + count - 1)
            yield samples, [_column(window(step, 0, k, k + 1), f, axis) for k in gaps]


def _edges_1(f: Node, axis: int, step: Spacing) -> list[Node]:
    return [(later - here) / gap for (here, later), (gap,) in _ends(f, axis, step, 2)]


def _edges_2(f: Node, axis: int, step: Spacing) -> list[Node]:
    (first, near), (last, far) = _ends(f, axis, step, 3)
    return [_parabola(first, *near), -_parabola(last[::-1], *far[::-1])]


def _parabola(f: list[Node], h1: Any, h2: Any) -> Node:
    """Slope at the first of three samples of the parabola through them."""
    a = -(2.0 * h1 + h2) / (h1 * (h1 + h2))
    b = (h1 + h2) / (h1 * h2)
    c = -h1 / (h2 * (h1 + h2))
    return a * f[0] + b * f[1] + c * f[2]


@function(
    "numpy",
    np.trapezoid,
    aliases=("trapz",),
    cases=lambda d: [
        call(d(2, 4), dx=0.5),
        call(d(3, 2), d(3), axis=0),
        call(d(2, 3), d(2, 3)),
    ],
    complex=True,
)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Node:
    """Integral along *axis* by the trapezoidal rule, over coordinates *x* or steps *dx*."""
    node = as_node(y)
    k = single_axis("trapezoid", axis, node.ndim)
    n = node.shape[k]
    steps: Any = dx
    if x is not None:
        places = as_node(x)
        flat = places.ndim == 1
        steps = _column(diff(places), node, k) if flat else diff(places, axis=axis)
    elif dx.__class__ is not Node and np.ndim(dx):
        steps = as_node(dx)
    pairs = window(node, k, min(1, n), n) + window(node, k, 0, max(n - 1, 0))
    return sum(steps * pairs / 2.0, axis)
