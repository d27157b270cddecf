"""Sets: unique elements and their unions, intersections and differences.

Which elements stay depends on their values, so these look at them; those that stay keep their
gradient, which of equal elements goes to the first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nbgrad.core.aval import single_axis
from nbgrad.core.node import Node, constant
from nbgrad.core.values import value_of
from nbgrad.ops.arrays.indexing import take
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import as_dtype
from nbgrad.vocabulary.shapes import as_node, concatenate, moveaxis, reshape


class UniqueAllResult(NamedTuple):
    """Result of :func:`unique_all`."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCountsResult(NamedTuple):
    """Result of :func:`unique_counts`."""

    values: Any
    counts: Any


class UniqueInverseResult(NamedTuple):
    """Result of :func:`unique_inverse`."""

    values: Any
    inverse_indices: Any


def _flat(x: Any) -> Node:
    return reshape(as_node(x), (-1,))


def _unique(ar: Any, axis: int | None, equal_nan: bool) -> tuple[Node, Node, Node, Node]:
    """Values, first positions, positions in the values, and counts."""
    node = _flat(ar) if axis is None else as_node(ar)
    # The shape of the inverse is NumPy's: that of the array itself without an axis.
    array = value_of(as_node(ar))
    options: Any = {"axis": axis, "equal_nan": equal_nan}
    _, index, inverse, counts = np.unique(array, True, True, True, **options)
    k = 0 if axis is None else single_axis("unique", axis, node.ndim)
    rows = moveaxis(node, k, 0) if k else node
    values = take(rows, constant(index))
    found = (moveaxis(values, 0, k) if k else values, index, inverse, counts)
    return tuple(as_node(x) for x in found)  # type: ignore[return-value]


@function(
    "numpy",
    np.unique,
    cases=lambda d: [
        call(d(2, 3), return_inverse=True),
        call(d.integers(3, 6), return_index=True, return_counts=True),
        call(d.integers(2, 4, 2), axis=0),
        call(d(2, 3), axis=1),
    ],
    complex=True,
    method=True,
    traceable=False,
)
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """Sorted unique elements (or slices along *axis*), and where they stand."""
    found = _unique(ar, axis, equal_nan)
    wanted = (True, return_index, return_inverse, return_counts)
    chosen = tuple(x for x, want in zip(found, wanted, strict=True) if want)
    return chosen if len(chosen) > 1 else chosen[0]


@function(
    "numpy",
    np.unique_all,
    cases=lambda d: [call(d(2, 2)), call(d.integers(3, 2, 3))],
    complex=True,
    traceable=False,
)
def unique_all(x: Any) -> UniqueAllResult:
    """Unique elements, their first positions, the way back, and counts; each NaN by itself."""
    return UniqueAllResult(*_unique(x, None, equal_nan=False))


@function(
    "numpy",
    np.unique_counts,
    cases=lambda d: [call(d(2, 2)), call(d.integers(3, 6))],
    complex=True,
    traceable=False,
)
def unique_counts(x: Any) -> UniqueCountsResult:
    """Unique elements and how often each occurs."""
    values, _, _, counts = _unique(x, None, equal_nan=False)
    return UniqueCountsResult(values, counts)


@function(
    "numpy",
    np.unique_inverse,
    cases=lambda d: [call(d(2, 2)), call(d.integers(3, 2, 3))],
    complex=True,
    traceable=False,
)
def unique_inverse(x: Any) -> UniqueInverseResult:
    """Unique elements, and where in them each element is."""
    values, _, inverse, _ = _unique(x, None, equal_nan=False)
    return UniqueInverseResult(values, inverse)


@function(
    "numpy",
    np.unique_values,
    cases=lambda d: [call(d(3))],
    observe=np.sort,  # NumPy leaves the order open
    traceable=False,
)
def unique_values(x: Any) -> Node:
    """Unique elements, sorted."""
    return _unique(x, None, equal_nan=False)[0]


@function(
    "numpy",
    np.union1d,
    cases=lambda d: [call(d(2, 2), d(3)), call(d.integers(5, 4), d.integers(5, 3))],
    traceable=False,
)
def union1d(ar1: Any, ar2: Any) -> Node:
    """Sorted unique elements of either array."""
    return _unique(concatenate([_flat(ar1), _flat(ar2)]), None, equal_nan=True)[0]


@function(
    "numpy",
    np.intersect1d,
    cases=lambda d: [
        call(d.integers(5, 4), d.integers(5, 2, 3), return_indices=True),
        call(np.array([3, 1, 2]), np.array([2, 3]), assume_unique=True),
    ],
    traceable=False,
)
def intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    """Sorted unique elements that both arrays have; their gradient goes to the first array."""
    a, b = _flat(ar1), _flat(ar2)
    _, at, other = np.intersect1d(value_of(a), value_of(b), assume_unique, return_indices=True)
    values = as_dtype(take(a, constant(at)), np.result_type(a.dtype, b.dtype))
    return (values, constant(at), constant(other)) if return_indices else values


@function(
    "numpy",
    np.setdiff1d,
    cases=lambda d: [call(d(4), d(2)), call(d.integers(5, 4), d.integers(5, 2))],
    traceable=False,
)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Node:
    """Unique elements of the first array that the second has not."""
    values = _flat(ar1) if assume_unique else _unique(ar1, None, equal_nan=True)[0]
    missing = np.isin(value_of(values), value_of(as_node(ar2)), invert=True)
    return take(values, constant(np.flatnonzero(missing)))


@function(
    "numpy",
    np.setxor1d,
    cases=lambda d: [call(d(3), d(2)), call(d.integers(5, 4), d.integers(5, 2))],
    traceable=False,
)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Node:
    """Sorted unique elements that just one of the arrays has."""
    a, b = _flat(ar1), _flat(ar2)
    both = concatenate([a, b])
    values, first, _, _ = _unique(both, None, equal_nan=True)
    shared = np.isin(value_of(values), np.intersect1d(value_of(a), value_of(b)), invert=True)
    return take(both, constant(value_of(first)[shared]))
