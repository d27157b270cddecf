"""Arrays of one value, of the diagonal, of a function of the indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.boxes import box, is_box, unbox
from nbgrad.core.node import Node
from nbgrad.errors import refuse
from nbgrad.ops.basis import full as filled
from nbgrad.vocabulary.arrays.making import on_cpu
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.shapes import as_node, as_shape, broadcast_to, cast_to
from nbgrad.vocabulary.support import concrete, held

TENSOR = "the result is always a tensor"


def _extents(shape: Any) -> tuple[int, ...]:
    found = as_shape(concrete(shape))
    if min(found, default=0) < 0:
        raise ValueError(f"negative dimensions are not allowed: {found}")
    return found


def _one_value(value: Any, shape: Any, dtype: Any) -> Node:
    return filled(value, shape=_extents(shape), dtype=np.dtype(dtype))


@function("numpy", "numpy.zeros", cases=lambda d: [call((2, 3)), call(2, int)])
def zeros(
    shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None, like: None = None
) -> Node:
    """Zeros of *shape*."""
    refuse("zeros", TENSOR, like=like)
    on_cpu("zeros", device)
    return _one_value(0, shape, dtype or float)


@function("numpy", "numpy.ones", cases=lambda d: [call((2, 3)), call(2, dtype=np.float32)])
def ones(
    shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None, like: None = None
) -> Node:
    """Ones of *shape*."""
    refuse("ones", TENSOR, like=like)
    on_cpu("ones", device)
    return _one_value(1, shape, dtype or float)


@function("numpy", "numpy.empty", cases=lambda d: [call((0, 3))])
def empty(
    shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None, like: None = None
) -> Node:
    """Zeros of *shape*: what NumPy leaves undefined would make results irreproducible."""
    return zeros(shape, dtype, order, device=device, like=like)


@function(
    "numpy",
    "numpy.full",
    cases=lambda d: [
        call((2, 3), d()),
        call((2, 3), d(3)),
        call(2, 7),
        call(2, d(), np.complex128),
    ],
    complex=True,
)
def full(
    shape: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "C",
    *,
    device: Any = None,
    like: None = None,
) -> Node:
    """*fill_value*, broadcast to *shape*; its gradient is the sum over all of it."""
    refuse("full", TENSOR, like=like)
    on_cpu("full", device)
    value = as_node(fill_value)
    value = value if dtype is None else cast_to("full", value, dtype)
    return broadcast_to(value, _extents(shape))


def _like(a: Any, dtype: Any, shape: Any, device: Any) -> tuple[tuple[int, ...], Any]:
    on_cpu("*_like", device)
    node = as_node(a)
    return node.shape if shape is None else _extents(shape), dtype or node.dtype


@function(
    "numpy",
    np.zeros_like,
    cases=lambda d: [call(d(2, 3)), call(d(2), int, shape=(1, 2))],
    differentiable=False,
    complex=True,
)
def zeros_like(
    a: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Node:
    """Zeros of the shape and dtype of *a*."""
    return _one_value(0, *_like(a, dtype, shape, device))


@function(
    "numpy", np.ones_like, cases=lambda d: [call(d(2, 3))], differentiable=False, complex=True
)
def ones_like(
    a: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Node:
    """Ones of the shape and dtype of *a*."""
    return _one_value(1, *_like(a, dtype, shape, device))


@function("numpy", np.empty_like, cases=lambda d: [call(d(0, 3))], differentiable=False)
def empty_like(
    prototype: Any,
    /,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Node:
    """Zeros of the shape and dtype of *prototype*: see empty.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.empty_like([1.0, 2.0]).shape
    (2,)
    """
    return zeros_like(prototype, dtype, order, subok, shape, device=device)


@function(
    "numpy",
    np.full_like,
    cases=lambda d: [call(d(2, 3), d(3)), call(d(2), 3)],
    complex=True,
)
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Node:
    """*fill_value* in the shape and dtype of *a*."""
    extents, wanted = _like(a, dtype, shape, device)
    return full(extents, fill_value, wanted)


@function("numpy", "numpy.eye", cases=lambda d: [call(2), call(2, 3, 1, int)])
def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: Any = float,
    order: Any = "C",
    *,
    device: Any = None,
    like: None = None,
) -> Node:
    """Ones on the diagonal *k* of an *N* by *M* matrix."""
    refuse("eye", TENSOR, like=like)
    on_cpu("eye", device)
    return held(np.eye(N, M, k, dtype))


@function("numpy", "numpy.identity", cases=lambda d: [call(2)])
def identity(n: int, dtype: Any = None, *, like: None = None) -> Node:
    """Ones on the diagonal of an *n* by *n* matrix."""
    return eye(n, dtype=dtype or float, like=like)


@function("numpy", "numpy.tri", cases=lambda d: [call(2, 3, 1)])
def tri(
    N: int, M: int | None = None, k: int = 0, dtype: Any = float, *, like: None = None
) -> Node:
    """Ones at and below the diagonal *k* of an *N* by *M* matrix."""
    refuse("tri", TENSOR, like=like)
    return held(np.tri(N, M, k, dtype))


@function(
    "numpy",
    "numpy.fromfunction",
    cases=lambda d: [call(lambda i, j: i + 2 * j, (2, 3), dtype=int)],
)
def fromfunction(
    function: Callable[..., Any],
    shape: Any,
    *,
    dtype: Any = float,
    like: None = None,
    **kwargs: Any,
) -> Any:
    """What *function* returns for the tensors of the indices of *shape*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.fromfunction(lambda i, j: i + 10 * j, (2, 3))
    tensor([[ 0., 10., 20.],
            [ 1., 11., 21.]])
    """
    refuse("fromfunction", TENSOR, like=like)
    grids = (box(held(g)) for g in np.indices(_extents(shape), dtype=dtype))
    found = function(*grids, **kwargs)
    return unbox(found) if is_box(found.__class__) else found
