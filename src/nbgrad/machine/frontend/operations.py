"""Operators and conversions of numbers as LLVM instructions, as Numba makes them of the same text."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir

from nbgrad.machine.frontend.kinds import (
    FLOATS,
    NUMBERS,
    SIGNED,
    WHOLE,
    Kind,
    Typed,
    Unsupported,
    arithmetic,
    divided,
    joined,
    llvm_type,
    size,
)

Builder = Any
# What a user wrote as a product and a sum is rounded twice, as in NumPy; in helpers' polynomials
# they may be fused.
Flags = tuple[str, ...]


def converted(b: Builder, x: Typed, to: Kind) -> Any:
    """LLVM's value of *x* as one of the kind *to*."""
    kind, value = x.kind, x.value
    if kind == to:
        return value
    if isinstance(to, tuple) and isinstance(kind, tuple) and len(to) == len(kind):
        return struct(b, [converted(b, part, k) for part, k in zip(parts(b, x), to, strict=True)])
    if kind not in NUMBERS or to not in NUMBERS:
        raise Unsupported(f"a value of kind {kind} where one of kind {to} is wanted")
    if to == "b1":
        zero = value.type(0)
        wrong = b.fcmp_unordered if kind in FLOATS else b.icmp_unsigned
        return wrong("!=", value, zero)
    llvm = llvm_type(to)
    if kind in FLOATS:
        if to in FLOATS:
            return b.fpext(value, llvm) if to == "f8" else b.fptrunc(value, llvm)
        return b.fptosi(value, llvm) if to in SIGNED else b.fptoui(value, llvm)
    if to in FLOATS:
        return b.sitofp(value, llvm) if kind in SIGNED else b.uitofp(value, llvm)
    if size(to) < size(kind):
        return b.trunc(value, llvm)
    if size(to) == size(kind):
        return value
    return b.sext(value, llvm) if kind in SIGNED else b.zext(value, llvm)


def struct(b: Builder, values: list[Any]) -> Any:
    """LLVM's value of a tuple."""
    whole = ir.LiteralStructType([v.type for v in values])(ir.Undefined)
    for k, value in enumerate(values):
        whole = b.insert_value(whole, value, k)
    return whole


def parts(b: Builder, x: Typed) -> list[Typed]:
    """The values of a tuple."""
    return [Typed(kind, b.extract_value(x.value, k)) for k, kind in enumerate(x.kind)]


def called(b: Builder, name: str, result: Any, *args: Any) -> Any:
    """Call a function that LLVM or the C library has."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return b.call(declared(b.module, name, kind), args)


def declared(module: Any, name: str, kind: Any) -> Any:
    """The function *name* of a module."""
    return module.globals.get(name) or ir.Function(module, kind, name)


# ---------------------------------------------------------------------------------------- arithmetic


def _plain(name: str) -> Callable[..., Any]:
    def make(b: Builder, x: Any, y: Any, kind: str, flags: Flags) -> Any:
        if kind in FLOATS:
            return getattr(b, "f" + name)(x, y, flags=flags)
        return getattr(b, name)(x, y, flags=("nsw",) if kind in SIGNED else ())

    return make


def _quotient(b: Builder, x: Any, y: Any, kind: str, flags: Flags) -> Any:
    return b.fdiv(x, y, flags=flags)


def _whole_quotient(b: Builder, x: Any, y: Any, kind: str, flags: Flags) -> Any:
    if kind in FLOATS:
        raise Unsupported("// of floats")
    return _divided(b, x, y, kind)[0]


def _remainder(b: Builder, x: Any, y: Any, kind: str, flags: Flags) -> Any:
    if kind not in FLOATS:
        return _divided(b, x, y, kind)[1]
    rest, zero = b.frem(x, y, flags=flags), y.type(0)
    negative = b.fcmp_ordered("<", y, zero)
    turned = b.xor(negative, b.fcmp_ordered("<", rest, zero))
    moved = b.select(turned, b.fadd(rest, y, flags=flags), rest)
    signed = b.select(negative, y.type(-0.0), zero)
    return b.select(b.fcmp_ordered("==", rest, zero), signed, moved)


def _divided(b: Builder, x: Any, y: Any, kind: str) -> tuple[Any, Any]:
    """Quotient rounded down and remainder with the sign of *y*; both are 0 for *y* = 0, and where they overflow."""
    zero, one = y.type(0), y.type(1)
    if kind not in SIGNED:
        safe = b.select(b.icmp_unsigned("==", y, zero), one, y)
        none = b.icmp_unsigned("==", y, zero)
        return b.select(none, zero, b.udiv(x, safe)), b.select(none, zero, b.urem(x, safe))
    least = x.type(-(1 << (x.type.width - 1)))
    over = b.and_(b.icmp_signed("==", x, least), b.icmp_signed("==", y, y.type(-1)))
    none = b.or_(b.icmp_signed("==", y, zero), over)
    safe = b.select(none, one, y)
    quotient, rest = b.sdiv(x, safe), b.srem(x, safe)
    apart = b.icmp_signed("<", b.xor(y, rest), zero)
    lower = b.and_(b.icmp_signed("!=", rest, zero), apart)
    quotient = b.select(lower, b.sub(quotient, one), quotient)
    rest = b.select(lower, b.add(rest, y), rest)
    return b.select(none, zero, quotient), b.select(none, zero, rest)


def _bits(name: str) -> Callable[..., Any]:
    def make(b: Builder, x: Any, y: Any, kind: str, flags: Flags) -> Any:
        if kind in FLOATS:
            raise Unsupported("bits of floats")
        return getattr(b, name)(x, y)

    return make


def _shifted_right(b: Builder, x: Any, y: Any, kind: str, flags: Flags) -> Any:
    return b.ashr(x, y) if kind in SIGNED else b.lshr(x, y)


def _power(b: Builder, x: Any, y: Any, kind: str, flags: Flags) -> Any:
    if kind not in FLOATS:
        raise Unsupported("powers of integers")
    return called(b, f"llvm.pow.f{size(kind)}", x.type, x, y)


def _of_bits(x: Kind, y: Kind) -> Kind:
    return "b1" if x == y == "b1" else arithmetic(x, y)


def _of_shift(x: Kind, y: Kind) -> Kind:
    if x not in WHOLE or y not in WHOLE:
        raise Unsupported("shifts of what is no integer")
    return "u8" if x[0] == "u" else "i8"


def _of_power(x: Kind, y: Kind) -> Kind:
    if y not in FLOATS:
        raise Unsupported("powers with an integer")
    return arithmetic(x, y)


_BINARY: Final[dict[type[ast.operator], tuple[Callable[..., Kind], Callable[..., Any]]]] = {
    ast.Add: (arithmetic, _plain("add")),
    ast.Sub: (arithmetic, _plain("sub")),
    ast.Mult: (arithmetic, _plain("mul")),
    ast.Div: (divided, _quotient),
    ast.FloorDiv: (arithmetic, _whole_quotient),
    ast.Mod: (arithmetic, _remainder),
    ast.BitAnd: (_of_bits, _bits("and_")),
    ast.BitOr: (_of_bits, _bits("or_")),
    ast.BitXor: (_of_bits, _bits("xor")),
    ast.LShift: (_of_shift, _bits("shl")),
    ast.RShift: (_of_shift, _shifted_right),
    ast.Pow: (_of_power, _power),
}


def binary(b: Builder, op: ast.operator, x: Typed, y: Typed, flags: Flags) -> Typed:
    """``x op y``."""
    if type(op) not in _BINARY:
        raise Unsupported(type(op).__name__)
    of, make = _BINARY[type(op)]
    kind = of(x.kind, y.kind)
    return Typed(kind, make(b, converted(b, x, kind), converted(b, y, kind), kind, flags))


# --------------------------------------------------------------------------------------- comparisons

_COMPARISONS: Final[dict[type[ast.cmpop], str]] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


def compared(b: Builder, op: ast.cmpop, x: Typed, y: Typed, flags: Flags) -> Typed:
    """Whether ``x op y``."""
    if type(op) not in _COMPARISONS:
        raise Unsupported(type(op).__name__)
    return Typed("b1", _ordered(b, _COMPARISONS[type(op)], x, y, joined(x.kind, y.kind), flags))


def _ordered(b: Builder, sign: str, x: Typed, y: Typed, kind: str, flags: Flags) -> Any:
    if kind not in NUMBERS:
        raise Unsupported(f"comparison of {kind}")
    left, right = converted(b, x, kind), converted(b, y, kind)
    if kind in FLOATS:
        make = b.fcmp_unordered if sign == "!=" else b.fcmp_ordered
        return make(sign, left, right, flags=flags)
    return (b.icmp_signed if kind in SIGNED else b.icmp_unsigned)(sign, left, right)


# -------------------------------------------------------------------------------------- one operand


def unary(b: Builder, op: ast.unaryop, x: Typed) -> Typed:
    """``op x``."""
    if isinstance(op, ast.Not):
        return Typed("b1", b.not_(converted(b, x, "b1")))
    if isinstance(op, ast.USub):
        return negative(b, x)
    if isinstance(op, ast.Invert) and x.kind in WHOLE:
        kind = x.kind if x.kind == "b1" else arithmetic(x.kind, x.kind)
        return Typed(kind, converted(b, Typed(x.kind, b.not_(x.value)), kind))
    raise Unsupported(f"{type(op).__name__} of {x.kind}")


def negative(b: Builder, x: Typed) -> Typed:
    """``-x``; of an unsigned number it is taken before it gets 64 bits."""
    if x.kind in FLOATS:
        return Typed(x.kind, b.fneg(x.value))
    if x.kind not in WHOLE:
        raise Unsupported(f"- of {x.kind}")
    given = Typed("i8", converted(b, x, "i8")) if x.kind == "b1" else x
    found = Typed(given.kind, b.neg(given.value))
    kind = arithmetic(given.kind, given.kind)
    return Typed(kind, converted(b, found, kind))


def magnitude(b: Builder, x: Typed) -> Typed:
    """``abs(x)``."""
    if x.kind in FLOATS:
        return Typed(x.kind, called(b, f"llvm.fabs.f{size(x.kind)}", x.value.type, x.value))
    if x.kind not in SIGNED:
        return x
    below = b.icmp_signed("<", x.value, x.value.type(0))
    return Typed(x.kind, b.select(below, b.neg(x.value), x.value))


def extremum(b: Builder, sign: str, *values: Typed) -> Typed:
    """Python's ``max`` for ``">"`` and ``min`` for ``"<"``: NaN in the first place stays."""
    best = values[0]
    for value in values[1:]:
        kind = joined(best.kind, value.kind)
        x, y = (Typed(kind, converted(b, v, kind)) for v in (best, value))
        best = Typed(kind, b.select(_ordered(b, sign, y, x, kind, ()), y.value, x.value))
    return best


def chosen(b: Builder, condition: Typed, x: Typed, y: Typed) -> Typed:
    """``x if condition else y``, of which both are there."""
    kind = joined(x.kind, y.kind)
    bit = converted(b, condition, "b1")
    return Typed(kind, b.select(bit, converted(b, x, kind), converted(b, y, kind)))
