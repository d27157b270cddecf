"""numpy.linalg's products and views of matrices: the functions of nbgrad.numpy on the last axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import normalize_axis
from nbgrad.core.node import Node
from nbgrad.ops import composite
from nbgrad.ops.composite import as_node, astype, reshape
from nbgrad.ops.cotangents import conjugate
from nbgrad.ops.declare import call, function
from nbgrad.ops.matrices import diagonal as main_diagonal
from nbgrad.ops.matrices import transposed, window
from nbgrad.ops.structure import slice_


def _picked(x: Node, k: int, axis: int) -> Node:
    """Element k along *axis*."""
    axis = normalize_axis("cross", axis, x.ndim)[0]
    sizes = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    starts = tuple(k if d == axis else 0 for d in range(x.ndim))
    return composite.squeeze(slice_(x, starts=starts, sizes=sizes, steps=(1,) * x.ndim), axis)


@function(
    "linalg", np.linalg.matmul, cases=lambda d: [call(d(2, 3), d(3, 2)), call(d(3), d(2, 3, 2))],
    complex=True,
)  # fmt: skip
def matmul(x1: Any, x2: Any, /) -> Node:
    """Matrix product; 1-D operands are vectors, leading dimensions batch."""
    return composite.matmul(x1, x2)


@function(
    "linalg", getattr(np.linalg, "matrix_transpose", None), cases=lambda d: [call(d(2, 3, 2))],
    complex=True, also=(np.matrix_transpose,),
)  # fmt: skip
def matrix_transpose(x: Any, /) -> Node:
    """The last two dimensions exchanged."""
    node = as_node(x)
    if node.ndim < 2:
        raise ValueError(
            f"matrix_transpose: array must be at least 2-dimensional, not {node.ndim}"
        )
    return transposed(node)


@function("linalg", np.linalg.outer, cases=lambda d: [call(d(2), d(3))], complex=True)
def outer(x1: Any, x2: Any, /) -> Node:
    """Products of the elements of two vectors."""
    left, right = as_node(x1), as_node(x2)
    if left.ndim != 1 or right.ndim != 1:
        raise ValueError(
            f"outer: Input arrays must be one-dimensional, not {left.shape} and {right.shape}; "
            "nbgrad.numpy.outer flattens them"
        )
    return reshape(left, (-1, 1)) * reshape(right, (1, -1))


@function(
    "linalg", np.linalg.cross, cases=lambda d: [call(d(2, 3), d(3)), call(d(3, 2), d(3, 2), axis=0)],
    complex=True,
)  # fmt: skip
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Node:
    """Cross product of 3-vectors along *axis*."""
    left, right = as_node(x1), as_node(x2)
    if left.shape[axis] != 3 or right.shape[axis] != 3:
        raise ValueError(
            "cross: Both input arrays must be (arrays of) 3-dimensional vectors, not of "
            f"{left.shape[axis]} and {right.shape[axis]} elements"
        )
    a, b = ([_picked(x, k, axis) for k in range(3)] for x in (left, right))
    parts = [a[k - 2] * b[k - 1] - a[k - 1] * b[k - 2] for k in range(3)]
    return composite.stack(parts, axis)


@function(
    "linalg", np.linalg.vecdot, cases=lambda d: [call(d(2, 3), d(3)), call(d(3, 2), d(3, 2), axis=0)],
    complex=True,
)  # fmt: skip
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Node:
    """Inner products of vectors along *axis*, the first conjugated."""
    left, right = as_node(x1), as_node(x2)
    if left.shape[axis] != right.shape[axis]:
        raise ValueError(f"vecdot: shapes {left.shape} and {right.shape} differ along axis {axis}")
    return composite.sum(conjugate(left) * right, axis)


@function(
    "linalg", np.linalg.diagonal, cases=lambda d: [call(d(2, 3, 2)), call(d(3, 3), offset=-1)],
    complex=True,
)  # fmt: skip
def diagonal(x: Any, /, *, offset: int = 0) -> Node:
    """Diagonals of the matrices in the last two dimensions."""
    node = as_node(x)
    if node.ndim < 2:
        raise ValueError(f"diagonal: array must be at least 2-dimensional, not {node.ndim}")
    rows, columns = node.shape[-2:]
    first, start = (0, offset) if offset > 0 else (-offset, 0)
    size = max(0, min(rows - first, columns - start))
    return main_diagonal(window(node, (first, first + size), (start, start + size)))


@function(
    "linalg", np.linalg.trace, cases=lambda d: [call(d(2, 3, 2)), call(d(3, 3), offset=1)],
    complex=True,
)  # fmt: skip
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Node:
    """Sums of the diagonals of the matrices in the last two dimensions."""
    found = composite.sum(diagonal(x, offset=offset), -1)
    return found if dtype is None else astype(found, dtype)


@function(
    "linalg",
    np.linalg.multi_dot,
    cases=lambda d: [call([d(3), d(3, 2), d(2, 4), d(4)]), call([d(2, 3), d(3, 1), d(1, 4)])],
    complex=True,
)
def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Node:
    """Product of several matrices in the order that takes the fewest multiplications.

    The first may be a vector (a row) and so may the last (a column).
    """
    if out is not None:
        raise TypeError("multi_dot: out= is not available; write `result = multi_dot(...)`")
    nodes = [as_node(a) for a in arrays]
    if len(nodes) < 2:
        raise ValueError("multi_dot: Expecting at least two arrays.")
    shape: tuple[int, ...] = ()
    if nodes[0].ndim != 1:
        shape += nodes[0].shape[:1]
    if nodes[-1].ndim != 1:
        shape += nodes[-1].shape[-1:]
    nodes[0] = reshape(nodes[0], (1, -1)) if nodes[0].ndim == 1 else nodes[0]
    nodes[-1] = reshape(nodes[-1], (-1, 1)) if nodes[-1].ndim == 1 else nodes[-1]
    for node in nodes:
        if node.ndim != 2:
            raise np.linalg.LinAlgError(
                f"multi_dot: {node.ndim}-dimensional array given. Array must be two-dimensional"
            )
    sizes = [node.shape[0] for node in nodes] + [nodes[-1].shape[1]]
    return reshape(_chain(nodes, _splits(sizes), 0, len(nodes) - 1), shape)


def _splits(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to split each run of factors (Cormen et al., Introduction to Algorithms, 15.2)."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    best = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            tried = {
                k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                for k in range(i, j)
            }
            best[i, j] = min(tried, key=lambda k: tried[k])
            cost[i, j] = tried[best[i, j]]
    return best


def _chain(nodes: list[Node], splits: dict[tuple[int, int], int], i: int, j: int) -> Node:
    if i == j:
        return nodes[i]
    k = splits[i, j]
    return composite.matmul(_chain(nodes, splits, i, k), _chain(nodes, splits, k + 1, j))
