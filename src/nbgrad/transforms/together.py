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

MOST = 32  # pairs that are tried, each of which goes through all equations: planning stays linear
ALIKE = 8  # earlier ones of the same operands that are remembered


def together(eqns: Sequence[Equation]) -> Sequence[Equation]:
    """The same equations, those that others compute beside their own left out."""
    tried: set[tuple[Any, Any]] = set()
    while len(tried) < MOST:
        pair = _pair(eqns, tried)
        if pair is None:
            break
        k, j = pair
        tried.add((eqns[k].outs, eqns[j].outs))
        eqns = _as_one(eqns, k, j) or eqns
    return eqns


def _pair(eqns: Sequence[Equation], tried: set[tuple[Any, Any]]) -> tuple[int, int] | None:
    """The numbers of an equation and of a later one whose first operands are those of it."""
    known: dict[Any, list[int]] = {}
    lengths: set[int] = set()
    for j, eqn in enumerate(eqns):
        if eqn.prim.beside is None:
            continue
        for n in lengths:
            for k in known.get((eqn.prim, eqn.inputs[:n]), ()):
                if (eqns[k].outs, eqn.outs) not in tried:
                    return k, j
        alike = known.setdefault((eqn.prim, eqn.inputs), [])
        if len(alike) < ALIKE:
            alike.append(j)
        lengths.add(len(eqn.inputs))
    return None


def _as_one(eqns: Sequence[Equation], k: int, j: int) -> list[Equation] | None:
    """The equations with number *k* computed by number *j*, or None."""
    first, last = eqns[k], eqns[j]
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
