"""Operations on all elements of arrays: operands are spread over common extents, results are arrays of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.structured.build import Builder
from nbgrad.structured.ir import Alloc, Array, Block, Const, Refused, Val
from nbgrad.structured.views import View, each, fetched, size_of, store, whole


def make(build: Builder, shape: Sequence[Val], code: str, value: Any) -> View:
    """An array of the function's own, filled with *value*; None leaves it as it is."""
    array = Array(code, "own", build.lifted(size_of(build, shape)))
    build.top.stmts.append(Alloc(array))
    view = whole(build, array, shape)
    zero = value is None or (value.__class__ is Const and not value.value)
    if value is not None and not (zero and build.block is build.top):
        each(build, [view], lambda v: store(build, v[0], value))
    return view


def extents(build: Builder, views: Sequence[View]) -> tuple[Val, ...]:
    """The extents that views are spread over together; those of 1 are repeated."""
    ndim = max(v.ndim for v in views)
    one = build.integer(1)
    found: list[Val] = []
    for at in range(ndim):
        mine = [v.shape[at - ndim + v.ndim] for v in views if at >= ndim - v.ndim]
        total = mine[0]
        for other in mine[1:]:
            if other is total or other is one:
                continue
            mine_in, others = build.extents_in(total), build.extents_in(other)
            if total is one or mine_in <= others:
                total = other
            elif not others <= mine_in:
                total = build.extent_of(mine_in | others) or build.plain(
                    "select({0} == 1, {1}, {0})", "i8", total, other
                )
                build.natural.add(total)
        found.append(total)
    return tuple(found)


def spread(build: Builder, view: View, shape: Sequence[Val]) -> View:
    """A view of the extents *shape*; the function ends as one that raises if it has none."""
    if view.ndim > len(shape):
        raise Refused("an array of more dimensions than where it is stored")
    zero, one = build.integer(0), build.integer(1)
    missing = len(shape) - view.ndim
    strides: list[Val] = [zero] * missing
    for mine, stride, theirs in zip(view.shape, view.strides, shape[missing:], strict=True):
        if mine is theirs:
            strides.append(stride)
        elif mine is one:
            strides.append(zero)
        else:
            parts, all_parts = build.extents_in(mine), build.extents_in(theirs)
            if not parts <= all_parts:
                build.fault(build.plain("({0} != {1}) & ({0} != 1)", "b1", mine, theirs))
            same = parts == all_parts
            chosen = "select({0} == {1}, {2}, 0)"
            strides.append(stride if same else build.plain(chosen, "i8", mine, theirs, stride))
    return View(view.array, view.offset, tuple(shape), tuple(strides))


def elements(build: Builder, x: Any) -> Any:
    """An element of an operand, or the number that it is."""
    return fetched(build, x) if isinstance(x, View) else x


def mapped(build: Builder, function: Callable[..., Val], operands: Sequence[Any]) -> View:
    """The array of what *function* gives for each element of the operands, of which one is an array."""
    views = [x for x in operands if isinstance(x, View)]
    if not all(isinstance(x, View | Val) for x in operands):
        raise Refused("an operation of an array and what is no number")
    shape = extents(build, views)
    code = _code(build, function, operands)
    result = make(build, shape, code, None)
    wide = [spread(build, v, shape) for v in views]
    for at, total in enumerate(reversed(shape)):
        given = [v.shape[-1 - at] for v in views if at < v.ndim]
        given = [x for x in given if x is not build.integer(1)]
        build.tested(total, frozenset().union(*map(build.extents_in, given)))
    divides, build.divides = build.divides, True  # as NumPy does

    def compute(parts: list[View]) -> None:
        flow = iter(parts[1:])
        given = [elements(build, next(flow) if isinstance(x, View) else x) for x in operands]
        store(build, parts[0], function(*given))

    each(build, [result, *wide], compute)
    build.divides = divides
    return result


def _code(build: Builder, function: Callable[..., Val], operands: Sequence[Any]) -> str:
    """The type of results, by a trial that is thrown away."""
    block, divides = Block(), build.divides
    build.divides = True
    with build.within(block):
        given = [Val(_widened(x.code)) if isinstance(x, View) else x for x in operands]
        found = function(*given)
    build.divides = divides
    if not isinstance(found, Val):
        raise Refused("a function of arrays that gives no number")
    return found.code


def _widened(code: str) -> str:
    if code[0] == "u":
        raise Refused("unsigned integers")
    return "i8" if code in ("i4", "i2", "i1") else code


def folded(build: Builder, view: View, start: Val, combine: Callable[[Val, Val], Val]) -> Val:
    """All elements combined, one after the other."""
    held = make(build, (build.integer(1),), start.code, start)
    cell = View(held.array, held.offset, (), ())
    if build.block is build.top:
        store(build, cell, start)

    def step(parts: list[View]) -> None:
        store(build, cell, combine(fetched(build, cell), fetched(build, parts[0])))

    each(build, [view], step)
    return fetched(build, cell)


def product(build: Builder, x: View, y: View) -> Any:
    """The matrix product."""
    if not (1 <= x.ndim <= 2 and 1 <= y.ndim <= 2) or {x.code, y.code} not in ({"f8"}, {"f4"}):
        raise Refused("a product of what are no matrices of floats of one type")
    inner, other = x.shape[-1], y.shape[0]
    if inner is not other:
        build.fault(build.plain("{0} != {1}", "b1", inner, other))
    shape = (*x.shape[:-1], *y.shape[1:])
    zero = build.const(0.0, x.code)
    result = make(build, shape or (build.integer(1),), x.code, zero)
    cells = View(
        result.array,
        result.offset,
        (*shape, inner),
        (*result.strides[: len(shape)], build.integer(0)),
    )
    rows = View(
        x.array,
        x.offset,
        cells.shape,
        (*x.strides[:-1], *[build.integer(0)] * (y.ndim - 1), x.strides[-1]),
    )
    columns = View(
        y.array,
        y.offset,
        cells.shape,
        (*[build.integer(0)] * (x.ndim - 1), *y.strides[1:], y.strides[0]),
    )

    def step(v: list[View]) -> None:
        term = build.arithmetic("Mult", fetched(build, v[1]), fetched(build, v[2]))
        store(build, v[0], build.arithmetic("Add", fetched(build, v[0]), term))

    each(build, [cells, rows, columns], step)
    return result if shape else fetched(build, View(result.array, result.offset, (), ()))
