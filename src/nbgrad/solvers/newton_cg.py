"""``nb-newton-cg``: Newton's method, of which the systems are solved by conjugate gradients as far as it pays.

Nocedal and Wright, Numerical Optimization (2006), algorithm 7.1, with the forcing terms and the end of SciPy's.
"""

from __future__ import annotations

import math
from typing import Any

from nbgrad.machine.pointers import apart
from nbgrad.solvers.native import (
    BEFORE,
    BEGUN,
    CALLS,
    FAILED,
    FT,
    GNORM,
    GRADIENT,
    ITERATIONS,
    LONGEST,
    MOST_CALLS,
    MOST_ITERATIONS,
    NO_STEP,
    NOT_FINITE,
    PAUSE,
    PAUSED,
    PRODUCTS,
    SMALL_STEP,
    STATUS,
    STEP,
    TOO_MANY,
    XTOL,
    F,
    N,
    copy,
    dot,
    evaluate,
    evaluate_more,
    largest,
)  # fmt: skip
from nbgrad.solvers.searching import WIDEST, search

# The point and its gradient, a direction, those of the point that is tried; residual, direction and product of
# the conjugate gradients.
X, G, P, XT, GT, R, D, HD = range(8)
VECTORS = 8
EPS = 2.220446049250313e-16
FLAT = 1e-5  # of a gradient, where the curvature is none


def newton_cg(run: Any, frame: Any, more: Any, further: Any, k: Any, s: Any, w: Any) -> None:
    """Minimise, until done or paused."""
    n = k[N]
    if k[BEGUN] == 0 and not begin(run, frame, k, s, w, n):
        return
    while k[STATUS] == 0:
        if k[CALLS] >= k[PAUSE]:
            k[STATUS] = PAUSED
        elif k[ITERATIONS] >= k[MOST_ITERATIONS] or k[CALLS] >= k[MOST_CALLS]:
            k[STATUS] = TOO_MANY
        elif direct(more, further, k, w, n):
            iterate(run, frame, k, s, w, n)


def begin(run: Any, frame: Any, k: Any, s: Any, w: Any, n: int) -> Any:
    """Evaluate at the start."""
    copy(w, XT * n, X * n, n)
    if not evaluate(run, frame, k):
        return False
    k[BEGUN] = 1
    s[F], s[BEFORE] = s[FT], math.inf
    copy(w, G * n, GT * n, n)
    s[GNORM] = largest(w, G * n, n)
    if not (math.isfinite(s[F]) and math.isfinite(s[GNORM])):
        k[STATUS] = NOT_FINITE
    elif s[GNORM] == 0.0:
        k[STATUS] = GRADIENT
    return k[STATUS] == 0


def absolute(w: Any, a: int, n: int) -> float:
    """The sum of the magnitudes of a vector."""
    total = 0.0
    for i in range(n):
        total += abs(w[a + i])
    return total


@apart
def direct(more: Any, further: Any, k: Any, w: Any, n: int) -> Any:
    """A direction: conjugate gradients until the residual is small, or the curvature is not positive."""
    size = absolute(w, G * n, n)
    enough = min(0.5, math.sqrt(size)) * size
    for i in range(n):
        w[P * n + i], w[R * n + i], w[D * n + i] = 0.0, w[G * n + i], -w[G * n + i]
    square = dot(w, R * n, R * n, n)
    for step in range(20 * n):
        if absolute(w, R * n, n) <= enough:
            break
        if not evaluate_more(more, further, k, PRODUCTS):
            return False
        curve = dot(w, D * n, HD * n, n)
        if not curve > 3.0 * EPS:
            if step == 0 and curve < 0.0:
                for i in range(n):
                    w[P * n + i] = square / curve * w[G * n + i]
            break
        part, before = square / curve, square
        for i in range(n):
            w[P * n + i] += part * w[D * n + i]
            w[R * n + i] += part * w[HD * n + i]
        square = dot(w, R * n, R * n, n)
        for i in range(n):
            w[D * n + i] = square / before * w[D * n + i] - w[R * n + i]
    if absolute(w, P * n, n) == 0.0:  # nothing is known of the curvature but that it is small
        for i in range(n):
            w[P * n + i] = -w[G * n + i]
        if largest(w, G * n, n) <= FLAT:
            k[STATUS] = GRADIENT
    return k[STATUS] == 0


def iterate(run: Any, frame: Any, k: Any, s: Any, w: Any, n: int) -> None:
    """Search along the direction."""
    d0 = dot(w, G * n, P * n, n)
    if not d0 < 0.0:
        k[STATUS] = NO_STEP
        return
    s[LONGEST] = WIDEST
    s[STEP] = min(1.0, 2.02 * (s[F] - s[BEFORE]) / d0)
    if not s[STEP] > 0.0:
        s[STEP] = 1.0
    if not search(run, frame, k, s, w, n, X * n, P * n, XT * n, GT * n, d0):
        if k[STATUS] != FAILED:
            k[STATUS] = NO_STEP
        return
    k[ITERATIONS] += 1
    s[BEFORE], s[F] = s[F], s[FT]
    copy(w, X * n, XT * n, n)
    copy(w, G * n, GT * n, n)
    s[GNORM] = largest(w, G * n, n)
    if s[STEP] * absolute(w, P * n, n) <= n * s[XTOL]:
        k[STATUS] = SMALL_STEP
    elif s[GNORM] == 0.0:
        k[STATUS] = GRADIENT
