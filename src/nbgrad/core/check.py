"""The tape checker: scope, single assignment, operand avals, and every aval rule run again, once for a signature."""

from __future__ import annotations

from typing import Any, Final

from nbgrad.config import settings
from nbgrad.core.aval import Aval, avals_of
from nbgrad.core.node import placeholder
from nbgrad.core.primitive import prepared
from nbgrad.core.tape import Atom, Equation, Literal, Tape, Var
from nbgrad.errors import TapeError

MOST: Final = 1 << 12
# By the number of a signature, which it alone has, and by Python numbers among the operands. Neither
# signatures nor what they hold are kept.
_rules: dict[tuple[Any, ...], tuple[Aval, ...]] = {}


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


def _operand(atom: Atom, expected: Any) -> Any:
    """A stand-in for *atom*: a Python number where the signature was made for one."""
    if isinstance(atom, Literal):
        return atom.value
    return expected(1) if isinstance(expected, type) else placeholder(atom.aval)


def _fit(atom: Atom, expected: Any, where: str) -> None:
    if isinstance(atom, Literal):
        return
    if isinstance(expected, type):
        if atom.aval.ndim:
            raise TapeError(f"{where}: operand is {atom.aval}, signature says a scalar")
    elif atom.aval is not expected:
        raise TapeError(f"{where}: operand is {atom.aval}, signature says {expected}")


def _check_avals(eqn: Equation, where: str) -> None:
    for atom, expected in zip(eqn.inputs, eqn.sig.operands, strict=True):
        _fit(atom, expected, where)
    found, said = tuple([out.aval for out in eqn.outs]), _said(eqn, where)
    if found != said:
        first, rule = (found[0], said[0]) if len(found) == len(said) == 1 else (found, said)
        raise TapeError(f"{where}: result is {first}, its rule says {rule}")


def _said(eqn: Equation, where: str) -> tuple[Aval, ...]:
    """The avals that the rule gives, which the signature and the numbers decide."""
    numbers = [atom.key if isinstance(atom, Literal) else None for atom in eqn.inputs]
    key = (eqn.sig.number, *numbers)
    said = _rules.get(key)
    if said is None:
        pairs = zip(eqn.inputs, eqn.sig.operands, strict=True)
        operands = tuple([_operand(atom, expected) for atom, expected in pairs])
        given, aval, _ = prepared(eqn.prim, operands, eqn.params)
        if any(p is not o for p, o in zip(given, operands, strict=True)):
            raise TapeError(f"{where}: operands still need a cast or a broadcast")
        if len(_rules) >= MOST:
            _rules.clear()
        said = _rules[key] = avals_of(aval)
    return said
