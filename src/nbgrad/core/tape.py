"""Tape: a flat, typed, single-assignment list of equations. Frozen; transforms make new ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nbgrad.core.aval import Aval, Scalar
from nbgrad.core.primitive import Primitive
from nbgrad.core.signature import Signature


class Var:
    """A value of a tape. ``weak`` marks a Python scalar lifted to an input (NEP 50)."""

    __slots__ = ("aval", "weak")

    def __init__(self, aval: Aval, weak: bool = False) -> None:
        self.aval = aval
        self.weak = weak


class Literal:
    """A Python scalar that belongs to the structure of the tape.

    Equal are those that no operation tells apart, which have one ``key``: not 1 and 1.0, nor 0.0 and
    -0.0.
    """

    __slots__ = ("key", "value")

    def __init__(self, value: Scalar) -> None:
        self.value = value
        self.key = value.__class__, repr(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Literal({self.value!r})"


Atom = Var | Literal


@dataclass(slots=True, eq=False)
class Equation:
    """``out = primitive(inputs, params)``; the signature holds primitive, params and avals.

    Never changed, as a tape is not; ``frozen`` would make the making of one four times slower.
    """

    sig: Signature
    inputs: tuple[Atom, ...]
    out: Var
    line: str | None = None

    @property
    def prim(self) -> Primitive:
        return self.sig.prim

    @property
    def params(self) -> dict[str, Any]:
        return self.sig.params


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """A recorded program: ``outputs`` computed from ``inputs`` by ``eqns`` in order."""

    inputs: tuple[Var, ...]
    eqns: tuple[Equation, ...]
    outputs: tuple[Atom, ...]

    def __len__(self) -> int:
        return len(self.eqns)

    def with_weak_inputs_of(self, other: Tape) -> Tape:
        """Mark as weak the inputs that stand for weak inputs of *other*, whose come first here."""
        for mine, given in zip(self.inputs, other.inputs, strict=False):
            mine.weak = given.weak
        return self

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def key(self) -> tuple[Any, ...]:
        """Structural key: equal for tapes that differ only in the identity of their variables."""
        number = {var: k for k, var in enumerate(self.inputs)}
        items: list[Any] = [(v.aval, v.weak) for v in self.inputs]
        for eqn in self.eqns:
            items.append(eqn.sig)
            items.extend(_atom_key(a, number) for a in eqn.inputs)
            number[eqn.out] = len(number)
        items.append(None)
        items.extend(_atom_key(a, number) for a in self.outputs)
        return tuple(items)


def _atom_key(atom: Atom, number: dict[Var, int]) -> Any:
    return atom.key if isinstance(atom, Literal) else number[atom]


def _name(k: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    name = letters[k % 26]
    while k >= 26:
        k = k // 26 - 1
        name = letters[k % 26] + name
    return name


def _lines(tape: Tape) -> Iterator[str]:
    """Yield numbered equations with shapes, dtypes and bytes."""
    names: dict[Var, str] = {}
    for var in tape.inputs:
        names[var] = _name(len(names))

    def show(atom: Atom) -> str:
        return repr(atom.value) if isinstance(atom, Literal) else names[atom]

    args = ", ".join(f"{names[v]}: {v.aval}{' weak' if v.weak else ''}" for v in tape.inputs)
    yield f"tape({args})"
    for k, eqn in enumerate(tape.eqns):
        names[eqn.out] = _name(len(names))
        params = "".join(f" {key}={value}" for key, value in eqn.params.items())
        operands = " ".join(show(a) for a in eqn.inputs)
        aval = eqn.out.aval
        text = f"{k:4d}  {names[eqn.out]}: {aval} = {eqn.prim.name} {operands}{params}"
        yield f"{text:<72}  # {aval.nbytes} B" + (f"  {eqn.line}" if eqn.line else "")
    yield "return " + ", ".join(show(a) for a in tape.outputs)
