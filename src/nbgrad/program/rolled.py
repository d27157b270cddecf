"""A loop as one kernel: what a step computes are scalars, those of a small array one by one.

The carry stays in registers, rows of stacks are read and written as the loop goes, and what is the
same in every step is computed before it. Each statement is that of the nest which a step run by
itself would have, in the same order, so both give the same bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nbgrad.core.interpret import evaluate
from nbgrad.core.tape import Atom, Equation, Literal, Var
from nbgrad.ops.kinds.forms import Assembly, Combine, Expression, View
from nbgrad.program.loops import Round
from nbgrad.program.nest import Compute, Reduce
from nbgrad.program.text import (
    Emitted,
    Number,
    Pointer,
    combined,
    identity_text,
    inline,
    literal,
    right_side,
)
from nbgrad.program.values import CODES, emittable

# Elements of the largest array of a step, and statements of a step: compiling one takes 4 ms.
MAX_ELEMENTS, MAX_STATEMENTS = 64, 1000
# Elements from which on the compiler may choose the order of a sum.
LONG_SUM = 8

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


class Step:
    """The numbers of a step. Those of an array are an array of their places in ``scalars``."""

    def __init__(self) -> None:
        self.scalars: list[Scalar] = [Scalar("", (), "", False)]  # 0 stands for a padded zero
        self.known: dict[Scalar, int] = {}
        self.env: dict[Var, Elements] = {}
        self.params: list[tuple[str, str, Pointer | Number]] = []

    def param(self, name: str, code: str, arg: Pointer | Number) -> str:
        self.params.append((name, code, arg))
        return name

    def add(self, text: str, args: Sequence[int], code: str, varies: bool, atom: bool) -> int:
        scalar = Scalar(text, tuple(args), code, varies, atom)
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

    # ------------------------------------------------------------------------------- equations

    def read(self, atom: Atom, dtype: np.dtype[Any]) -> Elements:
        if isinstance(atom, Literal):
            return np.array(self.number(atom.value, dtype))
        return self.env[atom]

    def define(self, eqn: Equation) -> None:
        if len(eqn.outs) != 1 or eqn.out.aval.size > MAX_ELEMENTS:
            raise NotScalar
        lower, out = eqn.prim.lower, eqn.out.aval
        if out.dtype not in CODES or not out.size:
            raise NotScalar
        if isinstance(lower, (View, Assembly)):
            found = self.moved(eqn)
        elif isinstance(lower, Combine) and out.dtype.kind in lower.dtypes:
            found = self.reduced(eqn)
        elif isinstance(lower, Expression) and emittable(eqn):
            found = self.elementwise(eqn)
        else:
            raise NotScalar
        self.env[eqn.out] = found

    def moved(self, eqn: Equation) -> Elements:
        """What only moves elements moves their places; 0 is where it puts a zero."""
        out = eqn.out.aval
        xs = [self.read(a, out.dtype) for a in eqn.inputs]
        if isinstance(eqn.prim.lower, View) and eqn.prim.lower.name == "full":
            return np.full(out.shape, xs[0])
        found: Elements = np.asarray(evaluate(eqn, xs))
        if found.dtype != np.int64 or found.shape != out.shape:
            raise NotScalar
        return np.where(found == 0, self.number(0, out.dtype), found)

    def elementwise(self, eqn: Equation) -> Elements:
        lower, out = eqn.prim.lower, eqn.out.aval
        xs = [
            np.broadcast_to(self.read(a, dtype), out.shape).ravel()
            for a, dtype in zip(eqn.inputs, eqn.sig.loop, strict=True)
        ]
        text = lower.text(eqn.params) if callable(lower.text) else lower.text
        loop = eqn.sig.loop[-1] if eqn.sig.loop else out.dtype
        value = Compute(eqn.prim.name, text, (), out.dtype, loop)
        side = right_side(value, [f"{{{k}}}" for k in range(len(xs))])
        code = CODES[out.dtype]
        found = [self.applied(side, args, code) for args in zip(*map(_list, xs), strict=True)]
        return np.array(found, np.int64).reshape(out.shape)

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

    def reduced(self, eqn: Equation) -> Elements:
        lower, dtype = eqn.prim.lower, eqn.out.aval.dtype
        (x,) = eqn.inputs
        xs, axis = self.read(x, dtype), eqn.params["axis"]
        kept = [k for k in range(xs.ndim) if k not in axis]
        rows = xs.transpose(*kept, *axis).reshape(eqn.out.aval.size, -1)
        n = rows.shape[1]
        r = Reduce(
            eqn.prim.name, 0, eqn.out, (), dtype, lower.text, lower.identity, lower.finalize, n
        )
        text = combined(r, "{0}", "{1}") if n >= LONG_SUM else _in_order(r)
        found = [self.folded(r, text, _list(row)) for row in rows]
        return np.array(found, np.int64).reshape(eqn.out.aval.shape)

    def folded(self, r: Reduce, text: str, row: Sequence[int]) -> int:
        code = CODES[r.dtype]
        total = self.add(identity_text(r), (), code, False, True)
        for k in row:
            total = self.computed(text, (total, k), code)
        if r.finalize:
            n = self.number(r.n, r.dtype)
            total = self.computed(r.finalize.format(a="{0}", n="{1}"), (total, n), code)
        return total


def _list(xs: Elements) -> list[int]:
    found: list[int] = xs.tolist()
    return found


def _in_order(r: Reduce) -> str:
    """How two partial results combine, in the order of the elements."""
    text = r.combine.format(a="{0}", b="{1}")
    return f"{CODES[r.dtype]}({text})" if r.dtype.kind in "iu" else text


def rolled(item: Round) -> Emitted | None:
    """The loop *item* as one kernel, or None if a step is more than scalars and small arrays."""
    sizes = [v.aval.size for v in item.tape.inputs]
    if max(sizes, default=0) > MAX_ELEMENTS or len(item.tape) > MAX_STATEMENTS:
        return None
    try:
        return _Writer(item).emitted()
    except NotScalar:
        return None


class _Writer:
    """Writes the text of one loop."""

    def __init__(self, item: Round) -> None:
        self.item = item
        self.step = step = Step()
        step.param("n", "i8", Number(item.rounds.count))
        self.operands()
        for eqn in item.tape.eqns:
            step.define(eqn)
        self.results = [_list(step.read(a, a.aval.dtype).ravel()) for a in _vars(item)]
        self.names: dict[int, str] = {}

    def operands(self) -> None:
        rounds, step = self.item.rounds, self.step
        first, last = rounds.constants, rounds.constants + rounds.carry
        pairs = zip(self.item.eqn.inputs, self.item.tape.inputs, strict=True)
        self.start: list[tuple[str, str]] = []
        for k, (operand, var) in enumerate(pairs):
            assert isinstance(operand, Var)
            aval = var.aval
            if aval.dtype not in CODES or not aval.size:
                raise NotScalar
            code, elements = CODES[aval.dtype], range(aval.size)
            name = step.param(f"x{k}", f"{code}*", Pointer(operand, 0))
            if first <= k < last:
                texts = [_state(k - first, aval.size, e) for e in elements]
                self.start += [(text, f"{name}[{e}]") for e, text in enumerate(texts)]
            elif k < first:
                texts = [f"{name}[{e}]" for e in elements]
            else:
                texts = [f"{name}[{_place(aval.size, e)}]" for e in elements]
            numbers = [step.add(t, (), code, k >= first, first <= k < last) for t in texts]
            step.env[var] = np.array(numbers, np.int64).reshape(aval.shape)

    def emitted(self) -> Emitted:
        step, rounds = self.step, self.item.rounds
        used = self.used()
        if sum(not step.scalars[k].atom for k in used) > MAX_STATEMENTS:
            raise NotScalar
        before = list(self.statements(used, False))
        inside = list(self.statements(used, True))
        outs = self.item.eqn.outs
        for k, out in enumerate(outs):
            step.param(f"y{k}", f"{CODES[out.aval.dtype]}*", Pointer(out, 0))
        order = "range(n - 1, -1, -1)" if rounds.reverse else "range(n)"
        name = f"loop_{len(inside)}"
        body = [*inside, *self.rows(), *self.carried()]
        lines = [
            f"def {name}(lo, hi{''.join(', ' + p for p, _, _ in step.params)}):",
            *(f"    {line}" for line in before),
            *(f"    {name} = {text}" for name, text in self.start),
            f"    for at in {order}:",
            *(f"        {line}" for line in body),
            *(f"    {line}" for line in self.ends()),
        ]
        return Emitted(
            "\n".join(lines) + "\n",
            name,
            tuple([code for _, code, _ in step.params]),
            tuple([arg for _, _, arg in step.params]),
            1,
            0,
        )

    def used(self) -> list[int]:
        """What the results are computed from, in order."""
        found: set[int] = set()
        stack = [k for row in self.results for k in row]
        while stack:
            k = stack.pop()
            if k not in found:
                found.add(k)
                stack += self.step.scalars[k].args
        return sorted(found)

    def statements(self, used: Sequence[int], varying: bool) -> Iterator[str]:
        for k in used:
            scalar = self.step.scalars[k]
            if scalar.varies != varying:
                continue
            text = scalar.text.format(*[self.names[a] for a in scalar.args])
            self.names[k] = text if scalar.atom else f"v{k}"
            if not scalar.atom:
                yield f"v{k} = {text}"

    def rows(self) -> Iterator[str]:
        carry = self.item.rounds.carry
        for k, row in enumerate(self.results[carry:], carry):
            for e, number in enumerate(row):
                yield f"y{k}[{_place(len(row), e)}] = {self.names[number]}"

    def carried(self) -> Iterator[str]:
        """The next carry, by way of other names where one of the present is still to be read."""
        numbers = [n for row in self.results[: self.item.rounds.carry] for n in row]
        names = [name for name, _ in self.start]
        changed = [
            (name, self.names[n], self.step.scalars[n].code)
            for name, n in zip(names, numbers, strict=True)
            if self.names[n] != name
        ]
        moving = [value for _, value, _ in changed if value in names]
        for value in dict.fromkeys(moving):
            yield f"next_{value} = {value}"
        for name, value, code in changed:
            yield f"{name} = {code}({'next_' if value in moving else ''}{value})"

    def ends(self) -> Iterator[str]:
        names = iter([name for name, _ in self.start])
        for k, row in enumerate(self.results[: self.item.rounds.carry]):
            for e, _ in enumerate(row):
                yield f"y{k}[{e}] = {next(names)}"


def _vars(item: Round) -> list[Var]:
    return [a for a in item.tape.outputs if isinstance(a, Var)]


def _place(size: int, element: int) -> str:
    row = "at" if size == 1 else f"at * {size}"
    return f"{row} + {element}" if element else row


def _state(part: int, size: int, element: int) -> str:
    return f"s{part}_{element}" if size > 1 else f"s{part}"
