"""Scalar functions on the parts of floating-point numbers: bits, neighbours, remainders.

The results are NumPy's to the bit. Those whose name ends in f4 alone are written for float32; the
others serve both, and the kernel's text casts what they return.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nbgrad.machine.vecmath.bits import (
    HEAD_F8,
    INF,
    NAN,
    SIGN_F4,
    SIGN_F8,
    f4,
    f4_as_i4,
    f8,
    f8_as_i8,
    i4,
    i4_as_f4,
    i8_as_f8,
    rest_of,
)

i8: Any = np.int64
# From here on numbers are whole: adding it rounds to an integer, halves to the even one.
_WHOLE = f8(4503599627370496.0)  # 2**52; of NumPy, or a float32 would stay one in the simulator


def rint_f8(x: Any) -> Any:
    """Nearest integer, halves to the even one; like the next three it keeps the sign of zero."""
    size = abs(x)
    return math.copysign((size + _WHOLE) - _WHOLE, x) if size < _WHOLE else x


def floor_f8(x: Any) -> Any:
    size = abs(x)
    y = math.copysign((size + _WHOLE) - _WHOLE, x)
    return math.copysign(y - 1.0 if y > x else y, x) if size < _WHOLE else x


def ceil_f8(x: Any) -> Any:
    size = abs(x)
    y = math.copysign((size + _WHOLE) - _WHOLE, x)
    return math.copysign(y + 1.0 if y < x else y, x) if size < _WHOLE else x


def trunc_f8(x: Any) -> Any:
    size = abs(x)
    y = (size + _WHOLE) - _WHOLE
    return math.copysign(y - 1.0 if y > size else y, x) if size < _WHOLE else x


def fraction_f8(x: Any) -> Any:
    """What trunc leaves, with the sign of *x*: 0 of infinity."""
    rest = x - trunc_f8(x)
    return math.copysign(0.0 if abs(x) == INF else rest, x)


def fmod_f8(x: Any, y: Any) -> Any:
    """C's remainder, which is exact and has the sign of *x*.

    Where the quotient is a number q of 24 bits, its products with both halves of y are exact, and so
    are the differences, as the rest is at most half of y: five times as fast as libm's steps.
    """
    q = rint_f8(f8(x) / f8(y))
    if (abs(q) < 16777216.0) & (abs(y) < INF) & (abs(x) < 1e307):
        head = i8_as_f8(f8_as_i8(y) & HEAD_F8)
        r = (x - q * head) - q * (y - head)
        same = (r == 0.0) | ((r < 0.0) == (x < 0.0))
        return math.copysign(r if same else abs(y) - abs(r), x)
    return rest_of(x, y)


def remainder_f8(x: Any, y: Any) -> Any:
    """The remainder with the sign of *y*, as NumPy rounds it."""
    r = fmod_f8(x, y)
    turned = r + y if (y < 0.0) != (r < 0.0) else r
    return turned if (r != 0.0) | (y == 0.0) else math.copysign(0.0, y)


def floor_divide_f8(x: Any, y: Any) -> Any:
    """Quotient rounded down: of what the remainder leaves, which y divides nearly without one."""
    r = fmod_f8(x, y)
    q = (x - r) / y
    q = q - 1.0 if (r != 0.0) & ((y < 0.0) != (r < 0.0)) else q
    whole = floor_f8(q)
    whole = whole + 1.0 if q - whole > 0.5 else whole
    result = whole if q != 0.0 else math.copysign(0.0, x / y)
    return result if y != 0.0 else x / y


def floor_divide_f4(x: Any, y: Any) -> Any:
    """The same, rounded to float32 at each step."""
    r = f4(fmod_f8(x, y))
    q = f4(f4(x - r) / y)
    q = f4(q - f4(1.0)) if (r != f4(0.0)) & ((y < f4(0.0)) != (r < f4(0.0))) else q
    whole = f4(floor_f8(f8(q)))
    whole = f4(whole + f4(1.0)) if f4(q - whole) > f4(0.5) else whole
    result = whole if q != f4(0.0) else f4(math.copysign(f4(0.0), f4(x / y)))
    return result if y != f4(0.0) else f4(x / y)


def signbit_f8(x: Any) -> Any:
    """Whether the sign is minus, of zeros and NaN too."""
    return f8_as_i8(x) < 0


def signbit_f4(x: Any) -> Any:
    """Whether the sign is minus, in float32."""
    return f4_as_i4(x) < 0


def either_f8(x: Any, y: Any) -> Any:
    """The bits of both numbers, of which one is a zero without a sign."""
    return i8_as_f8(f8_as_i8(x) | f8_as_i8(y))


def either_f4(x: Any, y: Any) -> Any:
    """The bits of both numbers, in float32."""
    return i4_as_f4(i4(f4_as_i4(x) | f4_as_i4(y)))


def spacing_f8(x: Any) -> Any:
    """What the next number away from 0 is further; NaN of infinity."""
    bits = f8_as_i8(x)
    beyond = i8_as_f8(bits + 1) - x
    return 5e-324 if x == 0.0 else (beyond if abs(x) < INF else NAN)


def spacing_f4(x: Any) -> Any:
    """What the next number away from 0 is further, in float32."""
    bits = f4_as_i4(x)
    beyond = i4_as_f4(i4(bits + 1)) - x
    least = i4_as_f4(i4(1))
    return least if x == f4(0.0) else (beyond if abs(x) < f4(INF) else f4(NAN))


def nextafter_f8(x: Any, y: Any) -> Any:
    """The next number after *x* in the direction of *y*; *y* where they are equal."""
    bits = f8_as_i8(x)
    outwards = (x < y) == (x > 0.0)
    step = i8_as_f8(bits + (1 if outwards else -1))
    least = i8_as_f8((f8_as_i8(y) & SIGN_F8) | 1)
    moved = least if x == 0.0 else step
    return moved if (x < y) | (x > y) else (y if x == y else NAN)


def nextafter_f4(x: Any, y: Any) -> Any:
    """The next number after *x* in the direction of *y*, in float32."""
    bits = f4_as_i4(x)
    outwards = (x < y) == (x > f4(0.0))
    step = i4_as_f4(i4(bits + (1 if outwards else -1)))
    least = i4_as_f4(i4(i4(f4_as_i4(y) & SIGN_F4) | 1))
    moved = least if x == f4(0.0) else step
    return moved if (x < y) | (x > y) else (y if x == y else f4(NAN))


def exponent_f8(x: Any) -> Any:
    """The n of x = m 2**n with m between 1/2 and 1; 0 of zeros, infinities and NaN."""
    subnormal = abs(x) < 2.2250738585072014e-308
    bits = f8_as_i8(x * 18014398509481984.0 if subnormal else x)
    n = ((bits >> 52) & 0x7FF) - (1076 if subnormal else 1022)
    return n if (x != 0.0) & (abs(x) < INF) else 0


def mantissa_f8(x: Any) -> Any:
    """The m of x = m 2**n with m between 1/2 and 1; zeros, infinities and NaN are their own."""
    subnormal = abs(x) < 2.2250738585072014e-308
    bits = f8_as_i8(x * 18014398509481984.0 if subnormal else x)
    m = i8_as_f8((bits & -0x7FF0000000000001) | 0x3FE0000000000000)
    return m if (x != 0.0) & (abs(x) < INF) else x


def ldexp_f8(x: Any, n: Any) -> Any:
    """``x * 2**n``, rounded once: n is gone through in steps that only the last can round."""
    x, n = f8(x), i8(n)
    k = i8(2200) if n > 2200 else (i8(-2200) if n < -2200 else n)
    up, down = k > 1023, k < -1022
    x = x * 8.98846567431158e307 if up else (x * 2.004168360008973e-292 if down else x)
    k = k - 1023 if up else (k + 969 if down else k)
    up, down = k > 1023, k < -1022
    x = x * 8.98846567431158e307 if up else (x * 2.004168360008973e-292 if down else x)
    k = k - 1023 if up else (k + 969 if down else k)
    k = i8(1023) if k > 1023 else (i8(-1022) if k < -1022 else k)
    return x * i8_as_f8((k + 1023) << 52)


def heaviside_f8(x: Any, y: Any) -> Any:
    """0 of negative numbers, 1 of positive ones, *y* of 0; NaN stays."""
    return y if x == 0.0 else (x if x != x else (1.0 if x > 0.0 else 0.0))


def max_f8(x: Any, y: Any) -> Any:
    """Larger of two; NaN wins."""
    return x if (x >= y) | (x != x) else y


def min_f8(x: Any, y: Any) -> Any:
    """Smaller of two; NaN wins."""
    return x if (x <= y) | (x != x) else y


# Right for float32 as they are: what they compute in float64 is exact there.
_BOTH: Final[tuple[Callable[..., Any], ...]] = (
    *(rint_f8, floor_f8, ceil_f8, trunc_f8, fraction_f8, fmod_f8, remainder_f8, exponent_f8),
    *(mantissa_f8, ldexp_f8, heaviside_f8, max_f8, min_f8),
)
PARTS: Final[dict[str, Callable[..., Any]]] = {
    f.__name__.replace("_f8", f"_{code}"): f for f in _BOTH for code in ("f8", "f4")
}
PARTS.update(
    (f.__name__, f)
    for f in (
        *(floor_divide_f8, floor_divide_f4, signbit_f8, signbit_f4),
        *(spacing_f8, spacing_f4, nextafter_f8, nextafter_f4, either_f8, either_f4),
    )
)
