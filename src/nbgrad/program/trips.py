"""Loops that run while a condition holds, as text: one within a step of another, or a kernel of its own.

On the way back what the runs read of the carry is in memory that grows with their number. A loop asks
now and then whether it is to end: nothing else could end one that nobody meant to be endless.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nbgrad.core.tape import Equation, Var
from nbgrad.program.loops import Trip
from nbgrad.program.picks import written
from nbgrad.program.scalars import MAX_ELEMENTS, Elements, NotScalar, Scalar, Step
from nbgrad.program.scopes import Define, Scope, flat
from nbgrad.program.text import ENDED, NO_MEMORY, Emitted, Number, Pointer
from nbgrad.program.values import CODES

# Runs after which a loop asks whether it is to end, less one, and for which there is memory at first.
ASKING, ROOM = (1 << 22) - 1, 64


def whole(item: Trip, define: Define) -> Emitted | None:
    """The loop *item* as one kernel, or None if a run is more than scalars and small arrays."""
    eqn, step = item.eqn, Step(looping=False)
    try:
        for k, x in enumerate(eqn.inputs):
            assert isinstance(x, Var)
            _given(step, x, f"x{k}")
        large: dict[int, str] = {}
        for k, out in enumerate(eqn.outs):
            name = step.param(f"y{k}", f"{_code(out)}*", Pointer(out, 0))
            if out.aval.size > MAX_ELEMENTS:
                large[k] = name
        loop = _loop(step, eqn, define, large)
        found = enumerate(loop.results())
        numbers = {k: row.ravel().tolist() for k, row in found if k not in large}
        used = step.used([loop.place, *(n for row in numbers.values() for n in row)])
        step.bound(used, True)
    except NotScalar:
        return None
    lines = [line for k in used for on in (False, True) for line in step.statements([k], on)]
    stores = [
        f"y{k}[{e}] = {step.name(n)}" for k, row in numbers.items() for e, n in enumerate(row)
    ]
    return step.kernel.emitted(f"{eqn.prim.name}_{len(lines)}", [*lines, *stores])


def _code(x: Var) -> str:
    if x.aval.dtype not in CODES or not x.aval.size or x.weak:
        raise NotScalar
    return CODES[x.aval.dtype]


def _given(step: Step, x: Var, name: str) -> None:
    code = _code(x)
    step.tables[x] = step.param(name, f"{code}*", Pointer(x, 0))
    if x.aval.size <= MAX_ELEMENTS:
        numbers = [step.add(f"{name}[{e}]", (), code, False, False) for e in range(x.aval.size)]
        step.env[x] = np.array(numbers, np.int64).reshape(x.aval.shape)


def repeated(step: Step, eqn: Equation, define: Define) -> list[Elements]:
    """The numbers of the results of *eqn*: names that the text of its loop leaves."""
    if any(out.aval.size > MAX_ELEMENTS for out in eqn.outs):
        raise NotScalar
    return _loop(step, eqn, define, {}).results()


def _loop(step: Step, eqn: Equation, define: Define, large: dict[int, str]) -> _Loop:
    if "back" in eqn.params and eqn.params["max_bytes"] is not None:
        return _Budget(step, eqn, define, large)
    if "back" in eqn.params:
        return _Back(step, eqn, define, large)
    if large:
        raise NotScalar
    return _Loop(step, eqn, define)


class _Loop:
    """The text of a loop; within it are the condition, then the body."""

    def __init__(self, step: Step, eqn: Equation, define: Define) -> None:
        self.outer, self.eqn, self.define = step, eqn, define
        self.args: list[int] = []
        self.scope = Scope(step, self.args)
        self.cond, self.body = (eqn.params[name].tape for name in ("cond", "body"))
        self.first, self.end = eqn.params["constants"], len(self.body.inputs)
        operands = list(eqn.inputs)
        if any(not isinstance(x, Var) for x in (*operands, *self.body.outputs)):
            raise NotScalar
        self.xs: list[Any] = operands
        self.prefix = self.scope.step.prefix
        self._trace()

    def _trace(self) -> None:
        scope, n = self.scope, self.first
        inputs = list(zip(self.xs, self.body.inputs, strict=False))
        constants = [scope.bring(x, v) for x, v in inputs[:n]]
        for x, v in zip(self.xs[:n], self.cond.inputs, strict=False):
            scope.bring(x, v)
        self.start = [self._whole(x) for x, _ in inputs[n:]]
        self.carry = [scope.state(f"s{k}", v.aval) for k, (_, v) in enumerate(inputs[n:])]
        (self.test,) = scope.run(self.cond, [*constants, *self.carry], self.define)
        self.new = scope.run(self.body, [*constants, *self.carry], self.define)

    def _whole(self, x: Var) -> list[int]:
        """The numbers of an operand, which the outer step has."""
        numbers: list[int] = self.outer.read(x, x.aval.dtype).ravel().tolist()
        self.args += numbers
        return numbers

    def results(self) -> list[Elements]:
        self.end_of(list(self.lines()))
        return [self._left(self.scope, states) for states in self.carry]

    def end_of(self, lines: list[str], *steps: Step) -> None:
        """Make the loop a number of the outer step, which its results depend on."""
        outer, checks = self.outer, sum(s.checks for s in (self.scope.step, *steps))
        outer.checks += checks
        varies = checks > 0 or any(outer.scalars[k].varies for k in self.args)
        args = tuple(dict.fromkeys(self.args))
        check = "if status[0] != 0: break" if checks and outer.looping else ""
        self.place = outer.known_as(Scalar("", args, "", varies, False, check, tuple(lines)))

    def _left(self, scope: Scope, states: Elements) -> Elements:
        scalars, outer = scope.step.scalars, self.outer
        varies = outer.scalars[self.place].varies
        numbers = [
            outer.add(scalars[k].text, (self.place,), scalars[k].code, varies, True)
            for k in states.ravel().tolist()
        ]
        return np.array(numbers, np.int64).reshape(states.shape)

    def lines(self, kept: Sequence[tuple[str, str]] = ()) -> Iterator[str]:
        """The loop forward, which keeps the values *kept* of each run before it."""
        step, p = self.scope.step, self.prefix
        test = int(self.test)
        numbers = flat(self.new)
        first, every = step.used([test]), step.used([test, *numbers])
        step.bound(every, True)
        yield from step.statements(every, False)
        states = self.scope.names_of(self.carry)
        given = [k for row in self.start for k in row]
        for name, k in zip(states, given, strict=True):
            yield f"{name} = {self.outer.scalars[k].code}({self.outer.name(k)})"
        yield f"{p}at = 0"
        yield from self._ahead()
        limit = self.eqn.params["max_steps"]
        going = (
            f"{p}at != {step.param(f'{p}n', 'i8', Number(limit))}" if limit is not None else "True"
        )
        yield f"while {going}:"
        rest = [k for k in every if k not in set(first)]
        inside = [
            *step.statements(first, True),
            f"if not {step.name(test)}: break",
            *self._keeping(kept),
            *step.statements(rest, True),
            *step.moves(states, numbers),
            f"{p}at += 1",
            *self._asking(),
        ]
        yield from (f"    {line}" for line in inside)

    def _asking(self) -> Iterator[str]:
        asked, raised = map(self.scope.step.kernel.service, ("asked", "raised"))
        self.scope.step.checks += 1
        yield f"if ({self.prefix}at & {ASKING}) == 0 and call_asked({asked}, {raised}) != 0:"
        yield f"    status[0] = ({ENDED} << 24) | number; break"

    def _memory(self, name: str) -> str:
        """The name of memory that grows."""
        self.scope.step.kernel.growing.append(f"{self.prefix}{name}")
        return self.scope.step.kernel.growing[-1]

    def _grown(self, memory: str, width: int, room: str) -> Iterator[str]:
        grow, more = self.scope.step.kernel.service("grow"), f"{self.prefix}more"
        yield f"    {memory}_room = {room}"
        yield f"    {more} = call_grow({grow}, {memory}, {8 * width} * {memory}_room)"
        yield f"    if is_nowhere({more}): status[0] = ({NO_MEMORY} << 24) | number; break"
        yield f"    {memory} = {more}"

    def _keeping(self, kept: Sequence[tuple[str, str]]) -> Iterator[str]:
        if not kept:
            return
        p, width = self.prefix, len(kept)
        memory = self._memory("kept")
        yield f"if {p}at == {memory}_room:"
        yield from self._grown(memory, width, f"max({ROOM}, 2 * {memory}_room)")
        yield from put(memory, f"{p}at", kept)

    def _ahead(self) -> Iterator[str]:
        """What is done before the first run."""
        return iter(())


def put(memory: str, at: str, values: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Write values, of these codes, to the row *at*."""
    for k, (name, code) in enumerate(values):
        value = name if code == "f8" else f"f8({name})"
        value = f"i8_as_f8(i8({name}))" if code in ("i8", "u8") else value
        yield f"{memory}[{_row(at, len(values), k)}] = {value}"


def taken(memory: str, at: str, names: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Give *names*, of these codes, what was put there."""
    for k, (name, code) in enumerate(names):
        place = f"{memory}[{_row(at, len(names), k)}]"
        if code in ("i8", "u8"):
            place = f"{code}(f8_as_i8({place}))"
        elif code != "f8":
            place = f"{place} != 0" if code == "b1" else f"{code}({place})"
        yield f"{name} = {place}"


def _row(at: str, width: int, k: int) -> str:
    row = at if width == 1 else f"{at} * {width}"
    return f"{row} + {k}" if k else row


class _Back(_Loop):
    """The loop forward, then the way back over what it kept."""

    def __init__(self, step: Step, eqn: Equation, define: Define, large: dict[int, str]) -> None:
        super().__init__(step, eqn, define)
        params = eqn.params
        self.large, self.sums = large, params["finish"].tape.inputs
        self.second = scope = Scope(step, self.args)
        back, n, end = params["back"].tape, self.first, self.end
        last = end + sum(params["seeded"])
        pairs = list(zip(self.xs, back.inputs, strict=True))
        self.before = [scope.state(f"s{k}", v.aval) for k, (_, v) in enumerate(pairs[n:end])]
        self.cts = [scope.state(f"t{k}", v.aval) for k, (_, v) in enumerate(pairs[end:last])]
        self.seeds = [self._whole(x) for x, _ in pairs[end:last]]
        constants, extra = (
            [scope.bring(x, v) for x, v in part] for part in (pairs[:n], pairs[last:])
        )
        if any(not isinstance(a, Var) for a in back.outputs):
            raise NotScalar
        found = iter(scope.run(back, [*constants, *self.before, *self.cts, *extra], define))
        self._sums(found, params["scattered"])
        self.new_cts = list(found)

    def _sums(self, found: Iterator[Elements], scattered: Sequence[bool]) -> None:
        """What each run adds to the sums: to numbers, or by statements to memory."""
        self.totals: dict[int, Elements] = {}
        self.added: list[int] = []
        self.stores: list[
            tuple[int, int, int, int]
        ] = []  # result, place of a row, element, number
        for k, by_index in enumerate(scattered):
            step, aval, part = self.second.step, self.sums[k].aval, next(found)
            rows = next(found).ravel().tolist() if by_index else []
            places = [step.place(row, aval.shape[0]) for row in rows]
            if k in self.large:
                if not by_index:
                    raise NotScalar
                values = part.reshape(len(places), -1).tolist()
                for place, row in zip(places, values, strict=True):
                    self.stores += [(k, place, e, v) for e, v in enumerate(row)]
                continue
            total = self.totals[k] = self.second.state(f"r{k}", aval)
            if by_index:
                self.added += flat([written(step, places, total, part, CODES[aval.dtype], True)])
            else:
                pairs = zip(total.ravel().tolist(), part.ravel().tolist(), strict=True)
                self.added += [step.computed("{0} + {1}", p, CODES[aval.dtype]) for p in pairs]

    def results(self) -> list[Elements]:
        self.end_of(list(self.lines()), self.second.step)
        sums = [self.totals.get(k) for k in range(len(self.sums) - len(self.cts))]
        return [
            np.array(0) if states is None else self._left(self.second, states)
            for states in (*sums, *self.cts)
        ]

    def lines(self, kept: Sequence[tuple[str, str]] = ()) -> Iterator[str]:
        step = self.second.step
        news = [*self.added, *flat(self.new_cts)]
        every = step.used([*news, *(n for _, place, _, v in self.stores for n in (place, v))])
        step.bound(every, True)
        pairs = zip(flat(self.before), self.scope.names_of(self.carry), strict=True)
        read = [(k, name, step.scalars[k].code) for k, name in pairs if k in set(every)]
        yield from super().lines([(name, code) for _, name, code in read])
        yield from step.statements(every, False)
        yield from self._zeros()
        totals = flat(self.totals.values())
        yield from (f"{step.name(k)} = {step.scalars[k].code}(0)" for k in totals)
        for k, given in zip(flat(self.cts), (n for row in self.seeds for n in row), strict=True):
            yield f"{step.name(k)} = {step.scalars[k].code}({self.outer.name(given)})"
        self.read = [(step.name(k), code) for k, _, code in read]
        self.inside = [
            *step.statements(every, True),
            *self._storing(),
            *step.moves([step.name(k) for k in (*totals, *flat(self.cts))], news),
        ]
        yield from self._backwards()

    def _backwards(self) -> Iterator[str]:
        at = f"{self.second.step.prefix}at"
        yield f"for {at} in range({self.prefix}at - 1, -1, -1):"
        inside = [*taken(f"{self.prefix}kept", at, self.read), *self.inside]
        yield from (f"    {line}" for line in inside or ["pass"])

    def _zeros(self) -> Iterator[str]:
        """Sums in memory begin with zeros."""
        step, p = self.second.step, self.second.step.prefix
        for k, name in self.large.items():
            aval = self.sums[k].aval
            size = step.param(f"{p}z{k}", "i8", Number(aval.size))
            yield f"for {p}i in range({size}):"
            yield f"    {name}[{p}i] = {CODES[aval.dtype]}(0)"

    def _storing(self) -> Iterator[str]:
        step = self.second.step
        for k, place, element, value in self.stores:
            width = self.sums[k].aval.size // self.sums[k].aval.shape[0]
            at = f"{self.large[k]}[{_row(step.name(place), width, element)}]"
            yield f"{at} = {at} + {step.name(value)}"


class _Budget(_Back):
    """The same in a budget: of every so many runs all is kept, and what lies between is run again.

    When there is no more room, every other one is dropped.
    """

    def _budget(self) -> None:
        step = self.scope.step
        codes = [step.scalars[k].code for k in flat(self.carry)]
        self.all = list(zip(self.scope.names_of(self.carry), codes, strict=True))

    def _limit(self, name: str, width: int) -> str:
        """So many rows, in half of the budget."""
        rows = max(2, self.eqn.params["max_bytes"] // (16 * max(1, width)))
        return self.scope.step.param(f"{self.prefix}{name}", "i8", Number(rows))

    def _ahead(self) -> Iterator[str]:
        p = self.prefix
        self._budget()
        yield f"{p}rows, {p}every, {p}due = 0, 1, 0"

    def _keeping(self, kept: Sequence[tuple[str, str]]) -> Iterator[str]:
        self.again = list(kept)
        p, width, memory = self.prefix, len(self.all), self._memory("kept")
        limit = self._limit("limit", width)
        yield f"if {p}at == {p}due and {p}rows == {limit}:"
        yield f"    {p}rows, {p}every = ({p}rows + 1) // 2, 2 * {p}every"
        yield f"    {p}due = {p}rows * {p}every"
        yield f"    for {p}i in range({p}rows):"
        yield f"        for {p}j in range({width}):"
        yield f"            {memory}[{p}i * {width} + {p}j] = {memory}[2 * {p}i * {width} + {p}j]"
        yield f"if {p}at == {p}due and {p}rows == {memory}_room:"
        yield from self._grown(memory, width, f"min({limit}, max({ROOM}, 2 * {memory}_room))")
        yield f"if {p}at == {p}due:"
        yield from (f"    {line}" for line in put(memory, f"{p}rows", self.all))
        yield f"    {p}rows, {p}due = {p}rows + 1, {p}due + {p}every"

    def _backwards(self) -> Iterator[str]:
        """From the last part to the first: each is run again, and what is read of it kept."""
        p, step, width = self.prefix, self.scope.step, len(self.again)
        memory, limit, at = self._memory("again"), self._limit("part", width), f"{p}b"
        numbers = flat(self.new)
        run = [
            f"if {p}i >= {p}lo:",
            *(f"    {line}" for line in put(memory, f"({p}i - {p}lo)", self.again)),
            f"    if {p}i == {p}hi - 1: break",
            *step.statements(step.used(numbers), True),
            *step.moves([name for name, _ in self.all], numbers),
        ]
        back = [*taken(memory, at, self.read), *self.inside]
        yield f"{p}lo, {p}hi, {p}row = 0, 0, {p}rows"
        yield f"while {p}at > 0 and status[0] == 0:"
        yield f"    {p}row = ({p}at - 1) // {p}every"
        yield f"    {p}hi = {p}at - {p}row * {p}every"
        yield f"    {p}at = {p}row * {p}every"
        yield f"    while {p}hi > 0 and status[0] == 0:"
        yield f"        {p}lo = max(0, {p}hi - {limit})"
        yield f"        if {memory}_room < {p}hi - {p}lo:"
        yield from (
            f"        {line}" for line in self._grown(memory, max(1, width), f"{p}hi - {p}lo")
        )
        yield from (f"        {line}" for line in taken(f"{p}kept", f"{p}row", self.all))
        yield f"        for {p}i in range({p}hi):"
        yield from (f"            {line}" for line in run)
        yield f"        for {at} in range({p}hi - {p}lo - 1, -1, -1):"
        yield from (f"            {line}" for line in back)
        yield f"        {p}hi = {p}lo"
