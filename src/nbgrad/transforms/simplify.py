"""Passes that keep the meaning of a tape: constant folding, common subexpressions, dead code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbgrad.core.check import checked
from nbgrad.core.interpret import replay, walk
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.primitive import bind
from nbgrad.core.tape import Equation, Literal, Tape
from nbgrad.ops.lowerings import View

Apply = Callable[[Equation, list[Any]], Any]


def _rebuild(tape: Tape, apply: Apply) -> Tape:
    """Walk *tape* with *apply* and linearize what it recorded, which drops dead code."""
    args = [placeholder(v.aval) for v in tape.inputs]
    env = walk(tape, args, apply)
    outs = [a.value if isinstance(a, Literal) else env[a] for a in tape.outputs]
    new, _ = linearize(outs, args)
    return checked(new.with_weak_inputs_of(tape))


def common_subexpressions(tape: Tape) -> Tape:
    """Compute equal equations once."""
    memo: dict[Any, Node] = {}

    def apply(eqn: Equation, xs: list[Any]) -> Node:
        key = (eqn.sig, *(x if x.__class__ is Node else (type(x), repr(x)) for x in xs))
        if key not in memo:
            memo[key] = replay(eqn, xs)
        return memo[key]

    return _rebuild(tape, apply)


def fold_constants(tape: Tape) -> Tape:
    """Replace filled arrays by their number where an elementwise operation reads them.

    A view of a filled array is filled too, and operations that change nothing go.
    """

    def apply(eqn: Equation, xs: list[Any]) -> Any:
        prim = eqn.prim
        if prim.alias and xs[0].aval is eqn.out.aval:
            return xs[0]
        numbers = [_number_in(x) for x in xs]
        if all(n is x for n, x in zip(numbers, xs, strict=True)):
            return replay(eqn, xs)
        if isinstance(prim.lower, View) and prim.lower.keeps_elements:
            aval = eqn.out.aval
            return xs[0].sig.prim(numbers[0], shape=aval.shape, dtype=aval.dtype)
        if prim.kind == "elementwise" and any(
            isinstance(n, Node) and n.shape == eqn.out.aval.shape for n in numbers
        ):
            folded = bind(prim, *numbers, **eqn.params)
            if folded.aval is eqn.out.aval:
                return folded
        return replay(eqn, xs)

    return _rebuild(tape, apply)


def _number_in(x: Any) -> Any:
    """The number that fills *x*, or *x*."""
    if isinstance(x, Node) and x.sig is not None:
        lower = x.sig.prim.lower
        if isinstance(lower, View) and lower.name == "full":
            return x.inputs[0]
    return x


PASSES: tuple[Callable[[Tape], Tape], ...] = (fold_constants, common_subexpressions)


def simplify(tape: Tape) -> Tape:
    """Run every pass in order."""
    for one in PASSES:
        tape = one(tape)
    return tape
