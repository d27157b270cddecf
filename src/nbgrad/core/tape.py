"""Tape: a flat, typed, single-assignment list of equations. Frozen; transforms make new ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nbgrad.core.aval import Aval, Scalar
from nbgrad.core.frozen import Frozen
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
        self.key = value.__class__, value if value.__class__ is int else repr(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Literal({self.value!r})"


Atom = Var | Literal


class Equation:
    """``outs = primitive(inputs, params)``; the signature holds primitive, params and avals.

    Results that nobody reads have their variables, too. Never changed, as a tape is not; to forbid
    it would make the making of one four times slower.
    """

    __slots__ = ("inputs", "line", "outs", "sig")

    def __init__(
        self,
        sig: Signature,
        inputs: tuple[Atom, ...],
        outs: tuple[Var, ...],
        line: str | None = None,
    ) -> None:
        self.sig = sig
        self.inputs = inputs
        self.outs = outs
        self.line = line

    @property
    def out(self) -> Var:
        """The result, or the first of several."""
        return self.outs[0]

    @property
    def prim(self) -> Primitive:
        return self.sig.prim

    @property
    def params(self) -> dict[str, Any]:
        return self.sig.params


class Tape(Frozen):
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
            for out in eqn.outs:
                number[out] = len(number)
        items.append(None)
        items.extend(_atom_key(a, number) for a in self.outputs)
        return tuple(items)


def _atom_key(atom: Atom, number: dict[Var, int]) -> Any:
    return atom.key if isinstance(atom, Literal) else number[atom]


class Body:
    """A tape as a param of an operation: a loop's step, a branch, what is computed again.

    Equal are those of one structure, however they were traced: an operation with equal bodies is
    one signature, and one program. A body is closed: what it reads beside the operation's operands
    is an operand, too.
    """

    __slots__ = ("_hash", "_key", "tape")

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self._key = tape.key()
        self._hash = hash(self._key)

    def __eq__(self, other: object) -> bool:
        return other.__class__ is Body and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        return Body, (self.tape,)

    def __repr__(self) -> str:
        return f"<Body of {len(self.tape)} equations>"


def _name(k: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    name = letters[k % 26]
    while k >= 26:
        k = k // 26 - 1
        name = letters[k % 26] + name
    return name


def living(eqns: Sequence[Equation], outputs: Sequence[Atom]) -> list[Equation]:
    """The equations that *outputs* need."""
    needed: set[Any] = set(outputs)
    kept = []
    for eqn in reversed(eqns):
        if not needed.isdisjoint(eqn.outs):
            needed.update(eqn.inputs)
            kept.append(eqn)
    kept.reverse()
    return kept


def names_of(tape: Tape) -> dict[Var, str]:
    """The names of the variables in the text of a tape: ``a``, ``b``, ..."""
    names: dict[Var, str] = {}
    for var in (*tape.inputs, *[out for eqn in tape.eqns for out in eqn.outs]):
        names[var] = _name(len(names))
    return names


def _lines(tape: Tape) -> Iterator[str]:
    """Yield numbered equations with shapes, dtypes and bytes."""
    names = names_of(tape)

    def show(atom: Atom) -> str:
        return repr(atom.value) if isinstance(atom, Literal) else names[atom]

    args = ", ".join(f"{names[v]}: {v.aval}{' weak' if v.weak else ''}" for v in tape.inputs)
    yield f"tape({args})"
    for k, eqn in enumerate(tape.eqns):
        bodies = {key: value for key, value in eqn.params.items() if value.__class__ is Body}
        params = "".join([f" {k}={v}" for k, v in eqn.params.items() if k not in bodies])
        operands = " ".join(show(a) for a in eqn.inputs)
        results = ", ".join(f"{names[out]}: {out.aval}" for out in eqn.outs)
        text = f"{k:4d}  {results} = {eqn.prim.name} {operands}{params}"
        nbytes = sum(out.aval.nbytes for out in eqn.outs)
        yield f"{text:<72}  # {nbytes} B" + (f"  {eqn.line}" if eqn.line else "")
        for key, body in bodies.items():
            yield f"      {key}:"
            yield from (" " * 8 + line for line in _lines(body.tape))
    yield "return " + ", ".join(show(a) for a in tape.outputs)
