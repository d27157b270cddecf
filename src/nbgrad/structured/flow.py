"""What statements do to variables and to where control goes; patterns of values."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from nbgrad.structured.build import Builder
from nbgrad.structured.ir import Const, Val
from nbgrad.structured.views import View

EXIT, STOP, RETURNED, RESULT = "$exit", "$stop", "$returned", "$result"


class Missing:
    """What a variable is that may not have been assigned."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


class Carried:
    """What a variable is that a loop would carry and that is no scalar: it cannot be read."""


CARRIED = Carried()


def natural_span(build: Builder, span: Any) -> bool:
    start, stop, step = span[:3]
    if step.__class__ is not Const:
        return False
    if step.value > 0:
        return build.is_natural(start)
    return stop.__class__ is Const and stop.value >= -1


def trips(build: Builder, start: Val, stop: Val, step: Val) -> Val:
    """How many numbers ``range(start, stop, step)`` has."""
    if step.__class__ is Const and step.value == 1:
        found = build.plain("max({0} - {1}, 0)", "i8", stop, start)
    elif step.__class__ is Const and step.value > 0:
        found = build.plain("max(({0} - {1} + {2} - 1) // {2}, 0)", "i8", stop, start, step)
    else:
        text = "max(select({2} > 0, {0} - {1} + {2} - 1, {1} - {0} - {2} - 1) // abs({2}), 0)"
        found = build.plain(text, "i8", stop, start, step)
    build.natural.add(found)
    return found


class Kept:
    def __init__(self, value: Any) -> None:
        self.value = value


class Pair:
    def __init__(self, number: int) -> None:
        self.number = number


def rebuilt(made: Any, outs: Sequence[Val]) -> Any:
    if made.__class__ is Kept:
        return made.value
    if made.__class__ is Pair:
        return outs[made.number]
    return tuple(rebuilt(m, outs) for m in made)


def same(x: View, y: View) -> bool:
    pairs = (
        (x.offset, y.offset),
        *zip(x.shape, y.shape, strict=False),
        *zip(x.strides, y.strides, strict=False),
    )
    return x.ndim == y.ndim and all(a is b for a, b in pairs)


def leaves_of(value: Any) -> list[Val]:
    if isinstance(value, Val):
        return [value]
    return [v for item in value for v in leaves_of(item)]


def relabelled(value: Any, flow: Iterator[Val]) -> Any:
    if isinstance(value, Val):
        return next(flow)
    return tuple(relabelled(item, flow) for item in value)


def alike(x: Any, y: Any) -> bool:
    if isinstance(x, Val):
        return isinstance(y, Val)
    return isinstance(y, tuple) and len(x) == len(y) and all(map(alike, x, y))


def assigned(body: Sequence[ast.stmt], env: dict[str, Any]) -> list[str]:
    """Names that statements assign; an array that ``+=`` changes stays what it is."""
    nodes = [node for stmt in body for node in ast.walk(stmt)]
    changed = [
        n.target for n in nodes if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)
    ]
    kept = {id(t) for t in changed if env.get(t.id).__class__ is View}
    return list(
        dict.fromkeys(
            n.id
            for n in nodes
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and id(n) not in kept
        )
    )


def leaves(stmt: ast.stmt) -> bool:
    """Whether a statement may leave the loop or the function that it is in."""
    if isinstance(stmt, ast.Return | ast.Break | ast.Continue | ast.Raise):
        return True
    if isinstance(stmt, ast.If):
        return any(leaves(s) for s in (*stmt.body, *stmt.orelse))
    if isinstance(stmt, ast.For | ast.While):
        return any(isinstance(node, ast.Return) for node in ast.walk(stmt))
    return False


def leaves_loop(body: Sequence[ast.stmt]) -> bool:
    """Whether a body may end its loop before its time."""
    for stmt in body:
        if isinstance(stmt, ast.Break | ast.Return):
            return True
        if isinstance(stmt, ast.If) and leaves_loop([*stmt.body, *stmt.orelse]):
            return True
        if isinstance(stmt, ast.For | ast.While) and leaves(stmt):
            return True
    return False


def ends(stmt: ast.stmt) -> bool:
    """Whether nothing after a statement is reached."""
    if isinstance(stmt, ast.Return | ast.Break | ast.Continue | ast.Raise):
        return True
    if isinstance(stmt, ast.If):
        return any(map(ends, stmt.body)) and any(map(ends, stmt.orelse))
    return False
