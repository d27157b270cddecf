"""log, log1p and softplus.

log(x) = k ln 2 + log(1 + f) with x = 2**k (1 + f) and 1 + f between sqrt(1/2) and sqrt(2). With
s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - f*f/2 + s (f*f/2 + R(s*s)), in which only the
small last terms are rounded. k is read from the exponent bits; in float64 it becomes a number by
putting it into the low bits of 2**52, because AVX2 cannot convert int64.
"""

from __future__ import annotations

from nbgrad.machine.vecmath.bits import INF, NAN, f4, f4_as_i4, f8_as_i8, i4, i4_as_f4, i8_as_f8
from nbgrad.machine.vecmath.exponential import exp_f4, exp_f8


def log_tail_f8(s: float, half_square: float) -> float:
    """Return s (f*f/2 + R(s*s)), which log(1 + f) has beyond f - f*f/2."""
    z = s * s
    z2 = z * z
    p = 0.14795614892623613
    p = p * z2 + (0.18183562591836322 + 0.15314089362357364 * z)
    p = p * z2 + (0.2857142874198352 + 0.22222198610748362 * z)
    p = p * z2 + (0.6666666666666734 + 0.3999999999941663 * z)
    return s * (half_square + z * p)


def log_tail_f4(s: float, half_square: float) -> float:
    """Return s (f*f/2 + R(s*s)) in float32."""
    z = s * s
    p = f4(0.29871225862642814)
    p = p * z + f4(0.3997756537834315)
    p = p * z + f4(0.6666677612257355)
    return s * (half_square + z * p)


def log_f8(x: float) -> float:
    """Return the natural logarithm."""
    subnormal = x < 2.2250738585072014e-308
    scaled = x * 18014398509481984.0
    i = f8_as_i8(scaled if subnormal else x) - 0x3FE6A09E667F3BCD
    bias = 4503599627371573.0 if subnormal else 4503599627371519.0
    k = i8_as_f8((((i + 0x3FF0000000000000) >> 52) & 0xFFF) | 0x4330000000000000) - bias
    f = i8_as_f8((i & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD) - 1.0
    h = 0.5 * f * f
    tail = log_tail_f8(f / (2.0 + f), h) + k * 1.9082149292705877e-10
    y = k * 0.6931471803691238 + (f - (h - tail))
    y = y if x < INF else x
    outside = -INF if x == 0.0 else NAN
    return y if x > 0.0 else outside


def log_f4(x: float) -> float:
    """Return the natural logarithm in float32."""
    subnormal = x < f4(1.1754944e-38)
    scaled = x * f4(33554432.0)
    i = i4(f4_as_i4(scaled if subnormal else x) - 0x3F3504F3)
    bias = f4(25.0) if subnormal else f4(0.0)
    k = f4(i4(i >> 23)) - bias
    f = i4_as_f4(i4(i4(i & 0x7FFFFF) + 0x3F3504F3)) - f4(1.0)
    h = f4(0.5) * f * f
    tail = log_tail_f4(f / (f4(2.0) + f), h) + k * f4(1.4286068203094173e-06)
    y = k * f4(0.693145751953125) + (f - (h - tail))
    y = y if x < f4(INF) else x
    outside = f4(-INF) if x == f4(0.0) else f4(NAN)
    return y if x > f4(0.0) else outside


def log1p_f8(x: float) -> float:
    """Return log(1 + x) without cancellation near 0."""
    u = 1.0 + x
    big = u - x
    lost = (1.0 - big) + (x - (u - big))
    i = f8_as_i8(u) - 0x3FE6A09E667F3BCD
    k = i8_as_f8((((i + 0x3FF0000000000000) >> 52) & 0xFFF) | 0x4330000000000000)
    k = k - 4503599627371519.0
    f = i8_as_f8((i & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD) - 1.0
    h = 0.5 * f * f
    tail = log_tail_f8(f / (2.0 + f), h) + (k * 1.9082149292705877e-10 + lost / u)
    y = k * 0.6931471803691238 + (f - (h - tail))
    y = y if x < INF else x
    y = x if abs(x) < 5.0e-17 else y
    outside = -INF if x == -1.0 else NAN
    return y if x > -1.0 else outside


def log1p_f4(x: float) -> float:
    """Return log(1 + x) in float32 without cancellation near 0."""
    u = f4(1.0) + x
    big = u - x
    lost = (f4(1.0) - big) + (x - (u - big))
    i = i4(f4_as_i4(u) - 0x3F3504F3)
    k = f4(i4(i >> 23))
    f = i4_as_f4(i4(i4(i & 0x7FFFFF) + 0x3F3504F3)) - f4(1.0)
    h = f4(0.5) * f * f
    tail = log_tail_f4(f / (f4(2.0) + f), h) + (k * f4(1.4286068203094173e-06) + lost / u)
    y = k * f4(0.693145751953125) + (f - (h - tail))
    y = y if x < f4(INF) else x
    y = x if abs(x) < f4(2.5e-08) else y
    outside = f4(-INF) if x == f4(-1.0) else f4(NAN)
    return y if x > f4(-1.0) else outside


def softplus_f8(x: float) -> float:
    """Return log(1 + e**x)."""
    y = log1p_f8(exp_f8(-abs(x)))
    return x + y if x > 0.0 else y


def softplus_f4(x: float) -> float:
    """Return log(1 + e**x) in float32."""
    y = log1p_f4(exp_f4(-abs(x)))
    return x + y if x > f4(0.0) else y
