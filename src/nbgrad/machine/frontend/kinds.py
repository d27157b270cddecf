"""What a value of kernel text is: a number of some width, a pointer, or several of these.

A kind is a type code, such as ``"f8"`` or ``"i4*"``; a tuple of kinds, of a tuple; or ``"none"``. What
operators make of two numbers is what Numba makes of them, for whom the same text is written on a card.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir

Kind = Any  # str | tuple[Kind, ...]

SIGNED: Final = ("i1", "i2", "i4", "i8")
UNSIGNED: Final = ("u1", "u2", "u4", "u8")
FLOATS: Final = ("f4", "f8")
COMPLEX: Final = ("c8", "c16")  # pairs, which are read, written and added up
WHOLE: Final = frozenset(("b1", *SIGNED, *UNSIGNED))
NUMBERS: Final = frozenset((*WHOLE, *FLOATS))
# What a float32 holds exactly, for an operator.
_NARROW: Final = frozenset(("b1", "i1", "i2", "u1"))


class Unsupported(Exception):
    """Text says what this front end does not know."""


class Typed:
    """A value in a function that is being written: its kind, and LLVM's value."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: Kind, value: Any) -> None:
        self.kind = kind
        self.value = value


_TYPES: Final[dict[str, Any]] = {
    "b1": ir.IntType(1),
    **{code: ir.IntType(8 * int(code[1])) for code in (*SIGNED, *UNSIGNED)},
    "f4": ir.FloatType(),
    "f8": ir.DoubleType(),
    **{
        f"c{2 * n}": ir.LiteralStructType([t, t])
        for n, t in ((4, ir.FloatType()), (8, ir.DoubleType()))
    },
    "none": ir.VoidType(),
}
BYTE: Final = ir.IntType(8)


def llvm_type(kind: Kind) -> Any:
    """LLVM's type of a value in registers."""
    if isinstance(kind, tuple):
        return ir.LiteralStructType([llvm_type(k) for k in kind])
    if kind == "b1*":
        return BYTE.as_pointer()
    if kind.endswith("*"):
        return llvm_type(kind[:-1]).as_pointer()
    if kind not in _TYPES:
        raise Unsupported(f"numbers of type {kind}")
    return _TYPES[kind]


def size(code: str) -> int:
    """Bits of an integer, or of a float."""
    return 1 if code == "b1" else 8 * int(code[1:])


def is_pointer(kind: Kind) -> bool:
    """Whether it is followed by an index."""
    return isinstance(kind, str) and kind.endswith("*")


def joined(a: Kind, b: Kind) -> Kind:
    """What holds either of two values: of branches, choices, comparisons.

    Examples
    --------
    >>> joined("f4", "i4"), joined("u4", "i1"), joined("u8", "i8")
    ('f8', 'i8', 'f8')
    """
    if a == b:
        return a
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(map(joined, a, b))
    if a not in NUMBERS or b not in NUMBERS:
        raise Unsupported(f"one name or choice for {a} and {b}")
    if "f8" in (a, b):
        return "f8"
    if "f4" in (a, b):
        other = b if a == "f4" else a
        return "f4" if other in _NARROW or other == "u2" else "f8"
    if "b1" in (a, b):
        return b if a == "b1" else a
    if a[0] == b[0]:
        return max(a, b)
    signed, other = (a, b) if a[0] == "i" else (b, a)
    if other == "u8":
        return "f8"
    return max(signed, "i" + str(2 * int(other[1])))


def arithmetic(a: Kind, b: Kind) -> Kind:
    """What a sum, a difference or a product is: integers have 64 bits.

    Examples
    --------
    >>> arithmetic("i4", "i4"), arithmetic("f4", "f4"), arithmetic("b1", "b1")
    ('i8', 'f4', 'i8')
    """
    if a not in NUMBERS or b not in NUMBERS:
        raise Unsupported(f"arithmetic of {a} and {b}")
    if a in WHOLE and b in WHOLE:
        return "u8" if a[0] == b[0] == "u" else "i8"
    if "f8" in (a, b):
        return "f8"
    return "f4" if (a in FLOATS and b in FLOATS) or a in _NARROW or b in _NARROW else "f8"


def divided(a: Kind, b: Kind) -> Kind:
    """What a quotient is."""
    found = arithmetic(a, b)
    return "f8" if found in WHOLE else found
