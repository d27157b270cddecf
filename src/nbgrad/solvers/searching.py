"""The line search: Moré and Thuente, Line search algorithms with guaranteed sufficient decrease (1994).

Steps near the minimum, where values differ by no more than their rounding, are judged by slopes: the
approximate Wolfe conditions of Hager and Zhang, A new conjugate gradient method with guaranteed descent and
an efficient line search (2005).
"""

from __future__ import annotations

import math
from typing import Any

from nbgrad.machine.pointers import apart
from nbgrad.solvers.native import (
    BDX,
    BDY,
    BFX,
    BFY,
    BRACKETED,
    BX,
    BY,
    CURVATURE,
    DECREASE,
    FIRST,
    FT,
    HIGH,
    LONGEST,
    LOW,
    NARROW,
    STEP,
    WIDER,
    WIDTH,
    F,
    dot,
    evaluate,
)  # fmt: skip

TRIALS = 60
SHORTEST, WIDEST = 1e-100, 1e100
ROUNDING = 1e-15  # by how much values differ that are the same, relative to them


def cubic(
    fx: float, dx: float, fp: float, dp: float, x: float, p: float
) -> tuple[float, float, float, float]:
    """Of the cubic through two values with their slopes: theta, gamma squared, and what they were scaled by."""
    theta = 3.0 * (fx - fp) / (p - x) + dx + dp
    size = max(abs(theta), max(abs(dx), abs(dp)))
    if size == 0.0:
        return theta, 0.0, 1.0, 0.0
    return theta, size * size * ((theta / size) ** 2 - (dx / size) * (dp / size)), size, 1.0


@apart
def trial(
    x: float,
    fx: float,
    dx: float,
    y: float,
    fy: float,
    dy: float,
    p: float,
    fp: float,
    dp: float,
    bracketed: bool,
    low: float,
    high: float,
) -> tuple[float, bool]:
    """The next step to try, and whether a minimum is then known to be bracketed (section 4, cases 1 to 4).

    *x* is the best step, *y* the other end, *p* the last one tried.
    """  # fmt: skip
    opposite = dp * (dx / abs(dx)) < 0.0
    if fp > fx:
        theta, square, _, _ = cubic(fx, dx, fp, dp, x, p)
        gamma = math.sqrt(max(0.0, square)) * (-1.0 if p < x else 1.0)
        r = ((gamma - dx) + theta) / (((gamma - dx) + gamma) + dp)
        by_cubic = x + r * (p - x)
        by_square = x + ((dx / ((fx - fp) / (p - x) + dx)) / 2.0) * (p - x)
        if abs(by_cubic - x) < abs(by_square - x):
            return by_cubic, True
        return by_cubic + (by_square - by_cubic) / 2.0, True
    if opposite:
        theta, square, _, _ = cubic(fx, dx, fp, dp, x, p)
        gamma = math.sqrt(max(0.0, square)) * (-1.0 if p > x else 1.0)
        r = ((gamma - dp) + theta) / (((gamma - dp) + gamma) + dx)
        by_cubic = p + r * (x - p)
        by_secant = p + (dp / (dp - dx)) * (x - p)
        return (by_cubic if abs(by_cubic - p) > abs(by_secant - p) else by_secant), True
    if abs(dp) < abs(dx):
        return _flatter(x, fx, dx, y, p, fp, dp, bracketed, low, high), bracketed
    if bracketed:
        theta, square, _, _ = cubic(fp, dp, fy, dy, p, y)
        gamma = math.sqrt(max(0.0, square)) * (-1.0 if p > y else 1.0)
        r = ((gamma - dp) + theta) / (((gamma - dp) + gamma) + dy)
        return p + r * (y - p), bracketed
    return (high if p > x else low), bracketed


def _flatter(
    x: float,
    fx: float,
    dx: float,
    y: float,
    p: float,
    fp: float,
    dp: float,
    bracketed: bool,
    low: float,
    high: float,
) -> float:
    """Case 3: a lower value, a slope of the same sign that is less."""
    theta, square, _, _ = cubic(fx, dx, fp, dp, x, p)
    gamma = math.sqrt(max(0.0, square)) * (-1.0 if p > x else 1.0)
    r = ((gamma - dp) + theta) / ((gamma + (dx - dp)) + gamma)
    by_cubic = p + r * (x - p) if r < 0.0 and gamma != 0.0 else high if p > x else low
    by_secant = p + (dp / (dp - dx)) * (x - p)
    if bracketed:
        found = by_cubic if abs(by_cubic - p) < abs(by_secant - p) else by_secant
        most = p + 0.66 * (y - p)
        return min(most, found) if p > x else max(most, found)
    found = by_cubic if abs(by_cubic - p) > abs(by_secant - p) else by_secant
    return max(low, min(high, found))


def moved(w: Any, to: int, x: int, p: int, step: float, n: int) -> None:
    """A point on the line."""
    for i in range(n):
        w[to + i] = w[x + i] + step * w[p + i]


@apart
def search(
    run: Any,
    frame: Any,
    k: Any,
    s: Any,
    w: Any,
    n: int,
    x: int,
    p: int,
    to: int,
    gradient: int,
    d0: float,
) -> bool:
    """Find a step along *p* with sufficient decrease and curvature; False if there is none.

    On return ``s[STEP]`` is the step, and the point, its value and gradient are at *to*, ``FT``, *gradient*.
    *d0* is the slope at the start, which is negative; no step is longer than ``s[LONGEST]``.
    """
    s[BX] = s[BY] = 0.0
    s[BFX] = s[BFY] = s[F]
    s[BDX] = s[BDY] = d0
    s[LOW], s[HIGH] = 0.0, 5.0 * s[STEP]
    s[WIDTH] = s[LONGEST] - SHORTEST
    s[WIDER] = 2.0 * s[WIDTH]
    k[BRACKETED], k[FIRST] = 0, 1
    for _ in range(TRIALS):
        moved(w, to, x, p, s[STEP], n)
        if not evaluate(run, frame, k):
            return False
        d = dot(w, gradient, p, n)
        if not (math.isfinite(s[FT]) and math.isfinite(d)):
            # Nothing is known there: nearer to the best step, and never again that far.
            s[LONGEST] = max(s[BX], 0.5 * (s[STEP] + s[BX]))
            s[STEP] = s[BX] + 0.1 * (s[STEP] - s[BX])
            s[HIGH] = min(s[HIGH], s[LONGEST])
            if abs(s[STEP] - s[BX]) <= SHORTEST:
                return False
        elif accepted(s, d, d0):
            return True
        elif not narrowed(k, s, d, d0):
            return False
    return False


def accepted(s: Any, d: float, d0: float) -> Any:
    """Whether a step decreases the function and its slope enough."""
    sufficient = s[FT] <= s[F] + s[STEP] * s[DECREASE] * d0
    near = s[FT] <= s[F] + ROUNDING * abs(s[F]) and d <= (2.0 * s[DECREASE] - 1.0) * d0
    if (sufficient or near) and abs(d) <= s[CURVATURE] * -d0:
        return True
    return sufficient and s[STEP] == s[LONGEST] and d <= s[DECREASE] * d0


@apart
def narrowed(k: Any, s: Any, d: float, d0: float) -> bool:
    """Take the last step into the bracket and choose the next (section 4); False if there is none."""
    f, step, enough = s[FT], s[STEP], s[DECREASE] * d0
    sufficient, bracketed = f <= s[F] + step * enough, k[BRACKETED] != 0
    if bracketed and (
        step <= s[LOW] or step >= s[HIGH] or s[HIGH] - s[LOW] <= s[NARROW] * s[HIGH]
    ):
        return False
    if sufficient and d >= 0.0:
        k[FIRST] = 0
    # As long as no step was good enough: a function whose minima are (section 3).
    tilt = enough if k[FIRST] != 0 and f <= s[BFX] and not sufficient else 0.0
    fx, fy, f = s[BFX] - s[BX] * tilt, s[BFY] - s[BY] * tilt, f - step * tilt
    dx, dy, d = s[BDX] - tilt, s[BDY] - tilt, d - tilt
    new, bracketed = trial(
        s[BX], fx, dx, s[BY], fy, dy, step, f, d, bracketed, s[LOW], s[HIGH]
    )  # fmt: skip
    if f > fx:
        s[BY], s[BFY], s[BDY] = step, s[FT], d + tilt
    else:
        if d * dx < 0.0:
            s[BY], s[BFY], s[BDY] = s[BX], s[BFX], s[BDX]
        s[BX], s[BFX], s[BDX] = step, s[FT], d + tilt
    k[BRACKETED] = 1 if bracketed else 0
    return bounded(s, new, bracketed)


def bounded(s: Any, new: float, bracketed: bool) -> bool:
    """Where the minimum is, and a step within that; False if it is as narrow as can be."""
    x, y = s[BX], s[BY]
    if bracketed:
        if abs(y - x) >= 0.66 * s[WIDER]:
            new = x + 0.5 * (y - x)
        s[WIDER], s[WIDTH] = s[WIDTH], abs(y - x)
        s[LOW], s[HIGH] = min(x, y), max(x, y)
    else:
        s[LOW], s[HIGH] = new + 1.1 * (new - x), new + 4.0 * (new - x)
    s[STEP] = min(max(new, SHORTEST), s[LONGEST])
    narrow = s[STEP] <= s[LOW] or s[STEP] >= s[HIGH] or s[HIGH] - s[LOW] <= s[NARROW] * s[HIGH]
    if bracketed and narrow and s[STEP] == x:
        return False
    if bracketed and narrow:
        s[STEP] = x  # evaluated once more, to be there
    return True
