"""Batching: how an operation maps over stacks of its operands, the batch in front.

A rule ``batch(prim, xs, mapped, params, size)`` is given nodes (and Python's numbers), those that are
``mapped`` with a first dimension of *size* before their own, and returns the result, or the results,
with one. At least one operand is mapped. The flag of one may be UNITS: these are all of the arrays that
are 1 in one place and 0 elsewhere, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.core.aval import avals_of
from nbgrad.core.node import Node
from nbgrad.core.ports import ports
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import primitives


class _Units(int):
    """True, and more than that."""


UNITS: Any = _Units(1)
FEW = 8  # of a stack, which are recorded one after another

Batch = Callable[[Primitive, Sequence[Any], Sequence[bool], dict[str, Any], int], Any]

# What a dimension in front makes of params, by name.
_IN_FRONT: dict[str, Callable[[Any, int], Any]] = {
    "axis": lambda axis, size: moved_axes(axis),
    "axes": lambda axes, size: moved_axes(axes),
    "perm": lambda perm, size: (0, *(k + 1 for k in perm)),
    "shape": lambda shape, size: (size, *shape),
    "sizes": lambda sizes, size: (size, *sizes),
    "starts": lambda starts, size: (0, *starts),
    "steps": lambda steps, size: (1, *steps),
}


def moved_axes(axes: Any) -> Any:
    """Axes, counted from the front, with one more dimension before them."""
    return axes + 1 if isinstance(axes, int) else tuple([k + 1 for k in axes])


def stacked(x: Any, size: int) -> Any:
    """*size* times the same."""
    return primitives["broadcast_to"](x, shape=(size, *x.shape)) if x.__class__ is Node else x


def all_stacked(xs: Sequence[Any], mapped: Sequence[bool], size: int) -> list[Any]:
    """The operands as stacks, those that are not mapped repeated."""
    return [x if m else stacked(x, size) for x, m in zip(xs, mapped, strict=True)]


def ALIGNED(
    prim: Primitive, xs: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any], size: int
) -> Any:
    """Of elementwise operations: the batch stands before all dimensions of the result."""
    pairs = list(zip(xs, mapped, strict=True))
    rank = max(x.ndim - m for x, m in pairs if x.__class__ is Node)
    given = [widened(x, rank) if m else x for x, m in pairs]
    return prim(*given, **{key: value for key, value in params.items() if key != "weak"})


def widened(x: Node, rank: int) -> Node:
    """A stack of arrays, of *rank* dimensions each."""
    missing = rank - (x.ndim - 1)
    if missing <= 0:
        return x
    shape = (x.shape[0], *(1,) * missing, *x.shape[1:])
    return primitives["reshape"](x, shape=shape)  # type: ignore[no-any-return]


def SHIFTED(
    prim: Primitive, xs: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any], size: int
) -> Any:
    """What params say of dimensions is said of those behind the batch."""
    moved = {k: _IN_FRONT[k](v, size) if k in _IN_FRONT else v for k, v in params.items()}
    return prim(*all_stacked(xs, mapped, size), **moved)


def LEADING(
    prim: Primitive, xs: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any], size: int
) -> Any:
    """The operation works on stacks already, all operands being such."""
    return prim(*all_stacked(xs, mapped, size), **params)


def EACH(
    prim: Primitive, xs: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any], size: int
) -> Any:
    """One after another: a few as they are, many by a loop, which is one operation."""
    if not size:
        return _of_none(prim, xs, mapped, params)
    if size > FEW:
        return ports.bodies.each(prim, xs, mapped, params, size)
    found = [
        prim(*[at(x, k) if m else x for x, m in zip(xs, mapped, strict=True)], **params)
        for k in range(size)
    ]
    if found[0].__class__ is Node:
        return joined(found)
    return tuple([joined(each) for each in zip(*found, strict=True)])


def _of_none(
    prim: Primitive, xs: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    one = [
        primitives["full"](0, shape=x.shape[1:], dtype=x.dtype) if m else x
        for x, m in zip(xs, mapped, strict=True)
    ]
    avals = avals_of(prim.prepare(tuple(one), params)[1])
    found = tuple([primitives["full"](0, shape=(0, *a.shape), dtype=a.dtype) for a in avals])
    return found[0] if len(found) == 1 else found


def at(x: Node, k: int) -> Node:
    """The array at place *k* of a stack."""
    sizes, rest = (1, *x.shape[1:]), (0,) * (x.ndim - 1)
    part = primitives["slice"](x, starts=(k, *rest), sizes=sizes, steps=(1,) * x.ndim)
    return primitives["reshape"](part, shape=x.shape[1:])  # type: ignore[no-any-return]


def joined(found: Sequence[Node]) -> Node:
    """A stack of arrays."""
    rows = [primitives["reshape"](x, shape=(1, *x.shape)) for x in found]
    return primitives["concatenate"](*rows, axis=0)  # type: ignore[no-any-return]


def only(place: int) -> Batch:
    """The operation maps over the operand at *place* anyway; over others one after another."""

    def batch(
        prim: Primitive,
        xs: Sequence[Any],
        mapped: Sequence[bool],
        params: dict[str, Any],
        size: int,
    ) -> Any:
        alone = all(m == (k == place) for k, m in enumerate(mapped))
        return prim(*xs, **params) if alone else EACH(prim, xs, mapped, params, size)

    return batch


def moved(x: Node, source: int, target: int) -> Node:
    """*x* with the dimension *source* at *target*."""
    perm = [k for k in range(x.ndim) if k != source]
    perm.insert(target, source)
    return primitives["transpose"](x, perm=tuple(perm))  # type: ignore[no-any-return]
