"""Scalar functions of integers that kernel text may call: NumPy's results, at every operand.

Each serves every width: arithmetic is done in 64 bits and the kernel casts the result back. Those of
``signed`` wrap around where NumPy does, by the unsigned type: LLVM takes a signed overflow for
something that never happens, and a processor stops at INT_MIN // -1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

i8: Any = np.int64
u8: Any = np.uint64


def wrapped_negative(x: Any) -> Any:
    """``-x``, and the least number itself."""
    return i8(u8(0) - u8(x))


def floor_divide_signed(x: Any, y: Any) -> Any:
    """Quotient rounded down; 0 for a divisor of 0."""
    safe = i8(1) if (y == 0) | (y == -1) else i8(y)
    q = i8(0) if y == 0 else i8(i8(x) // safe)
    return wrapped_negative(x) if y == -1 else q


def remainder_signed(x: Any, y: Any) -> Any:
    """Remainder with the sign of the divisor; 0 for a divisor of 0."""
    safe = i8(1) if (y == 0) | (y == -1) else i8(y)
    return i8(i8(x) % safe)


def fmod_signed(x: Any, y: Any) -> Any:
    """Remainder with the sign of the first; 0 for a divisor of 0."""
    safe = i8(1) if (y == 0) | (y == -1) else i8(y)
    r = i8(i8(x) % safe)
    return i8(r - safe) if (r != 0) & ((x < 0) != (safe < 0)) else r


def floor_divide_unsigned(x: Any, y: Any) -> Any:
    """Quotient; 0 for a divisor of 0."""
    safe = u8(1) if y == 0 else u8(y)
    return u8(0) if y == 0 else u8(u8(x) // safe)


def remainder_unsigned(x: Any, y: Any) -> Any:
    """Remainder; 0 for a divisor of 0."""
    safe = u8(1) if y == 0 else u8(y)
    return u8(u8(x) % safe)


def gcd_unsigned(x: Any, y: Any) -> Any:
    """Greatest common divisor, by Euclid."""
    a, b = u8(x), u8(y)
    while a != u8(0):
        a, b = u8(b % a), a
    return b


def lcm_unsigned(x: Any, y: Any) -> Any:
    """Lowest common multiple; 0 where either is."""
    d = gcd_unsigned(x, y)
    safe = u8(1) if d == u8(0) else d
    return u8(u8(u8(x) // safe) * u8(y))


def magnitude(x: Any) -> Any:
    """Absolute value in 64 bits, without overflow."""
    return u8(0) - u8(i8(x)) if x < 0 else u8(i8(x))


def gcd_signed(x: Any, y: Any) -> Any:
    """Greatest common divisor of the absolute values."""
    return i8(gcd_unsigned(magnitude(x), magnitude(y)))


def lcm_signed(x: Any, y: Any) -> Any:
    """Lowest common multiple of the absolute values, which may wrap around."""
    return i8(lcm_unsigned(magnitude(x), magnitude(y)))


def bitwise_count_unsigned(x: Any) -> Any:
    """Number of bits that are 1: pairs, then fours, then eights are added up side by side."""
    n = u8(x)
    n = u8(n - u8(u8(n >> u8(1)) & u8(0x5555555555555555)))
    n = u8(u8(n & u8(0x3333333333333333)) + u8(u8(n >> u8(2)) & u8(0x3333333333333333)))
    n = u8(u8(n + u8(n >> u8(4))) & u8(0x0F0F0F0F0F0F0F0F))
    return u8(u8(n * u8(0x0101010101010101)) >> u8(56))


def bitwise_count_signed(x: Any) -> Any:
    """Number of bits that are 1 in the absolute value."""
    return bitwise_count_unsigned(magnitude(x))


# Shifts are done in 64 bits, where those of a narrow number have nothing, or its sign, to shift in.


def left_shift_any(x: Any, y: Any) -> Any:
    """``x * 2**y``; 0 where y is negative or there are not so many bits."""
    within = (y >= 0) & (y < 64)
    return u8(u8(x) << (u8(y) if within else u8(0))) if within else u8(0)


def right_shift_signed(x: Any, y: Any) -> Any:
    """``x / 2**y`` rounded down; its sign where y is negative or there are not so many bits."""
    within = (y >= 0) & (y < 63)
    return i8(i8(x) >> (i8(y) if within else i8(63)))


def right_shift_unsigned(x: Any, y: Any) -> Any:
    """``x / 2**y`` rounded down."""
    within = y < 64
    return u8(u8(x) >> (u8(y) if within else u8(0))) if within else u8(0)


def larger(x: Any, y: Any) -> Any:
    return x if x >= y else y


def smaller(x: Any, y: Any) -> Any:
    return x if x <= y else y


def same(x: Any) -> Any:
    """The operand: what rounding makes of an integer."""
    return x


def opposite(x: Any) -> Any:
    """All bits turned over."""
    return ~x


def denied(x: Any) -> Any:
    """Whether a boolean does not hold: its only bit turned over."""
    return not x


SIGNED: Final = ("i8", "i4", "i2", "i1")
UNSIGNED: Final = ("u8", "u4", "u2", "u1")
_OF_SIGNED: Final[dict[str, Callable[..., Any]]] = {
    "floor_divide": floor_divide_signed,
    "remainder": remainder_signed,
    "fmod": fmod_signed,
    "gcd": gcd_signed,
    "lcm": lcm_signed,
    "bitwise_count": bitwise_count_signed,
    "right_shift": right_shift_signed,
}
_OF_UNSIGNED: Final[dict[str, Callable[..., Any]]] = {
    "floor_divide": floor_divide_unsigned,
    "remainder": remainder_unsigned,
    "fmod": remainder_unsigned,
    "gcd": gcd_unsigned,
    "lcm": lcm_unsigned,
    "bitwise_count": bitwise_count_unsigned,
    "right_shift": right_shift_unsigned,
}
_OF_BOTH: Final[dict[str, Callable[..., Any]]] = {
    "left_shift": left_shift_any,
    "max": larger,
    "min": smaller,
    "floor": same,
    "ceil": same,
    "trunc": same,
    "invert": opposite,
}
INTEGERS: Final[dict[str, Callable[..., Any]]] = {
    f"{name}_{code}": function
    for codes, functions in (
        (SIGNED, _OF_SIGNED | _OF_BOTH),
        (UNSIGNED, _OF_UNSIGNED | _OF_BOTH),
    )
    for code in codes
    for name, function in functions.items()
}
INTEGERS["invert_b1"] = denied
