"""Reading choices and loops: what variables are after them, and which of them a loop carries."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.structured.build import Builder
from nbgrad.structured.expressions import Expressions, Span
from nbgrad.structured.flow import (
    CARRIED,
    EXIT,
    MISSING,
    RESULT,
    RETURNED,
    STOP,
    Kept,
    Pair,
    alike,
    assigned,
    leaves,
    leaves_loop,
    leaves_of,
    natural_span,
    rebuilt,
    relabelled,
    same,
    trips,
)
from nbgrad.structured.ir import Block, Const, Loop, Refused, Val
from nbgrad.structured.views import View

MAX_ROUNDS = 6


class Reading:
    """A loop that is being read: its body, what begins a run, and what says that there is one."""

    def __init__(
        self,
        body: Sequence[ast.stmt],
        node: ast.stmt,
        test: Callable[[], Val] | None = None,
        span: Any = None,
        head: Callable[[Val], None] = lambda index: None,
        begin: Callable[[], None] = lambda: None,
        also: tuple[str, ...] = (),
    ) -> None:
        self.body = body
        self.node = node
        self.test = test
        self.span = span
        self.head = head
        self.begin = begin
        self.also = also
        self.names: list[str] = []


class Control(Expressions):
    """Reads choices and loops."""

    def __init__(
        self, build: Builder, names: dict[str, Any], checks: bool, stack: tuple[Any, ...]
    ) -> None:
        super().__init__(build, names, checks, stack)
        self.looping = False

    def statements(self, body: Sequence[ast.stmt]) -> None:
        raise NotImplementedError

    def assign(self, target: ast.expr, value: Any) -> None:
        raise NotImplementedError

    # ------------------------------------------------------------------------------------ joining

    def branch(self, cond: Val, then: Callable[[], None], other: Callable[[], None]) -> None:
        """Read both sides of a choice; variables that differ after it are chosen."""
        if cond.__class__ is Const:
            (then if cond.value else other)()
            return
        before, sides = dict(self.env), []
        for read in (then, other):
            self.env, block = dict(before), Block()
            with self.build.within(block):
                read()
            sides.append((self.env, block))
        (mine, first), (theirs, second) = sides
        pairs: list[tuple[Val, Val]] = []
        made = {}
        for name in dict.fromkeys((*mine, *theirs)):
            x, y = mine.get(name, MISSING), theirs.get(name, MISSING)
            made[name] = self.joined(x, y, pairs)
        outs = self.build.choice(cond, first, second, pairs)
        self.env = {name: rebuilt(value, outs) for name, value in made.items()}

    def joined(self, x: Any, y: Any, pairs: list[tuple[Val, Val]]) -> Any:
        """The pattern of a variable after a choice: numbers of pairs, nested as it is."""
        if x is y:
            return Kept(x)
        if x is MISSING or y is MISSING or x is None or y is None:
            there = y if x is MISSING or x is None else x
            blank = self.blank(there)
            if blank is MISSING:
                return Kept(MISSING)
            x, y = (blank, there) if there is y else (there, blank)
        if isinstance(x, Val) and isinstance(y, Val):
            pairs.append((x, y))
            return Pair(len(pairs) - 1)
        if isinstance(x, tuple) and isinstance(y, tuple) and len(x) == len(y):
            return tuple(self.joined(a, b, pairs) for a, b in zip(x, y, strict=True))
        if x.__class__ is View and y.__class__ is View and x.array is y.array and same(x, y):
            return Kept(x)
        return Kept(CARRIED)

    def blank(self, like: Any) -> Any:
        """What stands for a variable that is not assigned: zeros, as nested as *like*."""
        if isinstance(like, Val):
            value = {"b1": False, "i8": 0}.get(like.code, 0.0)
            return self.build.const(value, like.code)
        if isinstance(like, tuple):
            parts = tuple(self.blank(x) for x in like)
            return MISSING if MISSING in parts else parts
        return MISSING

    # -------------------------------------------------------------------------------------- loops

    def read_While(self, stmt: ast.While) -> None:
        if stmt.orelse:
            raise Refused("else after a loop")
        self.loop(Reading(stmt.body, stmt, test=lambda: self.test(stmt.test)))

    def read_For(self, stmt: ast.For) -> None:
        if stmt.orelse:
            raise Refused("else after a loop")
        items = self.iterated(stmt.iter)
        if not isinstance(items, Span):  # a literal: written out
            if leaves_loop(stmt.body) or any(leaves(s) for s in stmt.body):
                raise Refused("a loop over a tuple that is left early")
            for item in items:
                self.assign(stmt.target, item)
                self.statements(stmt.body)
            return
        start, stop, step, bind = items

        def head(index: Val) -> None:
            self.assign(stmt.target, bind(index))

        if not leaves_loop(stmt.body):
            self.loop(Reading(stmt.body, stmt, span=(start, stop, step), head=head))
            return
        build, counter = self.build, f"$count{stmt.lineno}_{len(self.stack)}"
        count = trips(build, start, stop, step)
        self.env[counter] = build.integer(0)

        def begin() -> None:
            k = self.env[counter]
            build.natural.add(k)
            index = build.arithmetic("Add", start, build.arithmetic("Mult", k, step))
            if natural_span(build, (start, stop, step)):
                build.natural.add(index)
            head(index)
            self.env[counter] = build.arithmetic("Add", k, build.integer(1))

        def test() -> Val:
            return build.plain("{0} < {1}", "b1", self.env[counter], count)

        self.loop(Reading(stmt.body, stmt, test=test, begin=begin, also=(counter,)))

    def loop(self, loop: Reading) -> None:
        """Read a loop; variables that its body assigns are carried."""
        early, off = leaves_loop(loop.body), self.build.const(False, "b1")
        returns = early and any(isinstance(n, ast.Return) for n in ast.walk(loop.node))
        outer, was = self.env.get(STOP), self.looping
        if early:
            self.env[STOP] = self.env[RETURNED] = off
        before = dict(self.env)
        flags = [n for n in (STOP, RETURNED, RESULT) if early and n in before]
        loop.names = [*assigned([loop.node], before), *loop.also, *flags]
        carried = {n: before[n] for n in loop.names if isinstance(before.get(n), Val | tuple)}
        codes = {n: [v.code for v in leaves_of(value)] for n, value in carried.items()}
        for _ in range(MAX_ROUNDS):
            if self.round(loop, before, carried, codes, early):
                break
            self.env = dict(before)
        else:
            raise Refused("a variable of a loop whose type does not settle")
        self.looping = was
        self.env[EXIT] = self.env[RETURNED] if returns else off
        self.env.pop(STOP, None)
        if outer is not None:
            self.env[STOP] = self.env[RETURNED] if returns else outer

    def round(self, loop: Reading, before: Any, carried: Any, codes: Any, early: bool) -> bool:
        """Read a body with variables of the types *codes*; False if these have to be others."""
        build, params = self.build, {n: [Val(c) for c in codes[n]] for n in carried}
        for name in loop.names:
            if name in before and name not in carried:
                self.env[name] = CARRIED
        for name, value in carried.items():
            self.env[name] = relabelled(value, iter(params[name]))
        head, cond = self.head(loop, early)
        block, index = Block(), None
        with build.within(block):
            self.looping = True
            self.env[EXIT] = build.const(False, "b1")
            if loop.span is not None:
                index = Val("i8")
                if natural_span(build, loop.span):
                    build.natural.add(index)
                loop.head(index)
            loop.begin()
            self.statements(loop.body)
            if not self.settled(loop, before, carried, codes):
                return False
            nexts = [
                build.cast(v, c)
                for n in carried
                for v, c in zip(leaves_of(self.env[n]), codes[n], strict=True)
            ]
        starts = [
            build.cast(v, c)
            for n, value in carried.items()
            for v, c in zip(leaves_of(value), codes[n], strict=True)
        ]
        outs = {n: [Val(c) for c in codes[n]] for n in carried}
        flat = [[v for row in held.values() for v in row] for held in (params, outs)]
        start, stop, step = loop.span or (None, None, None)
        build.add(
            Loop(index, start, stop, step, head, cond, block, flat[0], starts, nexts, flat[1])
        )
        self.after(loop, before, carried, outs)
        return True

    def after(self, loop: Reading, before: Any, carried: Any, outs: Any) -> None:
        """What variables are after a loop."""
        inner, self.env = self.env, dict(before)
        for name in (*loop.names, *inner):
            if name not in before or name in loop.names:
                self.env[name] = CARRIED
        for name, value in carried.items():
            self.env[name] = relabelled(value, iter(outs[name]))

    def head(self, loop: Reading, early: bool) -> tuple[Block, Val | None]:
        """The block that says whether there is another run."""
        block, build = Block(), self.build
        if loop.test is None:
            return block, None
        with build.within(block):
            cond = loop.test()
            if early:
                cond = build.both(cond, build.negated(self.env[STOP]))
        return block, cond

    def settled(self, loop: Reading, before: Any, carried: Any, codes: Any) -> bool:
        """Whether the body leaves what it was read with; else *carried* and *codes* are bettered."""
        right = True
        for name, value in list(carried.items()):
            found = self.env.get(name, MISSING)
            if not alike(value, found):
                raise Refused(f"{name}, which a loop carries, is something else after a run")
            for k, v in enumerate(leaves_of(found)):
                code = codes[name][k]
                if "b1" in (v.code, code) and v.code != code:
                    raise Refused(f"{name}, which is a boolean or a number")
                wider = self.build.common((v, Val(code)))
                right &= wider == code
                codes[name][k] = wider
        for name, value in self.env.items():
            if name not in before and name not in carried and name != EXIT:
                blank = self.blank(value)
                if blank is not MISSING:
                    carried[name], right = blank, False
                    codes[name] = [v.code for v in leaves_of(blank)]
        return right
