"""Printing blocks: the text of a function of words, and of what it keeps for the way back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from nbgrad.machine.request import MEMORY
from nbgrad.structured.ir import (
    Alloc,
    Array,
    Block,
    Compute,
    Const,
    Fault,
    If,
    Load,
    Loop,
    Refused,
    Store,
    Val,
)

# Words that a stack may have; arrays that a function may have of its own.
BUDGET, MAX_OWNED = 1 << 30, 256
SIZES = {"f8": 8, "f4": 4, "i8": 8, "b1": 1}
KINDS = {"f8": "f", "f4": "f", "i8": "i", "b1": "i"}
# What may be computed where the function would have ended before: sums, products, comparisons and choices.
_HARMLESS: Final = re.compile(r"(select|max|min|[-+*=!<>&|~{}(), 0-9])*")


class Names:
    """Names of values and arrays, numbered as they are met: the same function is the same text."""

    def __init__(self) -> None:
        self.held: dict[Any, str] = {}

    def __call__(self, x: Val | Array) -> str:
        if x.__class__ is Const:
            return literal(x)
        found = self.held.get(x)
        if found is None:
            letter = "A" if x.__class__ is Array else "v"
            found = self.held[x] = f"{letter}{len(self.held)}"
        return found


def literal(x: Const) -> str:
    """A number as text of its type."""
    value = x.value
    if x.code in ("b1", "i8"):
        text = repr(value)
    elif value != value:
        text = "math.nan"
    elif value in (float("inf"), float("-inf")):
        text = "math.inf" if value > 0 else "-math.inf"
    else:
        text = repr(float(value))
    if text[0] == "-":
        text = f"({text})"
    return f"f4({text})" if x.code == "f4" else text


def indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


class Frame:
    """What each run of a loop's body keeps, floats and integers apart."""

    def __init__(self) -> None:
        self.values: dict[str, list[Val]] = {"f": [], "i": []}

    def add(self, x: Val) -> None:
        held = self.values[KINDS[x.code]]
        if x not in held:
            held.append(x)


class Printer:
    """Prints a block as statements, all that is live.

    Parameters
    ----------
    frames : dict
        What runs of loops keep.
    olds : dict
        Names that get what a statement that stores writes over.
    counts : dict
        Of loops that run while a condition holds, the value that counts runs.
    live : set or None
        Values and arrays that are asked for; None for all.
    """

    def __init__(
        self, names: Names, frames: Any, olds: Any, counts: Any, live: set[Any] | None
    ) -> None:
        self.names = names
        self.frames = frames
        self.olds = olds
        self.counts = counts
        self.live = live
        self.kinds = [k for k in "fi" if any(f.values[k] for f in frames.values())]
        self.owned = 2  # the first two are the stacks

    def wanted(self, x: Any) -> bool:
        return self.live is None or x in self.live

    def block(self, block: Block) -> Iterator[str]:
        faults: list[Fault] = []  # which are asked for together
        for stmt in block.stmts:
            if stmt.__class__ is Fault:
                faults.append(stmt)
                continue
            if faults and not (stmt.__class__ is Compute and _HARMLESS.fullmatch(stmt.op.text)):
                yield from self.ended(faults)
                faults = []
            yield from self.statement(stmt)
        yield from self.ended(faults)

    def ended(self, faults: list[Fault]) -> Iterator[str]:
        """The ends of the function, of which the first that holds counts."""
        for status, group in groupby(faults, lambda fault: fault.status):
            yield f"if {' | '.join([self.names(fault.cond) for fault in group])}:"
            yield from indented(left(status))

    def statement(self, stmt: Any) -> Iterator[str]:
        names, kind = self.names, stmt.__class__
        if kind is Compute:
            if self.wanted(stmt.out):
                yield f"{names(stmt.out)} = {stmt.op.text.format(*map(names, stmt.args))}"
        elif kind is Load:
            if self.wanted(stmt.out):
                yield f"{names(stmt.out)} = {names(stmt.array)}[{names(stmt.index)}]"
        elif kind is Store:
            if self.wanted(stmt.array):
                if stmt in self.olds:
                    yield f"{names(self.olds[stmt])} = {names(stmt.array)}[{names(stmt.index)}]"
                yield f"{names(stmt.array)}[{names(stmt.index)}] = {names(stmt.value)}"
        elif kind is Alloc:
            if self.wanted(stmt.array):
                yield from self.allocate([(stmt.array, names(stmt.array))])
        elif kind is If:
            yield from self.choice(stmt)
        else:
            yield from self.loop(stmt)

    def allocate(self, named: Sequence[tuple[Array, str]]) -> Iterator[str]:
        """Memory of the function's own, all zero, which is given back however it ends: whether there is any is asked once."""
        for array, name in named:
            self.owned += 1
            if self.owned > MAX_OWNED:
                raise Refused(f"more than {MAX_OWNED - 2} arrays of its own")
            yield f"{name}w = memory_of(max({self.names(array.size)}, 1), {SIZES[array.code]})"
            yield f"store_pointer(table, {self.owned - 1}, {name}w)"
            yield f"{name} = words_as_{array.code}({name}w)"
        if named:
            yield f"if {' | '.join([f'is_nowhere({name}w)' for _, name in named])}:"
            yield from indented(left(MEMORY))

    def choice(self, stmt: If) -> Iterator[str]:
        names = self.names
        sides = []
        for block, values in ((stmt.then, stmt.thens), (stmt.other, stmt.others)):
            lines = list(self.block(block))
            lines += [
                f"{names(o)} = {names(v)}"
                for o, v in zip(stmt.outs, values, strict=True)
                if self.wanted(o)
            ]
            sides.append(lines)
        first, second = sides
        if first:
            yield f"if {names(stmt.cond)}:"
            yield from indented(first)
            if second:
                yield "else:"
                yield from indented(second)
        elif second:
            yield f"if not {names(stmt.cond)}:"
            yield from indented(second)

    def loop(self, stmt: Loop) -> Iterator[str]:
        if self.live is not None and stmt not in self.live:
            return
        names = self.names
        used = [k for k, p in enumerate(stmt.params) if self.wanted(p)]
        for k in used:
            yield f"{names(stmt.params[k])} = {names(stmt.inits[k])}"
        count = self.counts.get(stmt)
        if count is not None:
            yield f"{names(count)} = 0"
        kept = self.frames.get(stmt)
        bulk = kept is not None and stmt.index is not None and self.is_leaf(stmt)
        if bulk:
            assert stmt.start is not None and stmt.stop is not None and stmt.step is not None
            yield f"runs = {trips(*map(names, (stmt.start, stmt.stop, stmt.step)))}"
            yield from self.ensured(kept, "runs * ")
        lines = [*self.block(stmt.body)]
        if kept is not None:
            lines += self.push(kept, not bulk)
        if count is not None:
            lines.append(f"{names(count)} = {names(count)} + 1")
        lines += moved([names(stmt.params[k]) for k in used], [names(stmt.nexts[k]) for k in used])
        if stmt.index is None:
            yield "while True:"
            yield from indented([*self.block(stmt.test), f"if not {names(stmt.cond)}: break"])  # type: ignore[arg-type]
        else:
            ends = ", ".join(names(x) for x in (stmt.start, stmt.stop, stmt.step) if x is not None)
            yield f"for {names(stmt.index)} in range({ends}):"
        yield from indented(lines or ["pass"])
        for k in used:
            if self.wanted(stmt.outs[k]):
                yield f"{names(stmt.outs[k])} = {names(stmt.params[k])}"

    # ------------------------------------------------------------------------------------- stacks

    def is_leaf(self, loop: Loop) -> bool:
        """Whether no loop within it keeps anything."""
        return not any(inner in self.frames for inner in _loops(loop.body))

    def ensured(self, frame: Frame, times: str) -> Iterator[str]:
        for kind in "fi":
            size = len(frame.values[kind])
            if size:
                yield f"if {kind}top + {times}{size} > {kind}room:"
                yield from indented(grown(kind, f"{times}{size}"))

    def push(self, frame: Frame, ensure: bool) -> Iterator[str]:
        if ensure:
            yield from self.ensured(frame, "")
        for kind in "fi":
            values = frame.values[kind]
            for k, x in enumerate(values):
                yield f"{kind}kept[{kind}top + {k}] = {cast_in(self.names(x), x.code)}"
            if values:
                yield f"{kind}top = {kind}top + {len(values)}"


def _loops(block: Block) -> Iterator[Loop]:
    for stmt in block.stmts:
        if stmt.__class__ is Loop:
            yield stmt
            yield from _loops(stmt.body)
        elif stmt.__class__ is If:
            yield from _loops(stmt.then)
            yield from _loops(stmt.other)


def popped(frame: Frame, names: Names) -> Iterator[str]:
    """The beginning of a run on the way back."""
    for kind in "fi":
        values = frame.values[kind]
        if values:
            yield f"{kind}top = {kind}top - {len(values)}"
        for k, x in enumerate(values):
            yield f"{names(x)} = {cast_out(f'{kind}kept[{kind}top + {k}]', x.code)}"


def cast_in(text: str, code: str) -> str:
    return {"f8": text, "f4": f"f8({text})", "i8": text, "b1": f"i8({text})"}[code]


def cast_out(text: str, code: str) -> str:
    return {"f8": text, "f4": f"f4({text})", "i8": text, "b1": f"{text} != 0"}[code]


def left(status: int) -> Iterator[str]:
    """Give back all memory and return before the end."""
    yield "memory_given_back(table, $)"
    yield f"return {status}"


def grown(kind: str, more: str) -> Iterator[str]:
    """A stack of twice the size, or of what is needed."""
    place = "fi".index(kind)
    yield f"{kind}room = max(2 * {kind}room + 512, {kind}top + {more})"
    yield f"{kind}words = nowhere()"
    yield f"if {kind}room <= {BUDGET}:"
    yield f"    {kind}words = memory_again(load_pointer(table, {place}), 8 * {kind}room)"
    yield f"if is_nowhere({kind}words):"
    yield from indented(left(MEMORY))
    yield f"store_pointer(table, {place}, {kind}words)"
    yield f"{kind}kept = words_as_{'f8' if kind == 'f' else 'i8'}({kind}words)"


def trips(start: str, stop: str, step: str) -> str:
    """How many numbers a range has, as text."""
    if step == "1":
        return f"max({stop} - {start}, 0)" if start != "0" else f"max({stop}, 0)"
    if step.isdigit():
        return f"max(({stop} - {start} + {int(step) - 1}) // {step}, 0)"
    if step.startswith("(-") and step[2:-1].isdigit():
        size = int(step[2:-1])
        return f"max(({start} - {stop} + {size - 1}) // {size}, 0)"
    forward = f"({stop} - {start} + {step} - 1) // {step}"
    back = f"({start} - {stop} - {step} - 1) // -{step}"
    return f"max({forward} if {step} > 0 else {back}, 0)"


def moved(targets: Sequence[str], values: Sequence[str]) -> list[str]:
    """Assignments that happen at once."""
    pairs = [(t, v) for t, v in zip(targets, values, strict=True) if t != v]
    late = {t for t, _ in pairs}
    lines, last = [], []
    for k, (t, v) in enumerate(pairs):
        if v in late:
            lines.append(f"m{k} = {v}")
            v = f"m{k}"
        last.append(f"{t} = {v}")
    return lines + last
