"""Scalar functions that are sums of as many terms as it takes: loops, so these do not vectorise.

All is float64 arithmetic; the text of a float32 kernel casts what they return.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nbgrad.machine.scalar_parts import rint_f8
from nbgrad.machine.vecmath.bits import f8
from nbgrad.machine.vecmath.trigonometric import cos_f8, sin_f8

PI = 3.141592653589793


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


SERIES: Final[dict[str, Callable[..., Any]]] = {"sinc_f8": sinc_f8, "sinc_f4": sinc_f8}
