"""What kernel text calls that is a few LLVM instructions, each declared once: for this front end, and for Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir

from nbgrad.core.frozen import Value
from nbgrad.machine import intrinsics as plain
from nbgrad.machine.frontend.kinds import (
    COMPLEX,
    FLOATS,
    WHOLE,
    Kind,
    Typed,
    joined,
    llvm_type,
    size,
)
from nbgrad.machine.frontend.operations import called, chosen, converted, struct
from nbgrad.machine.vecmath import bits

ANY: Final = "any"  # the kind of an operand that is taken as it is


class Instruction(Value):
    """A name that kernel text may call.

    Attributes
    ----------
    result : str, tuple or function
        The kind of what it returns, or what says so for the kinds of operands.
    params : tuple or None
        What the operands are converted to; None, if *generate* takes them with their kinds.
    generate : function
        Writes it: of a builder and LLVM's values, or of a builder and `Typed` values.
    arity : int
    """

    name: str
    result: Any
    params: tuple[Kind, ...] | None
    generate: Callable[..., Any]
    arity: int

    def kind(self, kinds: tuple[Kind, ...]) -> Kind:
        """The kind of the result for operands of these kinds."""
        return self.result(*kinds) if callable(self.result) else self.result

    def write(self, b: Any, given: list[Typed]) -> Typed:
        """Write a call."""
        if len(given) != self.arity:
            raise TypeError(f"{self.name} takes {self.arity} operands, not {len(given)}")
        kind = self.kind(tuple([x.kind for x in given]))
        if self.params is None:
            return Typed(kind, self.generate(b, *given))
        pairs = zip(given, self.params, strict=True)
        values = [x.value if k == ANY else converted(b, x, k) for x, k in pairs]
        return Typed(kind, self.generate(b, *values))


def instruction(
    result: Any, *params: Kind, name: str = ""
) -> Callable[[Callable[..., Any]], Instruction]:
    """Declare a function of a builder and LLVM's values as an instruction."""

    def declare(generate: Callable[..., Any]) -> Instruction:
        return Instruction(name or generate.__name__, result, params, generate, len(params))

    return declare


def external(name: str, result: Kind, *params: Kind) -> Instruction:
    """A function of the C library, or of Python's C interface."""

    def generate(b: Any, *args: Any) -> Any:
        return called(b, name, llvm_type(result), *args)

    return Instruction(name, result, params, generate, len(params))


# ------------------------------------------------------------------------- what is in plain Python


def _added(a: Kind, b: Kind) -> Kind:
    kind = joined(a, b)
    return "i8" if kind == "b1" else kind  # a sum of booleans counts, as in NumPy


def _reduce_add(b: Any, x: Typed, y: Typed) -> Any:
    kind = _added(x.kind, y.kind)
    left, right = converted(b, x, kind), converted(b, y, kind)
    if kind in WHOLE:
        return b.add(left, right)
    if kind in COMPLEX:
        pairs = [(b.extract_value(left, k), b.extract_value(right, k)) for k in range(2)]
        return struct(b, [b.fadd(*pair, flags=("reassoc",)) for pair in pairs])
    return b.fadd(left, right, flags=("reassoc",))


def _extremum(name: str) -> Callable[..., Any]:
    """LLVM's intrinsic that is NaN if one of two floats is, of which it makes vectors in loops."""

    def generate(b: Any, x: Typed, y: Typed) -> Any:
        kind = joined(x.kind, y.kind)
        assert kind in FLOATS
        pair = [converted(b, v, kind) for v in (x, y)]
        return called(b, f"llvm.{name}.f{size(kind)}", llvm_type(kind), *pair)

    return generate


def _select(b: Any, condition: Typed, x: Typed, y: Typed) -> Any:
    return chosen(b, condition, x, y).value


def _bitcast(source: str, target: str) -> Instruction:
    name = f"{source}_as_{target}"
    return instruction(target, source, name=name)(lambda b, x: b.bitcast(x, llvm_type(target)))


@instruction("f8", "f8", "f8")
def _rest_of(b: Any, x: Any, y: Any) -> Any:
    """C's ``fmod`` as a call: of the instruction LLVM would make vectors, lane by lane."""
    return called(b, "fmod", ir.DoubleType(), x, y)


# Keyed by the plain functions, so that a helper's globals are translated by identity.
BY_PLAIN: Final[dict[Any, Instruction]] = {
    plain.reduce_add: Instruction("reduce_add", _added, None, _reduce_add, 2),
    plain.reduce_max: Instruction("reduce_max", joined, None, _extremum("maximum"), 2),
    plain.reduce_min: Instruction("reduce_min", joined, None, _extremum("minimum"), 2),
    plain.select: Instruction("select", lambda c, x, y: joined(x, y), None, _select, 3),
    bits.rest_of: _rest_of,
    bits.f8_as_i8: _bitcast("f8", "i8"),
    bits.i8_as_f8: _bitcast("i8", "f8"),
    bits.f4_as_i4: _bitcast("f4", "i4"),
    bits.i4_as_f4: _bitcast("i4", "f4"),
}
