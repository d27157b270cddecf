"""tanh, sinh and cosh.

Below 0.6 tanh is x + x**3 P(x*x) / Q(x*x), above 1 - 2 / (e**2x + 1). sinh and cosh use e**|x| / 2,
computed without the overflow of e**|x|; below 1, sinh is an odd polynomial.
"""

from __future__ import annotations

from nbgrad.machine.vecmath.bits import (
    SIGN_F4,
    SIGN_F8,
    f4,
    f4_as_i4,
    f8_as_i8,
    i4,
    i4_as_f4,
    i8_as_f8,
)
from nbgrad.machine.vecmath.exponential import exp_f4, exp_f8, scaled_exp_f4, scaled_exp_f8


def tanh_f8(x: float) -> float:
    """Return the hyperbolic tangent."""
    a = abs(x)
    z = a * a
    z2 = z * z
    p = 7.454570095402267e-08 * z - 8.499902432373667e-06
    p = z * (p * z2 + (-0.33333333333333304 - 0.016560656413389968 * z))
    d = (1.0 + 0.44968196924011683 * z) + 0.01799352549956807 * z2
    # One division serves both forms.
    near = a < 0.6
    e = exp_f8(2.0 * a) + 1.0
    q = (p if near else 2.0) / (d if near else e)
    small = a + a * q
    large = 1.0 - q
    y = small if near else large
    return i8_as_f8(f8_as_i8(y) | (f8_as_i8(x) & SIGN_F8))


def tanh_f4(x: float) -> float:
    """Return the hyperbolic tangent in float32."""
    a = abs(x)
    z = a * a
    p = z * (f4(-0.3333331338347523) - f4(0.0015450456098018055) * z)
    d = f4(1.0) + f4(0.4046245468491878) * z
    near = a < f4(0.6)
    e = exp_f4(f4(2.0) * a) + f4(1.0)
    q = (p if near else f4(2.0)) / (d if near else e)
    small = a + a * q
    large = f4(1.0) - q
    y = small if near else large
    return i4_as_f4(i4(f4_as_i4(y) | i4(f4_as_i4(x) & SIGN_F4)))


def sech2_f8(x: float) -> float:
    """Return 1 - tanh(x)**2 without cancellation, of tanh's own parts: a kernel has both as one."""
    a = abs(x)
    z = a * a
    z2 = z * z
    p = 7.454570095402267e-08 * z - 8.499902432373667e-06
    p = z * (p * z2 + (-0.33333333333333304 - 0.016560656413389968 * z))
    d = (1.0 + 0.44968196924011683 * z) + 0.01799352549956807 * z2
    near = a < 0.6
    e = exp_f8(2.0 * a) + 1.0
    q = (p if near else 2.0) / (d if near else e)
    y = a + a * q
    return 1.0 - y * y if near else q * (2.0 - q)


def sech2_f4(x: float) -> float:
    """Return 1 - tanh(x)**2 without cancellation, in float32."""
    a = abs(x)
    z = a * a
    p = z * (f4(-0.3333331338347523) - f4(0.0015450456098018055) * z)
    d = f4(1.0) + f4(0.4046245468491878) * z
    near = a < f4(0.6)
    e = exp_f4(f4(2.0) * a) + f4(1.0)
    q = (p if near else f4(2.0)) / (d if near else e)
    y = a + a * q
    return f4(1.0) - y * y if near else q * (f4(2.0) - q)


def sinh_f8(x: float) -> float:
    """Return the hyperbolic sine."""
    z = x * x
    z2 = z * z
    p = 7.759302263178717e-13
    p = p * z2 + (2.505212339217242e-08 + 1.6057240747330333e-10 * z)
    p = p * z2 + (0.000198412698414375 + 2.7557319155385393e-06 * z)
    p = p * z2 + (0.16666666666666669 + 0.008333333333333139 * z)
    small = x + x * (z * p)
    a = abs(x)
    h = scaled_exp_f8(a, 0.0, 6755399441057789.0)
    y = h - 0.25 / h
    large = i8_as_f8(f8_as_i8(y) | (f8_as_i8(x) & SIGN_F8))
    return small if a < 1.0 else large


def sinh_f4(x: float) -> float:
    """Return the hyperbolic sine in float32."""
    z = x * x
    p = f4(2.817440412108012e-06)
    p = p * z + f4(0.00019836066306000007)
    p = p * z + f4(0.008333350596010453)
    p = p * z + f4(0.16666666488793339)
    small = x + x * (z * p)
    a = abs(x)
    h = scaled_exp_f4(a, f4(0.0), f4(12583165.0))
    y = h - f4(0.25) / h
    large = i4_as_f4(i4(f4_as_i4(y) | i4(f4_as_i4(x) & SIGN_F4)))
    return small if a < f4(1.0) else large


def cosh_f8(x: float) -> float:
    """Return the hyperbolic cosine."""
    h = scaled_exp_f8(abs(x), 0.0, 6755399441057789.0)
    return h + 0.25 / h


def cosh_f4(x: float) -> float:
    """Return the hyperbolic cosine in float32."""
    h = scaled_exp_f4(abs(x), f4(0.0), f4(12583165.0))
    return h + f4(0.25) / h
