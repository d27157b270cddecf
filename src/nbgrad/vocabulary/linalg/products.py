"""Products of vectors, matrices and tensors other than ``matmul``, ``dot`` and ``einsum``."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import single_axis
from nbgrad.core.node import Node
from nbgrad.ops.elements import arithmetic
from nbgrad.vocabulary.declare import call, function, newer
from nbgrad.vocabulary.linalg.matmul import contracted, dot, matmul, refuse_out
from nbgrad.vocabulary.reductions.plain import sum
from nbgrad.vocabulary.shapes import (
    as_node,
    broadcast_to,
    expand_dims,
    reshape,
    stack,
    swapaxes,
    transpose,
)
from nbgrad.vocabulary.subscript import getitem


def _flat(x: Any) -> Node:
    return reshape(as_node(x), (-1,))


@function(
    "numpy",
    np.vdot,
    cases=lambda d: [call(d(3), d(3)), call(d(2, 2), d(4)), call(d.real(2), d(2))],
    method=True,
    complex=True,
)
def vdot(a: Any, b: Any) -> Node:
    """Inner product of two arrays as vectors; the first is conjugated."""
    a, b = _flat(a), _flat(b)
    if a.shape != b.shape:
        raise ValueError(f"vdot: operands have {a.size} and {b.size} elements, not equally many")
    return dot(arithmetic.conjugate(a), b)


@function(
    "numpy",
    np.inner,
    cases=lambda d: [call(d(3), d(3)), call(d(2, 3), d(2, 1, 3)), call(d(2), d())],
    method=True,
    complex=True,
)
def inner(a: Any, b: Any) -> Node:
    """Sum of products over the last dimension of both; nothing is conjugated."""
    a, b = as_node(a), as_node(b)
    if not a.ndim or not b.ndim:
        return arithmetic.multiply(a, b)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(
            f"inner: shapes {a.shape} and {b.shape} not aligned: their last dimensions differ"
        )
    if a.ndim == 1 and b.ndim == 1:
        return dot(a, b)
    return contracted(a, b, (a.ndim - 1,), (b.ndim - 1,))


@function(
    "numpy",
    np.outer,
    cases=lambda d: [call(d(2), d(3)), call(d(2, 1), d())],
    complex=True,
    method=True,
)
def outer(a: Any, b: Any, out: None = None) -> Node:
    """Products of every element of *a* with every one of *b*."""
    refuse_out("outer", out)
    return arithmetic.multiply(expand_dims(_flat(a), 1), expand_dims(_flat(b), 0))


@function(
    "linalg", np.linalg.outer, name="outer", cases=lambda d: [call(d(2), d(3))], complex=True
)
def outer_of_vectors(x1: Any, x2: Any) -> Node:
    """Products of every element of one vector with every one of another."""
    x1, x2 = as_node(x1), as_node(x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(
            f"outer: shapes {x1.shape} and {x2.shape} are not of vectors; use nbgrad.numpy.outer"
        )
    return outer(x1, x2)


@function(
    "linalg",
    np.linalg.matmul,
    name="matmul",
    cases=lambda d: [call(d(2, 3), d(3, 2))],
    complex=True,
)
def matmul_of_matrices(x1: Any, x2: Any, /) -> Node:
    """Matrix product, as ``nbgrad.numpy.matmul``."""
    return matmul(x1, x2)


def _tensordot_axes(axes: Any, a: Node, b: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which dimensions are summed over, as two tuples of one length."""
    if isinstance(axes, (int, np.integer)):
        return tuple(range(a.ndim - int(axes), a.ndim)), tuple(range(int(axes)))
    of_a, of_b = ((x,) if isinstance(x, (int, np.integer)) else tuple(x) for x in axes)
    if len(of_a) != len(of_b):
        raise ValueError(f"tensordot: axes {axes!r} name {len(of_a)} and {len(of_b)} dimensions")
    over_a = tuple(single_axis("tensordot", k, a.ndim) for k in of_a)
    return over_a, tuple(single_axis("tensordot", k, b.ndim) for k in of_b)


@function(
    "numpy",
    np.tensordot,
    cases=lambda d: [
        call(d(2, 3), d(3, 2), axes=1),
        call(d(2, 2, 3), d(2, 3)),
        call(d(2, 1, 3), d(3, 2, 2), axes=([2, 0], [0, 1])),
        call(d(2), d(2), axes=0),
        call(d(2, 2), d(2, 2), axes=2),
    ],
    complex=True,
)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Node:
    """Sum of products over *axes* of both: how many, last of *a* and first of *b*, or which."""
    a, b = as_node(a), as_node(b)
    if isinstance(axes, (int, np.integer)) and not 0 <= axes <= min(a.ndim, b.ndim):
        raise ValueError(
            f"tensordot: axes={axes} is more dimensions than both of shapes {a.shape} and "
            f"{b.shape} have"
        )
    over_a, over_b = _tensordot_axes(axes, a, b)
    if len(set(over_a)) != len(over_a) or len(set(over_b)) != len(over_b):
        raise ValueError(f"tensordot: duplicate axes are not allowed ({axes!r})")
    for k, j in zip(over_a, over_b, strict=True):
        if a.shape[k] != b.shape[j]:
            raise ValueError(
                f"tensordot: shape mismatch for sum: dimension {k} of {a.shape} and {j} of "
                f"{b.shape} differ"
            )
    return contracted(a, b, over_a, over_b)


@function(
    "numpy",
    np.kron,
    cases=lambda d: [call(d(2, 3), d(3)), call(d(2), d(2))],
    complex=True,
    method=True,
)
def kron(a: Any, b: Any) -> Node:
    """Kronecker product: the second operand in blocks, times each element of the first."""
    a, b = as_node(a), as_node(b)
    ndim = max(a.ndim, b.ndim)
    of_a = (1,) * (ndim - a.ndim) + a.shape
    of_b = (1,) * (ndim - b.ndim) + b.shape
    spread_a = reshape(a, [n for m in of_a for n in (m, 1)])
    spread_b = reshape(b, [n for m in of_b for n in (1, m)])
    shape = tuple(m * n for m, n in zip(of_a, of_b, strict=True))
    return reshape(arithmetic.multiply(spread_a, spread_b), shape)


@function(
    "numpy",
    np.vecdot,
    cases=lambda d: [call(d(2, 3), d(3)), call(d(2, 3), d(2, 1), axis=0)],
    complex=True,
)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Node:
    """Inner products of vectors along *axis*, broadcast; the first is conjugated."""
    x1, x2 = as_node(x1), as_node(x2)
    n1, n2 = (x.shape[single_axis("vecdot", axis, x.ndim)] for x in (x1, x2))
    if n1 != n2:
        raise ValueError(f"vecdot: vectors have {n1} and {n2} elements, not equally many")
    x1, x2 = _to_the_end(arithmetic.conjugate(x1), axis), _to_the_end(x2, axis)
    if x1.ndim == 1 and x2.ndim == 1:
        return dot(x1, x2)
    return sum(arithmetic.multiply(x1, x2), -1)


def _to_the_end(x: Node, axis: int) -> Node:
    k = single_axis("vecdot", axis, x.ndim)
    return transpose(x, [j for j in range(x.ndim) if j != k] + [k]) if k != x.ndim - 1 else x


@function(
    "numpy",
    newer("matvec"),
    cases=lambda d: [call(d(2, 3), d(3)), call(d(2, 2, 3), d(1, 3)), call(d(2, 3), d(2, 3))],
    complex=True,
)
def matvec(x1: Any, x2: Any, /) -> Node:
    """Products of matrices with vectors, broadcast over the leading dimensions."""
    x1, x2 = as_node(x1), as_node(x2)
    _check_matrices("matvec", x1, x2, -1)
    if x1.ndim == 2:
        return matmul(x2, swapaxes(x1, 0, 1))  # one product for all of the vectors
    out = matmul(x1, expand_dims(x2, -1))
    return reshape(out, out.shape[:-1])


@function(
    "numpy",
    newer("vecmat"),
    cases=lambda d: [call(d(3), d(3, 2)), call(d(1, 3), d(2, 3, 2)), call(d(2, 3), d(3, 2))],
    complex=True,
)
def vecmat(x1: Any, x2: Any, /) -> Node:
    """Products of conjugated vectors with matrices, broadcast over the leading dimensions."""
    x1, x2 = arithmetic.conjugate(as_node(x1)), as_node(x2)
    _check_matrices("vecmat", x2, x1, -2)
    if x2.ndim == 2:
        return matmul(x1, x2)
    out = matmul(expand_dims(x1, -2), x2)
    return reshape(out, (*out.shape[:-2], out.shape[-1]))


def _check_matrices(name: str, matrix: Node, vector: Node, axis: int) -> None:
    if matrix.ndim < 2 or vector.ndim < 1:
        raise ValueError(
            f"{name}: needs matrices and vectors, not shapes {matrix.shape} and {vector.shape}"
        )
    if matrix.shape[axis] != vector.shape[-1]:
        raise ValueError(
            f"{name}: matrices of shape {matrix.shape} and vectors of shape {vector.shape} do "
            "not match"
        )


@function(
    "numpy",
    np.cross,
    cases=lambda d: [
        call(d(3), d(3)),
        call(d(2, 3), d(3)),
        call(d(3, 2), d(2, 3), axisa=0, axisc=0),
        call(d(3, 2), d(3, 1), axis=0),
    ],
    complex=True,
)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Node:
    """Vector products of three-dimensional vectors; plane vectors have a third coordinate of 0."""
    if axis is not None:
        axisa = axisb = axisc = axis
    (a0, a1, *a2), (b0, b1, *b2) = _components(as_node(a), axisa), _components(as_node(b), axisb)
    third = a0 * b1 - a1 * b0
    if not a2 and not b2:
        return third
    if a2 and b2:
        parts = [a1 * b2[0] - a2[0] * b1, a2[0] * b0 - a0 * b2[0], third]
    else:
        parts = [a1 * b2[0], -(a0 * b2[0]), third] if b2 else [-(a2[0] * b1), a2[0] * b0, third]
    return stack([broadcast_to(part, third.shape) for part in parts], axisc)


def _components(x: Node, axis: int) -> list[Any]:
    """The two or three coordinates along *axis*."""
    k = single_axis("cross", axis, x.ndim)
    if x.shape[k] not in (2, 3):
        raise ValueError(
            f"cross: dimension {axis} of shape {x.shape} is {x.shape[k]}, but vectors have 3 "
            "coordinates (or 2)"
        )
    before = (slice(None),) * k
    return [getitem(x, (*before, j)) for j in range(x.shape[k])]


@function(
    "linalg", np.linalg.cross, name="cross", cases=lambda d: [call(d(2, 3), d(3))], complex=True
)
def cross_of_vectors(x1: Any, x2: Any, /, *, axis: int = -1) -> Node:
    """Vector products of three-dimensional vectors along *axis*."""
    x1, x2 = as_node(x1), as_node(x2)
    m, n = (x.shape[single_axis("cross", axis, x.ndim)] for x in (x1, x2))
    if m != 3 or n != 3:
        raise ValueError(
            f"cross: shapes {x1.shape} and {x2.shape} have {m} and {n} coordinates along axis {axis}, "
            "not 3"
        )
    return cross(x1, x2, axis=axis)


@function(
    "linalg",
    np.linalg.tensordot,
    name="tensordot",
    cases=lambda d: [call(d(2, 3), d(3, 2), axes=1)],
    complex=True,
)
def tensordot_of_arrays(x1: Any, x2: Any, /, *, axes: Any = 2) -> Node:
    """Sum of products over *axes*, as ``nbgrad.numpy.tensordot``."""
    return tensordot(x1, x2, axes)


@function(
    "linalg",
    np.linalg.vecdot,
    name="vecdot",
    cases=lambda d: [call(d(2, 3), d(3))],
    complex=True,
)
def vecdot_of_arrays(x1: Any, x2: Any, /, *, axis: int = -1) -> Node:
    """Inner products along *axis*, as ``nbgrad.numpy.vecdot``."""
    return vecdot(x1, x2, axis=axis)
