"""erf.

Below 1 erf is an odd polynomial. Above, 1 - exp(P(x)) with P a fit of log(erfc): erfc is at most
0.16 there, so the rounding of the exponential hardly counts. From 5.95 (3.95) on erf is 1.
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
from nbgrad.machine.vecmath.exponential import exp_f4, exp_f8


def log_erfc_f8(a: float) -> float:
    """Return log(erfc(a)) for 1 <= a <= 5.95, as accurately as 1 - erfc(a) needs it."""
    a2 = a * a
    p = 2.019531314648897e-10 - 4.862940459913534e-12 * a
    p = p * a2 + (4.591809353575408e-08 - 3.888601197675563e-09 * a)
    p = p * a2 + (2.114197459156942e-06 - 3.694538616724762e-07 * a)
    p = p * a2 + (2.2525068399789737e-05 - 8.57631685123525e-06 * a)
    p = p * a2 + (-0.00013659396187762617 - 1.95034732453884e-05 * a)
    p = p * a2 + (-0.001919019534913527 + 0.0007731043435260169 * a)
    p = p * a2 + (0.018987993244668443 + 0.00041360556178785543 * a)
    p = p * a2 + (-0.6366440641071947 - 0.10270226455257028 * a)
    return p * a2 + (-5.134430834566939e-07 - 1.1283739897320741 * a)


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
    large = 1.0 - exp_f8(log_erfc_f8(5.95 if a > 5.95 else a))
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
    b = f4(3.95) if a > f4(3.95) else a
    b2 = b * b
    q = f4(0.0001855701024922316)
    q = q * b2 + (f4(0.02180516421024407) - f4(0.0029395688449560023) * b)
    q = q * b2 + (f4(-0.6382260477912312) - f4(0.10303704665914264) * b)
    q = q * b2 + (f4(-0.0003537741513096938) - f4(1.1270398133453152) * b)
    y = small if a < f4(1.0) else f4(1.0) - exp_f4(q)
    return i4_as_f4(i4(f4_as_i4(y) | i4(f4_as_i4(x) & SIGN_F4)))
