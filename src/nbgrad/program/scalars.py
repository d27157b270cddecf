"""The numbers of a step of a loop: each a statement over others, written once however often it is made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nbgrad.core.tape import Atom, Literal, Var
from nbgrad.program.text import Number, Pointer, Status, inline, literal
from nbgrad.program.values import CODES

# Elements of the largest array of a step, and statements of a step: compiling one takes 4 ms.
MAX_ELEMENTS, MAX_STATEMENTS = 64, 1000

# Arrays of how many lengths may be read by number.
MAX_SIZES = 255
# The text of a choice by a condition, and one that is 0 if an operand is.
SELECT: Final = "({1} if {0} else {2})"
ZERO: Final = re.compile(r"\(.* if \{(\d)\} != (f\d)\(0\) else \2\(0\)\)")

Elements = npt.NDArray[np.int64]


class NotScalar(Exception):
    """A step has what no kernel of scalars computes."""


@dataclass(frozen=True)
class Scalar:
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


class Step:
    """The numbers of a step. Those of an array are an array of their places in ``scalars``.

    ``tables`` are the pointers to arrays that stay the same, ``sizes`` the rows of those which are
    read by number: what is out of bounds ends the loop.
    """

    def __init__(self) -> None:
        self.scalars: list[Scalar] = [Scalar("", (), "", False)]  # 0 stands for a padded zero
        self.known: dict[Scalar, int] = {}
        self.env: dict[Var, Elements] = {}
        self.params: list[tuple[str, str, Pointer | Number | Status]] = []
        self.tables: dict[Var, str] = {}
        self.sizes: list[int] = []
        self.checks = 0

    def param(self, name: str, code: str, arg: Pointer | Number | Status) -> str:
        self.params.append((name, code, arg))
        return name

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
        if inline(value):
            return self.add(f"{code}({literal(value)})", (), code, False, True)
        for name, kind, arg in self.params:
            same = isinstance(arg, Number) and repr(arg.value) == repr(value)
            if same and kind == code and name[0] == "c":
                return self.add(name, (), code, False, True)
        name = self.param(f"c{len(self.params)}", code, Number(value, code))
        return self.add(name, (), code, False, True)

    def place(self, index: int, size: int) -> int:
        """The number *index* of one of *size* rows, counted from the end if it is negative."""
        if size not in self.sizes:
            self.sizes.append(size)
        if len(self.sizes) > MAX_SIZES:
            raise NotScalar
        number = self.sizes.index(size)
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
