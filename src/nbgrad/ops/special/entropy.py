"""Functions of entropy and probability that compose elementary ones with care at the edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements.activations import sigmoid
from nbgrad.ops.elements.arithmetic import absolute, log, power, square
from nbgrad.ops.elements.comparison import (
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
)
from nbgrad.ops.elements.exponential import log1p
from nbgrad.ops.elements.selection import where
from nbgrad.ops.elements.trigonometric import direction, sin
from nbgrad.ops.special.numerics import log1p_minus
from nbgrad.ops.special.tools import special, special_function

POSITIVE = ((0.2, 3.0),)
BOTH = ((0.2, 3.0), (0.2, 3.0))
TINY = 2.3e-308


def _xlogy_partials(out: Any, x: Node, y: Node) -> tuple[Any, Any]:
    both = logical_and(equal(x, 0), equal(y, 0))
    flat = logical_and(equal(x, 0), less_equal(y, 0))
    return where(flat, 0.0, log(y)), where(both, 0.0, x / y)


xlogy = special_function(
    "xlogy",
    lambda x, y: special.xlogy(x, y),
    partials=_xlogy_partials,
    text="(0.0 if ({x} == 0.0) & ({y} == {y}) else {x} * log_f8({y}))",
    domain=BOTH,
    doc="x log(y), 0 at x = 0 (DLMF 4.2); there the derivative by x is 0 for y <= 0.",
)


def _xlog1py_partials(out: Any, x: Node, y: Node) -> tuple[Any, Any]:
    both = logical_and(equal(x, 0), equal(y, -1))
    flat = logical_and(equal(x, 0), less_equal(y, -1))
    return where(flat, 0.0, log1p(y)), where(both, 0.0, x / (1 + y))


xlog1py = special_function(
    "xlog1py",
    lambda x, y: special.xlog1py(x, y),
    partials=_xlog1py_partials,
    text="(0.0 if ({x} == 0.0) & ({y} == {y}) else {x} * log1p_f8({y}))",
    domain=((0.2, 3.0), (-0.5, 2.0)),
    doc="x log(1 + y), 0 at x = 0 (DLMF 4.2); there the derivative by x is 0 for y <= -1.",
)
entr = special_function(
    "entr",
    lambda x: special.entr(x),
    partials=lambda out, x: (where(less(x, 0), 0.0, -1 - log(x)),),
    text="(-{x} * log_f8({x}) if {x} > 0.0 else "
    "(0.0 if {x} == 0.0 else ({x} if {x} != {x} else -math.inf)))",
    domain=POSITIVE,
    doc="-x log(x), 0 at 0 with derivative +inf, -inf below with derivative 0 (entropy).",
)


def _rel_entr_partials(out: Any, x: Node, y: Node) -> tuple[Any, Any]:
    inside = logical_and(greater_equal(x, 0), greater_equal(y, 0))
    inside = logical_and(inside, less(out, np.inf))
    both = logical_and(equal(x, 0), equal(y, 0))
    valid = where(both, False, inside)
    return where(valid, 1 + log_ratio(x, y), 0.0), where(valid, -x / y, 0.0)


rel_entr = special_function(
    "rel_entr",
    lambda x, y: special.rel_entr(x, y),
    partials=_rel_entr_partials,
    domain=BOTH,
    doc="x log(x / y), 0 at (0, y >= 0); +inf with derivative 0 where it is not defined.",
)


def _kl_div(x: Any, y: Any) -> Any:
    """Y ((1 + d) log1p(d) - d) for d = x / y - 1: no cancellation near x = y."""
    near = (np.abs(x - y) < 0.4 * y) & np.isfinite(y)
    safe = np.where(near, y, 1.0)
    d = np.where(near, x - y, 0.0) / safe
    return np.where(near, safe * (log1p_minus(d) + d * np.log1p(d)), special.kl_div(x, y))


def _kl_div_partials(out: Any, x: Node, y: Node) -> tuple[Any, Any]:
    valid = logical_and(less(out, np.inf), greater(y, 0))
    return where(valid, log_ratio(x, y), 0.0), where(valid, (y - x) / y, 0.0)


kl_div = special_function(
    "kl_div",
    _kl_div,
    partials=_kl_div_partials,
    text="special_kl_div({x}, {y})",
    domain=BOTH,
    doc="x log(x / y) - x + y; +inf with derivative 0 where it is not defined.",
)


def _log_ratio(x: Any, y: Any) -> Any:
    near = np.abs(x - y) < 0.4 * y
    safe = np.where(near, y, 1.0)
    ratio = x / y
    normal = (ratio > TINY) & (ratio < np.inf)
    far = np.where(normal, np.log(ratio), np.log(x) - np.log(y))
    return np.where(near, np.log1p(np.where(near, x - y, 0.0) / safe), far)


log_ratio = special_function(
    "log_ratio",
    _log_ratio,
    partials=lambda out, x, y: (1 / x, -1 / y),
    text="series_log_ratio_f8({x}, {y})",
    domain=BOTH,
    public=False,
    doc="log(x / y), accurate near x = y.",
)
logit = special_function(
    "logit",
    lambda x: special.logit(x),
    partials=lambda out, x: (1 / (x * (1 - x)),),
    text="(log1p_f8(2.0 * ({x} - 0.5)) - log1p_f8(-2.0 * ({x} - 0.5)) "
    "if abs({x} - 0.475) < 0.175 else log_f8({x} / (1.0 - {x})))",
    domain=((0.1, 0.9),),
    doc="log(x / (1 - x)), the inverse of expit; -inf and inf at 0 and 1, with derivative inf.",
)
log_expit = special_function(
    "log_expit",
    lambda x: special.log_expit(x),
    partials=lambda out, x: (sigmoid(-x),),
    text="-softplus_f8(-{x})",
    domain=((-3.0, 3.0),),
    doc="log(expit(x)), without overflow.",
)
cosm1 = special_function(
    "cosm1",
    lambda x: special.cosm1(x),
    partials=lambda out, x: (-sin(x),),
    domain=((-2.0, 2.0),),
    doc="cos(x) - 1, accurate near zero (DLMF 4.21).",
)


def _exprel_moment(x: Any, n: int) -> Any:
    """Integral of t**n exp(x t) over [0, 1]."""
    if n == 0:
        return special.exprel(x)
    out = np.full(x.shape, np.nan)
    out[x == np.inf] = np.inf
    low, high = x < -20.0, (x > 20.0 + 2 * n) & np.isfinite(x)
    # n! / (-x)^(n + 1) P(n + 1, -x), DLMF 8.2.
    u = -x[low]
    out[low] = special.gammainc(n + 1.0, u) * special.gamma(n + 1.0) / u ** (n + 1)
    u = x[high]
    term, total = np.ones_like(u), np.zeros_like(u)
    for k in range(n + 1):
        total, term = total + term, term * (k - n) / u
    rest = (-1.0) ** (n + 1) * special.gamma(n + 1.0) / u ** (n + 1)
    out[high] = np.exp(u - np.log(u)) * total + rest
    middle = ~low & ~high & np.isfinite(x)
    out[middle] = _exprel_series(x[middle], n)
    return out


def _exprel_series(x: Any, n: int) -> Any:
    """Kummer's series, of positive terms (DLMF 13.2.2 and 13.2.39)."""
    size = np.abs(x)
    up, down = np.full(x.shape, 1.0 / (n + 1)), np.full(x.shape, 1.0 / (n + 1))
    rising, falling, power_ = up.copy(), down.copy(), np.ones_like(x)
    for k in range(1, 120 + 4 * n):
        power_ = power_ * size / k
        rising = rising + power_ / (n + k + 1)
        down = down * size / (n + 1 + k)
        falling = falling + down
    return np.where(x >= 0, rising, np.exp(x) * falling)


exprel_moment = special_function(
    "exprel_moment",
    lambda x, n: _exprel_moment(x, n),
    partials=lambda out, x, n: (exprel_moment(x, n=n + 1),),
    text=lambda params: f"special_exprel_moment({{x}}, {params['n']})",
    domain=((-3.0, 3.0),),
    cases=({"n": 1}, {"n": 2}),
    public=False,
    doc="n-th derivative of exprel: the integral of t^n exp(x t) over [0, 1].",
)
exprel = special_function(
    "exprel",
    lambda x: special.exprel(x),
    partials=lambda out, x: (exprel_moment(x, n=1),),
    domain=((-3.0, 3.0),),
    doc="(exp(x) - 1) / x, 1 at 0 (DLMF 8.2): the mean of exp(x t) over t in [0, 1].",
)


def _log1p_mean(x: Any, n: int) -> Any:
    if n == 0:
        safe = np.where(x == 0, 1.0, x)
        return np.where(x == 0, 1.0, np.log1p(safe) / safe)
    # (-1)^n n! times the integral of t^n (1 + x t)^-(n + 1), DLMF 15.6.1 and 15.8.1.
    scale = (-1.0) ** n * special.gamma(n + 1.0) / (n + 1)
    return scale * special.hyp2f1(1.0, 1.0, n + 2.0, -x) / (1.0 + x) ** n


log1p_mean = special_function(
    "log1p_mean",
    _log1p_mean,
    partials=lambda out, x, n: (log1p_mean(x, n=n + 1),),
    text=lambda params: f"special_log1p_mean({{x}}, {params['n']})",
    domain=((-0.5, 2.0),),
    cases=({"n": 0}, {"n": 1}, {"n": 2}),
    public=False,
    doc="n-th derivative of log1p(x) / x: that of the mean of 1 / (1 + x t) over t in [0, 1].",
)


def _boxcox_partials(out: Any, x: Node, lmbda: Node) -> tuple[Any, Any]:
    logs = log(x)
    return power(x, lmbda - 1), square(logs) * exprel_moment(lmbda * logs, n=1)


boxcox = special_function(
    "boxcox",
    lambda x, lmbda: special.boxcox(x, lmbda),
    partials=_boxcox_partials,
    domain=((0.2, 3.0), (-2.0, 2.0)),
    doc="(x**lmbda - 1) / lmbda, log(x) at lmbda = 0 (Box and Cox 1964).",
)


def _boxcox1p_partials(out: Any, x: Node, lmbda: Node) -> tuple[Any, Any]:
    logs = log1p(x)
    return power(1 + x, lmbda - 1), square(logs) * exprel_moment(lmbda * logs, n=1)


boxcox1p = special_function(
    "boxcox1p",
    lambda x, lmbda: special.boxcox1p(x, lmbda),
    partials=_boxcox1p_partials,
    domain=((-0.5, 3.0), (-2.0, 2.0)),
    doc="((1 + x)**lmbda - 1) / lmbda, log1p(x) at lmbda = 0 (Box and Cox 1964).",
)


def _huber_partials(out: Any, delta: Node, r: Node) -> tuple[Any, Any]:
    size = absolute(r)
    inner = less_equal(size, delta)
    side = where(greater(r, 0), delta, -delta)
    valid = greater_equal(delta, 0)
    return (
        where(logical_and(valid, greater(size, delta)), size - delta, 0.0),
        where(valid, where(inner, r, side), 0.0),
    )


huber = special_function(
    "huber",
    lambda delta, r: special.huber(delta, r),
    partials=_huber_partials,
    text="(math.inf if {x} < 0.0 else (0.5 * {y} * {y} if abs({y}) <= {x} "
    "else {x} * (abs({y}) - 0.5 * {x})))",
    domain=((0.5, 0.9), (1.1, 2.0)),
    doc="Huber's loss: r**2 / 2 up to |r| = delta, delta (|r| - delta / 2) beyond.",
)


def _against(delta: Any, r: Any) -> tuple[Any, Any]:
    """Parts of the hypotenuse that r and delta are, without squares that overflow."""
    length = np.hypot(delta, r)
    length = np.where(length == 0, 1.0, length)
    return r / length, delta / length


def _huber_gain(delta: Any, r: Any) -> Any:
    """Delta (R - 1)**2 / R with R = sqrt(1 + (r / delta)**2)."""
    across, along = _against(delta, r)
    gap = across * (across / (1 + along))
    return np.hypot(delta, r) * gap * gap


def _huber_gain_partials(out: Any, delta: Node, r: Node) -> tuple[Any, Any]:
    across, along = direction(r, delta), direction(delta, r)
    gap = across * (across / (1 + along))
    return -(square(gap) * (2 + along)), across * square(across)


def _huber_slope(delta: Any, r: Any) -> Any:
    across, along = _against(delta, r)
    return np.where(np.abs(across) > along, delta * across, r * along)


def _huber_slope_partials(out: Any, delta: Node, r: Node) -> tuple[Any, Any]:
    across, along = direction(r, delta), direction(delta, r)
    return across * square(across), along * square(along)


huber_gain = special_function(
    "huber_gain",
    _huber_gain,
    partials=_huber_gain_partials,
    text="series_huber_gain_f8({x}, {y})",
    domain=((0.5, 2.0), (-2.0, 2.0)),
    public=False,
    doc="Derivative of pseudo_huber by delta.",
)
huber_slope = special_function(
    "huber_slope",
    _huber_slope,
    partials=_huber_slope_partials,
    text="series_huber_slope_f8({x}, {y})",
    domain=((0.5, 2.0), (-2.0, 2.0)),
    public=False,
    doc="Derivative of pseudo_huber by r.",
)
pseudo_huber = special_function(
    "pseudo_huber",
    lambda delta, r: special.pseudo_huber(delta, r),
    partials=lambda out, delta, r: (huber_gain(delta, r), huber_slope(delta, r)),
    domain=((0.5, 2.0), (-2.0, 2.0)),
    doc="delta**2 (sqrt(1 + (r / delta)**2) - 1), a smooth form of Huber's loss.",
)
