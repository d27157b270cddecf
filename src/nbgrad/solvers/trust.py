"""``nb-trust``: Newton's method in a region of trust, of which each problem is solved nearly exactly.

Moré and Sorensen, Computing a trust region step (1983); the radius as in Conn, Gould and Toint, Trust-region methods
(2000), algorithm 6.1.1.
"""

from __future__ import annotations

import math
from typing import Any

from nbgrad.machine.intrinsics import reduce_add
from nbgrad.machine.pointers import apart
from nbgrad.solvers.native import (
    BEGUN,
    CALLS,
    CURVATURE,
    FT,
    GNORM,
    GRADIENT,
    GTOL,
    ITERATIONS,
    JACOBIANS,
    LAMBDA,
    LONGEST,
    MOST_CALLS,
    MOST_ITERATIONS,
    NO_STEP,
    NOT_FINITE,
    PAUSE,
    PAUSED,
    RADIUS,
    STATUS,
    TOO_MANY,
    F,
    N,
    copy,
    dot,
    evaluate,
    evaluate_more,
    finite,
    norm,
)  # fmt: skip

# The point and its gradient, a step, the point that is tried, work; the Hessian and a factor.
X, G, P, XT, Z, V = range(6)
VECTORS = 6
EASY, HARD, APART = (
    0.1,
    0.2,
    0.01,
)  # how near a step is to the boundary, and to the least; between bounds
EPS = 2.220446049250313e-16
UNKNOWN = -2  # no factor yet


def trust(run: Any, frame: Any, more: Any, further: Any, k: Any, s: Any, w: Any) -> None:
    """Minimise, until done or paused."""
    n = k[N]
    if k[BEGUN] == 0 and not begin(run, frame, more, further, k, s, w, n):
        return
    while k[STATUS] == 0:
        if k[CALLS] >= k[PAUSE]:
            k[STATUS] = PAUSED
        elif k[ITERATIONS] >= k[MOST_ITERATIONS] or k[CALLS] >= k[MOST_CALLS]:
            k[STATUS] = TOO_MANY
        else:
            iterate(run, frame, more, further, k, s, w, n)


def begin(run: Any, frame: Any, more: Any, further: Any, k: Any, s: Any, w: Any, n: int) -> Any:
    """Evaluate at the start."""
    copy(w, XT * n, X * n, n)
    if not evaluate(run, frame, k):
        return False
    k[BEGUN] = 1
    s[F] = s[FT]
    if not math.isfinite(s[F]):
        k[STATUS] = NOT_FINITE
        return False
    return differentiate(more, further, k, s, w, n)


def differentiate(more: Any, further: Any, k: Any, s: Any, w: Any, n: int) -> Any:
    """The gradient and the Hessian at the point; False if the solve is at its end."""
    if not evaluate_more(more, further, k, JACOBIANS):
        return False
    s[GNORM] = norm(w, G * n, n)
    if not (math.isfinite(s[GNORM]) and finite(w, VECTORS * n, n * n)):
        k[STATUS] = NOT_FINITE
    elif s[GNORM] < s[GTOL] or s[GNORM] == 0.0:
        k[STATUS] = GRADIENT
    return k[STATUS] == 0


def iterate(run: Any, frame: Any, more: Any, further: Any, k: Any, s: Any, w: Any, n: int) -> None:
    """A step, which is taken if the function falls as much as is to be expected."""
    limit = solve(s, w, n)
    expected = -dot(w, G * n, P * n, n)
    for i in range(n):
        expected -= 0.5 * w[P * n + i] * dot(w, VECTORS * n + i * n, P * n, n)
    if not expected > 0.0:
        k[STATUS] = NO_STEP
        return
    for i in range(n):
        w[XT * n + i] = w[X * n + i] + w[P * n + i]
    if not evaluate(run, frame, k):
        return
    ratio = (s[F] - s[FT]) / expected if math.isfinite(s[FT]) else -1.0
    if not ratio >= 0.25:
        s[RADIUS] *= 0.25
    elif ratio > 0.75 and limit:
        s[RADIUS] = min(2.0 * s[RADIUS], s[LONGEST])
    k[ITERATIONS] += 1
    if ratio > s[CURVATURE]:
        s[F], s[LAMBDA] = s[FT], 0.0
        copy(w, X * n, XT * n, n)
        differentiate(more, further, k, s, w, n)
        return
    length = norm(w, P * n, n)
    while not limit and s[RADIUS] >= length > 0.0:
        s[RADIUS] *= 0.25  # the same step would be tried again
    if expected <= 4.0 * EPS * abs(s[F]):
        k[STATUS] = NO_STEP  # no step can be told from none
    elif s[RADIUS] <= EPS * EPS * norm(w, X * n, n) or s[RADIUS] == 0.0:
        k[STATUS] = NO_STEP


@apart
def factor(w: Any, n: int, shift: float) -> int:
    """Cholesky's factor of the Hessian plus *shift*; the row at which there is none, else -1."""
    a, l = VECTORS * n, VECTORS * n + n * n
    for i in range(n):
        for j in range(i + 1):
            total = w[a + i * n + j] + (shift if i == j else 0.0)
            rest = 0.0
            for c in range(j):
                rest = reduce_add(rest, w[l + i * n + c] * w[l + j * n + c])
            total -= rest
            if i != j:
                w[l + i * n + j] = total / w[l + j * n + j]
            elif total > 0.0 and math.isfinite(total):
                w[l + i * n + i] = math.sqrt(total)
            else:
                w[l + i * n + i] = total  # what is lacking
                return i
    return -1


@apart
def forward(w: Any, n: int, x: int) -> None:
    """Solve with the factor, in place."""
    l = VECTORS * n + n * n
    for i in range(n):
        w[x + i] = (w[x + i] - dot(w, l + i * n, x, i)) / w[l + i * n + i]


@apart
def backward(w: Any, n: int, x: int, count: int) -> None:
    """Solve with its transpose, of so many rows, in place."""
    l = VECTORS * n + n * n
    for back in range(count):
        i = count - 1 - back
        w[x + i] /= w[l + i * n + i]
        for j in range(i):
            w[x + j] -= w[l + i * n + j] * w[x + i]


def first_bounds(w: Any, n: int, radius: float, slope: float) -> tuple[float, float]:
    """What the shift is between, by Gershgorin's circles and norms of the Hessian."""
    a, least, low, high, most, square = VECTORS * n, math.inf, math.inf, -math.inf, 0.0, 0.0
    for i in range(n):
        total, middle = 0.0, w[a + i * n + i]
        for j in range(n):
            total += abs(w[a + i * n + j])
        square += dot(w, a + i * n, a + i * n, n)
        least, most = min(least, middle), max(most, total)
        low = min(low, middle + abs(middle) - total)
        high = max(high, middle - abs(middle) + total)
    size = min(most, math.sqrt(square))
    below = max(0.0, max(-least, slope / radius - min(high, size)))
    return below, max(0.0, slope / radius + min(-low, size))


def between(low: float, high: float) -> float:
    """A shift within its bounds."""
    return max(math.sqrt(max(low * high, 0.0)), low + APART * (high - low))


@apart
def solve(s: Any, w: Any, n: int) -> bool:
    """The step within the radius; whether it is at the boundary.

    What the shift was found to exceed holds for a smaller radius, too.
    """
    radius = s[RADIUS]
    low, high = first_bounds(w, n, radius, s[GNORM])
    low = max(low, s[LAMBDA])
    high = max(low, high)
    shift, row = 0.0 if low == 0.0 else between(low, high), UNKNOWN
    for _ in range(60):
        row = factor(w, n, shift) if row == UNKNOWN else row
        if row >= 0:
            low = max(low, shift + lacking(w, n, row))
            high = max(high, low)
            shift, row = raised(shift, low, high), UNKNOWN
            continue
        for i in range(n):
            w[P * n + i] = -w[G * n + i]
        forward(w, n, P * n)
        square = dot(w, P * n, P * n, n)
        backward(w, n, P * n, n)
        length = norm(w, P * n, n)
        if length <= radius and shift == 0.0:
            return False
        if length >= radius and length - radius <= EASY * radius:
            break
        copy(w, Z * n, P * n, n)
        forward(w, n, Z * n)
        new = shift + (length / norm(w, Z * n, n)) ** 2 * (length - radius) / radius
        row = UNKNOWN
        if length > radius:
            low, shift = max(low, shift), max(max(low, shift), new)
            continue
        curve = outward(w, n, radius, square, shift)
        if curve < 0.0:
            break
        high, low = min(high, shift), max(low, shift - curve)
        row = factor(w, n, new) if new >= 0.0 else 0
        if row >= 0:
            low, row = max(low, new), UNKNOWN
            new = raised(0.0, low, high)
        shift = new
    s[LAMBDA] = low
    return True


def raised(shift: float, low: float, high: float) -> float:
    """A shift between bounds that is larger than one at which there is no factor."""
    new = between(low, high)
    return new if new > shift else shift + max(1e-3 * shift, EPS * high + 1e-300)


def lacking(w: Any, n: int, row: int) -> float:
    """By how much the shift is too small at least, from the row at which there is no factor."""
    l, total = VECTORS * n + n * n, 1.0
    for j in range(row):
        w[V * n + j] = -w[l + row * n + j]
    backward(w, n, V * n, row)
    for j in range(row):
        total += w[V * n + j] ** 2
    found = -w[l + row * n + row] / total
    return found if math.isfinite(found) else 0.0


@apart
def outward(w: Any, n: int, radius: float, square: float, shift: float) -> float:
    """Go on to the boundary where the curvature is least, if that is good enough: then -1, else that curvature."""
    size = flattest(w, n)
    curve = size * size
    along, length = dot(w, P * n, Z * n, n), dot(w, P * n, P * n, n)
    root = math.sqrt(max(along * along + radius * radius - length, 0.0))
    far, near = -along - root, -along + root
    step = near if abs(near) < abs(far) else far
    if step * step * curve <= HARD * (square + shift * radius * radius):
        for i in range(n):
            w[P * n + i] += step * w[Z * n + i]
        return -1.0
    return curve


@apart
def flattest(w: Any, n: int) -> float:
    """About the least singular value of the factor's transpose, and at Z its vector.

    Cline, Moler, Stewart and Wilkinson, An estimate for the condition number of a matrix (1979): of ones with such
    signs that the solution grows.
    """
    l = VECTORS * n + n * n
    for i in range(n):
        w[V * n + i] = 0.0
    for i in range(n):
        middle, sums = w[l + i * n + i], w[V * n + i]
        plus, minus = (1.0 - sums) / middle, (-1.0 - sums) / middle
        up, down = abs(plus), abs(minus)
        for j in range(i + 1, n):
            up += abs(w[V * n + j] + w[l + j * n + i] * plus)
            down += abs(w[V * n + j] + w[l + j * n + i] * minus)
        step = plus if up >= down else minus
        w[Z * n + i] = step
        for j in range(i + 1, n):
            w[V * n + j] += w[l + j * n + i] * step
    before = norm(w, Z * n, n)
    backward(w, n, Z * n, n)
    size = norm(w, Z * n, n)
    for i in range(n):
        w[Z * n + i] /= size
    return before / size
