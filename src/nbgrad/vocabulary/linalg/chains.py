"""Products of several matrices, and parts of matrices, with numpy.linalg's signatures."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.basis import cast
from nbgrad.ops.linalg.matrices import diagonal as main_diagonal
from nbgrad.ops.linalg.matrices import matmul, transposed, window
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import sum
from nbgrad.vocabulary.shapes import as_node, reshape


@function(
    "linalg", np.linalg.matrix_transpose, view=True, cases=lambda d: [call(d(2, 3, 2))],
    complex=True,
)  # fmt: skip
def matrix_transpose(x: Any, /) -> Node:
    """The last two dimensions exchanged."""
    node = as_node(x)
    if node.ndim < 2:
        raise ValueError(
            f"matrix_transpose: array must be at least 2-dimensional, not {node.ndim}"
        )
    return transposed(node)


@function(
    "linalg", np.linalg.diagonal, view=True, cases=lambda d: [call(d(2, 3, 2)), call(d(3, 3), offset=-1)],
    complex=True,
)  # fmt: skip
def diagonal(x: Any, /, *, offset: int = 0) -> Node:
    """Diagonals of the matrices in the last two dimensions."""
    node = as_node(x)
    if node.ndim < 2:
        raise ValueError(f"diagonal: array must be at least 2-dimensional, not {node.ndim}")
    rows, columns = node.shape[-2:]
    k = index(offset)
    first, start = (0, k) if k > 0 else (-k, 0)
    size = max(0, min(rows - first, columns - start))
    return main_diagonal(window(node, (first, first + size), (start, start + size)))


@function(
    "linalg", np.linalg.trace, cases=lambda d: [call(d(2, 3, 2)), call(d(3, 3), offset=1)],
    complex=True,
)  # fmt: skip
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Node:
    """Sums of the diagonals of the matrices in the last two dimensions."""
    found = sum(diagonal(x, offset=offset), -1)
    return found if dtype is None else cast(found, dtype=np.dtype(dtype))


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
    return matmul(_chain(nodes, splits, i, k), _chain(nodes, splits, k + 1, j))
