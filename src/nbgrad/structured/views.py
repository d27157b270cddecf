"""Arrays as the reader sees them: memory, where a view begins, its extents and strides in elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nbgrad.structured.build import Builder
from nbgrad.structured.ir import Array, Block, Load, Loop, Refused, Store, Val

INTEGERS = ("i4", "i2", "i1")


@dataclass(frozen=True, eq=False)
class View:
    """A view of memory."""

    array: Array
    offset: Val
    shape: tuple[Val, ...]
    strides: tuple[Val, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def code(self) -> str:
        return self.array.code


@dataclass(frozen=True)
class Part:
    """A slice, whose bounds may be absent."""

    start: Val | None
    stop: Val | None
    step: int


def whole(build: Builder, array: Array, shape: Sequence[Val]) -> View:
    """The view of all of an array in C order."""
    strides: list[Val] = [build.integer(1)]
    for extent in reversed(shape[1:]):
        strides.append(build.arithmetic("Mult", strides[-1], extent))
    return View(array, build.integer(0), tuple(shape), tuple(reversed(strides[: len(shape)])))


def size_of(build: Builder, shape: Sequence[Val]) -> Val:
    """The number of elements."""
    total: Val = build.integer(1)
    for extent in shape:
        total = build.arithmetic("Mult", total, extent)
    return total


def wrapped(build: Builder, index: Val, extent: Val, checks: bool) -> Val:
    """An index counted from the end if it is negative."""
    if index.floating or index.code == "b1":
        raise Refused("an index that is no integer")
    if not build.is_natural(index):
        index = build.plain("select({0} < 0, {0} + {1}, {0})", "i8", index, extent)
    if checks:
        outside = build.plain("({0} < 0) | ({0} >= {1})", "b1", index, extent)
        build.fault(outside)
    return index


def subscripted(build: Builder, view: View, keys: Sequence[Any], checks: bool) -> View:
    """The view that integers and slices name: one of no dimensions is an element."""
    if sum(1 for k in keys if k is not Ellipsis) > view.ndim:
        raise Refused("more indices than dimensions")
    if Ellipsis in keys:
        at = list(keys).index(Ellipsis)
        fill = [Part(None, None, 1)] * (view.ndim - len(keys) + 1)
        keys = [*keys[:at], *fill, *keys[at + 1 :]]
    keys = [*keys, *[Part(None, None, 1)] * (view.ndim - len(keys))]
    offset, shape, strides = view.offset, [], []
    for key, extent, stride in zip(keys, view.shape, view.strides, strict=True):
        if key.__class__ is Part:
            start, count, stride_ = _sliced(build, key, extent, stride)
            if start is not None:
                moved = build.arithmetic("Mult", start, stride)
                offset = build.arithmetic("Add", offset, moved)
            shape.append(count)
            strides.append(stride_)
        else:
            index = wrapped(build, key, extent, checks)
            offset = build.arithmetic("Add", offset, build.arithmetic("Mult", index, stride))
    return View(view.array, offset, tuple(shape), tuple(strides))


def _sliced(build: Builder, part: Part, extent: Val, stride: Val) -> tuple[Any, Val, Val]:
    if part.start is None and part.stop is None and part.step == 1:
        return None, extent, stride
    if part.step < 1:
        if part.start is None and part.stop is None and part.step == -1:
            last = build.arithmetic("Sub", extent, build.integer(1))
            return last, extent, build.minus(stride)
        raise Refused("a slice with a negative step and bounds")
    start = build.integer(0) if part.start is None else _bound(build, part.start, extent)
    stop = extent if part.stop is None else _bound(build, part.stop, extent)
    count = build.plain("max({0} - {1}, 0)", "i8", stop, start)
    build.natural.add(count)
    if part.step > 1:
        step = build.integer(part.step)
        more = build.arithmetic("Add", count, build.integer(part.step - 1))
        count = build.arithmetic("FloorDiv", more, step)
        stride = build.arithmetic("Mult", stride, step)
    return start, count, stride


def _bound(build: Builder, bound: Val, extent: Val) -> Val:
    if bound.code != "i8":
        raise Refused("a bound of a slice that is no integer")
    if build.is_natural(bound):
        found = build.plain("min({0}, {1})", "i8", bound, extent)
    else:
        found = build.plain(
            "min(max(select({0} < 0, {0} + {1}, {0}), 0), {1})", "i8", bound, extent
        )
    build.natural.add(found)
    return found


def fetched(build: Builder, view: View) -> Val:
    """The element that a view of no dimensions is."""
    if view.code[0] == "u":
        raise Refused("unsigned integers")
    out = Val(view.code)
    build.add(Load(out, view.array, view.offset))
    if view.code in INTEGERS:
        return build.cast(out, "i8")
    return out


def store(build: Builder, view: View, value: Val) -> None:
    """Write the element that a view of no dimensions is."""
    if view.array.role == "in":
        raise Refused("it writes into an argument")
    if view.code != "b1" and view.code[0] in "iu" and value.floating:
        raise Refused("a float stored among integers")
    build.add(Store(view.array, view.offset, build.cast(value, view.code)))


def counted(build: Builder, count: Val, body: Callable[[Val], None]) -> None:
    """A loop that carries nothing."""
    index, block = Val("i8"), Block()
    build.natural.add(index)
    zero, one = build.integer(0), build.integer(1)
    with build.within(block):
        body(index)
    build.add(Loop(index, zero, count, one, Block(), None, block, [], [], [], []))


def each(build: Builder, views: Sequence[View], body: Callable[[list[View]], None]) -> None:
    """Call *body* with the elements of views of one shape, in loops over it."""
    if not views[0].ndim:
        body(list(views))
        return
    count = views[0].shape[0]
    counted(
        build,
        count,
        lambda i: each(build, [subscripted(build, v, (i,), False) for v in views], body),
    )
