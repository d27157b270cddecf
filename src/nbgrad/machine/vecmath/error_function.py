"""erf.

Below 1 erf is an odd polynomial. Above, 1 - exp(-x*x) P(x) with P a fit of exp(x*x) erfc(x), minimax for the product:
erfc is at most 0.16 there, so the rounding of the exponential hardly counts. A kernel that has the derivative, too,
computes that exponential once: it is written by the same function. From 5.95 (3.95) on erf is 1.
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
from nbgrad.machine.vecmath.exponential import bell_f4, bell_f8


def scaled_erfc_f8(a: float) -> float:
    """Return e**(a*a) erfc(a) for 1 <= a <= 5.95, as accurately as 1 - erfc(a) needs it."""
    t = a - 2.0
    t2 = t * t
    p = 7.62801296723947e-11 - 6.282506202174545e-12 * t
    p = p * t2 + (1.5665886810466639e-09 - 4.1592142606660394e-10 * t)
    p = p * t2 + (2.299489467545854e-08 - 5.764623479833394e-09 * t)
    p = p * t2 + (3.4536025764760973e-07 - 9.082964347022846e-08 * t)
    p = p * t2 + (4.6277484605739e-06 - 1.2794649125473137e-06 * t)
    p = p * t2 + (5.572852124746974e-05 - 1.629377287660236e-05 * t)
    p = p * t2 + (0.0005924699439524666 - 0.00018477832832639488 * t)
    p = p * t2 + (0.005440738542848246 - 0.0018316642885024851 * t)
    p = p * t2 + (0.041802752603382495 - 0.015460637762768344 * t)
    return p * t2 + (0.25539567631050564 - 0.1067964618535316 * t)


def scaled_erfc_f4(a: float) -> float:
    """Return e**(a*a) erfc(a) in float32 for 1 <= a <= 3.95, as accurately as 1 - erfc(a) needs it."""
    t = a - f4(2.0)
    t2 = t * t
    p = f4(0.0005607528728432953) - f4(0.0003888823848683387) * t
    p = p * t2 + (f4(0.00557196419686079) - f4(0.0016029177932068706) * t)
    p = p * t2 + (f4(0.04177123308181763) - f4(0.015492151491343975) * t)
    return p * t2 + (f4(0.25539612770080566) - f4(0.10679950565099716) * t)


def erf_f8(x: float) -> float:
    """Return the error function."""
    z = x * x
    z2 = z * z
    p = -7.816744150554221e-10
    p = p * z2 + (-1.6211399523299237e-07 + 1.3731897623146845e-08 * z)
    p = p * z2 + (-1.4924772789451913e-05 + 1.6447833403324893e-06 * z)
    p = p * z2 + (-0.0008548326051663406 + 0.00012055296952348128 * z)
    p = p * z2 + (-0.02686617064349948 + 0.005223977608931144 * z)
    p = p * z2 + (-0.37612638903183615 + 0.11283791670947077 * z)
    a = abs(x)
    small = a * 1.1283791670955126 + a * (z * p)
    large = 1.0 - bell_f8(x, -1.0) * scaled_erfc_f8(5.95 if a > 5.95 else a)
    y = small if a < 1.0 else large
    return i8_as_f8(f8_as_i8(y) | (f8_as_i8(x) & SIGN_F8))


def erf_f4(x: float) -> float:
    """Return the error function in float32."""
    z = x * x
    z2 = z * z
    p = f4(-0.0008035214836422562) + f4(7.933625222630324e-05) * z
    p = p * z2 + (f4(-0.026855497740204376) + f4(0.005191315491307485) * z)
    p = p * z2 + (f4(-0.37612630744823616) + f4(0.11283630207373246) * z)
    a = abs(x)
    small = a * f4(1.128379225730896) + a * (z * p - f4(5.863538341060814e-08))
    large = f4(1.0) - bell_f4(x, f4(-1.0)) * scaled_erfc_f4(f4(3.95) if a > f4(3.95) else a)
    y = small if a < f4(1.0) else large
    return i4_as_f4(i4(f4_as_i4(y) | i4(f4_as_i4(x) & SIGN_F4)))
