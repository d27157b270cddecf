"""Derivatives of the incomplete gamma and beta functions by their parameters, in NumPy.

The n-th derivative by a of the density t^(a-1) exp(-t) / gamma(a) is the density times a complete
Bell polynomial Y_n of its logarithmic derivatives: L = log(t) - digamma(a) and -polygamma(k, a). The
first derivative of the distribution function is the integral of density times L. Integrated from
0 below the root of L, and to infinity (with the other sign) above it, the integrand has one sign,
so nothing cancels; the same holds for the beta density. Where the density is a power that decays
slowly, ascending series or steps (DLMF 8.7.1, 8.17.20) take its place: there, too, all terms have one
sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.ops.special.numerics import log_gamma_kernel, log_minus_digamma
from nbgrad.ops.special.quadrature import NODES, WEIGHTS, bell, elementwise_in_chunks
from nbgrad.ops.special.tools import special

Array = Any


def gamma_slope(a: Array, x: Array, n: int) -> Array:
    """n-th derivative by a of the regularised lower incomplete gamma function P(a, x)."""

    def core(a: Array, x: Array) -> Array:
        out = np.where((a >= 0) & (x >= 0), 0.0, np.nan)  # 0 and infinity: P is 0 and 1 there
        inside = (a >= 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
        series = inside & (a < 20) & (np.log(x) <= special.digamma(a + 1.0))
        lower = inside & ~series & (x < a)
        upper = inside & ~series & ~lower
        for chosen, way in ((series, _gamma_series), (lower, _gamma_lower), (upper, _gamma_upper)):
            if chosen.any():
                out[chosen] = way(a[chosen], x[chosen], n)
        return out

    return elementwise_in_chunks(core, a, x)


def _gamma_series(a: Array, x: Array, n: int) -> Array:
    """Terms x^(a+k) exp(-x) / gamma(a + k + 1), each differentiated by a."""
    term = np.exp(log_gamma_kernel(a, x))
    total = np.zeros_like(a)
    logs = np.log(x)
    for k in range(200):
        c = a + k + 1.0
        derivatives = [logs - special.digamma(c)]
        derivatives += [-special.polygamma(j, c) for j in range(1, n)]
        total = total + term * bell(n, derivatives)
        term = term * (x / c)
        if not (term > 1e-19 * np.abs(total)).any():
            break
    return total


def _gamma_bell(a: Array, u: Array, n: int) -> Array:
    """A Y_n for log(t) = log(a) + u; finite at a = 0 for n = 1."""
    if n == 1:
        small = a < 1
        shifted = np.where(small, a, 1.0) * (log_minus_digamma(a + 1.0) - np.log1p(1 / a)) + 1.0
        gap = np.where(small, shifted, a * log_minus_digamma(np.where(small, 1.0, a)))
        return a * u + gap
    derivatives = [u + log_minus_digamma(a)]
    derivatives += [-special.polygamma(j, a) for j in range(1, n)]
    return a * bell(n, np.broadcast_arrays(*derivatives))


def _log_ratio(x: Array, a: Array) -> Array:
    """log(x / a), where they are alike and where they are far apart."""
    near = x > 0.5 * a
    return np.where(near, np.log1p(np.where(near, x - a, 0.0) / a), np.log(x) - np.log(a))


def _gamma_side(a: Array, x: Array, s: Array, n: int) -> Array:
    """The integrand by s = log(t / x), with the density at x taken out of the exponent."""
    t = x * np.exp(s)
    if n == 1:  # a may be 0: then log(t) stands for a log(t / a) + ...
        log_t = np.log(x) + s
        plain = a * (log_t - special.digamma(a + 1.0)) + 1.0
        big = np.where(a >= 1, a, 1.0)
        factor = np.where(a >= 1, _gamma_bell(big, _log_ratio(x, big) + s, 1), plain)
    else:
        factor = _gamma_bell(a, _log_ratio(x, a) + s, n)
    fall = a * s - x * np.expm1(s)
    return np.where(t < np.inf, np.exp(fall) * factor, 0.0)


def _gamma_upper(a: Array, x: Array, n: int) -> Array:
    a, x = a[:, None], x[:, None]
    density = np.exp(log_gamma_kernel(a, x))
    # The integrand falls by exp(-40) within s: then s is measured in that width.
    width = _decay(a, x)
    return -np.sum(WEIGHTS * width * density * _gamma_side(a, x, width * NODES, n), axis=1)


def _decay(a: Array, x: Array) -> Array:
    """Width in log(t) over which t^a exp(-t) falls by about a factor e to the right of x >= a."""
    rate = np.maximum(x - a, 0.0)
    return 2.0 / (rate + np.sqrt(rate * rate + 2.0 * x))


def _gamma_lower(a: Array, x: Array, n: int) -> Array:
    a, x = a[:, None], x[:, None]
    density = np.exp(log_gamma_kernel(a, x))
    rate = np.maximum(a - x, 0.0)
    width = 2.0 / (rate + np.sqrt(rate * rate + 2.0 * x))
    return np.sum(WEIGHTS * width * density * _gamma_side(a, x, -width * NODES, n), axis=1)
