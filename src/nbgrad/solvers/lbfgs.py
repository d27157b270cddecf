"""``nb-lbfgs``: the limited-memory method of Byrd, Lu, Nocedal and Zhu, in bounds.

A limited memory algorithm for bound constrained optimization (1995): the generalized Cauchy point of section 4 and the
direct primal method of section 5.1; the minimizer of the subspace is projected as in Morales and Nocedal, Remark on
"Algorithm 778: L-BFGS-B" (2011). Without bounds it is the recursion of two loops (Nocedal, 1980).
"""

from __future__ import annotations

import math
from typing import Any

from nbgrad.machine.pointers import apart
from nbgrad.solvers.native import (
    BEGUN,
    BOUNDED,
    CALLS,
    FAILED,
    FT,
    FTOL,
    GNORM,
    GRADIENT,
    GTOL,
    HEAD,
    HELD,
    ITERATIONS,
    LONGEST,
    MEMORY,
    MOST_CALLS,
    MOST_ITERATIONS,
    NO_STEP,
    NOT_FINITE,
    PAUSE,
    PAUSED,
    SMALL_CHANGE,
    STATUS,
    STEP,
    THETA,
    TOO_MANY,
    F,
    N,
    copy,
    dot,
    evaluate,
    norm,
)  # fmt: skip
from nbgrad.solvers.paths import cauchy, inner_products, subspace
from nbgrad.solvers.places import (
    ABOVE,
    BELOW,
    EPS,
    GT,
    XC,
    XT,
    G,
    P,
    X,
    pairs_s,
    pairs_y,
    slot,
    small_weights,
)  # fmt: skip
from nbgrad.solvers.searching import WIDEST, search


def lbfgs(run: Any, frame: Any, more: Any, further: Any, k: Any, s: Any, w: Any) -> None:
    """Minimise, until done or paused."""
    n = k[N]
    if k[BEGUN] == 0 and not begin(run, frame, k, s, w, n):
        return
    while k[STATUS] == 0:
        if k[CALLS] >= k[PAUSE]:
            k[STATUS] = PAUSED
        elif k[ITERATIONS] >= k[MOST_ITERATIONS] or k[CALLS] >= k[MOST_CALLS]:
            k[STATUS] = TOO_MANY
        else:
            iterate(run, frame, k, s, w, n)


def begin(run: Any, frame: Any, k: Any, s: Any, w: Any, n: int) -> Any:
    """Evaluate at the start."""
    copy(w, XT * n, X * n, n)
    if not evaluate(run, frame, k):
        return False
    k[BEGUN] = 1
    s[F], s[THETA] = s[FT], 1.0
    copy(w, G * n, GT * n, n)
    s[GNORM] = slope(k, w, n)
    if not (math.isfinite(s[F]) and math.isfinite(s[GNORM])):
        k[STATUS] = NOT_FINITE
    elif s[GNORM] <= s[GTOL]:
        k[STATUS] = GRADIENT
    return k[STATUS] == 0


def slope(k: Any, w: Any, n: int) -> float:
    """The largest element of the gradient, as far as bounds let the point go; NaN if one is no number."""
    most = 0.0
    for i in range(n):
        g = w[G * n + i]
        if k[BOUNDED] != 0:
            room = w[X * n + i] - (w[ABOVE * n + i] if g < 0.0 else w[BELOW * n + i])
            g = max(room, g) if g < 0.0 else min(room, g)
        if not abs(g) <= most:
            most = abs(g)
            if math.isnan(most):
                break
    return most


def iterate(run: Any, frame: Any, k: Any, s: Any, w: Any, n: int) -> None:
    """A step; where none is found, forget all that is known of the curvature and try again."""
    bounded = k[BOUNDED] != 0
    if bounded:
        projected(k, s, w, n)
    else:
        two_loops(k, s, w, n)
    d0 = dot(w, G * n, P * n, n)
    s[LONGEST] = longest(k, w, n) if bounded else WIDEST
    s[STEP] = 1.0
    if k[ITERATIONS] == 0 and not (bounded and boxed(w, n)):
        s[STEP] = min(1.0 / norm(w, P * n, n), s[LONGEST])
    found = d0 < 0.0 and search(run, frame, k, s, w, n, X * n, P * n, XT * n, GT * n, d0)
    if k[STATUS] == FAILED:
        return
    if not (found or (d0 < 0.0 and s[FT] < s[F])):
        if k[HELD] == 0:
            k[STATUS] = NO_STEP
        k[HELD] = 0
        s[THETA] = 1.0
        return
    k[ITERATIONS] += 1
    advance(k, s, w, n, d0)


@apart
def advance(k: Any, s: Any, w: Any, n: int, d0: float) -> None:
    """Take the step, and remember what it tells of the curvature."""
    before = s[F]
    s[F] = s[FT]
    remember(k, s, w, n, d0)
    for i in range(n):
        x = w[XT * n + i]
        w[X * n + i] = min(max(x, w[BELOW * n + i]), w[ABOVE * n + i]) if k[BOUNDED] != 0 else x
    copy(w, G * n, GT * n, n)
    s[GNORM] = slope(k, w, n)
    if s[GNORM] <= s[GTOL]:
        k[STATUS] = GRADIENT
    elif before - s[F] <= s[FTOL] * max(1.0, max(abs(before), abs(s[F]))):
        k[STATUS] = SMALL_CHANGE


@apart
def remember(k: Any, s: Any, w: Any, n: int, d0: float) -> None:
    """Keep the step and the change of the gradient, in the place of the oldest, if they are curved upwards."""
    size = k[MEMORY]
    sy, yy = 0.0, 0.0
    for i in range(n):
        y = w[GT * n + i] - w[G * n + i]
        sy += y * s[STEP] * w[P * n + i]
        yy += y * y
    if not sy > EPS * -d0 * s[STEP]:
        return
    if k[HELD] == size:
        k[HEAD] = (k[HEAD] + 1) % size
        k[HELD] -= 1
    at = (k[HEAD] + k[HELD]) % size
    k[HELD] += 1
    a, b = pairs_s(n) + at * n, pairs_y(n, size) + at * n
    for i in range(n):
        w[a + i] = s[STEP] * w[P * n + i]
        w[b + i] = w[GT * n + i] - w[G * n + i]
    s[THETA] = yy / sy
    inner_products(k, w, n, at)


@apart
def two_loops(k: Any, s: Any, w: Any, n: int) -> None:
    """The direction, from the pairs that are kept."""
    size, count = k[MEMORY], k[HELD]
    alpha = small_weights(n, size)
    for i in range(n):
        w[P * n + i] = -w[G * n + i]
    for back in range(count):
        at = slot(k, count - 1 - back)
        a, b = pairs_s(n) + at * n, pairs_y(n, size) + at * n
        w[alpha + at] = dot(w, a, P * n, n) / dot(w, a, b, n)
        for i in range(n):
            w[P * n + i] -= w[alpha + at] * w[b + i]
    for i in range(n):
        w[P * n + i] /= s[THETA]
    for j in range(count):
        at = slot(k, j)
        a, b = pairs_s(n) + at * n, pairs_y(n, size) + at * n
        beta = dot(w, b, P * n, n) / dot(w, a, b, n)
        for i in range(n):
            w[P * n + i] += (w[alpha + at] - beta) * w[a + i]


def projected(k: Any, s: Any, w: Any, n: int) -> None:
    """The direction to the minimizer of the quadratic model in the bounds, roughly."""
    cauchy(k, s, w, n)
    subspace(k, s, w, n)
    for i in range(n):
        w[P * n + i] = w[XC * n + i] - w[X * n + i]


def longest(k: Any, w: Any, n: int) -> float:
    """How far the direction can be gone within the bounds."""
    if k[ITERATIONS] == 0:
        return 1.0
    most = WIDEST
    for i in range(n):
        d, x = w[P * n + i], w[X * n + i]
        room = w[ABOVE * n + i] - x if d > 0.0 else w[BELOW * n + i] - x
        if d != 0.0 and math.isfinite(room):
            most = min(most, max(room / d, 0.0))
    return max(most, 1.0)


def boxed(w: Any, n: int) -> bool:
    """Whether every variable has both bounds."""
    widest = 0.0
    for i in range(n):
        widest = max(widest, w[ABOVE * n + i] - w[BELOW * n + i])
    return math.isfinite(widest)
