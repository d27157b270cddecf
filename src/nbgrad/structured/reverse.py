"""Adjoints: the way back through a function, printed.

Every block is gone through from its end. What a rule reads is, in this order: there already; computed again
from what is there; read again from its array, if no statement between has written that; or kept, when the run of
the loop that it belongs to ends, on a stack (Griewank and Walther, Evaluating Derivatives, 2008, chapters 4, 12; Hascoet
and Pascual, The Tapenade tool, 2013). Arrays that are read again are restored: statements that store keep
what they wrote over. Values at the top of the function stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from nbgrad.ops.kinds.algebra import zeros_of
from nbgrad.structured import rules
from nbgrad.structured.emit import Frame, Names, indented, moved, popped, trips
from nbgrad.structured.ir import (
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
    blocks_of,
    outs,
    stores_in,
)
from nbgrad.structured.live import stored, unread, useful, varied


class Scope:
    """A block whose way back is being written: its lines, and what is there."""

    def __init__(self, block: Block, parent: Scope | None, loop: Loop | None) -> None:
        self.block = block
        self.parent = parent
        self.loop = loop  # whose body it is
        self.at = len(block.stmts)
        self.lines: list[str] = []
        self.ready: set[Val] = set()
        self.cts: dict[Val, str] = {}
        self.pending = False  # what the statement wrote is still there
        self.shifted: dict[Val, int] = {}  # what a loop carries on: its number
        self.late: dict[Val, list[str]] = {}  # terms that are there last, and so added last
        self.begun: dict[Val, int] = {}  # whose cotangents were 0 before a choice: which
        self.given: set[Val] = set()  # of those, which this side of it has added to
        self.own: set[Val] = set()  # whose cotangents are variables of their own

    def outward(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


class Adjoint:
    """The way back of a function, by its arguments *active* from all results.

    A product with a cotangent of 0 is 0, whatever the other factor, if it is ``guarded``. That takes twice the
    time; where it is not and this matters, a result is NaN.

    Attributes
    ----------
    lines : list of str
    frames, olds, counts : dict
        What the way there has to keep: see ``emit.Printer``.
    asked : set
        Values and arrays that it has to leave.
    """

    def __init__(
        self,
        function: Function,
        active: list[Array],
        targets: list[Array],
        names: Names,
        guarded: bool,
    ) -> None:
        self.function = function
        self.guarded = guarded
        self.names = names
        self.active = varied(function, active) & useful(function, targets)
        self.written, self.unread = stored(function), unread(function)
        self.restored: set[Array] = set()
        self.homes = _homes(function)
        size = -1
        while size != len(self.restored):
            size = len(self.restored)
            self.write()

    def write(self) -> None:
        self.frames: dict[Loop, Frame] = {}
        self.olds: dict[Store, Val] = {}
        self.counts: dict[Loop, Val] = {}
        self.asked: set[Any] = set()
        self.temps = 0
        top = Scope(self.function.body, None, None)
        self.back(top)
        self.lines = top.lines

    def temp(self) -> str:
        self.temps += 1
        return f"t{self.temps}"

    # ---------------------------------------------------------------------------------- values

    def need(self, x: Val, scope: Scope) -> str:
        """The name of a value, after what makes it available."""
        if x.__class__ is Const:
            return self.names(x)
        for around in scope.outward():
            if x in around.ready:
                return self.names(x)
        block, at, stmt = self.homes.get(x, (self.function.body, -1, None))
        home = next(s for s in scope.outward() if s.block is block)
        if not any(s.loop for s in home.outward()):  # at the top, or in a choice there
            self.asked.add(x)
            return self.names(x)
        if home.loop is not None and x is home.loop.index:
            home.ready.add(x)
            return self.names(x)
        if stmt.__class__ is Compute and not stmt.op.dear:
            args = [self.need(a, home) for a in stmt.args]
            home.lines.append(f"{self.names(x)} = {stmt.op.text.format(*args)}")
            home.ready.add(x)
            return self.names(x)
        if stmt.__class__ is Load and self.unchanged(stmt.array, home, at):
            index = self.need(stmt.index, home)
            if stmt.array in self.written:
                self.restored.add(stmt.array)
            self.asked.add(stmt.array)
            home.lines.append(f"{self.names(x)} = {self.names(stmt.array)}[{index}]")
            home.ready.add(x)
            return self.names(x)
        return self.keep(x, home)

    def keep(self, x: Val, home: Scope) -> str:
        """Let the runs of the loop around keep a value."""
        around = next(s for s in home.outward() if s.loop is not None)
        assert around.loop is not None
        if around is home and x in around.loop.nexts and x not in around.loop.params:
            # The run after it, which was gone back through before, began with it.
            k = around.shifted[x] = around.loop.nexts.index(x)
            self.need(around.loop.params[k], home)
            around.ready.add(x)
            return self.names(x)
        self.frames.setdefault(around.loop, Frame()).add(x)
        self.asked.add(x)
        around.ready.add(x)
        return self.names(x)

    def unchanged(self, array: Array, home: Scope, at: int) -> bool:
        """Whether an array is, where the way back is in *home*, what it was at statement *at*."""
        if array not in self.written:
            return True
        last = home.at if home.at == len(home.block.stmts) else home.at + 1
        between = home.block.stmts[at + 1 : last]
        here = home.block.stmts[home.at] if home.at < len(home.block.stmts) else None
        return not any(
            array in stores_in(s)
            for s in between
            if home.pending or not (s is here and s.__class__ is Store)
        )

    # ------------------------------------------------------------------------------ cotangents

    def give(self, x: Val, text: str, scope: Scope) -> None:
        """Add *text*, a name, to the cotangent of *x*."""
        if x not in self.active:
            return
        block = self.homes[x][0]
        home = next(s for s in scope.outward() if s.block is block)
        name = f"d{self.names(x)}"
        if home is scope and x not in home.own:
            before = home.cts.get(x)
            if before is not None:
                total = self.temp()
                scope.lines.append(f"{total} = {before} + {text}")
                text = total
            home.cts[x] = text
            return
        if x not in home.own:
            before = home.cts.get(x)
            home.lines.append(f"{name} = {before or zero(x.code)}")
            home.cts[x] = name
            home.own.add(x)
            if before is None:
                home.begun[x] = home.at
        first = scope.parent is home and scope.loop is None and home.begun.get(x) == home.at
        if first and x not in scope.given:
            scope.lines.append(f"{name} = {text}")
        else:
            scope.lines.append(f"{name} = {name} + {text}")
        for around in scope.outward():
            if around is home:
                break
            around.given.add(x)

    def cotangent(self, x: Val, scope: Scope) -> str | None:
        """The name of the whole cotangent of a value of *scope*; None if it is zero."""
        for text in scope.late.pop(x, ()):
            self.give(x, text, scope)
        return scope.cts.get(x)

    def adjoint(self, array: Array) -> str:
        return f"d{self.names(array)}"

    # ------------------------------------------------------------------------------ statements

    def back(self, scope: Scope) -> None:
        stmts = scope.block.stmts
        for at in reversed(range(len(stmts))):
            scope.at = at
            stmt = stmts[at]
            kind = stmt.__class__
            if kind is Compute:
                self.compute(stmt, scope)
            elif kind is Load:
                self.load(stmt, scope)
            elif kind is Store:
                self.store(stmt, scope)
            elif kind is If:
                self.choice(stmt, scope)
            elif kind is Loop:
                self.loop(stmt, scope)

    def compute(self, stmt: Compute, scope: Scope) -> None:
        ct = self.cotangent(stmt.out, scope)
        if ct is None:
            return
        wants = [a in self.active for a in stmt.args]
        seed = Val(stmt.out.code)
        made: list[Any] = []
        found = rules.pull(stmt.op, seed, stmt.out, stmt.args, wants, made)
        known = {seed: ct}
        asked = {c for c in found if c is not None}
        for inner in reversed(made):
            if inner.out in asked:
                asked.update(inner.args)

        def name(x: Val) -> str:
            return known.get(x) or self.need(x, scope)

        for inner in made:
            if inner.out in asked:
                args = [name(a) for a in inner.args]
                known[inner.out] = temp = self.temp()
                scope.lines.append(f"{temp} = {self.text(inner).format(*args)}")
        for arg, want, c in zip(stmt.args, wants, found, strict=True):
            if want and c is not None:
                self.give(arg, name(c), scope)

    def text(self, stmt: Compute) -> str:
        """What a rule computes; a product with a finite number needs no guard."""
        args = stmt.args
        if not zeros_of(stmt.op.prim):
            return stmt.op.text
        literal = all(math.isfinite(a.value) for a in args[1:] if isinstance(a, Const))
        free = isinstance(args[1], Const) and literal
        return stmt.op.text if self.guarded and not free else "{0} * {1}"

    def load(self, stmt: Load, scope: Scope) -> None:
        ct = self.cotangent(stmt.out, scope)
        if ct is None or stmt.array not in self.active:
            return
        index = self.need(stmt.index, scope)
        place = f"{self.adjoint(stmt.array)}[{index}]"
        scope.lines.append(f"{place} = {place} + {ct}")

    def store(self, stmt: Store, scope: Scope) -> None:
        if stmt.array in self.restored and stmt not in self.unread:
            scope.pending = True
            index = self.need(stmt.index, scope)
            scope.pending = False
            old = self.olds[stmt] = Val(stmt.array.code)
            self.homes[old] = (scope.block, scope.at, None)
            self.asked.update((old, stmt.array))
            scope.lines.append(f"{self.names(stmt.array)}[{index}] = {self.need(old, scope)}")
        if stmt.array not in self.active:
            return
        index = self.need(stmt.index, scope)
        place = f"{self.adjoint(stmt.array)}[{index}]"
        if stmt.value in self.active:
            temp = self.temp()
            scope.lines.append(f"{temp} = {place}")
            self.give(stmt.value, temp, scope)
        if stmt.array.role != "out":
            scope.lines.append(f"{place} = {zero(stmt.array.code)}")

    def choice(self, stmt: If, scope: Scope) -> None:
        sides = []
        cts = [self.cotangent(o, scope) for o in stmt.outs]
        given = [(k, ct) for k, ct in enumerate(cts) if ct is not None]
        for block, values in ((stmt.then, stmt.thens), (stmt.other, stmt.others)):
            inner = Scope(block, scope, None)
            for k, ct in given:
                self.give(values[k], ct, inner)
            self.back(inner)
            sides.append(inner.lines)
        first, second = sides
        if not first and not second:
            return
        cond = self.need(stmt.cond, scope)
        if not first:
            cond, first, second = f"not {cond}", second, first
        scope.lines += [f"if {cond}:", *indented(first)]
        if second:
            scope.lines += ["else:", *indented(second)]

    def loop(self, stmt: Loop, scope: Scope) -> None:
        names = self.names
        active = [k for k, p in enumerate(stmt.params) if p in self.active]
        carried = [f"b{names(stmt.params[k])}" for k in active]
        starts = [self.cotangent(stmt.outs[k], scope) or zero(stmt.outs[k].code) for k in active]
        inner = Scope(stmt.body, scope, stmt)
        for k, name in zip(active, carried, strict=True):
            after = stmt.nexts[k]
            if after in self.active and self.homes[after][0] is stmt.body:
                inner.late.setdefault(after, []).append(name)
            else:
                self.give(after, name, inner)
        self.back(inner)
        ends = [self.cotangent(stmt.params[k], inner) or zero(stmt.params[k].code) for k in active]
        body = [*inner.lines, *moved(carried, ends)]
        if body:
            ahead = [
                (x, stmt.params[k], self.need(stmt.outs[k], scope))
                for x, k in inner.shifted.items()
            ]
            turned = self.turned(stmt, scope, [(x, p) for x, p, _ in ahead], body)
            scope.lines += [f"{names(p)} = {out}" for _, p, out in ahead if names(p) != out]
            scope.lines += [f"{n} = {s}" for n, s in zip(carried, starts, strict=True)]
            scope.lines += turned
        for k, name in zip(active, carried, strict=True):
            self.give(stmt.inits[k], name if body else starts[active.index(k)], scope)

    def turned(
        self, stmt: Loop, scope: Scope, ahead: list[tuple[Val, Val]], body: list[str]
    ) -> list[str]:
        """The loop over *body*, from the last run to the first."""
        frame = self.frames.get(stmt)
        lines = [f"{self.names(x)} = {self.names(p)}" for x, p in ahead]
        lines += [*(popped(frame, self.names) if frame else ()), *body]
        if stmt.index is None:
            count = self.counts[stmt] = Val("i8")
            self.homes[count] = (scope.block, scope.at, None)
            head = f"for back in range({self.need(count, scope)}):"
            return [head, *indented(lines)]
        assert stmt.start is not None and stmt.stop is not None and stmt.step is not None
        ends = [self.need(x, scope) for x in (stmt.start, stmt.stop, stmt.step)]
        index = self.names(stmt.index)
        if ends[0] == "0" and ends[2] == "1":
            return [f"for {index} in range({ends[1]} - 1, -1, -1):", *indented(lines)]
        turn = self.temp()
        lines.insert(0, f"{index} = {ends[0]} + {turn} * {ends[2]}")
        return [f"for {turn} in range({trips(*ends)} - 1, -1, -1):", *indented(lines)]


def zero(code: str) -> str:
    return "0.0" if code == "f8" else "f4(0.0)"


def _homes(function: Function) -> dict[Val, tuple[Block, int, Any]]:
    """Where values are defined: the block, the statement in it and what it is."""
    found: dict[Val, tuple[Block, int, Any]] = {}

    def visit(block: Block) -> None:
        for at, stmt in enumerate(block.stmts):
            for out in outs(stmt):
                found[out] = (block, at, stmt)
            for inner in blocks_of(stmt):
                visit(inner)
            if stmt.__class__ is Loop:
                for x in (*stmt.params, *([stmt.index] if stmt.index is not None else [])):
                    found[x] = (stmt.body, -1, None)

    visit(function.body)
    return found
