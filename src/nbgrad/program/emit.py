"""Emission: an arranged nest to Python source, with its parameters as data beside it.

The text has no extents, strides or constants in it, so one compiled kernel serves every shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from nbgrad.core.tape import Var
from nbgrad.program.arrange import CHUNK, Arranged
from nbgrad.program.nest import Compute, Constant, Guard, Load, Reduce, Select, Value
from nbgrad.program.text import (
    Emitted,
    Number,
    Pointer,
    all_guards,
    gathered,
    identity_text,
    inline,
    is_wide,
    literal,
    right_side,
)
from nbgrad.program.values import ALL_CODES

# Points of a nest up to which one that is run again and again is compiled for its shape.
SMALL = 4096
# Elements of float32 that are added up before float64 takes over.
LANES = 1024


class Emitter:
    """Writes the source of one kernel; if *fixed*, one for this shape alone."""

    def __init__(self, arranged: Arranged, fixed: bool = False) -> None:
        self.a = arranged
        self.fixed = fixed
        self.nest = nest = arranged.nest
        self.tile = LANES
        # What the innermost loop that is written computes, writes and adds to.
        self.values: list[tuple[int, Value]] = [*enumerate(nest.body)]
        self.stores, self.reduced = [*enumerate(nest.stores)], [*enumerate(nest.reductions)]
        self.params: list[tuple[str, str, Pointer | Number]] = []
        self.lines: list[str] = []
        self.operands: dict[int, str] = {}
        self.last = len(self.nest.extents) - 1
        self.guards: dict[Guard, tuple[str, str]] = {}
        self.rare: set[Guard] = set()  # those that hold at one end of their loop alone
        self.ops = [v for v in self.nest.body if isinstance(v, Compute)]

    # ------------------------------------------------------------------------------- parameters

    def param(self, name: str, code: str, arg: Pointer | Number) -> str:
        self.params.append((name, code, arg))
        return name

    def integer(self, name: str, value: int) -> str:
        if self.fixed:
            self.line(1, f"{name} = {int(value)}")
            return name
        return self.param(name, "i8", Number(int(value)))

    def pointer(self, name: str, buffer: Var, offset: int) -> str:
        dtype = buffer.aval.dtype
        return self.param(name, f"{ALL_CODES[dtype]}*", Pointer(buffer, offset * dtype.itemsize))

    def element(self, name: str, buffer: Var, place: str) -> str:
        """The text of an element of *buffer*, *place* elements after where *name* points to."""
        return f"{name}[{place}]"

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    # ------------------------------------------------------------------------------------ whole

    def emit(self) -> Emitted:
        name = self.name()
        self.declare()
        if self.fixed:
            self.line(1, f"lo, hi = 0, {self.a.tasks}")
        self.uniforms()
        self.loops()
        header = f"def {name}(lo, hi{''.join(', ' + p for p, _, _ in self.params)}):"
        return Emitted(
            "\n".join([header, *self.lines]) + "\n",
            name,
            tuple(code for _, code, _ in self.params),
            tuple(arg for _, _, arg in self.params),
            self.a.tasks,
            self.a.grain,
        )

    def loops(self) -> None:
        if self.nest.reductions:
            self.columns() if self.a.columns else self.cells()
        else:
            self.rows(1, "lo", "hi")

    def name(self) -> str:
        shown = "_".join([*dict.fromkeys(v.name for v in self.ops)][:4]) or "copy"
        reduced = "".join(f"_{r.name}" for r in self.nest.reductions[:2])
        return f"fused_{shown}_{len(self.ops)}{reduced}"

    def declare(self) -> None:
        """Parameters: extents, then pointer and strides of each operand, then guards."""
        for k, n in enumerate(self.nest.extents):
            self.integer(f"n{k}", n)
        for number, value in enumerate(self.nest.body):
            if isinstance(value, Load):
                self.pointer(f"x{number}", value.buffer, value.offset)
                self.strides(f"x{number}", value.strides)
            elif isinstance(value, Constant) and not inline(value.value):
                code = ALL_CODES[value.dtype]
                self.param(f"c{number}", code, Number(value.value, code))
        for number, store in enumerate(self.nest.stores):
            if store.onto is None:
                self.pointer(f"y{number}", store.buffer, store.offset)
                self.strides(f"y{number}", store.strides)
        for number, r in enumerate(self.nest.reductions):
            self.pointer(f"r{number}", r.buffer, 0)
            self.strides(f"r{number}", r.strides)
            if r.finalize:
                self.param(f"m{number}", ALL_CODES[r.dtype], Number(r.n, ALL_CODES[r.dtype]))
        if self.nest.reductions:
            self.integer("block", self.a.block or max(1, self.a.reduced_size))
        for guard in dict.fromkeys(g for v in self.nest.body for g in all_guards(v)):
            number, n = len(self.guards), self.nest.extents[guard.loop]
            lo, hi = max(guard.lo, 0), min(guard.hi, n)
            if 2 * (hi - lo) < n and (lo == 0 or hi == n):
                self.rare.add(guard)
            self.guards[guard] = (
                self.integer(f"g{number}_lo", guard.lo),
                self.integer(f"g{number}_hi", guard.hi),
            )

    def strides(self, name: str, strides: tuple[int, ...]) -> None:
        """Run-time strides; 0 anywhere and 1 innermost are part of the text instead."""
        for k, s in enumerate(strides):
            if s != 0 and not (k == self.last and s == 1):
                self.integer(f"{name}_s{k}", s)

    # ------------------------------------------------------------------------------- statements

    def uniforms(self) -> None:
        """Values that do not change in the nest, computed once a call."""
        for number, value in enumerate(self.nest.body):
            if isinstance(value, Constant):
                code = ALL_CODES[value.dtype]
                text = f"{code}({literal(value.value)})" if inline(value.value) else None
                self.operands[number] = text or f"c{number}"
            elif isinstance(value, Load) and not any(value.strides) and not value.guards:
                self.line(1, f"v{number} = {self.element(f'x{number}', value.buffer, '0')}")
                self.operands[number] = f"v{number}"
            elif isinstance(value, Compute) and value.uniform:
                self.line(1, f"v{number} = {self.text(value)}")
                self.operands[number] = f"v{number}"

    def text(self, value: Compute) -> str:
        """Right-hand side of a statement."""
        return right_side(value, [self.operands[k] for k in value.args])

    def is_uniform(self, number: int, value: Value) -> bool:
        return number in self.operands and (
            isinstance(value, Constant)
            or (isinstance(value, Compute) and value.uniform)
            or (isinstance(value, Load) and not any(value.strides) and not value.guards)
        )

    def body(self, depth: int, guarded: bool) -> None:
        """Statements of one point, which test its windows; else it is within all but the rare ones."""
        for conditions, group in groupby(self.statements(), lambda s: s[0] if guarded else ()):
            rows = [
                (name, text if guarded or self.rare.isdisjoint(given) else f"{code}(0)", code)
                for given, name, text, code in group
            ]
            if conditions:
                for name, _, code in rows:
                    self.line(depth, f"{name} = {code}(0)")
                self.line(depth, f"if {self.condition(conditions)}:")
            for name, text, _ in rows:
                self.line(depth + bool(conditions), f"{name} = {text}")
        for number, store in self.stores:
            name = f"y{number}" if store.onto is None else f"x{store.onto}"
            element = self.element(name, store.buffer, self.address(name, store.strides))
            self.line(depth, f"{element} = {self.operands[store.arg]}")

    def statements(self) -> Iterator[tuple[tuple[Guard, ...], str, str, str]]:
        """For each value of a point: its windows, name, right-hand side, type code."""
        for number, value in self.values:
            if self.is_uniform(number, value):
                continue
            self.operands[number] = name = f"v{number}"
            if isinstance(value, Load):
                if self.hoisted(value):
                    continue
                place = self.address(f"x{number}", value.strides)
                text = self.element(f"x{number}", value.buffer, place)
            elif isinstance(value, Select):
                text = self.operands[value.arg]
            else:
                assert isinstance(value, Compute)
                text = self.text(value)
            yield all_guards(value), name, text, ALL_CODES[value.dtype]

    def hoisted(self, load: Load) -> bool:
        """Whether a load is the same along the innermost loop, and always allowed."""
        return load.strides[self.last] == 0 and not load.guards

    def address(self, name: str, strides: tuple[int, ...]) -> str:
        s = strides[self.last]
        step = {0: "", 1: "j"}.get(s, f"j * {name}_s{self.last}")
        has_row = any(strides[: self.last])
        if not has_row:
            return step or "0"
        return f"{name}_o + {step}" if step else f"{name}_o"

    def condition(self, guards: tuple[Guard, ...]) -> str:
        parts = []
        for g in dict.fromkeys(guards):
            lo, hi = self.guards[g]
            parts.append(f"{lo} <= {'j' if g.loop == self.last else f'at{g.loop}'} < {hi}")
        return " and ".join(parts)

    # ------------------------------------------------------------------------------------- loops

    def offsets(self, depth: int, loops: range, index: str) -> None:
        """Decompose a linear index over *loops* and add up the offsets of each operand."""
        rest = index
        for k in reversed(loops):
            if k == loops.start:
                self.line(depth, f"at{k} = {rest}")
            else:
                self.line(depth, f"at{k} = {rest} % n{k}")
                self.line(depth, f"rest{k} = {rest} // n{k}")
                rest = f"rest{k}"

    def row_offsets(self, depth: int) -> None:
        """``x_o``: where each operand starts in the present row."""
        for name, strides in self.all_operands():
            terms = [f"at{k} * {name}_s{k}" for k, s in enumerate(strides[: self.last]) if s != 0]
            if terms:
                self.line(depth, f"{name}_o = {' + '.join(terms)}")
        for number, value in enumerate(self.nest.body):
            if isinstance(value, Load) and any(value.strides) and self.hoisted(value):
                element = self.element(f"x{number}", value.buffer, f"x{number}_o")
                self.line(depth, f"v{number} = {element}")

    def all_operands(self) -> list[tuple[str, tuple[int, ...]]]:
        found = [(f"x{k}", v.strides) for k, v in enumerate(self.nest.body) if isinstance(v, Load)]
        found += [(f"y{k}", s.strides) for k, s in enumerate(self.nest.stores) if s.onto is None]
        return [(name, s) for name, s in found if any(s)]

    def rows(self, depth: int, start: str, stop: str) -> None:
        """Run over the linear range [start, stop) of rows and innermost loop."""
        loops = range(self.a.cells, self.last)
        if not len(loops):
            self.row_offsets(depth)
            self.inner(depth, start, stop)
            return
        self.line(depth, f"q = {start}")
        self.line(depth, f"while q < {stop}:")
        self.line(depth + 1, f"row = q // n{self.last}")
        self.line(depth + 1, f"j0 = q - row * n{self.last}")
        self.line(depth + 1, f"j1 = min(n{self.last}, j0 + {stop} - q)")
        self.offsets(depth + 1, loops, "row")
        self.row_offsets(depth + 1)
        self.inner(depth + 1, "j0", "j1")
        self.line(depth + 1, "q += j1 - j0")

    def inner(self, depth: int, start: str, stop: str) -> None:
        """The innermost loop; with guards, its edges apart from its interior."""
        if not self.guards:
            self.loop(depth, start, stop, False)
            return
        first, last = start, stop
        for g, (lo, hi) in self.guards.items():
            if g.loop == self.last and g not in self.rare:
                first, last = f"max({first}, {lo})", f"min({last}, {hi})"
            elif g.loop == self.last and g.lo <= 0:
                first = f"max({first}, {hi})"
            elif g.loop == self.last:
                last = f"min({last}, {lo})"
        outer = [g for g in self.guards if g.loop != self.last]
        within = tuple([g for g in outer if g not in self.rare])
        tests = [f"not ({self.condition(within)})"] if within else []
        tests += [self.condition((g,)) for g in outer if g in self.rare]
        self.line(depth, f"a = min({first}, {stop})")
        self.line(depth, f"b = max({last}, a)")
        if tests:
            self.line(depth, f"if {' or '.join(tests)}:")
            self.line(depth + 1, f"a = b = {stop}")
        self.loop(depth, "a", "b", False)
        self.line(depth, "for edge in range(2):")
        self.line(depth + 1, f"start = b if edge else {start}")
        self.line(depth + 1, f"stop = {stop} if edge else a")
        self.loop(depth + 1, "start", "stop", True)

    def loop(self, depth: int, start: str, stop: str, guarded: bool) -> None:
        chunked = [(n, r) for n, r in enumerate(self.nest.reductions) if self.in_lanes(r)]
        if not chunked:
            return self.innermost(depth, start, stop, guarded)
        self.line(depth, f"for k in range({start}, {stop}, {self.tile}):")
        for number, r in chunked:
            self.line(depth + 1, f"part{number} = {ALL_CODES[r.dtype]}(0)")
        self.innermost(depth + 1, "k", f"min(k + {self.tile}, {stop})", guarded)
        for number, _ in chunked:
            self.line(depth + 1, f"acc{number} = acc{number} + part{number}")

    def innermost(self, depth: int, start: str, stop: str, guarded: bool) -> None:
        self.line(depth, f"for j in range({start}, {stop}):")
        before = len(self.lines)
        self.body(depth + 1, guarded)
        for number, r in self.reduced:
            target = self.column(number, r) if self.a.columns else f"acc{number}"
            target = f"part{number}" if self.in_lanes(r) else target
            self.line(depth + 1, f"{target} = {gathered(r, target, self.operands[r.arg])}")
        if len(self.lines) == before:
            self.line(depth + 1, "pass")

    def in_lanes(self, r: Reduce) -> bool:
        """Whether a float32 sum is one of many lanes for a while: where LLVM makes vectors of it.

        A sum in float64 would halve the lanes of the whole loop.
        """
        loads = (v for v in self.nest.body if isinstance(v, Load))
        if not is_wide(r) or self.a.columns or self.nest.body[r.arg].dtype != r.dtype:
            return False
        return all(v.strides[self.last] in (0, 1) for v in loads)

    def column(self, number: int, r: Reduce) -> str:
        """The result in column ``j``."""
        step = "j" if r.strides[self.last] == 1 else f"j * r{number}_s{self.last}"
        return self.element(f"r{number}", r.buffer, f"r{number}_o + {step}")

    # -------------------------------------------------------------------------------- reductions

    def result_offset(self, depth: int) -> None:
        """``r_o``: where the results of this cell go; blocks follow one another."""
        for number, r in enumerate(self.nest.reductions):
            terms = [
                f"at{k} * r{number}_s{k}"
                for k, s in enumerate(r.strides[: self.a.cells])
                if s != 0
            ]
            terms.append("b * kept")
            self.line(depth, f"r{number}_o = {' + '.join(terms)}")

    def cells(self) -> None:
        """Each cell (and block) accumulates in registers over rows and innermost loop."""
        extents = [f"n{k}" for k in range(self.last + 1)]
        self.line(1, f"kept = {' * '.join(extents[: self.a.cells]) or '1'}")
        self.line(1, f"size = {' * '.join(extents[self.a.cells :])}")
        self.line(1, "for t in range(lo, hi):")
        self.line(2, "b = t // kept")
        if self.a.cells:
            self.line(2, "cell = t - b * kept")
            self.offsets(2, range(self.a.cells), "cell")
        self.result_offset(2)
        for number, r in enumerate(self.nest.reductions):
            self.line(2, f"acc{number} = {identity_text(r)}")
        self.line(2, "first = b * block")
        self.line(2, "last = min(first + block, size)")
        self.rows(2, "first", "last")
        for number, r in enumerate(self.nest.reductions):
            result = self.element(f"r{number}", r.buffer, f"r{number}_o")
            self.line(2, f"{result} = {self.final(number, r, f'acc{number}')}")

    def columns(self) -> None:
        """Each cell, block and chunk of columns accumulates in a row of memory."""
        extents = [f"n{k}" for k in range(self.last)]
        self.line(1, f"cells = {' * '.join(extents[: self.a.cells]) or '1'}")
        self.line(1, f"kept = cells * n{self.last}")
        self.line(1, f"size = {' * '.join(extents[self.a.cells :]) or '1'}")
        self.line(1, f"chunks = (n{self.last} + {CHUNK - 1}) // {CHUNK}")
        self.line(1, "for t in range(lo, hi):")
        self.line(2, "b = t // (cells * chunks)")
        self.line(2, "cell = (t - b * cells * chunks) // chunks")
        self.line(2, f"j0 = (t - (b * cells + cell) * chunks) * {CHUNK}")
        self.line(2, f"j1 = min(j0 + {CHUNK}, n{self.last})")
        self.offsets(2, range(self.a.cells), "cell")
        self.result_offset(2)
        self.line(2, "for j in range(j0, j1):")
        for number, r in enumerate(self.nest.reductions):
            text = identity_text(r, ALL_CODES[r.buffer.aval.dtype])
            self.line(3, f"{self.column(number, r)} = {text}")
        self.line(2, "for row in range(b * block, min((b + 1) * block, size)):")
        self.offsets(3, range(self.a.cells, self.last), "row")
        self.row_offsets(3)
        self.inner(3, "j0", "j1")
        if any(r.finalize for r in self.nest.reductions):
            self.line(2, "for j in range(j0, j1):")
            for number, r in enumerate(self.nest.reductions):
                place = self.column(number, r)
                self.line(3, f"{place} = {self.final(number, r, place)}")

    def final(self, number: int, r: Reduce, value: str) -> str:
        text = r.finalize.format(a=value, n=f"m{number}") if r.finalize else value
        return f"f4({text})" if is_wide(r) and r.buffer.aval.dtype == r.dtype else text
