"""Scalar functions that are sums of as many terms as it takes: loops, so these do not vectorise.

All is float64 arithmetic; the text of a float32 kernel casts what they return.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from nbgrad.machine.scalar_parts import rint_f8
from nbgrad.machine.vecmath.bits import INF, f8
from nbgrad.machine.vecmath.logarithm import log1p_f8, log_f8
from nbgrad.machine.vecmath.roots import hypot_f8
from nbgrad.machine.vecmath.trigonometric import cos_f8, sin_f8

PI = 3.141592653589793
ROOT_HALF_PI, ROOT_HALF_OVER_PI = 1.2533141373155003, 0.3989422804014327


def sinc_f8(x: Any, n: int) -> Any:
    """Derivative of order n of sin(pi x) / (pi x): a series near 0, else by recurrence."""
    if n == 0 and x == 0.0:
        return f8(1.0)
    w = f8(x)
    u = PI * w
    return _sinc_near(u, n) if n > 0 and abs(u) < max(n, 2) else _sinc_far(w, u, n)


def _sinc_far(x: Any, u: Any, n: int) -> Any:
    # u s_n = sin^(n)(u) - n s_(n-1). Whole turns are taken off before the product with pi.
    angle = PI * (x - 2.0 * rint_f8(0.5 * x)) if n > 0 else u
    sine, cosine = sin_f8(angle), cos_f8(angle)
    total, scale = sine / u, f8(1.0)
    for k in range(1, n + 1):
        turned = sine if k % 2 == 0 else cosine
        total = ((-turned if k % 4 in (2, 3) else turned) - k * total) / u
        scale = scale * PI
    return total * scale


def _sinc_near(u: Any, n: int) -> Any:
    first = (n + 1) // 2
    power = 2 * first - n
    term = (u if power == 1 else f8(1.0)) * (1.0 if first % 2 == 0 else -1.0)
    total, scale = f8(0.0), f8(1.0)
    for k in range(first, first + 24):
        total = total + term / (2.0 * k + 1.0)
        term = -term * (u * u) / ((power + 1.0) * (power + 2.0))
        power = power + 2
    for _ in range(n):
        scale = scale * PI
    return total * scale


def log1p_minus_f8(d: Any) -> Any:
    """``log1p(d) - d`` with full relative accuracy near 0."""
    if not abs(d) < 0.4:
        return log1p_f8(d) - d
    r = d / (2.0 + d)
    square, total = r * r, f8(0.0)
    for k in range(27, 1, -2):
        total = total * square + 2.0 / k
    return r * (square * total - d)


def log_ratio_f8(x: Any, y: Any) -> Any:
    """``log(x / y)``, accurate near x = y, and where the quotient has no bits."""
    if abs(x - y) < 0.4 * y:
        return log1p_f8((x - y) / y)
    ratio = x / y
    normal = (ratio > 2.2250738585072014e-308) & (ratio < INF)
    return log_f8(ratio) if normal else log_f8(x) - log_f8(y)


def asymptotic_f8(x: Any, sign: Any, n: int) -> Any:
    """N-th derivative of the sum of sign^k (2k - 1)!! / (2 x^2)^k from k = 1, for |x| >= 6.5."""
    u = f8(6.5) if abs(x) < 6.5 else x
    inverse = sign * 0.5 / (u * u)
    total, scale = f8(0.0), f8(1.0)
    for k in range(40, 0, -1):
        rising = f8(1.0)
        for j in range(n):
            rising = rising * (2.0 * k + j)
        total = (rising + total) * ((2.0 * k - 1.0) * inverse)
    for _ in range(n):
        scale = scale * (-1.0 / u)
    return total * scale


def scaled_far_f8(v: Any, x: Any, n: int, sign: Any) -> Any:
    """N-th derivative of ive(v, x), or of kve(v, x) for sign 1, for large x."""
    limit = 40.0 + 4.0 * v * v
    ratio = 1.0 / (x if (x > limit) | (x != x) else limit)
    total, scale = f8(0.0), f8(1.0)
    for k in range(30, -1, -1):
        rising = f8(1.0)
        for j in range(n):
            rising = rising * (0.5 + k + j)
        odd = (2.0 * k + 1.0) * (2.0 * k + 1.0)
        total = rising + total * (sign * (4.0 * v * v - odd) / (8.0 * (k + 1.0))) * ratio
    for _ in range(n):
        scale = scale * -ratio
    return (ROOT_HALF_PI if sign > 0.0 else ROOT_HALF_OVER_PI) * total * math.sqrt(ratio) * scale


def huber_gain_f8(delta: Any, r: Any) -> Any:
    """``delta (R - 1)**2 / R`` with R = sqrt(1 + (r / delta)**2)."""
    length = hypot_f8(delta, r)
    divisor = f8(1.0) if length == 0.0 else length
    across, along = r / divisor, delta / divisor
    gap = across * (across / (1.0 + along))
    return length * gap * gap


def huber_slope_f8(delta: Any, r: Any) -> Any:
    """Derivative of pseudo_huber by r."""
    length = hypot_f8(delta, r)
    divisor = f8(1.0) if length == 0.0 else length
    across, along = r / divisor, delta / divisor
    return delta * across if abs(across) > along else r * along


_ALL = (log1p_minus_f8, log_ratio_f8, asymptotic_f8, scaled_far_f8, huber_gain_f8, huber_slope_f8)
SERIES: Final[dict[str, Callable[..., Any]]] = {f"series_{f.__name__}": f for f in _ALL}
SERIES.update(sinc_f8=sinc_f8, sinc_f4=sinc_f8)
