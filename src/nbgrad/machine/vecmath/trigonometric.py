"""sin, cos and tan.

x = n pi/2 + r with |r| <= pi/4 and a tail, pi/2 in three parts of 33, 33 and 53 bits: n times one
of the first two is exact up to n = 2**20, with or without fused multiply-add. Beyond `NEAR` that
is not enough, and the ``*_far`` functions take libm's value instead. Written as a branch, such a
call would keep a loop from being vectorised, so the CPU compiler replaces them by the intrinsics
of the same names, whose vector forms test a whole vector at once.
"""

from __future__ import annotations

import math

from nbgrad.machine.vecmath.bits import (
    HEAD_F8,
    INF,
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

NEAR = 1.0e6
CLOSE = 1.2e4


def sin_far_f8(x: float, near: float) -> float:
    """Return near if |x| <= NEAR, else libm's sin(x)."""
    return f8(math.sin(x)) if NEAR < abs(x) < INF else near


def cos_far_f8(x: float, near: float) -> float:
    """Return near if |x| <= NEAR, else libm's cos(x)."""
    return f8(math.cos(x)) if NEAR < abs(x) < INF else near


def tan_far_f8(x: float, near: float) -> float:
    """Return near if |x| <= NEAR, else libm's tan(x)."""
    return f8(math.tan(x)) if NEAR < abs(x) < INF else near


def sin_far_f4(x: float, near: float) -> float:
    """Return near if |x| <= NEAR, else libm's sin(x), by way of float64."""
    return f4(math.sin(f8(x))) if NEAR < abs(x) < INF else near


def cos_far_f4(x: float, near: float) -> float:
    """Return near if |x| <= NEAR, else libm's cos(x), by way of float64."""
    return f4(math.cos(f8(x))) if NEAR < abs(x) < INF else near


def tan_far_f4(x: float, near: float) -> float:
    """Return near if |x| <= NEAR, else libm's tan(x), by way of float64."""
    return f4(math.tan(f8(x))) if NEAR < abs(x) < INF else near


def reduce_f8(x: float) -> tuple[float, float, int]:
    """Return r, its tail and an integer whose low two bits are n, with x = n pi/2 + r + tail."""
    t = x * 0.6366197723675814 + 6755399441055744.0
    n = t - 6755399441055744.0
    a = x - n * 1.5707963267341256
    b = n * 6.077100506303966e-11
    c = a - b
    r = c - n * 2.0222662487959506e-21
    tail = ((c - r) - n * 2.0222662487959506e-21) + ((a - c) - b)
    return r, tail, f8_as_i8(t)


def sin_poly_f8(r: float, tail: float) -> float:
    """Return sin(r + tail) for |r| <= pi/4."""
    z = r * r
    z2 = z * z
    p = -2.5050756226836696e-08 + 1.589667825406276e-10 * z
    p = p * z2 + (-0.00019841269829779003 + 2.755731368083682e-06 * z)
    p = p * z2 + (-0.16666666666666632 + 0.008333333333322382 * z)
    return r + (r * (z * p) + tail * (1.0 - 0.5 * z))


def cos_poly_f8(r: float, tail: float) -> float:
    """Return cos(r + tail) for |r| <= pi/4."""
    z = r * r
    z2 = z * z
    p = 2.0875721605631174e-09 - 1.1359557760718732e-11 * z
    p = p * z2 + (2.4801587289444007e-05 - 2.7557314340647993e-07 * z)
    p = p * z2 + (0.0416666666666666 - 0.0013888888888874066 * z)
    h = 0.5 * z
    w = 1.0 - h
    return w + (((1.0 - w) - h) + (z * (z * p) - r * tail))


def sin_turned_f8(x: float, r: float, tail: float, n: int) -> float:
    """Return the sine of x, which is reduced to r, its tail and n."""
    s = sin_poly_f8(r, tail)
    c = cos_poly_f8(r, tail)
    y = c if (n & 1) == 1 else s
    sign = ((n & 2) << 62) ^ (f8_as_i8(x) & SIGN_F8)
    return i8_as_f8(f8_as_i8(y) ^ sign)


def cos_turned_f8(r: float, tail: float, n: int) -> float:
    """Return the cosine of what is reduced to r, its tail and n."""
    s = sin_poly_f8(r, tail)
    c = cos_poly_f8(r, tail)
    y = s if (n & 1) == 1 else c
    return i8_as_f8(f8_as_i8(y) ^ (((n + 1) & 2) << 62))


def sin_near_f8(x: float) -> float:
    """Return the sine of an angle up to NEAR, or infinite or NaN."""
    r, tail, n = reduce_f8(abs(x))
    return sin_turned_f8(x, r, tail, n)


def cos_near_f8(x: float) -> float:
    """Return the cosine of an angle up to NEAR, or infinite or NaN."""
    r, tail, n = reduce_f8(abs(x))
    return cos_turned_f8(r, tail, n)


def sin_f8(x: float) -> float:
    """Return the sine of an angle in radians."""
    return sin_far_f8(x, sin_near_f8(x))


def cos_f8(x: float) -> float:
    """Return the cosine of an angle in radians."""
    return cos_far_f8(x, cos_near_f8(x))


def reduce_close_f8(x: float) -> tuple[float, float, int]:
    """Return what reduce_f8 does, for x up to CLOSE, where one step less is enough: by parts of 39 bits."""
    t = x * 0.6366197723675814 + 6755399441055744.0
    n = t - 6755399441055744.0
    a = x - n * 1.5707963267959713
    b = n * -1.074634655497831e-12
    r = a - b
    return r, ((a - r) - b) - n * 6.36831716351095e-25, f8_as_i8(t)


def sin_alone_f8(x: float) -> float:
    """Return the sine, in code that is no loop over lanes: by a branch."""
    if not abs(x) <= CLOSE:
        return f8(math.sin(x))
    r, tail, n = reduce_close_f8(abs(x))
    return sin_turned_f8(x, r, tail, n)


def cos_alone_f8(x: float) -> float:
    """Return the cosine, in code that is no loop over lanes: by a branch."""
    if not abs(x) <= CLOSE:
        return f8(math.cos(x))
    r, tail, n = reduce_close_f8(abs(x))
    return cos_turned_f8(r, tail, n)


def tan_f8(x: float) -> float:
    """Return the tangent of an angle in radians."""
    r, tail, n = reduce_f8(abs(x))
    z = r * r
    p = 0.00020095059369178918
    p = p * z - 0.020538625983779455
    p = p * z + 0.33333333333333137
    q = -0.0002084332284945455
    q = q * z + 0.02334444105866169
    q = q * z - 0.4616158779515151
    q = q * z + 1.0
    u = r * (z * p / q) + tail * (1.0 + z)
    t = r + u
    # -1 / t corrected by its residual: t is rounded, and the reciprocal would double that.
    v = 1.0 / t
    t_head = i8_as_f8(f8_as_i8(t) & HEAD_F8)
    v_head = i8_as_f8(f8_as_i8(v) & HEAD_F8)
    w = v_head + v * ((1.0 - v_head * t_head) - v_head * (u - (t_head - r)))
    y = -w if (n & 1) == 1 else t
    return tan_far_f8(x, i8_as_f8(f8_as_i8(y) ^ (f8_as_i8(x) & SIGN_F8)))


def reduce_f4(x: float) -> tuple[float, float, int]:
    """Return r, its tail and an integer whose low two bits are n, with x = n pi/2 + r + tail.

    In float64: four parts of pi/2 would be needed in float32, and would still end at 10**4.
    """
    d = f8(x)
    t = d * 0.6366197723675814 + 6755399441055744.0
    n = t - 6755399441055744.0
    y = (d - n * 1.5707963267341256) - n * 6.077100506506192e-11
    r = f4(y)
    return r, f4(y - f8(r)), i4(f8_as_i8(t))


def sin_poly_f4(r: float, tail: float) -> float:
    """Return sin(r + tail) for |r| <= pi/4 in float32."""
    z = r * r
    p = f4(-0.00019516969575545396)
    p = p * z + f4(0.008332175821488045)
    p = p * z - f4(0.16666654909711168)
    return r + (r * (z * p) + tail)


def cos_poly_f4(r: float, tail: float) -> float:
    """Return cos(r + tail) for |r| <= pi/4 in float32."""
    z = r * r
    p = f4(2.4438104610187678e-05)
    p = p * z - f4(0.0013887364777737151)
    p = p * z + f4(0.04166664681916547)
    return (f4(1.0) - f4(0.5) * z) + (z * (z * p) - r * tail)


def sin_f4(x: float) -> float:
    """Return the sine of an angle in radians, in float32."""
    r, tail, n = reduce_f4(abs(x))
    s = sin_poly_f4(r, tail)
    c = cos_poly_f4(r, tail)
    y = c if i4(n & 1) == 1 else s
    sign = i4(i4(i4(n & 2) << 30) ^ i4(f4_as_i4(x) & SIGN_F4))
    return sin_far_f4(x, i4_as_f4(i4(f4_as_i4(y) ^ sign)))


def cos_f4(x: float) -> float:
    """Return the cosine of an angle in radians, in float32."""
    r, tail, n = reduce_f4(abs(x))
    s = sin_poly_f4(r, tail)
    c = cos_poly_f4(r, tail)
    y = s if i4(n & 1) == 1 else c
    sign = i4(i4(i4(n + 1) & 2) << 30)
    return cos_far_f4(x, i4_as_f4(i4(f4_as_i4(y) ^ sign)))


def tan_f4(x: float) -> float:
    """Return the tangent of an angle in radians, in float32."""
    r, tail, n = reduce_f4(abs(x))
    z = r * r
    p = f4(-6.656010100469284e-05)
    p = p * z - f4(0.0017513554294703339)
    p = p * z + f4(0.3333333201086905)
    q = f4(1.0) - f4(0.4052546476012281) * z
    t = r + (r * (z * p / q) + tail * (f4(1.0) + z))
    y = f4(-1.0) / t if i4(n & 1) == 1 else t
    return tan_far_f4(x, i4_as_f4(i4(f4_as_i4(y) ^ i4(f4_as_i4(x) & SIGN_F4))))
