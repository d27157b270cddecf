"""Scalar forms of what ops/special/numerics.py and its kin compute of arrays, for kernels.

Each is the NumPy reference of an operation with its cases as branches, over SciPy's functions of
scalars; the formulas are explained there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from nbgrad.machine.scalar_series import log1p_minus_f8
from nbgrad.machine.scipy_scalars import SCIPY
from nbgrad.machine.vecmath.bits import INF, f8
from nbgrad.machine.vecmath.exponential import exp_f8
from nbgrad.machine.vecmath.logarithm import log1p_f8, log_f8

beta, betaln, digamma = (SCIPY[f"scipy_{n}"] for n in ("beta", "betaln", "digamma"))
gamma, gammaln, kl_div = (SCIPY[f"scipy_{n}"] for n in ("gamma", "gammaln", "kl_div"))
gammainc, gammaincc = SCIPY["scipy_gammainc"], SCIPY["scipy_gammaincc"]
gammaincinv, gammainccinv = SCIPY["scipy_gammaincinv"], SCIPY["scipy_gammainccinv"]
hyp2f1, fresnel = SCIPY["scipy_hyp2f1"], SCIPY["scipy_fresnel"]
ive, kve = SCIPY["scipy_ive"], SCIPY["scipy_kve"]
HALF_LOG_TWO_PI = 0.9189385332046727
TWO_PI = 6.283185307179586


def kl_div_f8(x: Any, y: Any) -> Any:
    """``x log(x / y) - x + y``, without cancellation near x = y."""
    if (abs(x - y) < 0.4 * y) & (y < INF):
        d = (x - y) / y
        return y * (log1p_minus_f8(d) + d * log1p_f8(d))
    return kl_div(x, y)


def stirling_f8(x: Any) -> Any:
    """What Stirling's formula lacks of the logarithm of gamma, for x >= 10."""
    r = 1.0 / (x * x)
    p = 1 / 156 - r * (3617 / 122400)
    p = 1 / 1188 - r * (691 / 360360 - r * p)
    p = 1 / 1260 - r * (1 / 1680 - r * p)
    return (1 / 12 - r * (1 / 360 - r * p)) / x


def betaln_f8(a: Any, b: Any) -> Any:
    """Logarithm of the beta function, without cancellation of large log-gammas."""
    s = a if a <= b else b
    t = b if a <= b else a
    if (s >= 10.0) & (t < INF):
        change = stirling_f8(s) + stirling_f8(t) - stirling_f8(s + t)
        falls = (s - 0.5) * log_f8(s / (s + t)) - t * log1p_f8(s / t)
        return HALF_LOG_TWO_PI - 0.5 * log_f8(t) + change + falls
    if (s > 0.0) & (s < 10.0) & (t >= 10.0) & (t < INF):
        change = stirling_f8(t) - stirling_f8(t + s)
        falls = s - s * log_f8(s + t) - (t - 0.5) * log1p_f8(s / t)
        return gammaln(s) + change + falls
    return betaln(a, b)


def beta_f8(a: Any, b: Any) -> Any:
    """The beta function."""
    return exp_f8(betaln_f8(a, b)) if (min(a, b) > 0.0) & (max(a, b) > 10.0) else beta(a, b)


def digamma_difference_f8(a: Any, b: Any) -> Any:
    """digamma(a) - digamma(a + b), without cancellation for large a."""
    c = a + b
    if not ((a >= 10.0) & (c >= 10.0) & (a < INF) & (c < INF)):
        return digamma(a) - digamma(c)
    total = -log1p_f8(b / a) - 0.5 * b / (a * c)
    ra, rc = 1.0 / (a * a), 1.0 / (c * c)
    step = b * (a + c) * ra * rc
    power, gathered = f8(1.0), f8(0.0)
    for k in range(7):
        gathered = gathered * rc + power
        power = power * ra
        # Bernoulli numbers over their number.
        weight = 691 / 32760 if k == 5 else 1 / 12
        weight = 1 / 132 if k == 4 else weight
        weight = 1 / 240 if k == 3 else weight
        weight = 1 / 252 if k == 2 else weight
        weight = 1 / 120 if k == 1 else weight
        total = total - (weight if k % 2 == 0 else -weight) * step * gathered
    return total


def xlogy_f8(x: Any, y: Any) -> Any:
    return f8(0.0) if (x == 0.0) & (y == y) else x * log_f8(y)


def xlog1py_f8(x: Any, y: Any) -> Any:
    return f8(0.0) if (x == 0.0) & (y == y) else x * log1p_f8(y)


def gamma_kernel_f8(a: Any, x: Any, k: int) -> Any:
    """``x**(a - 1 - k) exp(-x) / gamma(a)``; 0 where x is infinite, or NaN."""
    logarithm = xlogy_f8(a - 1.0 - k, x) - x - gammaln(a)
    return exp_f8(logarithm) if x < INF else f8(0.0)


def beta_kernel_f8(a: Any, b: Any, x: Any, j: int, k: int) -> Any:
    """``x**(a - 1 - j) (1 - x)**(b - 1 - k) / beta(a, b)``."""
    logarithm = xlogy_f8(a - 1.0 - j, x) + xlog1py_f8(b - 1.0 - k, -x)
    return exp_f8(logarithm - betaln_f8(a, b))


def power_f8(x: Any, n: int) -> Any:
    """``x**n`` for n >= 0, by multiplication."""
    product = f8(1.0)
    for _ in range(n):
        product = product * x
    return product


def exprel_moment_f8(x: Any, n: int) -> Any:
    """Integral of t**n exp(x t) over [0, 1], for n >= 1."""
    size = abs(x)
    if (x < -20.0) | ((x > 20.0 + 2 * n) & (x < INF)):
        whole = gamma(n + 1.0) / power_f8(size, n + 1)
        if x < 0.0:
            return gammainc(n + 1.0, size) * whole
        term, total = f8(1.0), f8(0.0)
        for k in range(n + 1):
            total = total + term
            term = term * (k - n) / x
        return exp_f8(x - log_f8(x)) * total + (whole if n % 2 == 1 else -whole)
    if not size < INF:
        return x
    term = f8(1.0) if x >= 0.0 else f8(1.0) / (n + 1)
    total = f8(1.0) / (n + 1)
    for k in range(1, 120 + 4 * n):
        term = term * size / (k if x >= 0.0 else n + 1 + k)
        total = total + (term / (n + k + 1) if x >= 0.0 else term)
    return total if x >= 0.0 else exp_f8(x) * total


def log1p_mean_f8(x: Any, n: int) -> Any:
    """n-th derivative of log1p(x) / x."""
    if n == 0:
        return log1p_f8(x) / x if x != 0.0 else f8(1.0)
    scale = gamma(n + 1.0) / (n + 1) * (1.0 if n % 2 == 0 else -1.0)
    return scale * hyp2f1(1.0, 1.0, n + 2.0, -x) / power_f8(1.0 + x, n)


def fresnel_s_f8(x: Any) -> Any:
    """Fresnel's integral of the sine."""
    s, _ = fresnel(x)
    return s


def fresnel_c_f8(x: Any) -> Any:
    """Fresnel's integral of the cosine."""
    _, c = fresnel(x)
    return c


def hankel_f8(v: Any, x: Any, alternate: Any) -> Any:
    """Hankel's series of order v + 1 less that of order v, term by term."""
    low, high, gap, total = f8(1.0), f8(1.0), f8(0.0), f8(0.0)
    for k in range(1, 40):
        odd = (2.0 * k - 1.0) * (2.0 * k - 1.0)
        scale = alternate / (8.0 * k * x)
        to_low = scale * (4.0 * v * v - odd)
        to_high = scale * (4.0 * (v + 1.0) * (v + 1.0) - odd)
        gap = gap * to_high + low * scale * (8.0 * v + 4.0)
        low, high = low * to_low, high * to_high
        if not abs(gap) > 1e-18 * abs(total):
            break
        total = total + gap
    return total


def is_far(v: Any, x: Any) -> Any:
    """Whether that series serves."""
    order = max(abs(v), abs(v + 1.0))
    return (x > 30.0 + 2.0 * order * order) & (x < INF)


def ive_drop_f8(v: Any, x: Any) -> Any:
    """ive(v) - ive(v + 1) for x >= 0."""
    if is_far(v, x):
        return -hankel_f8(v, x, -1.0) / math.sqrt(TWO_PI * x)
    return ive(v, x) - ive(v + 1.0, x) if x != INF else f8(0.0)


def kve_rise_f8(v: Any, x: Any) -> Any:
    """kve(v + 1) - kve(v) for x > 0."""
    if is_far(v, x):
        return hankel_f8(v, x, 1.0) * math.sqrt(0.5 * math.pi / x)
    return kve(v + 1.0, x) - kve(v, x) if x != INF else f8(0.0)


def gamma_transport_f8(z: Any, a0: Any, a: Any) -> Any:
    """The number that has the probability under a gamma law of shape *a* that *z* has under a0."""
    if a == a0:
        return z
    low, high = gammainc(a0, z), gammaincc(a0, z)
    return gammaincinv(a, low) if low < high else gammainccinv(a, high)


# Of the sum of Euler and Maclaurin: the Bernoulli numbers B_2k / (2k)!.
BERNOULLI: Final = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
    43867 / 5109094217170944000,
    -174611 / 802857662698291200000,
)


def hurwitz_f8(s: Any, q: Any) -> Any:
    """The sum of ``(q + k)**-s`` over k >= 0 (DLMF 25.11.43), for q > 0 and s = 2, 3, 4 ..."""
    total = f8(0.0)
    while q < 9.0 + s:
        term = q**-s
        total += term
        if term <= total * 1e-17:  # so of a large power: no more than a few hundred terms count
            return total
        q += 1.0
    power = q**-s
    total += q ** (1.0 - s) / (s - 1.0) + 0.5 * power
    power *= s / q
    for k in range(10):
        total += BERNOULLI[k] * power
        power *= (s + 2.0 * k + 1.0) * (s + 2.0 * k + 2.0) / (q * q)
    return total


def polygamma_f8(n: Any, x: Any) -> Any:
    """``(-1)**(n + 1) n!`` times that sum for s = n + 1; below 0 by sums of numbers above."""
    if n == 0.0:
        return digamma(x)
    s = n + 1.0
    if not (n > 0.0) or n != math.floor(n) or x != x:
        return f8(math.nan)
    if x > 0.0:
        total = hurwitz_f8(s, x) if x < INF else f8(0.0)
    else:
        if n > 170.0:
            return f8(math.nan)
        sign = f8(1.0) if s % 2.0 == 1.0 else f8(-1.0)
        m = f8(math.floor(0.5 - max(x, -1e15)))  # from there on all are integers
        r = x + m if x > -1e15 else f8(0.0)
        if r == 0.0:
            return f8(math.nan) if sign > 0.0 or not x > -INF else f8(INF)
        # Those on either side of 0 that cancel for an odd power, near r = 1/2, are subtracted in pairs.
        total = r**-s - sign * (1.0 - r) ** -s
        total += hurwitz_f8(s, 1.0 + r) - sign * hurwitz_f8(s, 2.0 - r)
        total += sign * hurwitz_f8(s, m + 1.0 - r)
    factor = f8(-1.0) if s % 2.0 == 1.0 else f8(1.0)
    k = 1.0
    while k < n and -INF < factor < INF:
        k += 1.0
        factor *= k
    return factor * total


_ALL: Final[tuple[Callable[..., Any], ...]] = (
    *(kl_div_f8, betaln_f8, beta_f8, digamma_difference_f8, exprel_moment_f8, log1p_mean_f8),
    *(gamma_kernel_f8, beta_kernel_f8),
    *(fresnel_s_f8, fresnel_c_f8, ive_drop_f8, kve_rise_f8, gamma_transport_f8),
    polygamma_f8,
)
COMPOSED: Final[dict[str, Callable[..., Any]]] = {f"special_{f.__name__[:-3]}": f for f in _ALL}
