"""Operations that compute what earlier ones do, beside results of their own: both as one.

A primitive says so by ``beside(later, earlier)``: the params with which it gives the results of *earlier*
first, or None. So the value of a compiled function comes with the gradient, whose run begins with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.core.node import Node, placeholder
from nbgrad.core.primitive import bind
from nbgrad.core.results import results_of
from nbgrad.core.tape import Atom, Equation, Literal


def together(eqns: Sequence[Equation]) -> Sequence[Equation]:
    """The same equations, those that others compute beside their own left out."""
    several = [k for k, eqn in enumerate(eqns) if eqn.prim.beside is not None]
    for k in several:
        for later in several:
            found = _as_one(eqns, k, later) if later > k else None
            if found is not None:
                return together(found)
    return eqns


def _as_one(eqns: Sequence[Equation], k: int, j: int) -> list[Equation] | None:
    """The equations with number *k* computed by number *j*, or None."""
    first, last = eqns[k], eqns[j]
    if first.prim is not last.prim or last.inputs[: len(first.inputs)] != first.inputs:
        return None
    waits: set[Any] = set(first.outs)  # for the results of the first
    before, after = [], []
    for eqn in eqns[k + 1 : j]:
        if waits.isdisjoint(eqn.inputs):
            before.append(eqn)
        else:
            waits.update(eqn.outs)
            after.append(eqn)
    if not waits.isdisjoint(last.inputs):
        return None
    beside = first.prim.beside
    params = beside and beside(last.sig, first.sig)
    if params is None:
        return None
    both = _with(last, params, (*first.outs, *last.outs))
    return None if both is None else [*eqns[:k], *before, both, *after, *eqns[j + 1 :]]


def _with(eqn: Equation, params: dict[str, Any], outs: tuple[Any, ...]) -> Equation | None:
    """The equation with other params, and so other results."""
    known: dict[Atom, Any] = {
        a: placeholder(a.aval) for a in eqn.inputs if not isinstance(a, Literal)
    }
    xs = [a.value if isinstance(a, Literal) else known[a] for a in eqn.inputs]
    node = bind(eqn.prim, *xs, **params)
    if node.__class__ is not Node or len(node.inputs) != len(xs):
        return None
    if any(a is not b for a, b in zip(node.inputs, xs, strict=True)):
        return None  # it was cast on the way
    if [r.aval for r in results_of(node)] != [out.aval for out in outs]:
        return None
    return Equation(node.sig, eqn.inputs, outs, eqn.line)
