"""The numbers of a step of a loop: each a statement over others, written once however often it is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from nbgrad.core.frozen import Value
from nbgrad.core.lazy import pattern
from nbgrad.core.tape import Atom, Literal, Var
from nbgrad.program.text import (
    Emitted,
    Number,
    Pointer,
    Service,
    Status,
    inline,
    literal,
    unbranched,
)
from nbgrad.program.values import CODES

# Elements of the largest array of a step, and statements of a step: compiling one takes 4 ms.
MAX_ELEMENTS, MAX_STATEMENTS = 64, 1000
# With loops in them that run while a condition holds: without a kernel, each run of those is hundreds of
# calls. A step of an integrator and its way back are 900 statements for two numbers, 1,200 for three.
MAX_WITH_LOOPS = 4000

# Integers up to which one is written out: the compiler multiplies and divides by it sooner.
FEW = 16
# Arrays of how many lengths may be read by number.
MAX_SIZES = 250
# The text of a choice by a condition, and one that is 0 if an operand is.
SELECT: Final = "({1} if {0} else {2})"
ZERO: Final = pattern(r"\(.* if \{(\d)\} != (f\d)\(0\) else \2\(0\)\)")

Elements = np.ndarray[Any, np.dtype[np.int64]]


class NotScalar(Exception):
    """A step has what no kernel of scalars computes."""


class Scalar(Value):
    """One number of a step: its text, over the numbers ``args``, and its type.

    ``varies`` says that it may be another in each step; ``atom`` that the text is all there is to
    it, and needs no statement.
    """

    text: str
    args: tuple[int, ...]
    code: str
    varies: bool
    atom: bool = False
    check: str = ""  # what is done once it is there
    lines: tuple[str, ...] = ()  # of a loop within the step: all that it is


Argument = Pointer | Number | Status | Service


class Kernel:
    """What all loops of a kernel share: its parameters, and memory that grows while it runs.

    ``sizes`` are the rows of arrays which are read by number: what is out of bounds ends the loop.
    """

    def __init__(self) -> None:
        self.params: list[tuple[str, str, Argument]] = []
        self.sizes: list[int] = []
        self.growing: list[str] = []
        self.loops = 0

    def param(self, name: str, code: str, arg: Argument) -> str:
        if all(name != known for known, _, _ in self.params):
            self.params.append((name, code, arg))
        return name

    def prefix(self) -> str:
        """What the names of another loop begin with."""
        self.loops += 1
        return f"w{self.loops - 1}_" if self.loops > 1 else ""

    def size(self, size: int) -> int:
        """The number of a size that an index is compared with."""
        if size not in self.sizes:
            self.sizes.append(size)
        if len(self.sizes) > MAX_SIZES:
            raise NotScalar
        return self.sizes.index(size)

    def service(self, name: str) -> str:
        """The parameter that is the address of a function of the backend's."""
        return self.param(name, "i8*", Service(name))

    def before(self) -> Iterator[str]:
        """What is done before all loops: memory that grows is nowhere yet."""
        for name in self.growing:
            self.param("nowhere", "f8*", Number(0, "f8*"))
            yield f"{name}, {name}_room = nowhere, 0"

    def after(self) -> Iterator[str]:
        for name in self.growing:
            yield f"call_release({self.service('release')}, {name})"

    def emitted(self, name: str, lines: Iterable[str]) -> Emitted:
        """The kernel of the statements *lines*."""
        lines = [*self.before(), *lines, *self.after()]
        for number, size in enumerate(self.sizes):
            self.param(f"m{number}", "i8", Number(size))
        faults = bool(self.sizes) or any(isinstance(arg, Service) for _, _, arg in self.params)
        if faults:
            self.param("status", "i8*", Status())
            self.param("number", "i8", Number(0))
        return Emitted(
            "\n".join(
                [
                    f"def {name}(lo, hi{''.join(', ' + p for p, _, _ in self.params)}):",
                    *(f"    {line}" for line in lines),
                ]
            )
            + "\n",
            name,
            tuple([code for _, code, _ in self.params]),
            tuple([arg for _, _, arg in self.params]),
            1,
            0,
            tuple(self.sizes),
            faults,
        )


class Step:
    """The numbers of a step. Those of an array are an array of their places in ``scalars``.

    ``tables`` are the pointers to arrays that stay the same. The step of an inner loop shares the
    ``kernel`` of the *outer* one; ``looping`` says that its statements are in a loop.
    """

    def __init__(self, outer: Step | None = None, looping: bool = True) -> None:
        self.looping = looping
        self.scalars: list[Scalar] = [Scalar("", (), "", False)]  # 0 stands for a padded zero
        self.known: dict[Scalar, int] = {}
        self.env: dict[Var, Elements] = {}
        self.tables: dict[Var, str] = {}
        self.checks = 0
        self.kernel: Kernel = Kernel() if outer is None else outer.kernel
        self.prefix = self.kernel.prefix()

    def param(self, name: str, code: str, arg: Argument) -> str:
        return self.kernel.param(name, code, arg)

    def add(self, text: str, args: Sequence[int], code: str, varies: bool, atom: bool) -> int:
        return self.known_as(Scalar(text, tuple(args), code, varies, atom))

    def known_as(self, scalar: Scalar) -> int:
        """The place of a number, which is a new one if there was none like it."""
        found = self.known.get(scalar)
        if found is None:
            if len(self.scalars) > 4 * MAX_STATEMENTS:
                raise NotScalar
            found = self.known[scalar] = len(self.scalars)
            self.scalars.append(scalar)
        return found

    def computed(self, text: str, args: Sequence[int], code: str) -> int:
        varies = any(self.scalars[k].varies for k in args)
        return self.add(text, args, code, varies, False)

    def number(self, value: Any, dtype: np.dtype[Any]) -> int:
        code = CODES[dtype]
        if inline(value) or (dtype.kind in "iu" and abs(value) <= FEW):
            return self.add(f"{code}({literal(value)})", (), code, False, True)
        params = self.kernel.params
        for name, kind, arg in params:
            same = isinstance(arg, Number) and repr(arg.value) == repr(value)
            if same and kind == code and name[0] == "c":
                return self.add(name, (), code, False, True)
        name = self.param(f"c{len(params)}", code, Number(value, code))
        return self.add(name, (), code, False, True)

    def place(self, index: int, size: int) -> int:
        """The number *index* of one of *size* rows, counted from the end if it is negative."""
        number = self.kernel.size(size)
        shown = f"min(max(i8({{0}}), {-1 << 31}), {(1 << 31) - 1})"
        fault = f"({shown} << 32) | ({number} << 24) | number"
        text = f"(i8({{0}}) + m{number} if {{0}} < 0 else i8({{0}}))"
        check = f"if not 0 <= {{name}} < m{number}: status[0] = {fault}; break"
        count = len(self.scalars)
        found = self.known_as(Scalar(text, (index,), "i8", True, False, check))
        self.checks += len(self.scalars) - count
        return found

    def row(self, x: Var, place: int, width: int, element: int) -> int:
        """An element of the row *place* of an array that stays the same."""
        at = f"{{0}} * {width}" if width > 1 else "{0}"
        text = f"{self.tables[x]}[{at} + {element}]" if element else f"{self.tables[x]}[{at}]"
        return self.add(text, (place,), CODES[x.aval.dtype], True, False)

    def name(self, k: int) -> str:
        """How other statements name a number."""
        return self.scalars[k].text if self.scalars[k].atom else f"{self.prefix}v{k}"

    def used(self, results: Iterable[int]) -> list[int]:
        """What *results* are computed from, in order."""
        found: set[int] = set()
        stack = list(results)
        while stack:
            k = stack.pop()
            if k not in found:
                found.add(k)
                stack += self.scalars[k].args
        return sorted(found)

    def bound(self, used: Iterable[int], looping: bool = False) -> None:
        """Raise if the statements of these numbers are more than one kernel should have.

        Raises
        ------
        NotScalar
        """
        used = list(used)
        looping = looping or any(self.scalars[k].lines for k in used)
        if self.length(used) > (MAX_WITH_LOOPS if looping else MAX_STATEMENTS):
            raise NotScalar

    def length(self, used: Iterable[int]) -> int:
        """How many statements these numbers take."""
        return sum(len(s.lines) or not s.atom for s in map(self.scalars.__getitem__, used))

    def statements(self, used: Iterable[int], varying: bool) -> Iterator[str]:
        """Those of the numbers *used* that may be others in each step, or of those that may not."""
        for k in used:
            scalar = self.scalars[k]
            if scalar.varies != varying:
                continue
            yield from scalar.lines
            args = [self.name(a) for a in scalar.args]
            if not scalar.atom and not scalar.lines:
                yield f"{self.name(k)} = {unbranched(scalar.text).format(*args)}"
            if scalar.check:
                yield scalar.check.format(*args, name=self.name(k))

    def moves(self, names: Sequence[str], numbers: Sequence[int]) -> Iterator[str]:
        """Give each of *names* a number, by way of other names where one is still to be read."""
        changed = [
            (name, self.name(n), self.scalars[n].code)
            for name, n in zip(names, numbers, strict=True)
            if self.name(n) != name
        ]
        moving = [value for _, value, _ in changed if value in names]
        for value in dict.fromkeys(moving):
            yield f"next_{value} = {value}"
        for name, value, code in changed:
            yield f"{name} = {code}({'next_' if value in moving else ''}{value})"

    def read(self, atom: Atom, dtype: np.dtype[Any]) -> Elements:
        """The numbers of an operand."""
        if isinstance(atom, Literal):
            return np.array(self.number(atom.value, dtype))
        if atom not in self.env:
            raise NotScalar
        return self.env[atom]

    def applied(self, text: str, args: Sequence[int], code: str) -> int:
        """A statement; one of what a condition chose is chosen after it, where that costs nothing.

        The way back through a branch adds what either side leaves of a cotangent: it is then computed
        beside the choice, not after it. Values are the same.
        """
        given = [self.scalars[k] for k in args]
        chosen = [s.text == SELECT and code[0] == "f" for s in given]
        constant = any(
            self.scalars[k].atom and not self.scalars[k].varies
            for s, on in zip(given, chosen, strict=True)
            for k in s.args[1:] * on
        )
        conditions = {s.args[0] for s, on in zip(given, chosen, strict=True) if on}
        if text == SELECT or not constant or len(conditions) > 1:
            return self.simplified(text, args, code)
        sides = [
            [s.args[side] if on else k for k, s, on in zip(args, given, chosen, strict=True)]
            for side in (1, 2)
        ]
        folded = any(self.is_zero(text, side) for side in sides)
        if not folded and any(s.varies and not on for s, on in zip(given, chosen, strict=True)):
            return self.simplified(text, args, code)
        results = [self.simplified(text, side, code) for side in sides]
        return self.computed(SELECT, (*conditions, *results), code)

    def simplified(self, text: str, args: Sequence[int], code: str) -> int:
        if self.is_zero(text, args):
            return self.add(f"{code}(0.0)", (), code, False, True)
        return self.computed(text, args, code)

    def is_zero(self, text: str, args: Sequence[int]) -> bool:
        """Whether *text* asks if an operand is 0 that is, and is 0 then."""
        asked = ZERO.fullmatch(text)
        if asked is None:
            return False
        return self.scalars[args[int(asked[1])]].text == f"{asked[2]}(0.0)"
