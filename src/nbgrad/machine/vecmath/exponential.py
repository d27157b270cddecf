"""exp, expm1 and sigmoid.

exp(x) = 2**k * exp(r) with k = round(x / ln 2) and r = x - k ln 2 in two parts. k is rounded by
adding 1.5 * 2**52, which leaves it in the low bits of the sum: AVX2 has no conversion between
float64 and int64. The same addition gives k its exponent bias. The polynomials are minimax fits
on |r| <= ln 2 / 2.
"""

from __future__ import annotations

from nbgrad.machine.vecmath.bits import (
    HEAD_F4,
    HEAD_F8,
    f4,
    f4_as_i4,
    f8_as_i8,
    i4,
    i4_as_f4,
    i8_as_f8,
)


def scaled_exp_f8(x: float, low: float, magic: float) -> float:
    """Return exp(x - low) for magic = 1.5 * 2**52 + 2046, and half of it for 2045.

    *low* is at most 1. It is subtracted where it loses nothing; of 0.0, which is constant, the
    compiler leaves nothing.
    """
    z = -746.0 if x < -746.0 else x
    z = 711.0 if z > 711.0 else z
    t = (z - low) * 1.4426950408889634 + magic
    k = t - magic
    r = ((z - k * 0.6931471803691238) - k * 1.9082149292705877e-10) - low
    r2 = r * r
    p = 2.7625310933972067e-07 + 2.4978072751729e-08 * r
    p = p * r2 + (2.480150839679945e-05 + 2.755764259603742e-06 * r)
    p = p * r2 + (0.001388888892700111 + 0.00019841269463562904 * r)
    p = p * r2 + (0.041666666666603513 + 0.008333333333501494 * r)
    p = p * r2 + (0.5 + 0.1666666666666643 * r)
    p = 1.0 + (r + r2 * p)
    # Two factors of about 2**(k/2): subnormal and huge results are rounded once, at the end.
    j = f8_as_i8(t) & 0xFFF
    h = j >> 1
    return p * i8_as_f8(h << 52) * i8_as_f8((j - h) << 52)


def scaled_exp_f4(x: float, low: float, magic: float) -> float:
    """Return exp(x - low) for magic = 1.5 * 2**23 + 254, and half of it for 253."""
    z = f4(-104.0) if x < f4(-104.0) else x
    z = f4(90.0) if z > f4(90.0) else z
    t = (z - low) * f4(1.4426950408889634) + magic
    k = t - magic
    r = ((z - k * f4(0.693145751953125)) - k * f4(1.4286068203094173e-06)) - low
    r2 = r * r
    p = f4(0.0013863763366244643)
    p = p * r2 + (f4(0.04166723870137885) + f4(0.008367509092777961) * r)
    p = p * r2 + (f4(0.5) + f4(0.16666533804946118) * r)
    p = f4(1.0) + (r + r2 * p)
    j = i4(f4_as_i4(t) & 0x1FF)
    h = i4(j >> 1)
    return p * i4_as_f4(i4(h << 23)) * i4_as_f4(i4(i4(j - h) << 23))


def exp_f8(x: float) -> float:
    """Return e**x."""
    return scaled_exp_f8(x, 0.0, 6755399441057790.0)


def exp_f4(x: float) -> float:
    """Return e**x in float32."""
    return scaled_exp_f4(x, f4(0.0), f4(12583166.0))


def expm1_f8(x: float) -> float:
    """Return e**x - 1 without cancellation near 0."""
    z = -40.0 if x < -40.0 else x
    z = 710.0 if z > 710.0 else z
    t = z * 1.4426950408889634 + 6755399441056766.0
    k = t - 6755399441056766.0
    high = z - k * 0.6931471803691238
    r = high - k * 1.9082149292705877e-10
    tail = (high - r) - k * 1.9082149292705877e-10
    r2 = r * r
    p = 2.087895697440667e-09
    p = p * r2 + (2.755738710699127e-07 + 2.5108731996339548e-08 * r)
    p = p * r2 + (2.4801587197882808e-05 + 2.7557245179465987e-06 * r)
    p = p * r2 + (0.001388888888894297 + 0.00019841269885038137 * r)
    p = p * r2 + (0.041666666666666574 + 0.00833333333332213 * r)
    p = p * r2 + (0.5 + 0.16666666666666677 * r)
    # half = 2**(k-1), which does not overflow where 2**k would; half - 0.5 is exact.
    half = i8_as_f8(f8_as_i8(t) << 52)
    y = 2.0 * (((half - 0.5) + half * r) + half * (tail + r2 * p))
    return x if abs(x) < 5.0e-17 else y


def expm1_f4(x: float) -> float:
    """Return e**x - 1 in float32 without cancellation near 0."""
    z = f4(-20.0) if x < f4(-20.0) else x
    z = f4(89.0) if z > f4(89.0) else z
    t = z * f4(1.4426950408889634) + f4(12583038.0)
    k = t - f4(12583038.0)
    high = z - k * f4(0.693145751953125)
    r = high - k * f4(1.4286068203094173e-06)
    tail = (high - r) - k * f4(1.4286068203094173e-06)
    r2 = r * r
    p = f4(0.001393328918665324) + f4(0.0001982411882736188) * r
    p = p * r2 + (f4(0.041666482339579605) + f4(0.008333419767677649) * r)
    p = p * r2 + (f4(0.5) + f4(0.1666666629832569) * r)
    half = i4_as_f4(i4(f4_as_i4(t) << 23))
    y = f4(2.0) * (((half - f4(0.5)) + half * r) + half * (tail + r2 * p))
    return x if abs(x) < f4(2.5e-08) else y


def sigmoid_f8(x: float) -> float:
    """Return 1 / (1 + e**-x)."""
    e = exp_f8(-abs(x))
    d = 1.0 + e
    q = (e if x < 0.0 else 1.0) / d
    # What rounding 1 + e lost, times 1 / d, which is 1 - q or q.
    return q - q * ((e - (d - 1.0)) * (1.0 - q if x < 0.0 else q))


def sigmoid_f4(x: float) -> float:
    """Return 1 / (1 + e**-x) in float32."""
    e = exp_f4(-abs(x))
    d = f4(1.0) + e
    q = (e if x < f4(0.0) else f4(1.0)) / d
    return q - q * ((e - (d - f4(1.0))) * (f4(1.0) - q if x < f4(0.0) else q))


def bell_f8(x: float, scale: float) -> float:
    """Return e**(scale x*x) for scale a power of two or its negative; x*x is not rounded."""
    z = 40.0 if abs(x) > 40.0 else abs(x)
    h = i8_as_f8(f8_as_i8(z) & HEAD_F8)
    # A head of half the digits: its square is exact, and what is left is small.
    return scaled_exp_f8(scale * (h * h), scale * ((h - z) * (z + h)), 6755399441057790.0)


def bell_f4(x: float, scale: float) -> float:
    """Return e**(scale x*x) for scale a power of two or its negative; x*x is not rounded."""
    z = f4(24.0) if abs(x) > f4(24.0) else abs(x)
    h = i4_as_f4(i4(f4_as_i4(z) & i4(HEAD_F4)))
    return scaled_exp_f4(scale * (h * h), scale * ((h - z) * (z + h)), f4(12583166.0))
