"""Operations on one matrix, or on it and its transpose, that share one factorization.

A solve and its adjoint, which solves with the transposed matrix, are two equations of two matrices. Of
several such equations the first one's factors serve all. A determinant is made of factors in any case.
"""

from __future__ import annotations

from typing import Any

from nbgrad.core.tape import Equation, Tape, Var, living
from nbgrad.ops.kinds.forms import Factored, exchanges
from nbgrad.program.recorded import recorded


def factored(tape: Tape) -> Tape:
    """*tape* with one factorization of each matrix that several equations need one of, or one that has no kernel."""
    groups = _groups(tape)
    shared = {key: found for key, found in groups.items() if len(found) > 1 or _alone(found[0][0])}
    if not shared:
        return tape
    instead: dict[Var, list[Equation]] = {}
    for (factors, matrix), found in shared.items():
        eqns, made = recorded(factors, [matrix], found[0][0].line)
        for eqn, odd in found:
            instead[eqn.outs[0]] = [*eqns, *_result(eqn, made, odd)]
            eqns = []
    written = [e for eqn in tape.eqns for e in instead.get(eqn.outs[0], (eqn,))]
    return Tape(tape.inputs, tuple(living(written, tape.outputs)), tape.outputs)


def _alone(eqn: Equation) -> bool:
    return eqn.prim.lower.__class__ is Factored


def _how(eqn: Equation) -> Factored | None:
    lower: Any = eqn.prim.lower
    return lower if lower.__class__ is Factored else getattr(lower, "factored", None)


def _groups(tape: Tape) -> dict[Any, list[tuple[Equation, bool]]]:
    """The equations that may share factors, and whether each is of the transposed matrix."""
    groups: dict[Any, list[tuple[Equation, bool]]] = {}
    exchanged: dict[Any, Any] = {}
    for eqn in tape.eqns:
        how = _how(eqn)
        matrix, odd = eqn.inputs[0] if eqn.inputs else None, False
        if how is not None and isinstance(matrix, Var) and matrix.aval.dtype.kind == "f":
            while matrix in exchanged:
                matrix, odd = exchanged[matrix], not odd
            groups.setdefault((how.factors, matrix), []).append((eqn, odd))
        elif exchanges(eqn.sig):
            exchanged[eqn.out] = eqn.inputs[0]
    return groups


def _result(eqn: Equation, factors: list[Any], odd: bool) -> list[Equation]:
    """The equations of the result of *eqn*, made of the factors of its matrix."""
    n, how = len(factors), _how(eqn)
    assert how is not None

    def make(*nodes: Any) -> Any:
        return how.result(nodes[:n], odd, *nodes[n:], **eqn.params)

    return recorded(make, [*factors, *eqn.inputs[1:]], eqn.line, eqn.outs)[0]
