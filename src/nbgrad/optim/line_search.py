"""How far to go along a direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
DECREASE, CURVATURE = 1e-4, 0.9  # of the strong Wolfe conditions
MOST = 25  # evaluations


class _At(NamedTuple):
    """A step length, and the loss, gradient and slope there."""

    t: float
    f: float
    g: Array
    slope: float


def strong_wolfe(
    along: Callable[[float], tuple[float, Array]], f: float, g: Array, d: Array, t: float
) -> tuple[float, float, Array]:
    """A step length at which the strong Wolfe conditions hold: Nocedal and Wright, 3.5 and 3.6.

    Parameters
    ----------
    along : callable
        Loss and gradient at a step length.
    f, g : float, ndarray
        Those at zero.
    d : ndarray
        The direction, which goes down.
    t : float
        Where to look first.

    Returns
    -------
    tuple
        Step length, loss and gradient there: the best that was found if *MOST* did not do.
    """
    start = _At(0.0, f, g, float(g @ d))
    before = start
    for k in range(MOST):
        now = _look(along, d, t)
        worse = not now.f <= start.f + DECREASE * t * start.slope  # NaN is worse
        if worse or (k and now.f >= before.f):
            return _zoomed(along, d, start, before, now, MOST - k)
        if abs(now.slope) <= -CURVATURE * start.slope:
            return now.t, now.f, now.g
        if now.slope >= 0:
            return _zoomed(along, d, start, now, before, MOST - k)
        lowest, highest = t + 0.01 * (t - before.t), 10 * t
        before, t = now, _cubic(before, now, lowest, highest)
    return before.t, before.f, before.g


def _look(along: Callable[[float], tuple[float, Array]], d: Array, t: float) -> _At:
    f, g = along(t)
    return _At(t, f, g, float(g @ d))


def _zoomed(
    along: Callable[[float], tuple[float, Array]],
    d: Array,
    start: _At,
    low: _At,
    high: _At,
    most: int,
) -> tuple[float, float, Array]:
    """Narrow an interval down; *low* is the better end, and goes down towards the other."""
    for _ in range(most):
        width = abs(high.t - low.t)
        if width * abs(start.slope) <= 1e-16 * abs(start.f) or width <= 1e-16 * abs(low.t):
            break
        left, right = sorted((low.t, high.t))
        t = _cubic(low, high, left + 0.1 * width, right - 0.1 * width)
        now = _look(along, d, t)
        if not now.f <= start.f + DECREASE * t * start.slope or now.f >= low.f:
            high = now
            continue
        if abs(now.slope) <= -CURVATURE * start.slope:
            low = now
            break
        if now.slope * (high.t - low.t) >= 0:
            high = low
        low = now
    return low.t, low.f, low.g


def _cubic(a: _At, b: _At, lowest: float, highest: float) -> float:
    """The minimum of the cubic through two points, kept within bounds; their middle if there is none."""
    middle = (lowest + highest) / 2
    if not all(map(math.isfinite, (a.f, b.f, a.slope, b.slope))) or a.t == b.t:
        return middle
    p = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    inside = p * p - a.slope * b.slope
    if inside < 0:
        return middle
    root = math.copysign(math.sqrt(inside), b.t - a.t)
    below = b.slope - a.slope + 2 * root
    if below == 0:
        return middle
    t = b.t - (b.t - a.t) * (b.slope + root - p) / below
    return min(max(t, lowest), highest)
