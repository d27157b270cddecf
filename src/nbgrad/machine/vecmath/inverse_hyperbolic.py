"""asinh, acosh and atanh, by log1p of what stays accurate near 0 (1 for acosh), as W. Kahan has them.

Beyond 2**28 the square roots are their operand, and the logarithm of 2 is added apart. In float32 all
of this is float64 arithmetic.
"""

from __future__ import annotations

import math

from nbgrad.machine.vecmath.bits import NAN, SIGN_F8, f4, f8, f8_as_i8, i8_as_f8
from nbgrad.machine.vecmath.logarithm import log1p_f8

LARGE = 268435456.0
LN2 = 0.6931471805599453


def asinh_f8(x: float) -> float:
    """Return the inverse hyperbolic sine."""
    a = abs(x)
    large = a > LARGE
    b = 1.0 if large else a
    square = b * b
    near = b + square / (1.0 + f8(math.sqrt(1.0 + square)))
    y = log1p_f8(a - 1.0 if large else near) + (LN2 if large else 0.0)
    return i8_as_f8(f8_as_i8(y) | (f8_as_i8(x) & SIGN_F8))


def acosh_f8(x: float) -> float:
    """Return the inverse hyperbolic cosine."""
    large = x > LARGE
    t = (2.0 if large else x) - 1.0
    near = t + f8(math.sqrt(2.0 * t + t * t if t > 0.0 else 0.0))
    y = log1p_f8(x - 1.0 if large else near) + (LN2 if large else 0.0)
    return y if x >= 1.0 else NAN


def atanh_f8(x: float) -> float:
    """Return the inverse hyperbolic tangent."""
    a = abs(x)
    double = a + a
    w = double / (1.0 - a)
    w = double + a * w if a < 0.5 else w
    y = 0.5 * log1p_f8(w)
    y = y if a <= 1.0 else NAN
    return i8_as_f8(f8_as_i8(y) | (f8_as_i8(x) & SIGN_F8))


def asinh_f4(x: float) -> float:
    """Return the inverse hyperbolic sine of a float32."""
    return f4(asinh_f8(f8(x)))


def acosh_f4(x: float) -> float:
    """Return the inverse hyperbolic cosine of a float32."""
    return f4(acosh_f8(f8(x)))


def atanh_f4(x: float) -> float:
    """Return the inverse hyperbolic tangent of a float32."""
    return f4(atanh_f8(f8(x)))
