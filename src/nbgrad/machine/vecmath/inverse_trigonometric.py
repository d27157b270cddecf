"""asin, acos, atan and atan2.

atan(y / x) turns the ratio into 0 + atan(y/x), pi/4 + atan((y-x) / (y+x)) or pi/2 - atan(x/y), so
that one quotient of at most 1/2 goes into one odd polynomial. asin above 1/2 is
pi/2 - 2 asin(sqrt((1 - x) / 2)).
"""

from __future__ import annotations

import math

from nbgrad.machine.vecmath.bits import (
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
)


def atan_ratio_f8(y: float, x: float) -> float:
    """Return atan(y / x) for y >= 0 and x >= 0, not both 0 nor both infinite."""
    steep = y > 2.0 * x
    middle = y > 0.5 * x
    num = -x if steep else (y - x if middle else y)
    den = y if steep else (y + x if middle else x)
    t = num / den
    z = t * t
    z2 = z * z
    p = -0.008323194966202905
    p = p * z2 + (-0.037072569227466524 + 0.02358836949154751 * z)
    p = p * z2 + (-0.05229531871434679 + 0.045875898916699936 * z)
    p = p * z2 + (-0.06666213585509877 + 0.0587772344028735 * z)
    p = p * z2 + (-0.09090907648925362 + 0.07692276666116034 * z)
    p = p * z2 + (-0.14285714284949028 + 0.11111111067906496 * z)
    p = p * z2 + (-0.3333333333333331 + 0.19999999999993162 * z)
    base = 1.5707963267948966 if steep else (0.7853981633974483 if middle else 0.0)
    return base + (t + (t * (z * p) + base * 3.8981718325193755e-17))


def atan_ratio_f4(y: float, x: float) -> float:
    """Return atan(y / x) in float32 for y >= 0 and x >= 0, not both 0 nor both infinite."""
    steep = y > f4(2.0) * x
    middle = y > f4(0.5) * x
    num = -x if steep else (y - x if middle else y)
    den = y if steep else (y + x if middle else x)
    t = num / den
    z = t * t
    z2 = z * z
    p = f4(-0.07982711494582367) + f4(0.03869606699080444) * z
    p = p * z2 + (f4(-0.14272077493643556) + f4(0.10940792238096744) * z)
    p = p * z2 + (f4(-0.33333326966310245) + f4(0.19999491000417674) * z)
    quarter = f4(0.7853981633974483) if middle else f4(0.0)
    base = f4(1.5707963267948966) if steep else quarter
    return base + (t + (t * (z * p) - base * f4(2.782753437848454e-08)))


def atan_f8(x: float) -> float:
    """Return the inverse tangent."""
    y = atan_ratio_f8(abs(x), 1.0)
    return i8_as_f8(f8_as_i8(y) | (f8_as_i8(x) & SIGN_F8))


def atan_f4(x: float) -> float:
    """Return the inverse tangent in float32."""
    y = atan_ratio_f4(abs(x), f4(1.0))
    return i4_as_f4(i4(f4_as_i4(y) | i4(f4_as_i4(x) & SIGN_F4)))


def atan2_f8(y: float, x: float) -> float:
    """Return the angle of the point (x, y)."""
    ay = abs(y)
    ax = abs(x)
    diagonal = (ay == INF) & (ax == INF)
    # Near the overflow threshold halve twice; the quotient does not change.
    scale = 0.25 if (ay > 1e300) | (ax > 1e300) else 1.0
    v = 1.0 if diagonal else ay * scale
    h = 1.0 if diagonal else ax * scale
    h = 1.0 if (v == 0.0) & (h == 0.0) else h
    r = atan_ratio_f8(v, h)
    r = 3.141592653589793 - (r - 1.2246467991473532e-16) if f8_as_i8(x) < 0 else r
    r = i8_as_f8(f8_as_i8(r) | (f8_as_i8(y) & SIGN_F8))
    return r if (x == x) & (y == y) else NAN


def atan2_f4(y: float, x: float) -> float:
    """Return the angle of the point (x, y) in float32."""
    ay = abs(y)
    ax = abs(x)
    diagonal = (ay == f4(INF)) & (ax == f4(INF))
    scale = f4(0.25) if (ay > f4(1e37)) | (ax > f4(1e37)) else f4(1.0)
    v = f4(1.0) if diagonal else ay * scale
    h = f4(1.0) if diagonal else ax * scale
    h = f4(1.0) if (v == f4(0.0)) & (h == f4(0.0)) else h
    r = atan_ratio_f4(v, h)
    r = f4(3.1415927410125732) - (r + f4(8.742278000372485e-08)) if f4_as_i4(x) < 0 else r
    r = i4_as_f4(i4(f4_as_i4(r) | i4(f4_as_i4(y) & SIGN_F4)))
    return r if (x == x) & (y == y) else f4(NAN)


def asin_core_f8(a: float) -> tuple[float, float]:
    """Return s and p with asin(a) = s + p for a <= 1/2, else pi/2 - 2 (s + p); NaN beyond 1."""
    z = a * a if a <= 0.5 else 0.5 * (1.0 - a)
    root = f8(math.sqrt(z if z > 0.0 else 0.0))
    s = a if a <= 0.5 else root
    z2 = z * z
    p = -0.01629334330529092 + 0.03195847376886728 * z
    p = p * z2 + (0.006511030456304133 + 0.019573431639560598 * z)
    p = p * z2 + (0.013884604992357089 + 0.012173237427084678 * z)
    p = p * z2 + (0.022371753568793014 + 0.017359770433320206 * z)
    p = p * z2 + (0.04464285682353054 + 0.030381959329319055 * z)
    p = p * z2 + (0.16666666666665383 + 0.07500000000342984 * z)
    return s if a <= 1.0 else NAN, s * (z * p)


def asin_core_f4(a: float) -> tuple[float, float]:
    """Return s and p as `asin_core_f8` does, in float32."""
    z = a * a if a <= f4(0.5) else f4(0.5) * (f4(1.0) - a)
    root = f4(math.sqrt(z if z > f4(0.0) else f4(0.0)))
    s = a if a <= f4(0.5) else root
    z2 = z * z
    p = f4(0.04221777858706931)
    p = p * z2 + (f4(0.0454769276516687) + f4(0.024148240620209465) * z)
    p = p * z2 + (f4(0.1666675387779659) + f4(0.07495243491397895) * z)
    return s if a <= f4(1.0) else f4(NAN), s * (z * p)


def asin_f8(x: float) -> float:
    """Return the inverse sine."""
    a = abs(x)
    s, p = asin_core_f8(a)
    y = 1.5707963267948966 - 2.0 * s
    lost = (1.5707963267948966 - y) - 2.0 * s
    y = y - ((2.0 * p - 6.123233995736766e-17) - lost)
    y = s + p if a <= 0.5 else y
    return i8_as_f8(f8_as_i8(y) | (f8_as_i8(x) & SIGN_F8))


def asin_f4(x: float) -> float:
    """Return the inverse sine in float32."""
    a = abs(x)
    s, p = asin_core_f4(a)
    y = f4(1.5707963705062866) - f4(2.0) * s
    lost = (f4(1.5707963705062866) - y) - f4(2.0) * s
    y = y - ((f4(2.0) * p + f4(4.3711390001862426e-08)) - lost)
    y = s + p if a <= f4(0.5) else y
    return i4_as_f4(i4(f4_as_i4(y) | i4(f4_as_i4(x) & SIGN_F4)))


def acos_f8(x: float) -> float:
    """Return the inverse cosine."""
    a = abs(x)
    s, p = asin_core_f8(a)
    s_signed = -s if x < 0.0 else s
    p_signed = -p if x < 0.0 else p
    middle = 1.5707963267948966 - (s_signed - (6.123233995736766e-17 - p_signed))
    edge = 2.0 * (s_signed + p_signed)
    edge = 3.141592653589793 + (edge + 1.2246467991473532e-16) if x < 0.0 else edge
    return middle if a <= 0.5 else edge


def acos_f4(x: float) -> float:
    """Return the inverse cosine in float32."""
    a = abs(x)
    s, p = asin_core_f4(a)
    s_signed = -s if x < f4(0.0) else s
    p_signed = -p if x < f4(0.0) else p
    middle = f4(1.5707963705062866) - (s_signed + (f4(4.3711390001862426e-08) + p_signed))
    edge = f4(2.0) * (s_signed + p_signed)
    edge = f4(3.1415927410125732) + (edge - f4(8.742278000372485e-08)) if x < f4(0.0) else edge
    return middle if a <= f4(0.5) else edge
