"""Derivatives of the incomplete beta function by its parameters; see incomplete_gamma.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.ops.special.numerics import betaln, digamma_difference, log_beta_kernel
from nbgrad.ops.special.quadrature import NODES, WEIGHTS, bell, elementwise_in_chunks
from nbgrad.ops.special.tools import special

Array = Any


def beta_slope(a: Array, b: Array, x: Array, n: int, m: int) -> Array:
    """Derivative, n times by a and m times by b, of I_x(a, b); n + m >= 1."""

    def core(a: Array, b: Array, x: Array) -> Array:
        out = np.where((a > 0) & (b > 0) & (x >= 0) & (x <= 1), 0.0, np.nan)
        inside = (a > 0) & (b > 0) & (x > 0) & (x < 1) & np.isfinite(a) & np.isfinite(b)
        if inside.any():
            a, b, x = a[inside], b[inside], x[inside]
            # I_x(a, b) = 1 - I_y(b, a) (DLMF 8.17.4).
            swapped = n == 0
            args = (b, a, 1.0 - x, x, m, n) if swapped else (a, b, x, 1.0 - x, n, m)
            out[inside] = -_by_sides(*args) if swapped else _by_sides(*args)
        return out

    return elementwise_in_chunks(core, a, b, x)


def _by_sides(a: Array, b: Array, x: Array, y: Array, n: int, m: int) -> Array:
    """From the end where the integrand keeps its sign, or is smaller."""
    if m == 0:
        up = np.maximum(a, 1.0)
        low = np.log(x) < digamma_difference(up, b)
        low = low & ~((b < 1.0) & (a * y < 0.5) & (x > 0.5))
    else:
        low = x * b < y * a
    out = np.empty_like(a)
    if low.any():
        out[low] = _lower(*(v[low] for v in (a, b, x, y)), n, m)
    if not low.all():
        out[~low] = -_lower(*(v[~low] for v in (b, a, y, x)), m, n)
    return out


def log_derivatives(
    polygamma: Any, difference: Any, a: Any, b: Any, c: Any, log_t: Any, log_r: Any
) -> Callable[[int, int], Any]:
    """Derivatives of a log(t) + b log(r) - log gamma(a) - log gamma(b) + log gamma(c) by a and b.

    c moves with a and with b. ``difference(a, b, c)`` is digamma(a) - digamma(c).
    """

    def derivative(i: int, j: int) -> Any:
        if i and j:
            return polygamma(i + j - 1, c)
        at, log = (a, log_t) if i else (b, log_r)
        if i + j == 1:
            return log - difference(at, c)
        return polygamma(i + j - 1, c) - polygamma(i + j - 1, at)

    return derivative


def ratio(n: int, m: int, derivative: Callable[[int, int], Any]) -> Any:
    """Derivative of exp(g), n times by a and m times by b, over exp(g), from those of g."""
    if n == m == 0:
        return 1.0
    # Leibniz's rule on (exp g)' = g' exp g.
    p, q = (n - 1, m) if n else (n, m - 1)
    total: Any = 0.0
    for k in range(p + 1):
        for h in range(q + 1):
            more = derivative(p - k + (n > 0), q - h + (n == 0))
            weight = math.comb(p, k) * math.comb(q, h)
            total = total + weight * ratio(k, h, derivative) * more
    return total


def _factor(
    a: Array, b: Array, gaps: tuple[Array, Array], logs: tuple[Array, Array], n: int, m: int
) -> Array:
    """Of arrays: ``gaps`` are c - a and c - b, ``logs`` those of t and 1 - t."""

    def difference(at: Array, c: Array) -> Array:
        return digamma_difference(at, gaps[0] if at is a else gaps[1])

    return ratio(n, m, log_derivatives(special.polygamma, difference, a, b, a + gaps[0], *logs))


def _lower(a: Array, b: Array, x: Array, y: Array, n: int, m: int) -> Array:
    """From 0 to x; for small a by I_x(a, b) = kernel / a + I_x(a + 1, b) (DLMF 8.17.20)."""
    small = a < 1.0
    out = _integral(np.where(small, a + 1.0, a), b, x, y, n, m)
    if small.any():
        s, t, u, v = (z[small] for z in (a, b, x, y))
        term = np.exp(log_beta_kernel(s, t, u, v)) / s
        # x^a y^b gamma(a + b) / (gamma(a + 1) gamma(b)): c lies b - 1 above a + 1.
        up = s + 1.0
        out[small] += term * _factor(up, t, (t - 1.0, s), _logs(u, v), n, m)
    return out


def _integral(a: Array, b: Array, x: Array, y: Array, n: int, m: int) -> Array:
    """Integral over u = log(t / (1 - t)) to the left of x, for a >= 1."""
    a, b, x, y = (v[:, None] for v in (a, b, x, y))
    rate = np.maximum(a * y - b * x, 0.0)
    width = 2.0 / (rate + np.sqrt(rate * rate + 2.0 * (a + b) * x * y))
    log_x, log_y = _logs(x, y)
    u = log_x - log_y - width * NODES
    log_t, log_r = -np.logaddexp(0.0, -u), -np.logaddexp(0.0, u)
    # t and 1 - t against x and y, without cancellation near x.
    below = y + x * np.exp(-width * NODES)
    rise = -np.where(below > 0.5, np.log1p(x * np.expm1(-width * NODES)), np.log(below))
    fall = a * (rise - width * NODES) + b * rise
    kernel = np.exp(log_beta_kernel(a, b, x, y))
    factor = _factor(a, b, (b, a), (log_t, log_r), n, m)
    return np.sum(WEIGHTS * width * kernel * np.exp(fall) * factor, axis=1)


def _logs(x: Array, y: Array) -> tuple[Array, Array]:
    """log(x) and log(y) for y = 1 - x: each from the smaller of the two."""
    return np.where(x < 0.5, np.log(x), np.log1p(-y)), np.where(x < 0.5, np.log1p(-x), np.log(y))


# Gauss and Legendre's rule on [0, 1].
_AT, _BY = (0.5 * v for v in np.polynomial.legendre.leggauss(40))
_AT = _AT + 0.5


def student_logs(
    n: int, df: Any, square: Any, log1p: Any, difference: Any, polygamma: Any
) -> list[Any]:
    """Derivatives 1 to n by df of the logarithm of Student's density, of arrays or nodes.

    It is ``-(df + 1) / 2 log1p(square / df) - betaln(df / 2, 1 / 2) - log(df) / 2``, square that of t.
    """

    def log(j: int) -> Any:  # j-th derivative of log(df + square) - log(df)
        if j == 0:
            return log1p(square / df)
        powers = [1 / df, 1 / (df + square)]
        gap = -square / (df * (df + square))  # of the reciprocals
        gap = gap * sum(powers[0] ** i * powers[1] ** (j - 1 - i) for i in range(j))
        return (-1) ** (j - 1) * math.factorial(j - 1) * gap

    def fall(k: int) -> Any:
        if k == 1:
            return 0.5 * difference(0.5 * df, 0.5)
        return (polygamma(k - 1, 0.5 * df) - polygamma(k - 1, 0.5 * df + 0.5)) / 2**k

    return [
        -0.5 * (df + 1) * log(k)
        - 0.5 * k * log(k - 1)
        - fall(k)
        - 0.5 * (-1) ** (k - 1) * math.factorial(k - 1) / df**k
        for k in range(1, n + 1)
    ]


def stdtr_slope(df: Array, t: Array, n: int) -> Array:
    """n-th derivative by df of Student's distribution function, for |t| up to sqrt(df)."""
    half = np.asarray(0.5)

    def difference(a: Array, b: float) -> Array:
        return digamma_difference(a, half)

    def core(df: Array, t: Array) -> Array:
        df, t = df[:, None], t[:, None]
        at = np.square(t * _AT)
        density = np.exp(-0.5 * (df + 1) * np.log1p(at / df) - betaln(0.5 * df, half)) / np.sqrt(
            df
        )
        logs = student_logs(n, df, at, np.log1p, difference, special.polygamma)
        return np.sum(_BY * t * density * bell(n, logs), axis=1)

    return elementwise_in_chunks(core, df, t)
