"""The tape checker: scope, single assignment, operand avals, and every aval rule run again."""

from __future__ import annotations

from typing import Any

from nbgrad.config import settings
from nbgrad.core.aval import avals_of
from nbgrad.core.node import placeholder
from nbgrad.core.primitive import prepared
from nbgrad.core.tape import Atom, Equation, Literal, Tape, Var
from nbgrad.errors import TapeError


def check(tape: Tape) -> Tape:
    """Return *tape* if it is well formed.

    Raises
    ------
    TapeError
        Naming the first equation that is not.
    """
    defined: set[Var] = set()
    for var in tape.inputs:
        _define(var, defined, "input")
    for k, eqn in enumerate(tape.eqns):
        where = f"equation {k} ({eqn.prim.name})"
        for atom in eqn.inputs:
            _in_scope(atom, defined, where)
        _check_avals(eqn, where)
        for out in eqn.outs:
            _define(out, defined, where)
    for atom in tape.outputs:
        _in_scope(atom, defined, "output")
    return tape


def checked(tape: Tape) -> Tape:
    """Check *tape* where the configuration asks for it (tests do)."""
    return check(tape) if settings.current.check_tapes else tape


def _define(var: Var, defined: set[Var], where: str) -> None:
    if var in defined:
        raise TapeError(f"{where}: variable assigned twice")
    defined.add(var)


def _in_scope(atom: Atom, defined: set[Var], where: str) -> None:
    if isinstance(atom, Var) and atom not in defined:
        raise TapeError(f"{where}: reads a variable that is not defined before it")


def _operand(atom: Atom, expected: Any, where: str) -> Any:
    """A stand-in for *atom*: a Python number where the signature was made for one."""
    if isinstance(expected, type):
        if isinstance(atom, Var) and atom.aval.ndim:
            raise TapeError(f"{where}: operand is {atom.aval}, signature says a scalar")
        return atom.value if isinstance(atom, Literal) else expected(1)
    if isinstance(atom, Literal):
        return atom.value
    if atom.aval is not expected:
        raise TapeError(f"{where}: operand is {atom.aval}, signature says {expected}")
    return placeholder(atom.aval)


def _check_avals(eqn: Equation, where: str) -> None:
    pairs = zip(eqn.inputs, eqn.sig.operands, strict=True)
    operands = tuple(_operand(a, expected, where) for a, expected in pairs)
    given, aval, _ = prepared(eqn.prim, operands, eqn.params)
    if any(p is not o for p, o in zip(given, operands, strict=True)):
        raise TapeError(f"{where}: operands still need a cast or a broadcast")
    found = tuple([out.aval for out in eqn.outs])
    if found != avals_of(aval):
        shown = found[0] if len(found) == 1 else found
        raise TapeError(f"{where}: result is {shown}, its rule says {aval}")
