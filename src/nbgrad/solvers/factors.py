"""Factors of the Jacobian, and the damped steps that are solved with them.

A column of the Jacobian is one row of memory. Moré, The Levenberg-Marquardt algorithm: implementation and theory
(1978): sections 3 (the parameter) and 5.
"""

from __future__ import annotations

import math
from typing import Any

from nbgrad.machine.intrinsics import reduce_add
from nbgrad.machine.pointers import apart
from nbgrad.solvers.native import FREE, LAMBDA, RADIUS, M, N

# Where vectors of as many elements as parameters begin in w, in multiples of their number: the point, its gradient,
# scales, a step and what comes of it, the point that is tried; Q'r; columns in order, their norms; work; bounds.
X, G, D, P, S, XT, QTB, ORDER, NORMS, LEFT, WORK, DAMP, BELOW, ABOVE = range(14)
VECTORS = 14
TINY = 2.2250738585072014e-308


def matrix(n: int) -> int:
    """Where the triangle R is."""
    return VECTORS * n


def damped(n: int) -> int:
    """Where R with the damping in it is; in the end the covariances."""
    return VECTORS * n + n * n


def residuals(n: int) -> int:
    """Where the residuals are; behind them those that are tried, a copy that becomes Q'r, and as they are weighed."""
    return VECTORS * n + 2 * n * n


def jacobian(n: int, m: int) -> int:
    """Where the Jacobian is, a row for each of its columns; behind it a copy that is factorized."""
    return residuals(n) + 4 * m


def size(n: int, m: int) -> int:
    """How many words all of it takes."""
    return jacobian(n, m) + 2 * n * m


def span(w: Any, a: int, b: int, count: int) -> float:
    """The product of two parts of vectors."""
    total = 0.0
    for i in range(count):
        total = reduce_add(total, w[a + i] * w[b + i])
    return total


@apart
def factorize(k: Any, w: Any) -> None:
    """R of the free columns in the order of their norms, and Q'r: Householder's reflections."""
    n, m, count = k[N], k[M], k[FREE]
    columns, rest, r = jacobian(n, m) + n * m, residuals(n) + 2 * m, matrix(n)
    for i in range(n * n):
        w[r + i] = 0.0
    for j in range(count):
        c = columns + int(w[ORDER * n + j]) * m
        w[NORMS * n + int(w[ORDER * n + j])] = w[LEFT * n + j] = math.sqrt(span(w, c, c, m))
    for j in range(min(count, m)):
        exchange(w, n, j, count)
        c = columns + int(w[ORDER * n + j]) * m
        length = math.sqrt(span(w, c + j, c + j, m - j))
        if length == 0.0:
            continue
        length = -length if w[c + j] < 0.0 else length
        for i in range(j, m):
            w[c + i] /= length
        w[c + j] += 1.0
        w[r + j * n + j] = -length
        reflect(w, c + j, rest + j, m - j)
        for l in range(j + 1, count):
            d = columns + int(w[ORDER * n + l]) * m
            reflect(w, c + j, d + j, m - j)
            w[r + j * n + l] = w[d + j]
            shorten(w, n, l, d + j, m - j)
    for j in range(count):
        w[QTB * n + j] = w[rest + j] if j < m else 0.0


def exchange(w: Any, n: int, j: int, count: int) -> None:
    """Bring the longest of the columns that are left to place *j*."""
    best = j
    for l in range(j + 1, count):
        if w[LEFT * n + l] > w[LEFT * n + best]:
            best = l
    a, b = w[ORDER * n + j], w[LEFT * n + j]
    w[ORDER * n + j], w[LEFT * n + j] = w[ORDER * n + best], w[LEFT * n + best]
    w[ORDER * n + best], w[LEFT * n + best] = a, b
    if best != j:
        for i in range(j):
            row = matrix(n) + i * n
            a = w[row + j]
            w[row + j] = w[row + best]
            w[row + best] = a


def reflect(w: Any, v: int, x: int, count: int) -> None:
    """Reflect a vector by *v*, of which the first element is the half of its square."""
    if w[v] != 0.0:
        factor = -span(w, v, x, count) / w[v]
        for i in range(count):
            w[x + i] += factor * w[v + i]


def shorten(w: Any, n: int, l: int, x: int, count: int) -> None:
    """The length of what is left of a column, without its first element."""
    before, first = w[LEFT * n + l], abs(w[x])
    if before > 0.0:
        part = 1.0 - (first / before) ** 2
        if part < 1e-3:  # of little use: all digits may be gone
            w[LEFT * n + l] = math.sqrt(span(w, x + 1, x + 1, count - 1))
        else:
            w[LEFT * n + l] = before * math.sqrt(part)


@apart
def backward(w: Any, n: int, a: int, x: int, count: int) -> None:
    """Solve ``U y = x`` of an upper triangle at *a* in place, as far as its diagonal is not zero."""
    rank = count
    for j in range(count):
        if w[a + j * n + j] == 0.0 and rank == count:
            rank = j
        if rank < count:
            w[x + j] = 0.0
    for back in range(rank):
        j = rank - 1 - back
        total = w[x + j]
        for i in range(j + 1, rank):
            total -= w[a + j * n + i] * w[x + i]
        w[x + j] = total / w[a + j * n + j]


@apart
def forward_norm(w: Any, n: int, a: int, x: int, count: int) -> float:
    """The square of ``U'^-1 x``, of an upper triangle without zeros in its diagonal; *x* is overwritten."""
    total = 0.0
    for j in range(count):
        y = w[x + j]
        for i in range(j):
            y -= w[a + i * n + j] * w[x + i]
        w[x + j] = y / w[a + j * n + j]
        total += w[x + j] ** 2
    return total


@apart
def damp(k: Any, w: Any, root: float) -> None:
    """Make the triangle of R over ``root D``, by Givens rotations, and solve for the step of it."""
    n, count = k[N], k[FREE]
    r, a, d, x = matrix(n), damped(n), DAMP * n, WORK * n
    for i in range(n * n):
        w[a + i] = w[r + i]
    for j in range(count):
        w[x + j] = w[QTB * n + j]
    for j in range(count):
        for i in range(j, count):
            w[d + i] = 0.0
        w[d + j] = root * w[D * n + int(w[ORDER * n + j])]
        last = 0.0
        for i in range(j, count):
            if w[d + i] != 0.0:
                last = rotate(w, n, a, d, x, i, count, last)
    backward(w, n, a, x, count)
    for j in range(count):
        w[P * n + int(w[ORDER * n + j])] = w[x + j]


def rotate(w: Any, n: int, a: int, d: int, x: int, i: int, count: int, last: float) -> Any:
    """Eliminate an element of the row *d* by row *i* of the triangle; the right side of that row then."""
    row = a + i * n
    top, low = w[row + i], w[d + i]
    length = math.hypot(top, low)
    c, s = top / length, low / length
    w[row + i] = length
    for l in range(i + 1, count):
        top, low = w[row + l], w[d + l]
        w[row + l] = c * top + s * low
        w[d + l] = c * low - s * top
    top = w[x + i]
    w[x + i] = c * top + s * last
    return c * last - s * top


def scaled_length(k: Any, w: Any) -> float:
    """The length of the step, scaled."""
    n, total = k[N], 0.0
    for j in range(k[FREE]):
        i = int(w[ORDER * n + j])
        total += (w[D * n + i] * w[P * n + i]) ** 2
    return math.sqrt(total)


def turned(k: Any, w: Any, length: float) -> None:
    """D D p / |D p| in the order of the columns: what the derivative of the length is solved with."""
    n = k[N]
    for j in range(k[FREE]):
        i = int(w[ORDER * n + j])
        w[WORK * n + j] = w[D * n + i] * (w[D * n + i] * w[P * n + i] / length)


@apart
def step(k: Any, s: Any, w: Any) -> None:
    """The step within the radius, and its damping (algorithm 5.5)."""
    n, count, radius, r = k[N], k[FREE], s[RADIUS], matrix(k[N])
    whole = True
    for j in range(count):
        w[WORK * n + j] = w[QTB * n + j]
        whole = whole and w[r + j * n + j] != 0.0
    backward(w, n, r, WORK * n, count)
    for j in range(count):
        w[P * n + int(w[ORDER * n + j])] = w[WORK * n + j]
    length = scaled_length(k, w)
    excess = length - radius
    if excess <= 0.1 * radius:
        s[LAMBDA] = 0.0
        return
    least = 0.0
    if whole:
        turned(k, w, length)
        least = excess / radius / max(forward_norm(w, n, r, WORK * n, count), TINY)
    most = steepest(k, w) / radius
    most = most if most > 0.0 else TINY / min(radius, 0.1)
    value = min(max(s[LAMBDA], least), most)
    s[LAMBDA] = value if value > 0.0 else most * radius / length
    narrow(k, s, w, excess, least, most)


def steepest(k: Any, w: Any) -> float:
    """The length of the scaled gradient, R'Q'r."""
    n, total, r = k[N], 0.0, matrix(k[N])
    for j in range(k[FREE]):
        slope = 0.0
        for i in range(j + 1):
            slope += w[r + i * n + j] * w[QTB * n + i]
        total += (slope / w[D * n + int(w[ORDER * n + j])]) ** 2
    return math.sqrt(total)


@apart
def narrow(k: Any, s: Any, w: Any, excess: float, least: float, most: float) -> None:
    """Newton's method for the damping with which the step is as long as the radius, to a tenth."""
    n, count, radius = k[N], k[FREE], s[RADIUS]
    for _ in range(10):
        if s[LAMBDA] == 0.0:
            s[LAMBDA] = max(TINY, 0.001 * most)
        damp(k, w, math.sqrt(s[LAMBDA]))
        length, before = scaled_length(k, w), excess
        excess = length - radius
        if abs(excess) <= 0.1 * radius or (least == 0.0 and excess <= before and before < 0.0):
            return
        turned(k, w, length)
        square = forward_norm(w, n, damped(n), WORK * n, count)
        if excess > 0.0:
            least = max(least, s[LAMBDA])
        else:
            most = min(most, s[LAMBDA])
        s[LAMBDA] = max(least, s[LAMBDA] + excess / radius / max(square, TINY))
