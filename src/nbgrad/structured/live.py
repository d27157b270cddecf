"""What of a block is asked for, and what depends on what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbgrad.structured.ir import (
    Alloc,
    Array,
    Block,
    Compute,
    Fault,
    Function,
    If,
    Load,
    Loop,
    Store,
    Val,
    blocks_of,
    walk,
)


def live(block: Block, roots: Iterable[Any]) -> set[Any]:
    """Values, arrays and loops that lead to *roots*, or to a fault."""
    found: set[Any] = set(roots)
    size = -1
    while size != len(found):
        size = len(found)
        _spread(block, found)
    return found


def _spread(block: Block, found: set[Any]) -> bool:
    """Add what *block* needs; return whether anything of it is done.

    What is kept for the way back may be computed within a choice or a loop, and nowhere else.
    """
    acts = False
    for stmt in reversed(block.stmts):
        kind = stmt.__class__
        if kind is Compute:
            if stmt.out in found:
                found.update(stmt.args)
                acts = True
        elif kind is Load:
            if stmt.out in found:
                found.update((stmt.index, stmt.array))
                acts = True
        elif kind is Store:
            if stmt.array in found:
                found.update((stmt.index, stmt.value))
                acts = True
        elif kind is Alloc:
            if stmt.array in found:
                found.add(stmt.array.size)
        elif kind is Fault:
            found.add(stmt.cond)
            acts = True
        elif kind is If:
            acts |= _choice(stmt, found)
        else:
            acts |= _loop(stmt, found)
    return acts


def _choice(stmt: If, found: set[Any]) -> bool:
    asked = False
    for out, x, y in zip(stmt.outs, stmt.thens, stmt.others, strict=True):
        if out in found:
            found.update((x, y))
            asked = True
    first, second = _spread(stmt.then, found), _spread(stmt.other, found)
    if asked or first or second:
        found.add(stmt.cond)
    return asked or first or second


def _loop(stmt: Loop, found: set[Any]) -> bool:
    for out, param in zip(stmt.outs, stmt.params, strict=True):
        if out in found:
            found.update((param, stmt))
    acts = _spread(stmt.body, found) | _spread(stmt.test, found)
    if acts:
        found.add(stmt)
    if stmt in found:
        ends = (stmt.start, stmt.stop, stmt.step, stmt.cond)
        found.update(x for x in ends if x is not None)
        for param, init, after in zip(stmt.params, stmt.inits, stmt.nexts, strict=True):
            if param in found:
                found.update((init, after))
    return acts or stmt in found


def tidied(function: Function) -> Function:
    """The function without what its results do not ask for."""
    sizes = {array.size for array in function.arguments}
    found = live(
        function.body, {*function.results, *(v for s in function.shapes for v in s), *sizes}
    )
    _trim(function.body, found)
    return function


def _trim(block: Block, found: set[Any]) -> None:
    kept = []
    for stmt in block.stmts:
        kind = stmt.__class__
        if kind is If:
            _trim(stmt.then, found)
            _trim(stmt.other, found)
            rows: list[Any] = list(zip(stmt.outs, stmt.thens, stmt.others, strict=True))
            rows = [row for row in rows if row[0] in found]
            stmt.outs, stmt.thens, stmt.others = (
                (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [])
            )
            keep = bool(stmt.outs or stmt.then.stmts or stmt.other.stmts)
        elif kind is Loop:
            _trim(stmt.body, found)
            _trim(stmt.test, found)
            lists = (stmt.params, stmt.inits, stmt.nexts, stmt.outs)
            rows = [row for row in zip(*lists, strict=True) if row[0] in found]
            stmt.params, stmt.inits, stmt.nexts, stmt.outs = (
                (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [], [])
            )
            keep = stmt in found
        elif kind is Fault:
            keep = True
        else:
            keep = (stmt.out if kind is Compute or kind is Load else stmt.array) in found
        if keep:
            kept.append(stmt)
    block.stmts[:] = kept


def varied(function: Function, sources: Iterable[Array]) -> set[Any]:
    """Values and arrays that depend on the elements of *sources* by operations that have derivatives."""
    found: set[Any] = set(sources)
    size = -1
    while size != len(found):
        size = len(found)
        for stmt in walk(function.body):
            kind = stmt.__class__
            if kind is Compute:
                prim = stmt.op.prim
                differentiable = prim is not None and prim.vjp is not None
                if stmt.out.floating and differentiable and not found.isdisjoint(stmt.args):
                    found.add(stmt.out)
            elif kind is Load:
                if stmt.array in found and stmt.out.floating:
                    found.add(stmt.out)
            elif kind is Store:
                if stmt.value in found and stmt.array.floating:
                    found.add(stmt.array)
            elif kind is If:
                for out, x, y in zip(stmt.outs, stmt.thens, stmt.others, strict=True):
                    if out.floating and (x in found or y in found):
                        found.add(out)
            elif kind is Loop:
                for p, x, y, out in zip(
                    stmt.params, stmt.inits, stmt.nexts, stmt.outs, strict=True
                ):
                    if p.floating and (p in found or x in found or y in found):
                        found.update((p, out))
    return found


def useful(function: Function, targets: Iterable[Array]) -> set[Any]:
    """Values and arrays that the elements of *targets* depend on so."""
    found: set[Any] = set(targets)
    size = -1
    while size != len(found):
        size = len(found)
        for stmt in reversed(list(walk(function.body))):
            kind = stmt.__class__
            if kind is Compute:
                prim = stmt.op.prim
                if stmt.out in found and prim is not None and prim.vjp is not None:
                    found.update(a for a in stmt.args if a.floating)
            elif kind is Load:
                if stmt.out in found:
                    found.add(stmt.array)
            elif kind is Store:
                if stmt.array in found and stmt.value.floating:
                    found.add(stmt.value)
            elif kind is If:
                for out, x, y in zip(stmt.outs, stmt.thens, stmt.others, strict=True):
                    if out in found:
                        found.update((x, y))
            elif kind is Loop:
                for p, x, y, out in zip(
                    stmt.params, stmt.inits, stmt.nexts, stmt.outs, strict=True
                ):
                    if p in found or out in found:
                        found.update((p, x, y))
    return found


def stored(function: Function) -> set[Array]:
    """Arrays that the function writes."""
    return {s.array for s in walk(function.body) if s.__class__ is Store}


def unread(function: Function) -> set[Store]:
    """What is stored where nothing was read before, up to the end of the statement at the top that it is part of."""
    read: set[Array] = set()
    found: set[Store] = set()
    for stmt in function.body.stmts:
        inside = [*walk(Block([stmt]))]
        read |= {s.array for s in inside if s.__class__ is Load}
        found |= {s for s in inside if s.__class__ is Store and s.array not in read}
    return found


__all__ = ["Val", "blocks_of", "live", "stored", "tidied", "unread", "useful", "varied"]
