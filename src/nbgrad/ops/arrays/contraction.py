"""Contractions: the product of two arrays, summed over the dimensions they share.

Dimensions are named by labels, as in ``einsum``. What both operands have and the result has not is
contracted by one batched matrix product, so it reaches BLAS; the operands become matrices by
reshapes and transposes, which the matrix product reads in place wherever that is possible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from nbgrad.core.node import Node
from nbgrad.ops import basis
from nbgrad.ops.elements.arithmetic import multiply
from nbgrad.ops.linalg import products

Labels = Sequence[int]


def summed(x: Node, labels: Labels, keep: Labels) -> tuple[Node, list[int]]:
    """Sum *x* over the dimensions whose label is not in *keep*."""
    gone = tuple(k for k, label in enumerate(labels) if label not in keep)
    if gone:
        x = basis.sum_(x, axis=gone, keepdims=False)
    return x, [label for label in labels if label in keep]


def permuted(x: Node, labels: Labels, order: Labels) -> Node:
    """Transpose *x*, whose dimensions are *labels*, to *order*."""
    if list(labels) == list(order):
        return x
    return basis.transpose(x, perm=tuple(list(labels).index(label) for label in order))


def reshaped(x: Node, shape: tuple[int, ...]) -> Node:
    return x if x.shape == shape else basis.reshape(x, shape=shape)


def contract(a: Node, la: Labels, b: Node, lb: Labels, out: Labels) -> Node:
    """Product of *a* and *b*, whose dimensions are labelled, summed over labels not in *out*.

    The labels of each are distinct, and dimensions of the same label are of one size.
    """
    a, la = summed(a, la, {*lb, *out})
    b, lb = summed(b, lb, {*la, *out})
    inner = [label for label in la if label in lb and label not in out]
    left = [label for label in la if label not in lb]
    right = [label for label in lb if label not in la]
    if inner and (left or right):
        return _matrix_product(a, la, b, lb, out)
    # Nothing to contract, or only inner products: one pass over both.
    every = [*out, *inner]
    product = multiply(_aligned(a, la, every), _aligned(b, lb, every))
    return summed(product, every, out)[0]


def _aligned(x: Node, labels: Labels, every: Labels) -> Node:
    """*x* with a dimension for each label of *every*, of size 1 where it has none."""
    if not labels:
        return x
    x = permuted(x, labels, [label for label in every if label in labels])
    sizes = iter(x.shape)
    return reshaped(x, tuple(next(sizes) if label in labels else 1 for label in every))


def _matrix_product(a: Node, la: Labels, b: Node, lb: Labels, out: Labels) -> Node:
    if _comes_first(lb, la, out):  # the product the other way round has the result's layout
        a, la, b, lb = b, lb, a, la
    size = {**dict(zip(la, a.shape, strict=True)), **dict(zip(lb, b.shape, strict=True))}
    batch = [label for label in out if label in la and label in lb]
    inner = [x for x in (la if a.size >= b.size else lb) if x in la and x in lb and x not in out]
    left, right = _outer(a, la, lb, out, size), _outer(b, lb, la, out, size)
    product = products.matmul(
        _as_matrices(a, la, batch, left, inner), _as_matrices(b, lb, batch, inner, right)
    )
    order = [*batch, *left, *right]
    return permuted(reshaped(product, tuple(size[label] for label in order)), order, out)


def _comes_first(lb: Labels, la: Labels, out: Labels) -> bool:
    """Whether the dimensions that only b has stand before those of only a in the result."""
    of_a = [k for k, label in enumerate(out) if label not in lb]
    of_b = [k for k, label in enumerate(out) if label not in la]
    return bool(of_a and of_b) and sum(of_b) * len(of_a) < sum(of_a) * len(of_b)


def _outer(x: Node, lx: Labels, other: Labels, out: Labels, size: dict[int, int]) -> list[int]:
    """The labels that only *x* has, in its order or the result's: the smaller is rearranged."""
    its = x.size >= math.prod(size[label] for label in out)
    return [label for label in (lx if its else out) if label in lx and label not in other]


def _as_matrices(x: Node, labels: Labels, batch: Labels, rows: Labels, cols: Labels) -> Node:
    """*x* with the dimensions *batch*, then *rows* as one and *cols* as one.

    Dimensions that stay neighbours are joined before the transposition, which then is a view.
    """
    groups = [*([label] for label in batch), list(rows), list(cols)]
    shape = tuple(
        math.prod(x.shape[list(labels).index(label)] for label in group) for group in groups
    )
    x, runs = _joined(x, labels, groups)
    starts = [run[0] for run in runs]
    order = sorted(starts, key=lambda label: _place(label, groups))
    return reshaped(permuted(x, starts, order), shape)


def _place(label: int, groups: list[list[int]]) -> tuple[int, int]:
    """Number of the group that *label* is in, and its place there."""
    return next((k, group.index(label)) for k, group in enumerate(groups) if label in group)


def _joined(x: Node, labels: Labels, groups: list[list[int]]) -> tuple[Node, list[list[int]]]:
    """*x* with dimensions joined that follow each other both there and in a group."""
    following = {one: two for group in groups for one, two in pairwise(group)}
    runs: list[list[int]] = []
    shape: list[int] = []
    for label, n in zip(labels, x.shape, strict=True):
        if runs and following.get(runs[-1][-1]) == label:
            runs[-1].append(label)
            shape[-1] *= n
        else:
            runs.append([label])
            shape.append(n)
    return reshaped(x, tuple(shape)), runs
