"""Equations of what a function records, for passes that write some in the place of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Equation, Literal


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
