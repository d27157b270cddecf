"""Shapes: functions of nodes that rearrange dimensions or join arrays, with NumPy's signatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from nbgrad.core.aval import broadcast_shapes, normalize_axis, single_axis
from nbgrad.core.node import Node, constant
from nbgrad.core.operands import as_operand, holds_node
from nbgrad.core.ports import ports
from nbgrad.errors import refuse
from nbgrad.ops import basis
from nbgrad.vocabulary.declare import call, function

Axis = int | tuple[int, ...] | None
Shape = int | Sequence[int]


def as_node(x: Any) -> Node:
    """Return *x* as a node; a number becomes a constant, a nest with nodes in it their stack.

    So a number is an array to promotion, one that is traced too; see :func:`promoted`.
    """
    if isinstance(x, (list, tuple)) and holds_node(x):
        return stack([as_node(item) for item in x])
    node = as_operand(x)
    return basis.strong(node) if node.__class__ is Node else constant(node)


def is_number(x: Any) -> bool:
    """Whether *x* is one of Python's numbers, whose value may not be known yet."""
    return x.aval.weak if x.__class__ is Node else type(x) in (int, float, complex)


def promoted(*xs: Any) -> np.dtype[Any]:
    """The dtype of *xs* together, in which numbers take that of arrays (NEP 50)."""
    kinds = [as_node(x).dtype for x in xs]
    return np.result_type(
        *(dt.type(0).item() if is_number(x) else dt for x, dt in zip(xs, kinds, strict=True))
    )


ports.stack = as_node


def listed(xs: Any) -> list[Any]:
    """The items of a sequence of arrays; an array is the sequence of its rows."""
    if xs.__class__ is not Node:
        return list(xs)
    if not xs.ndim:
        raise TypeError("the arrays to join must be a sequence, not one 0-d array")
    starts, row = (0,) * (xs.ndim - 1), xs.shape[1:]
    return [
        reshape(basis.slice_(xs, starts=(k, *starts), sizes=(1, *row), steps=(1,) * xs.ndim), row)
        for k in range(xs.shape[0])
    ]


def as_shape(shape: Any) -> tuple[int, ...]:
    """A shape that may be given as one integer."""
    if isinstance(shape, (tuple, list, np.ndarray)) and np.ndim(shape):
        return tuple(index(n) for n in shape)
    return (index(shape),)


def one_axis(name: str, axis: Any, ndim: int) -> int:
    """*axis* as a non-negative integer."""
    return single_axis(name, axis, ndim)


@function(
    "numpy",
    np.reshape,
    cases=lambda d: [call(d(2, 3), (3, -1)), call(d(2, 3), 6, order="F"), call(d(), (1, 1))],
    complex=True,
    view="strided",
)
def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Node:
    """The same elements in another *shape*; one extent may be -1.

    ``order="F"`` reads and writes the elements with the first index changing fastest. The result
    of a tensor is a view of it where NumPy's is one, unless *copy*.
    """
    node = as_node(a)
    target = _resolved(node, list(as_shape(shape)))
    if order == "F":
        return transpose(reshape(transpose(node), target[::-1]))
    if order not in ("C", "A"):
        raise ValueError(f"reshape: order must be 'C', 'F' or 'A', not {order!r}")
    return node if target == node.shape else basis.reshape(node, shape=target)


def _resolved(node: Node, extents: list[int]) -> tuple[int, ...]:
    """*extents* with -1 replaced by what is left of the elements of *node*."""
    if extents.count(-1) > 1:
        raise ValueError(f"reshape: can only specify one unknown dimension, not {extents}")
    if -1 in extents:
        known = math.prod(n for n in extents if n != -1)
        if known == 0 or node.size % known:
            raise ValueError(
                f"reshape: cannot reshape array of size {node.size} into shape {tuple(extents)}"
            )
        extents[extents.index(-1)] = node.size // known
    return tuple(extents)


@function(
    "numpy",
    np.transpose,
    aliases=("permute_dims",),
    also=(np.permute_dims,),
    cases=lambda d: [call(d(2, 3)), call(d(2, 1, 3), (2, 0, -2))],
    complex=True,
    view=True,
)
def transpose(a: Any, axes: Sequence[int] | None = None) -> Node:
    """Permute the dimensions; reverse them by default."""
    node = as_node(a)
    order = range(node.ndim)[::-1] if axes is None else axes
    perm = tuple(one_axis("transpose", k, node.ndim) for k in order)
    if sorted(perm) != list(range(node.ndim)):
        raise ValueError(f"transpose: axes {axes} are not a permutation of {node.ndim} dimensions")
    return basis.transpose(node, perm=perm)


@function("numpy", np.swapaxes, cases=lambda d: [call(d(2, 1, 3), 0, -1)], complex=True, view=True)
def swapaxes(a: Any, axis1: int, axis2: int) -> Node:
    """Exchange two dimensions."""
    node = as_node(a)
    order = list(range(node.ndim))
    j, k = (one_axis("swapaxes", axis, node.ndim) for axis in (axis1, axis2))
    order[j], order[k] = k, j
    return transpose(node, order)


@function(
    "numpy",
    np.moveaxis,
    cases=lambda d: [call(d(2, 1, 3), 0, -1), call(d(2, 1, 3), (0, 1), (-1, 0))],
    complex=True,
    method=True,
    view=True,
)
def moveaxis(a: Any, source: Any, destination: Any) -> Node:
    """Move the dimensions *source* to *destination*; the others keep their order."""
    node = as_node(a)
    moved, places = (
        [one_axis("moveaxis", k, node.ndim) for k in (s if np.ndim(s) else [s])]
        for s in (source, destination)
    )
    if len(moved) != len(places):
        raise ValueError("moveaxis: source and destination must have the same number of elements")
    if len(set(moved)) != len(moved) or len(set(places)) != len(places):
        raise ValueError(f"moveaxis: repeated axis in {source} or {destination}")
    order = [k for k in range(node.ndim) if k not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return transpose(node, order)


@function(
    "numpy",
    np.broadcast_to,
    cases=lambda d: [call(d(2, 1), (3, 2, 2)), call(d(), 2)],
    complex=True,
    view=True,
)
def broadcast_to(array: Any, shape: Shape, subok: bool = False) -> Node:
    """Repeat *array* to *shape* by NumPy's broadcasting rule."""
    node = as_node(array)
    target = as_shape(shape)
    if broadcast_shapes("broadcast_to", node.shape, target) != target:
        raise ValueError(f"broadcast_to: shape {node.shape} cannot become {target}")
    return node if target == node.shape else basis.broadcast_to(node, shape=target)


@function(
    "numpy",
    np.squeeze,
    cases=lambda d: [call(d(1, 2, 1)), call(d(1, 2, 1), axis=-1)],
    complex=True,
    view=True,
)
def squeeze(a: Any, axis: Axis = None) -> Node:
    """Drop dimensions of size 1 (all of them, or those of *axis*)."""
    node = as_node(a)
    if axis is None:
        gone = tuple(k for k, n in enumerate(node.shape) if n == 1)
    else:
        gone = normalize_axis("squeeze", axis, node.ndim)
        if [k for k in gone if node.shape[k] != 1]:
            raise ValueError(f"squeeze: axis {axis} of shape {node.shape} is not of size 1")
    return reshape(node, tuple(n for k, n in enumerate(node.shape) if k not in gone))


@function(
    "numpy",
    np.expand_dims,
    cases=lambda d: [call(d(2, 3), 1), call(d(2), axis=(0, -1))],
    complex=True,
    view=True,
)
def expand_dims(a: Any, axis: int | Sequence[int]) -> Node:
    """Insert dimensions of size 1 at *axis* of the result."""
    node = as_node(a)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    new = normalize_axis("expand_dims", axis, node.ndim + count)
    rest = iter(node.shape)
    return reshape(node, tuple(1 if k in new else next(rest) for k in range(node.ndim + count)))


@function(
    "numpy",
    np.concatenate,
    aliases=("concat",),
    also=(np.concat,),
    cases=lambda d: [
        call([d(2, 3), d.real(1, 3)]),
        call([d(2, 3), d(2, 2)], axis=-1),
        call((d(2), d(1, 2)), None),
    ],
    complex=True,
)
def concatenate(
    arrays: Sequence[Any],
    /,
    axis: int | None = 0,
    out: None = None,
    *,
    dtype: Any = None,
    casting: Any = "same_kind",
) -> Node:
    """Join arrays along an existing *axis* (flattened if None)."""
    refuse("concatenate", "write result = concatenate(...)", out=out)
    parts = listed(arrays)
    nodes = [as_node(x) for x in parts]
    if not nodes:
        raise ValueError("concatenate: need at least one array to concatenate")
    if axis is None:
        common = promoted(*parts)
        nodes = [
            reshape(n if n.dtype == common else basis.cast(n, dtype=common), (-1,)) for n in nodes
        ]
        axis = 0
    first = nodes[0]
    if first.ndim == 0:
        raise ValueError("concatenate: zero-dimensional arrays cannot be concatenated; use stack")
    k = one_axis("concatenate", axis, first.ndim)
    for node in nodes:
        if node.ndim != first.ndim or [
            1 for d in range(first.ndim) if d != k and node.shape[d] != first.shape[d]
        ]:
            raise ValueError(
                f"concatenate: shapes {first.shape} and {node.shape} differ other than in axis {k}"
            )
    if dtype is not None:
        nodes = [cast_to("concatenate", n, dtype, casting) for n in nodes]
    return basis.concatenate(*nodes, axis=k)


def cast_to(name: str, node: Node, dtype: Any, casting: Any = "unsafe") -> Node:
    """*node* in *dtype*, if NumPy's *casting* rule allows that."""
    wanted = np.dtype(dtype)
    if not np.can_cast(node.dtype, wanted, casting):
        raise TypeError(
            f"{name}: cannot cast from {node.dtype} to {wanted} by the rule {casting!r}; pass "
            "casting='unsafe', or use astype first"
        )
    return node if node.dtype == wanted else basis.cast(node, dtype=wanted)


@function(
    "numpy",
    np.stack,
    cases=lambda d: [call([d(3), d(3)], axis=1), call([d(), d()], dtype=np.complex128)],
    complex=True,
)
def stack(
    arrays: Sequence[Any],
    axis: int = 0,
    out: None = None,
    *,
    dtype: Any = None,
    casting: Any = "same_kind",
) -> Node:
    """Join arrays of one shape along a new *axis*."""
    refuse("stack", "write result = stack(...)", out=out)
    nodes = [as_node(x) for x in listed(arrays)]
    if not nodes:
        raise ValueError("stack: need at least one array to stack")
    if len({n.shape for n in nodes}) != 1:
        raise ValueError(
            f"stack: all arrays must have the same shape, not {[n.shape for n in nodes]}"
        )
    k = one_axis("stack", axis, nodes[0].ndim + 1)
    return concatenate([expand_dims(n, k) for n in nodes], k, dtype=dtype, casting=casting)
