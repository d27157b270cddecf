"""Truncated Taylor series through a tape, of the rules of forward mode alone.

A line is a value along a curve: its coefficients of 1, t, t^2, ..., each computed when it is asked
for. What an operation does to them follows from its tangent T, which is a function of the tangents,
operands and results written in operations (``Rules.jvp``). Where T reads neither a moving operand nor
a result, the operation is linear, and T takes each coefficient as it is. Where it is linear in each
of two operands, T of the one at coefficients of the other gives the products of Cauchy. Everything
else is an ordinary differential equation, y' = T(x', x, y): the rule itself is a tape, whose line
to order k needs those of x' and y to order k alone; so y to order k + 1 is that of the rule, divided.

Lines of the same operation on the same lines are one. That closes the circles: the rule of the sine
asks for the cosine and that for the sine, to one order less. Cost is polynomial in the order.

Griewank and Walther, Evaluating Derivatives (2008), chapter 13; McIlroy, Power series, power serious
(1999).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from nbgrad.core.check import checked
from nbgrad.core.interpret import computed, read, replay, walk
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.record import record
from nbgrad.core.results import results_of
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Literal, Tape, Var
from nbgrad.core.values import value_of
from nbgrad.errors import NO_JVP, NO_SERIES
from nbgrad.ops.kinds.cotangents import add_up, is_number, materialize
from nbgrad.transforms.jvp import spread

LINEAR, PRODUCT, GENERAL = "linear", "product", "general"


class Line:
    """A value along a curve; coefficients after the first may be None, 0, or a number for all."""

    __slots__ = ("_prime", "aval", "found", "make", "moving")

    def __init__(self, aval: Any, value: Any, make: Callable[[int], Any] | None = None) -> None:
        self.aval = aval
        self.found = [value]
        self.make = make
        self.moving = make is not None
        self._prime: Line | None = None

    def __getitem__(self, k: int) -> Any:
        while len(self.found) <= k:
            self.found.append(None if self.make is None else self.make(len(self.found)))
        return self.found[k]

    def filled(self, k: int) -> Node:
        """A coefficient as an array."""
        c = self[k]
        return materialize(0.0 if c is None else c, self.aval)

    @property
    def prime(self) -> Line:
        """The derivative along the curve."""
        if self._prime is None:
            self._prime = Line(self.aval, self.filled(1), lambda k: scaled(self[k + 1], k + 1))
        return self._prime

    def forget(self) -> None:
        """Leave no circle behind: what else refers to a node decides whether its value is kept."""
        line: Line | None = self
        while line is not None:
            line.make, further = None, line._prime
            line._prime, line = None, further


def scaled(c: Any, by: float) -> Any:
    return c if c is None or by == 1 else c * by


class Rule:
    """What the tangent of an operation is, for operands of which some are moving."""

    __slots__ = ("constants", "kind", "tape")

    def __init__(self, sig: Signature, xs: Sequence[Any], moving: Sequence[bool]) -> None:
        tape, self.constants, others, results = _traced(sig, xs, moving)
        self.tape = tape
        reads = _needed(tape)
        active = [x for x, m in zip(others, moving, strict=True) if m]
        self.kind = GENERAL
        if reads.isdisjoint(active) and reads.isdisjoint(results):
            self.kind = LINEAR
        elif sum(moving) == 2 and reads.isdisjoint(results) and self._is_product(sig, xs, moving):
            self.kind = PRODUCT

    @staticmethod
    def _is_product(sig: Signature, xs: Sequence[Any], moving: Sequence[bool]) -> bool:
        """Whether it is linear in each of its two moving operands."""
        places = [k for k, m in enumerate(moving) if m]
        for k, other in (places, places[::-1]):
            tape, constants, others, results = _traced(sig, xs, [p == k for p in range(len(xs))])
            reads = _needed(tape)
            if others[k] in reads or not reads.isdisjoint(results):
                return False
            # One that is not 0 where the other operand is has a part that is no product.
            given = [np.full(v.aval.shape, v is not others[other], v.aval.dtype)
                     for v in tape.inputs[: len(tape.inputs) - len(constants)]]  # fmt: skip
            found = computed(tape, [*given, *(value_of(c) for c in constants)])
            if any(np.any(y) for y in found):
                return False
        return True


def _traced(
    sig: Signature, xs: Sequence[Any], moving: Sequence[bool]
) -> tuple[Tape, list[Node], list[Any], list[Var]]:
    """The rule as a tape, what it reads besides, the variables of operands and of results."""
    avals = getattr(sig.aval, "parts", (sig.aval,))
    ys = [placeholder(a) for a in avals]
    nodes = [placeholder(x.aval) if isinstance(x, Line) else x for x in xs]
    ts = [placeholder(x.aval) if m else None for x, m in zip(xs, moving, strict=True)]
    made = sig.prim.jvp(ts, ys[0] if len(ys) == 1 else tuple(ys), nodes, sig.params)  # type: ignore[misc]
    made = made if len(ys) > 1 else (made,)
    outs: list[Any] = [0.0 if y is None else y for y in made]
    outs = [y if is_number(y) else spread(y, v.aval) for y, v in zip(outs, ys, strict=True)]
    inputs = [*(t for t in ts if t is not None), *ys, *(x for x in nodes if isinstance(x, Node))]
    tape, constants = linearize(outs, inputs)
    first = len(inputs) - sum(isinstance(x, Node) for x in nodes)
    rest = iter(tape.inputs[first : len(inputs)])
    operands = [next(rest) if isinstance(x, Node) else x for x in nodes]
    return tape, constants, operands, list(tape.inputs[first - len(ys) : first])


def _needed(tape: Tape) -> set[Any]:
    needed = {a for a in tape.outputs if isinstance(a, Var)}
    for eqn in reversed(tape.eqns):
        if not needed.isdisjoint(eqn.outs):
            needed.update([a for a in eqn.inputs if isinstance(a, Var)])
    return needed


class Curves:
    """The lines of a computation; those of the same operation on the same lines are one."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.lines: dict[Any, tuple[Any, tuple[Line, ...]]] = {}
        self.rules: dict[Any, Rule] = {}

    def made(self) -> Iterator[Line]:
        """All lines there are."""
        for xs, ys in self.lines.values():
            yield from (x for x in (*xs, *ys) if isinstance(x, Line))

    def run(self, tape: Tape, env: dict[Any, Any]) -> None:
        """Add to *env* the lines of the variables of *tape*."""
        for eqn in tape.eqns:
            xs = [read(env, a) for a in eqn.inputs]
            env.update(zip(eqn.outs, self.apply(eqn.sig, xs), strict=True))

    def apply(
        self, sig: Signature, xs: list[Any], ys: tuple[Node, ...] | None = None
    ) -> tuple[Line, ...]:
        """The lines of the results of one operation."""
        key = sig, tuple([id(x) if isinstance(x, Line) else Literal(x) for x in xs])
        if key not in self.lines:
            if ys is None:
                given = tuple([x.filled(0) if isinstance(x, Line) else x for x in xs])
                ys = results_of(record(sig, given))
            self.lines[key] = xs, self._lines(sig, xs, ys)
        return self.lines[key][1]

    def _lines(self, sig: Signature, xs: list[Any], ys: tuple[Node, ...]) -> tuple[Line, ...]:
        moving = [isinstance(x, Line) and x.moving and x.aval.inexact for x in xs]
        if not sig.differentiable or not any(moving):
            return tuple([Line(y.aval, y) for y in ys])
        if sig.prim.jvp is None:
            raise NotImplementedError(NO_JVP.format(name=sig.prim.name))
        if any(y.watch is not None and y.watch.context is not None for y in ys):
            raise NotImplementedError(NO_SERIES.format(name=sig.prim.name))
        if sig.prim.rules.series:
            return self._at_once(sig, xs, ys, moving)
        return _Step(self, sig, xs, ys, moving).lines

    def _at_once(
        self, sig: Signature, xs: list[Any], ys: tuple[Node, ...], moving: list[bool]
    ) -> tuple[Line, ...]:
        """The lines of an operation that has a body: it takes all coefficients together."""
        orders = range(1, self.order + 1)
        terms = [tuple([x.filled(k) for k in orders]) if m else None
                 for x, m in zip(xs, moving, strict=True)]  # fmt: skip
        values = [x.filled(0) if isinstance(x, Line) else x for x in xs]
        made = sig.prim.jvp(terms, ys[0] if len(ys) == 1 else ys, values, sig.params)  # type: ignore[misc]
        made = made if len(ys) > 1 else (made,)
        return tuple(
            [Line(y.aval, y) if found is None else Line(y.aval, y, partial(_term, list(found)))
             for y, found in zip(ys, made, strict=True)]
        )  # fmt: skip

    def rule(self, sig: Signature, xs: list[Any], moving: list[bool]) -> Rule:
        key = sig, tuple(moving), tuple([None if isinstance(x, Line) else Literal(x) for x in xs])
        if key not in self.rules:
            self.rules[key] = Rule(sig, xs, moving)
        return self.rules[key]


class _Step:
    """An operation on lines: how coefficient k of its results comes from those of its operands."""

    def __init__(
        self,
        curves: Curves,
        sig: Signature,
        xs: list[Any],
        ys: tuple[Node, ...],
        moving: list[bool],
    ) -> None:
        self.curves, self.sig, self.xs, self.ys, self.moving = curves, sig, xs, ys, moving
        self.rule = curves.rule(sig, xs, moving)
        self.values = [x.filled(0) if isinstance(x, Line) else x for x in xs]
        self.rates: list[Any] | None = None
        self.known: dict[int, tuple[Any, ...]] = {}
        self.lines = tuple(
            [Line(y.aval, y, partial(self.coefficient, n)) for n, y in enumerate(ys)]
        )

    def coefficient(self, n: int, k: int) -> Any:
        return self.coefficients(k)[n]

    def coefficients(self, k: int) -> tuple[Any, ...]:
        if k not in self.known:
            make = {LINEAR: self._linear, PRODUCT: self._product, GENERAL: self._rate}
            self.known[k] = make[self.rule.kind](k)
        return self.known[k]

    def tangents(self, ts: list[Any], values: list[Any]) -> tuple[Any, ...]:
        """The rule of the operation, of tangents that are coefficients."""
        if all(t is None for t in ts):
            return (None,) * len(self.ys)
        given = self.ys if len(self.ys) > 1 else self.ys[0]
        made = self.sig.prim.jvp(ts, given, values, self.sig.params)  # type: ignore[misc]
        made = made if len(self.ys) > 1 else (made,)
        return tuple(
            [t if is_number(t) else spread(t, y.aval) for t, y in zip(made, self.ys, strict=True)]
        )

    def _linear(self, k: int) -> tuple[Any, ...]:
        ts = [x[k] if m else None for x, m in zip(self.xs, self.moving, strict=True)]
        return self.tangents(ts, self.values)

    def _product(self, k: int) -> tuple[Any, ...]:
        first, second = (n for n, m in enumerate(self.moving) if m)
        terms = []
        for i in range(k + 1):
            # Of the two of one sum the one whose tangent is not the value at order 0.
            place, other, order = (first, second, i) if i else (second, first, k)
            ts: list[Any] = [None] * len(self.xs)
            values = list(self.values)
            ts[place] = self.xs[place][order]
            if k - order and self.xs[other][k - order] is None:
                continue
            values[other] = self.xs[other].filled(k - order)
            terms.append(self.tangents(ts, values))
        return tuple([add_up(list(each)) for each in zip(*terms, strict=True)])

    def _rate(self, k: int) -> tuple[Any, ...]:
        if self.rates is None:
            self.rates = self._equation()
        return tuple([scaled_down(_at(rate, k - 1), k) for rate in self.rates])

    def _equation(self) -> list[Any]:
        """The lines of the derivatives of the results along the curve."""
        rule = self.rule
        moving = [x.prime for x, m in zip(self.xs, self.moving, strict=True) if m]
        others = [x for x in self.xs if isinstance(x, Line)]
        constants = [Line(c.aval, c) for c in rule.constants]
        env = dict(zip(rule.tape.inputs, [*moving, *self.lines, *others, *constants], strict=True))
        self.curves.run(rule.tape, env)
        return [read(env, a) for a in rule.tape.outputs]


def _at(rate: Any, k: int) -> Any:
    if isinstance(rate, Line):
        return rate[k]
    return rate if k == 0 and rate != 0 else None


def scaled_down(c: Any, by: int) -> Any:
    return c if c is None or by == 1 else c / by


def _term(terms: list[Any], k: int) -> Any:
    return terms[k - 1] if k <= len(terms) else None


def coefficients(
    tape: Tape, env: dict[Var, Node], wrt: Sequence[Var], given: Sequence[Sequence[Any]], order: int,
    closed: Collection[Var] = (),
) -> list[list[Any]]:  # fmt: skip
    """Coefficients 1 to *order* of each output of *tape*, recorded as nodes.

    Parameters
    ----------
    tape : Tape
    env : mapping
        The nodes of its variables.
    wrt, given : sequence
        Inputs, and their coefficients from 1 up.
    order : int
    closed : collection of Var
        What does not move.
    """
    fixed = set(closed)
    lines: dict[Any, Any] = {v: Line(v.aval, env[v]) for v in tape.inputs}
    for v, terms in zip(wrt, given, strict=True):
        lines[v] = Line(v.aval, env[v], partial(_term, [*terms]))
    curves = Curves(order)
    for eqn in tape.eqns:
        xs = [read(lines, a) for a in eqn.inputs]
        made = curves.apply(eqn.sig, xs, tuple([env[out] for out in eqn.outs]))
        for out, line in zip(eqn.outs, made, strict=True):
            lines[out] = Line(out.aval, env[out]) if out in fixed else line
            lines[out][order]  # now: or the last would ask for all before them, one in the other
    found = [
        [line[k] for k in range(1, order + 1)] if isinstance(line, Line) else [None] * order
        for line in (read(lines, a) for a in tape.outputs)
    ]
    for line in (*lines.values(), *curves.made()):
        line.forget()
    return found


def series(tape: Tape, wrt: Sequence[Var], order: int) -> tuple[Tape, list[Node]]:
    """Return the tape of outputs and of their coefficients, and the constants that are its last inputs.

    Inputs of the new tape are those of *tape*, then for each of *wrt* its coefficients of t, t^2, ...;
    outputs are those of *tape*, then for each the same.
    """
    args = [placeholder(v.aval) for v in tape.inputs]
    given = [[placeholder(v.aval) for _ in range(order)] for v in wrt]
    env = walk(tape, args, replay)
    found = coefficients(tape, env, wrt, given, order)
    outs: list[Any] = [read(env, a) for a in tape.outputs]
    for atom, terms in zip(tape.outputs, found, strict=True):
        for c in terms:
            known = isinstance(atom, Literal)
            outs.append(0.0 if known else materialize(0.0 if c is None else c, atom.aval))  # type: ignore[union-attr]
    new, constants = linearize(outs, [*args, *(t for terms in given for t in terms)])
    return checked(new.with_weak_inputs_of(tape)), constants
