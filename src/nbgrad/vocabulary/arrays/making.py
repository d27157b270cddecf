"""Arrays from data: ``array`` and its relatives. What holds tensors keeps their gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nbgrad.core.aval import MAX_NDIM
from nbgrad.core.boxes import is_box
from nbgrad.core.foreign import numbers_of
from nbgrad.core.memory import named
from nbgrad.core.node import Node, constant, put_node
from nbgrad.core.operands import as_operand, holds_node
from nbgrad.core.placing import moved
from nbgrad.core.values import buffer_of
from nbgrad.errors import refuse
from nbgrad.ops.elements import arithmetic
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.shapes import as_node, cast_to, reshape, stack
from nbgrad.vocabulary.support import concrete, held


def unlike(name: str, like: Any) -> None:
    """Raise unless what is made is to be *like* none."""
    if like is not None:
        refuse(name, "the result is always a tensor", like=like)


def put(name: str, device: Any, like: Any, make: Callable[[], Node]) -> Node:
    """What *make* makes, on *device*."""
    unlike(name, like)
    there = named(device)
    return moved(make(), there)


def converted(data: Any, dtype: Any = None) -> Node:
    """*data* as a node: a tensor's own, nests with tensors in them stacked, else a copy."""
    if isinstance(data, (list, tuple)) and holds_node(data):
        node = stack([converted(item) for item in data])
    elif data.__class__ is Node:
        node = data
    else:
        return constant(np.asarray(numbers_of(_plain(data)), dtype))
    return node if dtype is None else cast_to("array", node, dtype)


def _plain(data: Any) -> Any:
    operand = data if isinstance(data, (list, tuple)) else as_operand_or(data)
    return concrete(operand) if operand.__class__ is Node else operand


def as_operand_or(data: Any) -> Any:
    """The node of a tensor, or *data* itself."""
    return as_operand(data) if is_box(data.__class__) else data


@function(
    "numpy",
    "numpy.array",
    cases=lambda d: [
        call(d(2)),
        call([d(2), d(2)]),
        call([[d(), 1.0], (2.0, d())]),
        call(d(2), np.complex128, ndmin=2),
        call([1, 2]),
    ],
    complex=True,
    makes=("object",),
)
def array(
    object: Any,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    ndmax: int = 0,
    like: None = None,
) -> Node:
    """A tensor of numbers, arrays, tensors, or nested sequences of them.

    Gradients pass to the tensors in it. Nobody can tell the memory order of a tensor, nor whether
    it shares memory, so *order* and *copy* change nothing.

    Examples
    --------
    >>> import nbgrad.numpy as np
    >>> x = np.array([1.0, 2.0]).requires_grad_()
    >>> np.array([x[0], x[0] * x[1]]).sum().backward()
    >>> x.grad
    tensor([3., 1.])
    """
    unlike("array", like)
    node = converted(object, dtype)
    if ndmax and node.ndim > ndmax:
        raise ValueError(f"array: object has {node.ndim} dimensions, more than ndmax={ndmax}")
    if not 0 <= ndmin <= MAX_NDIM:
        raise ValueError(f"array: ndmin must be between 0 and {MAX_NDIM}, not {ndmin}")
    if node.ndim < ndmin:
        node = reshape(node, (1,) * (ndmin - node.ndim) + node.shape)
    return arithmetic.positive(node) if node is object and node.dtype != bool else node


@function(
    "numpy",
    "numpy.asarray",
    aliases=("asanyarray",),
    cases=lambda d: [call(d(2)), call([d(), d()]), call(d(2), dtype=np.complex128)],
    complex=True,
)
def asarray(
    a: Any,
    dtype: Any = None,
    order: Any = None,
    *,
    device: Any = None,
    copy: bool | None = None,
    like: None = None,
) -> Node:
    """*a* as a tensor: with its history if it is one, or holds some."""
    unlike("asarray", like)
    made = converted(a, dtype)
    return made if device is None else moved(made, named(device))


@function(
    "numpy",
    "numpy.ascontiguousarray",
    cases=lambda d: [call(d()), call(d(2, 3))],
    complex=True,
    also=(np.ascontiguousarray,),
    view="contiguous",
)
def ascontiguousarray(a: Any, dtype: Any = None, *, like: None = None) -> Node:
    """*a* as a tensor of at least one dimension."""
    node = asarray(a, dtype, like=like)
    return node if node.ndim else reshape(node, (1,))


@function("numpy", "numpy.asfortranarray", cases=lambda d: [call(d(2, 3))], complex=True)
def asfortranarray(a: Any, dtype: Any = None, *, like: None = None) -> Node:
    """*a* as a tensor; nobody can tell the memory order of a tensor."""
    return asarray(a, dtype, like=like)


@function("numpy", "numpy.asarray_chkfinite", cases=lambda d: [call(d(2))], differentiable=False)
def asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Node:
    """*a* as a tensor; looks at the values and raises for NaN and infinity."""
    node = asarray(a, dtype)
    np.asarray_chkfinite(concrete(node))
    return node


@function("numpy", np.copy, cases=lambda d: [call(d(2))], complex=True)
def copy(a: Any, order: Any = "K", subok: bool = False) -> Node:
    """A tensor of the same values, whose gradient passes to *a*."""
    return array(a)


@function("numpy", "numpy.require", cases=lambda d: [call(d(2), np.complex128, "C")])
def require(a: Any, dtype: Any = None, requirements: Any = None, *, like: None = None) -> Node:
    """*a* as a tensor of *dtype*; tensors meet no requirements on memory but order ``C``.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.require([1, 2], np.float32)
    tensor([1., 2.], dtype=float32)
    """
    return asarray(a, dtype, like=like)


@function("numpy", "numpy.fromiter", cases=lambda d: [call([1.5, 2.5], float)])
def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1, *, like: None = None) -> Node:
    """A 1-d tensor of what an iterable yields: numbers, or tensors with their gradients.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.fromiter((k * k for k in range(4)), float)
    tensor([0., 1., 4., 9.])
    """
    refuse("fromiter", "the result is always a tensor", like=like)
    items = [as_operand_or(item) for _, item in zip(range(count), iter, strict=False)]
    items = items if count >= 0 else [as_operand_or(item) for item in iter]
    if len(items) < count:
        raise ValueError(
            f"fromiter: iterator too short: Expected {count} but iterator had only "
            f"{len(items)} items."
        )
    return converted(items, dtype) if items else held(np.zeros(0, dtype))


@function("numpy", "numpy.frombuffer", cases=lambda d: [call(np.arange(3.0).tobytes(), float, 2)])
def frombuffer(
    buffer: Any, dtype: Any = None, count: int = -1, offset: int = 0, *, like: None = None
) -> Node:
    """A tensor that holds a copy of the numbers in a buffer.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.frombuffer(np.array([1.0, 2.0]).tobytes())
    tensor([1., 2.])
    """
    refuse("frombuffer", "the result is always a tensor", like=like)
    return constant(np.frombuffer(buffer, dtype or float, count, offset))


@function("numpy", "numpy.fromstring", cases=lambda d: [call("1 2 3", sep=" ")])
def fromstring(
    string: str, dtype: Any = float, count: int = -1, *, sep: str, like: None = None
) -> Node:
    """A tensor of the numbers in a text."""
    refuse("fromstring", "the result is always a tensor", like=like)
    return constant(np.fromstring(string, dtype, count, sep=sep))


@function("numpy", "numpy.from_dlpack", cases=lambda d: [call(d(2))], differentiable=False)
def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Node:
    """A tensor of the values that an array of another library exports, without history.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.from_dlpack(np.array([1.0, 2.0]))
    tensor([1., 2.])
    """
    if device is not None:
        return put("from_dlpack", device, None, lambda: from_dlpack(x, copy=copy))
    if x.__class__ is Node and x.aval.device is not None:
        return put_node(buffer_of(x))  # what is on a card, without history
    return constant(concrete(x) if x.__class__ is Node else np.from_dlpack(x))


@function("numpy", np.shape, cases=lambda d: [call(d(2, 3)), call(1.0)], differentiable=False)
def shape(a: Any) -> tuple[int, ...]:
    """The extents."""
    return as_node(converted(a)).shape


@function("numpy", np.ndim, cases=lambda d: [call(d(2, 3)), call(1.0)], differentiable=False)
def ndim(a: Any) -> int:
    """Number of dimensions."""
    return converted(a).ndim


@function(
    "numpy", np.size, cases=lambda d: [call(d(2, 3)), call(d(2, 3), 1)], differentiable=False
)
def size(a: Any, axis: int | None = None) -> int:
    """Number of elements, of all axes or along one."""
    node = converted(a)
    if axis is None:
        return node.size
    return int(np.size(np.broadcast_to(0, node.shape), axis))
