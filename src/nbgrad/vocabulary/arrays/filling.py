"""Arrays of one value, of the diagonal, of a function of the indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, placed
from nbgrad.core.boxes import box, is_box, unbox
from nbgrad.core.memory import named
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.core.placing import moved
from nbgrad.ops.basis import full as filled
from nbgrad.vocabulary.arrays.making import put, unlike
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.shapes import as_node, as_shape, broadcast_to, cast_to
from nbgrad.vocabulary.support import concrete, held

INTEGERS = (int, np.integer)
# The dtypes of Python's numbers; that of an integer depends on its size.
NUMBERS = {bool: np.dtype(bool), int: None, float: np.dtype(float), complex: np.dtype(complex)}


def _extents(shape: Any) -> tuple[int, ...]:
    if shape.__class__ is tuple:
        for n in shape:
            if n.__class__ is not int or n < 0:
                break
        else:
            return shape  # type: ignore[no-any-return]
    found = as_shape(concrete(shape))
    if min(found, default=0) < 0:
        raise ValueError(f"negative dimensions are not allowed: {found}")
    return found


def _one_value(value: Any, shape: Any, dtype: Any) -> Node:
    """An array of one number: a constant of a trace, else a leaf with its values."""
    extents = (shape,) if shape.__class__ is int and shape >= 0 else _extents(shape)
    if modes.tracing:
        return filled(value, shape=extents, dtype=np.dtype(dtype))  # type: ignore[no-any-return]
    if value.__class__ is not int and dtype not in (None, NUMBERS[value.__class__]):
        with np.errstate(all="ignore"):  # of infinities as integers
            return held(np.full(extents, value, dtype))
    dtype = dtype or NUMBERS[value.__class__]
    if dtype is None:
        return held(np.full(extents, value))
    made = np.zeros(extents, dtype)
    if value or value.__class__ is not int:
        made.fill(value)
    return held(made)


def _spread(name: str, shape: Any, more: tuple[Any, ...], dtype: Any) -> Any:
    """Shape and dtype of ``zeros(2, 3)``, as PyTorch has it, or of ``zeros((2, 3), float, "C")``."""
    if shape.__class__ is int and more[-1].__class__ is int:
        return (shape, *more), dtype
    count = 0
    if isinstance(shape, INTEGERS):
        while count < len(more) and isinstance(more[count], INTEGERS):
            count += 1
        shape = (shape, *more[:count])
    rest = more[count:]
    if len(rest) > (2 if dtype is None else 0) or any(is_box(x.__class__) for x in rest):
        raise TypeError(
            f"{name}: takes a shape, one integer for each dimension or a tuple of them, then dtype "
            f"and order, not {(shape, *rest)}"
        )
    return shape, rest[0] if rest else dtype


@function("numpy", "numpy.zeros", cases=lambda d: [call((2, 3)), call(2, int)], makes=())
def zeros(
    shape: Any = (),
    *more: Any,
    dtype: Any = None,
    order: Any = "C",
    device: Any = None,
    like: None = None,
) -> Node:
    """Zeros of *shape*: a tuple, or one integer for each dimension.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.zeros(2, 2)
    tensor([[0., 0.],
            [0., 0.]])
    """
    if device is not None or like is not None:
        return put("zeros", device, like, lambda: zeros(shape, *more, dtype=dtype))
    if more:
        shape, dtype = _spread("zeros", shape, more, dtype)
    return _one_value(0, shape, dtype or float)


@function(
    "numpy", "numpy.ones", cases=lambda d: [call((2, 3)), call(2, dtype=np.float32)], makes=()
)
def ones(
    shape: Any = (),
    *more: Any,
    dtype: Any = None,
    order: Any = "C",
    device: Any = None,
    like: None = None,
) -> Node:
    """Ones of *shape*: a tuple, or one integer for each dimension.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.ones(2, requires_grad=True)
    tensor([1., 1.], requires_grad=True)
    """
    if device is not None or like is not None:
        return put("ones", device, like, lambda: ones(shape, *more, dtype=dtype))
    if more:
        shape, dtype = _spread("ones", shape, more, dtype)
    return _one_value(1, shape, dtype or float)


@function("numpy", "numpy.empty", cases=lambda d: [call((0, 3))], makes=())
def empty(
    shape: Any = (),
    *more: Any,
    dtype: Any = None,
    order: Any = "C",
    device: Any = None,
    like: None = None,
) -> Node:
    """Zeros of *shape*: what NumPy leaves undefined would make results irreproducible.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.empty(2)
    tensor([0., 0.])
    """
    return zeros(shape, *more, dtype=dtype, order=order, device=device, like=like)


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
    makes=("fill_value",),
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
    if device is not None or like is not None:
        return put("full", device, like, lambda: full(shape, fill_value, dtype))
    kind = fill_value.__class__
    if kind in NUMBERS and (kind is not complex or dtype is None) and not modes.tracing:
        return _one_value(fill_value, shape, dtype)
    value = as_node(fill_value)
    value = value if dtype is None else cast_to("full", value, dtype)
    return broadcast_to(value, _extents(shape))


def _like(a: Any, device: Any) -> Aval:
    aval = (a if a.__class__ is Node else as_node(a)).aval
    return aval if device is None else placed(aval, named(device))  # type: ignore[no-any-return]


@function(
    "numpy",
    np.zeros_like,
    cases=lambda d: [call(d(2, 3)), call(d(2), int, shape=(1, 2))],
    differentiable=False,
    complex=True,
    makes=("a",),
    like=True,
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
    aval = _like(a, device)
    made = _one_value(0, aval.shape if shape is None else shape, dtype or aval.dtype)
    return made if aval.device is None else moved(made, aval.device)


@function(
    "numpy",
    np.ones_like,
    cases=lambda d: [call(d(2, 3))],
    differentiable=False,
    complex=True,
    makes=("a",),
    like=True,
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
    aval = _like(a, device)
    made = _one_value(1, aval.shape if shape is None else shape, dtype or aval.dtype)
    return made if aval.device is None else moved(made, aval.device)


@function(
    "numpy",
    np.empty_like,
    cases=lambda d: [call(d(0, 3))],
    differentiable=False,
    makes=("prototype",),
    like=True,
)
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
    makes=("a", "fill_value"),
    like=True,
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
    aval = _like(a, device)
    made = full(aval.shape if shape is None else shape, fill_value, dtype or aval.dtype)
    return made if aval.device is None else moved(made, aval.device)


@function("numpy", "numpy.eye", cases=lambda d: [call(2), call(2, 3, 1, int)], makes=())
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
    if device is not None or like is not None:
        return put("eye", device, like, lambda: eye(N, M, k, dtype))
    if k or N.__class__ is not int or N <= 0 or M is not None:
        return held(np.eye(N, M, k, dtype))
    made = np.zeros(N * N, dtype)
    made[:: N + 1] = 1  # NumPy does the same by an iterator, in three times the time
    return held(made.reshape(N, N))


@function("numpy", "numpy.identity", cases=lambda d: [call(2)], makes=())
def identity(n: int, dtype: Any = None, *, like: None = None) -> Node:
    """Ones on the diagonal of an *n* by *n* matrix."""
    return eye(n, dtype=dtype or float, like=like)


@function("numpy", "numpy.tri", cases=lambda d: [call(2, 3, 1)], makes=())
def tri(
    N: int, M: int | None = None, k: int = 0, dtype: Any = float, *, like: None = None
) -> Node:
    """Ones at and below the diagonal *k* of an *N* by *M* matrix."""
    unlike("tri", like)
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
    unlike("fromfunction", like)
    grids = (box(held(g)) for g in np.indices(_extents(shape), dtype=dtype))
    found = function(*grids, **kwargs)
    return unbox(found) if is_box(found.__class__) else found
