"""From the source of a function to blocks: statements, and what variables are after them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from nbgrad.structured.control import Control
from nbgrad.structured.flow import (
    CARRIED,
    EXIT,
    MISSING,
    RESULT,
    RETURNED,
    STOP,
    ends,
    leaves,
    same,
)
from nbgrad.structured.ir import Refused, Val
from nbgrad.structured.spread import spread
from nbgrad.structured.views import View, each, store, subscripted


class Reader(Control):
    """Reads the body of one function into the block that *build* writes."""

    def function(self, body: Sequence[ast.stmt]) -> Any:
        """Read a body; return what it returns."""
        self.env[EXIT] = self.build.const(False, "b1")
        self.statements(body)
        found = self.env.get(RESULT)
        if found is MISSING or found is CARRIED:
            raise Refused("a function that may return nothing")
        return found

    # ------------------------------------------------------------------------------ statements

    def statements(self, body: Sequence[ast.stmt]) -> None:
        for k, stmt in enumerate(body):
            rest = body[k + 1 :]
            try:
                if stmt.__class__ is ast.If and leaves(stmt):
                    self.leaving(stmt, rest)
                    return
                self.statement(stmt)
                if ends(stmt):
                    return
                if rest and leaves(stmt):
                    self.unless(rest)
                    return
            except Refused as refused:
                refused.line = refused.line or stmt.lineno
                raise

    def statement(self, stmt: ast.stmt) -> None:
        read = getattr(self, f"read_{stmt.__class__.__name__}", None)
        if read is None:
            raise Refused(f"the statement {stmt.__class__.__name__}", stmt.lineno)
        read(stmt)

    def unless(self, rest: Sequence[ast.stmt]) -> None:
        """Read *rest* as what is done unless the loop or the function was left."""

        def read() -> None:
            self.env[EXIT] = self.build.const(False, "b1")
            self.statements(rest)

        self.branch(self.env[EXIT], lambda: None, read)

    def leaving(self, stmt: ast.If, rest: Sequence[ast.stmt]) -> None:
        """A choice one side of which may leave the loop or the function: the rest is the other side's."""
        first, second = list(stmt.body), list(stmt.orelse)
        if any(map(ends, first)):
            second += rest
        elif any(map(ends, second)):
            first += rest
        else:
            self.branch(
                self.test(stmt.test),
                lambda: self.statements(first),
                lambda: self.statements(second),
            )
            if rest:
                self.unless(rest)
            return
        self.branch(
            self.test(stmt.test), lambda: self.statements(first), lambda: self.statements(second)
        )

    def read_Pass(self, stmt: ast.Pass) -> None:
        """Nothing."""

    def read_Expr(self, stmt: ast.Expr) -> None:
        if not isinstance(stmt.value, ast.Constant):
            self.value(stmt.value)

    def read_Assign(self, stmt: ast.Assign) -> None:
        value = self.value(stmt.value)
        for target in stmt.targets:
            self.assign(target, value)

    def read_AnnAssign(self, stmt: ast.AnnAssign) -> None:
        if stmt.value is not None:
            self.assign(stmt.target, self.value(stmt.value))

    def read_AugAssign(self, stmt: ast.AugAssign) -> None:
        name = stmt.op.__class__.__name__
        if isinstance(stmt.target, ast.Name):
            held = self.value(ast.Name(stmt.target.id, ast.Load()))
            if held.__class__ is View:
                self.fill(held, self.binary(name, held, self.value(stmt.value)))
                return
            self.env[stmt.target.id] = self.binary(name, held, self.value(stmt.value))
            return
        if not isinstance(stmt.target, ast.Subscript):
            raise Refused("an assignment to an attribute")
        place = self.place(stmt.target)
        self.fill(place, self.binary(name, self.loaded(place), self.value(stmt.value)))

    def read_Return(self, stmt: ast.Return) -> None:
        value = None if stmt.value is None else self.value(stmt.value)
        self.env[RESULT] = value
        for flag in (EXIT, STOP, RETURNED):
            self.env[flag] = self.build.const(True, "b1")

    def read_Break(self, stmt: ast.Break) -> None:
        for flag in (EXIT, STOP):
            self.env[flag] = self.build.const(True, "b1")

    def read_Continue(self, stmt: ast.Continue) -> None:
        self.env[EXIT] = self.build.const(True, "b1")

    def read_Raise(self, stmt: ast.Raise) -> None:
        self.build.fault(self.build.const(True, "b1"))

    def read_Assert(self, stmt: ast.Assert) -> None:
        self.build.fault(self.build.negated(self.test(stmt.test)))

    def read_If(self, stmt: ast.If) -> None:
        self.branch(
            self.test(stmt.test),
            lambda: self.statements(stmt.body),
            lambda: self.statements(stmt.orelse),
        )

    # -------------------------------------------------------------------------------- assignment

    def assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.env[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            items = self.items(value, len(target.elts))
            for inner, item in zip(target.elts, items, strict=True):
                self.assign(inner, item)
        elif isinstance(target, ast.Subscript):
            self.fill(self.place(target), value)
        else:
            raise Refused("an assignment to an attribute")

    def items(self, value: Any, count: int) -> list[Any]:
        if value.__class__ is View and value.ndim:
            build = self.build
            extent = build.integer(count)
            if value.shape[0] is not extent:
                build.fault(build.plain("{0} != {1}", "b1", value.shape[0], extent))
            rows = [subscripted(build, value, (build.integer(k),), False) for k in range(count)]
            return [self.loaded(row) for row in rows]
        if not isinstance(value, tuple) or len(value) != count:
            raise Refused("what is unpacked is no tuple of as many")
        return list(value)

    def fill(self, place: View, value: Any) -> None:
        """Write an element, or all of a view."""
        build = self.build
        if isinstance(value, View):
            if value.array is place.array and not same(value, place):
                raise Refused("a view written into another view of the same array")
            value = spread(build, value, place.shape)
            each(build, [place, value], lambda v: store(build, v[0], self.loaded(v[1])))
        elif isinstance(value, Val):
            each(build, [place], lambda v: store(build, v[0], value))
        elif callable(value):
            value(place)
        else:
            raise Refused(f"storing a {type(value).__name__}")
