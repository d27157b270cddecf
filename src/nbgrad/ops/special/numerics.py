"""Scalar numerics in NumPy that SciPy lacks or has with less accuracy; float64 arrays only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.ops.special.tools import special

Array = Any
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
# Bernoulli numbers over 2k (2k - 1): the remainder of Stirling's series, DLMF 5.11.1.
_STIRLING = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400,
)  # fmt: skip


def stirling_remainder(x: Array) -> Array:
    """``gammaln(x) - ((x - 1/2) log(x) - x + log(2 pi)/2)`` for x >= 10 (DLMF 5.11.1)."""
    inverse = 1.0 / (x * x)
    total = np.zeros_like(inverse)
    for c in reversed(_STIRLING):
        total = total * inverse + c
    return total / x


def log1p_minus(d: Array) -> Array:
    """``log1p(d) - d`` with full relative accuracy near 0."""
    small = np.abs(d) < 0.4
    # log1p(d) = 2 artanh(r) with r = d / (2 + d), and 2 r - d = -d r (DLMF 4.6.5).
    r = np.where(small, d / (2.0 + d), 0.0)
    square, total = r * r, np.zeros_like(r)
    for k in range(27, 1, -2):
        total = total * square + 2.0 / k
    series = r * (square * total - d)
    return np.where(small, series, np.log1p(d) - d)


def _log_minus(r: Array, d: Array) -> Array:
    """``log(r) - d`` for d = r - 1, from whichever is the more accurate."""
    return np.where(np.abs(d) < 0.5, log1p_minus(d), np.log(r) - d)


def betaln(a: Array, b: Array) -> Array:
    """Logarithm of the beta function without cancellation of large log-gammas.

    From Stirling's series, as in TOMS 708; SciPy's elsewhere (arguments that are not positive).
    """
    a, b = np.broadcast_arrays(a, b)
    p, q = np.minimum(a, b), np.maximum(a, b)
    out = np.asarray(special.betaln(a, b)).copy()
    one = (p > 0) & (p < 10) & (q >= 10) & np.isfinite(q)
    if one.any():
        s, t = p[one], q[one]
        change = stirling_remainder(t) - stirling_remainder(t + s)
        falls = s - s * np.log(s + t) - (t - 0.5) * np.log1p(s / t)
        out[one] = special.gammaln(s) + change + falls
    both = (p >= 10) & np.isfinite(q)
    if both.any():
        s, t = p[both], q[both]
        change = stirling_remainder(s) + stirling_remainder(t) - stirling_remainder(s + t)
        falls = (s - 0.5) * np.log(s / (s + t)) - t * np.log1p(s / t)
        out[both] = HALF_LOG_TWO_PI - 0.5 * np.log(t) + change + falls
    return out


def log_gamma_kernel(a: Array, x: Array) -> Array:
    """``log(x**a exp(-x) / gamma(a + 1))``, with the exponents of large a cancelled first."""
    plain = a * np.log(x) - x - special.gammaln(a + 1.0)
    plain = np.where((a == 0) & (x == 0), 0.0, plain)
    big = np.where(a >= 10, a, 10.0)
    near = big * _log_minus(x / big, (x - big) / big) - 0.5 * np.log(2 * math.pi * big)
    return np.where(a >= 10, near - stirling_remainder(big), plain)


def log_beta_kernel(a: Array, b: Array, x: Array, y: Array) -> Array:
    """``log(x**a y**b / beta(a, b))`` for y = 1 - x, likewise."""
    plain = special.xlogy(a, x) + special.xlogy(b, y) - betaln(a, b)
    large = np.minimum(a, b) >= 10
    p, q = np.where(large, a, 10.0), np.where(large, b, 10.0)
    shift = np.where(x <= y, p - (p + q) * x, (p + q) * y - q)
    total = p + q
    near = p * _log_minus(x * total / p, -shift / p) + q * _log_minus(y * total / q, shift / q)
    near = near + 0.5 * (np.log(p) + np.log(q / (p + q)) - math.log(2 * math.pi))
    near = near - stirling_remainder(p) - stirling_remainder(q) + stirling_remainder(p + q)
    return np.where(large, near, plain)


def log_minus_digamma(a: Array) -> Array:
    """``log(a) - digamma(a)`` for a > 0, without cancellation for large a (DLMF 5.11.2)."""
    big = np.where(a >= 10, a, 10.0)
    inverse = 1.0 / (big * big)
    total = np.zeros_like(inverse)
    for k in range(len(_STIRLING), 0, -1):
        total = total * inverse + _STIRLING[k - 1] * (2 * k - 1)
    return np.where(a >= 10, 0.5 / big + total * inverse, np.log(a) - special.digamma(a))


def digamma_difference(a: Array, b: Array) -> Array:
    """digamma(a) - digamma(a + b), without cancellation for large a."""
    a, b = np.broadcast_arrays(a, b)
    plain = np.asarray(special.digamma(a) - special.digamma(a + b))
    large = (a >= 10) & (a + b >= 10) & np.isfinite(a) & np.isfinite(b)
    big, d = np.where(large, a, 10.0), np.where(large, b, 1.0)
    return np.where(large, _gap(big, big + d, d), plain)


def _gap(a: Array, c: Array, d: Array) -> Array:
    """digamma(a) - digamma(c) for c = a + d, both at least 10, from DLMF 5.11.2 term by term."""
    total = -np.log1p(d / a) - 0.5 * d / (a * c)
    # B_2k / 2k (a^-2k - c^-2k), with the difference of powers divided by d.
    ra, rc = 1.0 / (a * a), 1.0 / (c * c)
    step = d * (a + c) * ra * rc  # a^-2 - c^-2
    power, gathered = np.ones_like(ra), np.zeros_like(ra)
    for k, bernoulli in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)):
        gathered = gathered * rc + power
        power = power * ra
        total = total - bernoulli / (2 * (k + 1)) * step * gathered
    return total
