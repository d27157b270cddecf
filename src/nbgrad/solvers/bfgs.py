"""``nb-bfgs``: the method of Broyden, Fletcher, Goldfarb and Shanno.

Nocedal and Wright, Numerical Optimization (2006), algorithm 6.1. The inverse Hessian is a matrix of which the upper
triangle is kept; what an iteration adds to it is added by the next one, in its only pass over the matrix.
"""

from __future__ import annotations

import math
from typing import Any

from nbgrad.machine.intrinsics import reduce_add
from nbgrad.machine.pointers import apart, call_kernel
from nbgrad.solvers.native import (
    BEFORE,
    BEGUN,
    CALLS,
    FAILED,
    FT,
    GNORM,
    GRADIENT,
    GTOL,
    ITERATIONS,
    LONGEST,
    MOST_CALLS,
    MOST_ITERATIONS,
    NO_STEP,
    NOT_FINITE,
    PAUSE,
    PAUSED,
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
    largest,
    norm,
)  # fmt: skip
from nbgrad.solvers.searching import WIDEST, search

# Where vectors begin in w, in multiples of n: the point and its gradient, a direction; the same of the point
# that is tried; the step, what it adds to the matrix, a product; the matrix.
X, G, P, XT, GT, S, V, Q, H = range(9)
VECTORS = 9


def bfgs(run: Any, frame: Any, more: Any, further: Any, k: Any, s: Any, w: Any) -> None:
    """Minimise, until done or paused. *more* is the kernel of the matrix, *further* its arguments."""
    n = k[N]
    if k[BEGUN] == 0 and not begin(run, frame, k, s, w, n):
        return
    while k[STATUS] == 0:
        if k[CALLS] >= k[PAUSE]:
            k[STATUS] = PAUSED
        elif k[ITERATIONS] >= k[MOST_ITERATIONS] or k[CALLS] >= k[MOST_CALLS]:
            k[STATUS] = TOO_MANY
        else:
            iterate(run, frame, more, further, k, s, w, n)
    if k[STATUS] != PAUSED:
        finish(more, further, w, n)


@apart
def finish(more: Any, further: Any, w: Any, n: int) -> None:
    """Make the matrix whole: add the last update, and fill the lower triangle."""
    call_kernel(more, 0, 1, further)
    for i in range(n):
        for j in range(i):
            w[H * n + i * n + j] = w[H * n + j * n + i]


def begin(run: Any, frame: Any, k: Any, s: Any, w: Any, n: int) -> Any:
    """Evaluate at the start, and take the unit matrix."""
    copy(w, XT * n, X * n, n)
    if not evaluate(run, frame, k):
        return False
    k[BEGUN] = 1
    s[F] = s[FT]
    copy(w, G * n, GT * n, n)
    for i in range(n * n):
        w[H * n + i] = 0.0
    for i in range(n):
        w[H * n + i * n + i] = 1.0
        w[S * n + i] = w[V * n + i] = 0.0
        w[P * n + i] = -w[G * n + i]
    s[BEFORE] = s[F] + norm(w, G * n, n) / 2.0
    s[GNORM] = largest(w, G * n, n)
    if not (math.isfinite(s[F]) and math.isfinite(s[GNORM])):
        k[STATUS] = NOT_FINITE
    elif s[GNORM] <= s[GTOL]:
        k[STATUS] = GRADIENT
    return k[STATUS] == 0


@apart
def iterate(run: Any, frame: Any, more: Any, further: Any, k: Any, s: Any, w: Any, n: int) -> None:
    """Search along the direction, and make the next one."""
    slope = dot(w, G * n, P * n, n)
    if not slope < 0.0:
        k[STATUS] = NO_STEP
        return
    s[LONGEST] = WIDEST
    s[STEP] = min(1.0, 2.02 * (s[F] - s[BEFORE]) / slope)
    if not s[STEP] > 0.0:
        s[STEP] = 1.0
    if not search(run, frame, k, s, w, n, X * n, P * n, XT * n, GT * n, slope):
        if k[STATUS] != FAILED:
            k[STATUS] = NO_STEP
        return
    k[ITERATIONS] += 1
    s[BEFORE], s[F] = s[F], s[FT]
    s[GNORM] = largest(w, GT * n, n)
    length = s[STEP] * norm(w, P * n, n) if s[XTOL] > 0.0 else 1.0
    copy(w, X * n, XT * n, n)
    if s[GNORM] <= s[GTOL]:
        k[STATUS] = GRADIENT
    elif s[XTOL] > 0.0 and length <= s[XTOL] * (s[XTOL] + norm(w, X * n, n)):
        k[STATUS] = SMALL_STEP
    else:
        # With q = H g at the new point, H y is q + p: there is one product with the matrix an iteration.
        call_kernel(more, 0, 1, further)
        updated(s, w, n)
    copy(w, G * n, GT * n, n)


def product(h: Any, s: Any, v: Any, g: Any, q: Any, n: int) -> None:
    """Add the last update to the matrix, ``H += s v' + v s'``, and make ``q = H g``. A kernel of its own.

    The loops run many times as fast where no array overlaps another, which only a kernel's arguments can say.
    """
    for i in range(n):
        q[i] = 0.0
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        four_rows(h, s, v, g, q, n, i, i, i + 4, False)
        four_rows(h, s, v, g, q, n, i, i + 4, n, True)
    for i in range(whole, n):
        for j in range(whole, n):
            h[i * n + j] += s[i] * v[j] + v[i] * s[j]
            q[i] += h[i * n + j] * g[j]


def four_rows(
    h: Any, s: Any, v: Any, g: Any, q: Any, n: int, i: int, first: int, last: int, twice: bool
) -> None:
    """The part of :func:`product` by some columns of four rows, which stand for as many columns too if *twice*."""
    a, b, c, d = i * n, (i + 1) * n, (i + 2) * n, (i + 3) * n
    s0, s1, s2, s3 = s[i], s[i + 1], s[i + 2], s[i + 3]
    v0, v1, v2, v3 = v[i], v[i + 1], v[i + 2], v[i + 3]
    g0, g1, g2, g3 = g[i], g[i + 1], g[i + 2], g[i + 3]
    t0 = t1 = t2 = t3 = 0.0
    for j in range(first, last):
        sj, vj, gj = s[j], v[j], g[j]
        h0 = (h[a + j] + s0 * vj) + v0 * sj
        h1 = (h[b + j] + s1 * vj) + v1 * sj
        h2 = (h[c + j] + s2 * vj) + v2 * sj
        h3 = (h[d + j] + s3 * vj) + v3 * sj
        h[a + j], h[b + j], h[c + j], h[d + j] = h0, h1, h2, h3
        q[j] = (((q[j] + h0 * g0) + h1 * g1) + h2 * g2) + h3 * g3
        t0, t1 = reduce_add(t0, h0 * gj), reduce_add(t1, h1 * gj)
        t2, t3 = reduce_add(t2, h2 * gj), reduce_add(t3, h3 * gj)
    if twice:
        q[i] += t0
        q[i + 1] += t1
        q[i + 2] += t2
        q[i + 3] += t3


def updated(s: Any, w: Any, n: int) -> None:
    """What this iteration adds to the matrix, and the direction that is then the next."""
    step, sy, yhy, sg, hyg = s[STEP], 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        gt, p = w[GT * n + i], w[P * n + i]
        y, hy, si = gt - w[G * n + i], w[Q * n + i] + p, step * p
        w[S * n + i], w[V * n + i] = si, hy
        sy = reduce_add(sy, si * y)
        yhy = reduce_add(yhy, y * hy)
        sg = reduce_add(sg, si * gt)
        hyg = reduce_add(hyg, hy * gt)
    if not sy > 0.0:  # rounding: leave the matrix as it is
        for i in range(n):
            w[S * n + i] = w[V * n + i] = 0.0
            w[P * n + i] = -w[Q * n + i]
        return
    rho = 1.0 / sy
    half = 0.5 * rho * (1.0 + rho * yhy)
    vg = half * sg - rho * hyg
    for i in range(n):
        si = w[S * n + i]
        v = half * si - rho * w[V * n + i]
        w[V * n + i] = v
        w[P * n + i] = -(w[Q * n + i] + si * vg + v * sg)
