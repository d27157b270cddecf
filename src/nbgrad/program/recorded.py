"""Equations of what a function records, for passes that write some in the place of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Equation, Literal
from nbgrad.ops.kinds.forms import View


def recorded(
    make: Callable[..., Any], xs: Sequence[Any], line: Any, outs: Sequence[Any] = ()
) -> tuple[list[Equation], list[Any]]:
    """The equations of ``make(*xs)``, a node or several, and what its results are.

    Parameters
    ----------
    xs : sequence of Var or Literal
    outs : sequence of Var
        What the results are to be, if anything reads them.
    """
    given = list(dict.fromkeys(a for a in xs if a.__class__ is not Literal))
    stand_in = {a: placeholder(a.aval) for a in given}
    found = make(*[a.value if a.__class__ is Literal else stand_in[a] for a in xs])
    nodes = list(found) if isinstance(found, tuple | list) else [found]
    tape, _ = linearize(nodes, list(stand_in.values()))
    now: dict[Any, Any] = dict(zip(tape.inputs, given, strict=True))
    now.update(zip(tape.outputs, outs, strict=False))

    def names(atoms: Sequence[Any]) -> tuple[Any, ...]:
        return tuple([now.get(a, a) for a in atoms])

    eqns = [Equation(e.sig, names(e.inputs), names(e.outs), line) for e in tape.eqns]
    return eqns, list(names(tape.outputs))


def exchanges(eqn: Equation) -> bool:
    """Whether it transposes the matrices of a stack."""
    lower = eqn.prim.lower
    if not isinstance(lower, View) or lower.name != "transpose":
        return False
    perm = tuple(eqn.params["perm"])
    n = len(perm)
    return n > 1 and perm == (*range(n - 2), n - 1, n - 2)


def living(eqns: list[Equation], outputs: Sequence[Any]) -> list[Equation]:
    """Without what nothing reads any more."""
    needed: set[Any] = set(outputs)
    kept = []
    for eqn in reversed(eqns):
        if not needed.isdisjoint(eqn.outs):
            needed.update(eqn.inputs)
            kept.append(eqn)
    return kept[::-1]
