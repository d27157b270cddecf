"""Bessel functions of real order (DLMF chapter 10); none has a derivative by its order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements.arithmetic import absolute, sign
from nbgrad.ops.elements.comparison import equal, greater, less, logical_and, not_equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.special.tools import special, special_function

ANY = ((-3.0, 3.0),)
POSITIVE = ((0.5, 4.0),)
ORDERED = ((0, 3), (0.5, 4.0))


def _mean_step(f: Any) -> Any:
    """Partials of f' = (f(v - 1) - f(v + 1)) / 2 (DLMF 10.6.1)."""
    return lambda out, v, x: (None, 0.5 * (f()(v - 1, x) - f()(v + 1, x)))


jv = special_function(
    "jv",
    lambda v, x: special.jv(v, x),
    partials=_mean_step(lambda: jv),
    fixed=(0,),
    domain=ORDERED,
    doc="Bessel function of the first kind, of real order (DLMF 10.2.2).",
)
yv = special_function(
    "yv",
    lambda v, x: special.yv(v, x),
    partials=_mean_step(lambda: yv),
    fixed=(0,),
    domain=ORDERED,
    doc="Bessel function of the second kind, of real order (DLMF 10.2.3).",
)
j0 = special_function(
    "j0",
    lambda x: special.j0(x),
    partials=lambda out, x: (-j1(x),),
    domain=ANY,
    doc="Bessel function of the first kind of order 0 (DLMF 10.2.2).",
)
j1 = special_function(
    "j1",
    lambda x: special.j1(x),
    partials=lambda out, x: (0.5 * (j0(x) - jv(2, x)),),
    domain=ANY,
    doc="Bessel function of the first kind of order 1 (DLMF 10.2.2).",
)
y0 = special_function(
    "y0",
    lambda x: special.y0(x),
    partials=lambda out, x: (-y1(x),),
    domain=POSITIVE,
    doc="Bessel function of the second kind of order 0 (DLMF 10.2.3); -inf at 0.",
)
y1 = special_function(
    "y1",
    lambda x: special.y1(x),
    partials=lambda out, x: (where(equal(x, 0), np.inf, y0(x) - out / x),),
    domain=POSITIVE,
    doc="Bessel function of the second kind of order 1 (DLMF 10.2.3); -inf at 0.",
)


# ------------------------------------------------------------------------------------- modified


def _far(v: Any, x: Any) -> Any:
    return (x > 30 + 2 * np.maximum(np.abs(v), np.abs(v + 1)) ** 2) & np.isfinite(x)


def _ive_drop(v: Any, x: Any) -> Any:
    """ive(v) - ive(v + 1) for x >= 0, of nearly equal numbers where x is large."""
    v, x = np.broadcast_arrays(v, x)
    near = special.ive(v, x) - special.ive(v + 1, x)
    far = _far(v, x)
    u = np.where(far, x, 100.0)
    series = _difference(v, u, -1.0) / np.sqrt(2 * np.pi * u)
    return np.where(far, -series, np.where(x == np.inf, 0.0, near))


def _difference(v: Any, x: Any, alternate: float) -> Any:
    """Hankel's series of order v + 1 less that of order v, term by term."""
    low, high, gap = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    total = np.zeros_like(x)
    for k in range(1, 40):
        odd = (2 * k - 1) ** 2
        to_low = alternate * (4 * v * v - odd) / (8 * k * x)
        to_high = alternate * (4 * (v + 1) ** 2 - odd) / (8 * k * x)
        # high' - low' = high to_high - low to_low
        gap = gap * to_high + low * alternate * (8 * v + 4) / (8 * k * x)
        low, high = low * to_low, high * to_high
        if not (np.abs(gap) > 1e-18 * np.abs(total)).any():
            break
        total = total + gap
    return total


def _kve_rise(v: Any, x: Any) -> Any:
    """kve(v + 1) - kve(v) for x > 0, of nearly equal numbers where x is large."""
    v, x = np.broadcast_arrays(v, x)
    near = special.kve(v + 1, x) - special.kve(v, x)
    far = _far(v, x)
    u = np.where(far, x, 100.0)
    series = _difference(v, u, 1.0) * np.sqrt(np.pi / (2 * u))
    return np.where(far, series, np.where(x == np.inf, 0.0, near))


ive_drop = special_function(
    "ive_drop",
    _ive_drop,
    partials=lambda out, v, x: (None, ive_slope(v, x) - ive_slope(v + 1, x)),
    fixed=(0,),
    text="special_ive_drop({x}, {y})",
    domain=ORDERED,
    public=False,
    doc="ive(v, x) - ive(v + 1, x) for x >= 0, without cancellation for large x.",
)


def _scaled_far(v: Any, x: Any, n: int, sign: float) -> Any:
    """The n-th derivative, term by term; good to the last digit where _beyond uses it."""
    far = np.maximum(x, _limit(v))
    ratio, total = 1.0 / far, np.zeros_like(far + v)
    for k in range(30, -1, -1):
        rising = math.prod(0.5 + k + j for j in range(n))
        total = rising + total * (sign * (4 * v * v - (2 * k + 1) ** 2) / (8 * (k + 1))) * ratio
    scale = math.sqrt(0.5 * math.pi) if sign > 0 else math.sqrt(0.5 / math.pi)
    return scale * total * np.sqrt(ratio) * (-ratio) ** n


scaled_far = special_function(
    "scaled_far",
    _scaled_far,
    partials=lambda out, v, x, n, sign: (None, scaled_far(v, x, n=n + 1, sign=sign)),
    fixed=(0,),
    text=lambda p: f"series_scaled_far_f8({{x}}, {{y}}, {p['n']}, {p['sign']!r})",
    domain=((0, 2), (60.0, 90.0)),
    cases=({"n": 1, "sign": -1.0}, {"n": 1, "sign": 1.0}),
    public=False,
    doc="n-th derivative of ive(v, x), or of kve(v, x) for sign 1, for large x (DLMF 10.40).",
)


def _limit(v: Any) -> Any:
    return 40 + 4 * v * v


def _beyond(v: Any, x: Any, sign: float, slope: Any) -> Any:
    """*slope*, the derivative of a scaled function, by its series where its own would cancel."""
    return where(greater(x, _limit(v)), scaled_far(v, x, n=1, sign=sign), slope)


def ive_slope(v: Any, x: Any) -> Any:
    """Derivative of ``ive(v, x)`` by x >= 0: half of (I_(v-1) - I_v) - (I_v - I_(v+1))."""
    return _beyond(v, x, -1.0, 0.5 * (ive_drop(v - 1, x) - ive_drop(v, x)))


kve_rise = special_function(
    "kve_rise",
    _kve_rise,
    partials=lambda out, v, x: (None, kve_slope(v + 1, x) - kve_slope(v, x)),
    fixed=(0,),
    text="special_kve_rise({x}, {y})",
    domain=ORDERED,
    public=False,
    doc="kve(v + 1, x) - kve(v, x), without cancellation for large x.",
)


def kve_slope(v: Any, x: Any) -> Any:
    """Derivative of ``kve(v, x)`` by x (DLMF 10.29.2)."""
    return _beyond(v, x, 1.0, kve(v, x) * (v / x) - kve_rise(v, x))


def _ive_partials(out: Any, v: Node, x: Node) -> tuple[Any, Any]:
    # Beyond order 1 there is no kink at 0 that a first or second derivative sees.
    smooth, left = greater(absolute(v), 1), less(x, 0)
    slope = ive_slope(v, where(smooth, where(left, -x, x), absolute(x)))
    side = where(smooth, where(left, -1.0, 1.0), sign(x))
    even = where(equal(v % 1, 0), 1 - v % 2, 0.0)
    nowhere = logical_and(left, not_equal(v % 1, 0))
    return None, where(greater(even, 0), side, where(nowhere, np.nan, 1.0)) * slope


iv = special_function(
    "iv",
    lambda v, x: special.iv(v, x),
    partials=lambda out, v, x: (None, 0.5 * (iv(v - 1, x) + iv(v + 1, x))),
    fixed=(0,),
    domain=ORDERED,
    doc="Modified Bessel function of the first kind, of real order (DLMF 10.25.2).",
)
ive = special_function(
    "ive",
    lambda v, x: special.ive(v, x),
    partials=_ive_partials,
    fixed=(0,),
    domain=ORDERED,
    doc="iv(v, x) exp(-abs(x)) (DLMF 10.25.2); derivative 0 at the kink of order 0.",
)
i0 = special_function(
    "i0",
    lambda x: special.i0(x),
    partials=lambda out, x: (i1(x),),
    domain=ANY,
    doc="Modified Bessel function of the first kind of order 0 (DLMF 10.25.2).",
)
i1 = special_function(
    "i1",
    lambda x: special.i1(x),
    partials=lambda out, x: (0.5 * (i0(x) + iv(2, x)),),
    domain=ANY,
    doc="Modified Bessel function of the first kind of order 1 (DLMF 10.25.2).",
)
i0e = special_function(
    "i0e",
    lambda x: special.i0e(x),
    partials=lambda out, x: (sign(x) * _beyond(0, absolute(x), -1.0, -ive_drop(0, absolute(x))),),
    domain=((0.5, 3.0),),
    doc="i0(x) exp(-abs(x)) (DLMF 10.25.2); derivative 0 at the kink.",
)
i1e = special_function(
    "i1e",
    lambda x: special.i1e(x),
    partials=lambda out, x: (ive_slope(1, absolute(x)),),
    domain=((0.5, 3.0),),
    doc="i1(x) exp(-abs(x)) (DLMF 10.25.2).",
)
kv = special_function(
    "kv",
    lambda v, x: special.kv(v, x),
    partials=lambda out, v, x: (None, -0.5 * (kv(v - 1, x) + kv(v + 1, x))),
    fixed=(0,),
    domain=ORDERED,
    doc="Modified Bessel function of the second kind, of real order (DLMF 10.25.3).",
)
kve = special_function(
    "kve",
    lambda v, x: special.kve(v, x),
    partials=lambda out, v, x: (None, kve_slope(v, x)),
    fixed=(0,),
    domain=ORDERED,
    doc="kv(v, x) exp(x) (DLMF 10.25.3).",
)
k0 = special_function(
    "k0",
    lambda x: special.k0(x),
    partials=lambda out, x: (-k1(x),),
    domain=POSITIVE,
    doc="Modified Bessel function of the second kind of order 0 (DLMF 10.25.3).",
)
k1 = special_function(
    "k1",
    lambda x: special.k1(x),
    partials=lambda out, x: (-0.5 * (k0(x) + kv(2, x)),),
    domain=POSITIVE,
    doc="Modified Bessel function of the second kind of order 1 (DLMF 10.25.3).",
)
k0e = special_function(
    "k0e",
    lambda x: special.k0e(x),
    partials=lambda out, x: (_beyond(0, x, 1.0, -kve_rise(0, x)),),
    domain=POSITIVE,
    doc="k0(x) exp(x) (DLMF 10.25.3).",
)
k1e = special_function(
    "k1e",
    lambda x: special.k1e(x),
    partials=lambda out, x: (_beyond(1, x, 1.0, out / x - kve_rise(1, x)),),
    domain=POSITIVE,
    doc="k1(x) exp(x) (DLMF 10.25.3).",
)
