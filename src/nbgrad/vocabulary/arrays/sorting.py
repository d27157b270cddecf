"""Sorting and searching; what is sorted keeps its gradient, positions have none."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import single_axis
from nbgrad.core.node import Node
from nbgrad.errors import refuse
from nbgrad.ops.arrays import sorting
from nbgrad.ops.elements.comparison import not_equal
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import as_dtype, sum
from nbgrad.vocabulary.reductions.scans import window
from nbgrad.vocabulary.shapes import as_node, reshape

ORDER = "tensors have no fields"


def _placed(name: str, a: Any, axis: int | None) -> tuple[Node, int]:
    """*a* and its axis, flattened if it is None."""
    node = as_node(a)
    if axis is None:
        return reshape(node, (-1,)), 0
    return node, single_axis(name, axis, node.ndim)


@function(
    "numpy",
    np.argsort,
    cases=lambda d: [call(d(2, 3)), call(d(2, 3), axis=None, stable=True)],
    complex=True,
    method=True,
    differentiable=False,
)
def argsort(
    a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Node:
    """Positions that sort *a* along *axis*; always stable, NaN last."""
    refuse("argsort", ORDER, order=order)
    node, k = _placed("argsort", a, axis)
    return sorting.argsort(node, axis=k)


@function(
    "numpy",
    np.sort,
    cases=lambda d: [call(d(2, 3)), call(d(2, 3), axis=0), call(d(2, 2), axis=None)],
    complex=True,
    method=True,
)
def sort(
    a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Node:
    """Sorted copy along *axis*; always stable, so equal elements keep their own gradients."""
    refuse("sort", ORDER, order=order)
    node, k = _placed("sort", a, axis)
    return sorting.along(node, sorting.argsort(node, axis=k), k)


@function("numpy", np.sort_complex, cases=lambda d: [call(d(4))], complex=True)
def sort_complex(a: Any) -> Node:
    """Sorted by the real part, then the imaginary part; the result is complex."""
    node = sort(a)
    narrow = node.dtype.char in "bhBH"
    return node if node.dtype.kind == "c" else as_dtype(node, np.complex64 if narrow else complex)


def _kth(name: str, kth: Any, n: int) -> tuple[int, ...]:
    places = [int(k) for k in np.ravel(kth)]
    bad = [k for k in places if not -n <= k < n]
    if bad:
        raise ValueError(f"{name}: kth(={bad[0]}) out of bounds ({n})")
    return tuple(k % n for k in places)


@function(
    "numpy",
    np.argpartition,
    cases=lambda d: [call(d(2, 4), 1)],
    observe=lambda y: y[..., 1],
    method=True,
    differentiable=False,
)
def argpartition(
    a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None
) -> Node:
    """Positions that bring the *kth* smallest elements to their places, smaller ones before."""
    refuse("argpartition", ORDER, order=order)
    node, k = _placed("argpartition", a, axis)
    return sorting.argpartition(node, kth=_kth("argpartition", kth, node.shape[k]), axis=k)


@function(
    "numpy",
    np.partition,
    cases=lambda d: [call(d(2, 4), 1), call(d(4), (-1, 1), axis=None)],
    observe=lambda y: y[..., 1],
    method=True,
)
def partition(
    a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None
) -> Node:
    """*a* with the *kth* smallest elements in their sorted places, smaller ones before them."""
    refuse("partition", ORDER, order=order)
    node, k = _placed("partition", a, axis)
    places = _kth("partition", kth, node.shape[k])
    return sorting.along(node, sorting.argpartition(node, kth=places, axis=k), k)


@function(
    "numpy",
    np.lexsort,
    cases=lambda d: [call((d.integers(2, 5), d.integers(2, 5)))],
    differentiable=False,
)
def lexsort(keys: Any, axis: int = -1) -> Node:
    """Positions that sort by the last of *keys*, ties by the one before it, and so on."""
    rows = keys if isinstance(keys, (tuple, list)) else list(_rows(keys))
    nodes = [as_node(key) for key in rows]
    if not nodes:
        raise TypeError("lexsort: need sequence of keys with len > 0")
    k = single_axis("lexsort", axis, nodes[0].ndim) if nodes[0].ndim else 0
    return sorting.lexsort(*nodes, axis=k)


def _rows(keys: Any) -> Any:
    node = as_node(keys)
    for k in range(node.shape[0]):
        yield reshape(window(node, 0, k, k + 1), node.shape[1:])


@function(
    "numpy",
    np.searchsorted,
    cases=lambda d: [
        call(np.array([0.0, 0.5, 1.0]), d(2, 3)),
        call(np.array([3, 1, 2]), 2, side="right", sorter=np.array([1, 2, 0])),
    ],
    method=True,
    differentiable=False,
)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Node:
    """Where elements of *v* would be inserted into the sorted vector *a*."""
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right' (got {side!r})")
    vector = as_node(a)
    if vector.ndim != 1:
        raise ValueError(
            "searchsorted: object of too small depth for desired array; a must be 1-D"
        )
    if sorter is not None:
        vector = sorting.along(vector, as_node(sorter), 0)
    return sorting.searchsorted(vector, as_node(v), side=side)


@function(
    "numpy",
    np.digitize,
    cases=lambda d: [call(d(2, 3), np.array([1.0, 0.0, -1.0]))],
    differentiable=False,
)
def digitize(x: Any, bins: Any, right: bool = False) -> Node:
    """Number of the bin that each element falls into, of *bins* that increase or decrease."""
    node, edges = as_node(x), as_node(bins)
    if node.dtype.kind == "c":
        raise TypeError("digitize: x may not be complex")
    return sorting.digitize(node, edges, right=bool(right))


@function(
    "numpy",
    np.isin,
    cases=lambda d: [call(d.integers(5, 2, 3), [1, 3], invert=True), call(d(3), d(2))],
    complex=True,
    differentiable=False,
)
def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: str | None = None,
) -> Node:
    """Whether each element is among *test_elements*."""
    return sorting.isin(as_node(element), as_node(test_elements), invert=bool(invert))


@function(
    "numpy",
    np.count_nonzero,
    cases=lambda d: [call(d.integers(2, 2, 3)), call(d(2, 3), axis=0, keepdims=True)],
    complex=True,
    method=True,
    differentiable=False,
)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Node:
    """Number of elements over *axis* that are not zero."""
    return sum(not_equal(as_node(a), 0), axis, dtype=np.intp, keepdims=keepdims)
