"""Tangents: statements beside those of a function, which becomes one of twice the operands and results."""

from __future__ import annotations

from typing import Any

from nbgrad.structured import rules
from nbgrad.structured.ir import (
    Alloc,
    Array,
    Block,
    Compute,
    Const,
    Function,
    If,
    Load,
    Loop,
    Store,
    Val,
)
from nbgrad.structured.live import varied


class Tangents:
    """Adds tangents to a function, in place, with tangents of the arguments *active*."""

    def __init__(self, function: Function, active: list[Array], results: list[Array]) -> None:
        self.active = varied(function, active)
        self.arrays: dict[Array, Array] = {}
        self.scalars: dict[Val, Val] = {}
        self.sources = [self.array(a) for a in active]
        self.targets = [self.array(a) for a in results]
        for made in (*self.sources, *self.targets):
            function.extents.setdefault(made, [])
        self.block(function.body)

    def array(self, array: Array) -> Array:
        found = self.arrays.get(array)
        if found is None:
            found = self.arrays[array] = Array(array.code, array.role, array.size)
        return found

    def of(self, x: Val) -> Val:
        """The tangent of a value, zero if it has none."""
        return self.scalars.get(x) or Const(0.0, x.code)

    def new(self, x: Val) -> Val:
        found = self.scalars[x] = Val(x.code)
        return found

    def block(self, block: Block) -> None:
        stmts, block.stmts = block.stmts, []
        for stmt in stmts:
            self.statement(stmt, block.stmts)

    def statement(self, stmt: Any, into: list[Any]) -> None:
        kind = stmt.__class__
        if kind is If:
            self.choice(stmt)
        elif kind is Loop:
            self.loop(stmt)
        into.append(stmt)
        if kind is Compute and stmt.out in self.active:
            tangents = [self.scalars.get(a) for a in stmt.args]
            found = rules.push(stmt.op, stmt.out, stmt.args, tangents, into)
            if found is not None:
                self.scalars[stmt.out] = found
        elif kind is Load and stmt.array in self.active:
            into.append(Load(self.new(stmt.out), self.array(stmt.array), stmt.index))
        elif kind is Store and (stmt.array in self.active or stmt.array in self.arrays):
            into.append(Store(self.array(stmt.array), stmt.index, self.of(stmt.value)))
        elif kind is Alloc and stmt.array in self.active:
            into.append(Alloc(self.array(stmt.array)))

    def choice(self, stmt: If) -> None:
        self.block(stmt.then)
        self.block(stmt.other)
        for out, x, y in list(zip(stmt.outs, stmt.thens, stmt.others, strict=True)):
            if out in self.active:
                stmt.outs.append(self.new(out))
                stmt.thens.append(self.of(x))
                stmt.others.append(self.of(y))

    def loop(self, stmt: Loop) -> None:
        rows = list(zip(stmt.params, stmt.inits, stmt.nexts, stmt.outs, strict=True))
        rows = [row for row in rows if row[0] in self.active]
        for param, init, _, _ in rows:
            stmt.inits.append(self.of(init))
            stmt.params.append(self.new(param))
        self.block(stmt.test)
        self.block(stmt.body)
        for _, _, after, out in rows:
            stmt.nexts.append(self.of(after))
            stmt.outs.append(self.new(out))
