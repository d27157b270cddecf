"""``nb-lm``: the Levenberg-Marquardt method of Moré (1978), in bounds, and with losses other than squares.

Bounds: a parameter at a bound that the gradient leads out of is held, a step that leads out ends at the bound, and
what the linear model says of that step is what the gain is compared with (projected steps, as in Kanzow, Yamashita
and Fukushima, Levenberg-Marquardt methods with strong local convergence properties, 2004).
Losses: residuals and rows of the Jacobian are weighted so that the linear model has the gradient, and as much of
the curvature as is positive, of the loss (Triggs et al., Bundle adjustment: a modern synthesis, 2000, section 4.3).
"""

from __future__ import annotations

import math
from typing import Any

from nbgrad.machine.pointers import apart
from nbgrad.solvers.factors import (
    ABOVE,
    BELOW,
    NORMS,
    ORDER,
    WORK,
    XT,
    D,
    G,
    P,
    S,
    X,
    damped,
    factorize,
    jacobian,
    matrix,
    residuals,
    span,
    step,
)  # fmt: skip
from nbgrad.solvers.losses import cost, weigh
from nbgrad.solvers.native import (
    BEGUN,
    BOTH,
    BOUNDED,
    CALLS,
    FAILED,
    FREE,
    FRESH,
    FT,
    FTOL,
    GNORM,
    GRADIENT,
    GTOL,
    ITERATIONS,
    JACOBIANS,
    LAMBDA,
    LENGTH,
    LOSS,
    MOST_CALLS,
    MOST_ITERATIONS,
    NOT_FINITE,
    PAUSE,
    PAUSED,
    RADIUS,
    SCALED,
    SMALL_CHANGE,
    SMALL_STEP,
    STATUS,
    TOO_MANY,
    XTOL,
    F,
    M,
    N,
    copy,
    evaluate,
    evaluate_more,
    finite,
)  # fmt: skip

EPS = 2.220446049250313e-16
REDUCED = 2  # of FRESH: the factors are those of a part
FIRST_RADIUS = 100.0  # of the scaled start


def lm(run: Any, frame: Any, more: Any, further: Any, k: Any, s: Any, w: Any) -> None:
    """Fit, until done or paused."""
    if k[BEGUN] == 0:
        begin(run, frame, k, s, w)
    while k[STATUS] == 0:
        if k[CALLS] >= k[PAUSE]:
            k[STATUS] = PAUSED
        elif k[ITERATIONS] >= k[MOST_ITERATIONS] or k[CALLS] >= k[MOST_CALLS]:
            k[STATUS] = TOO_MANY
        elif k[FRESH] != 0 or linearize(more, further, k, s, w):
            attempt(run, frame, k, s, w)
    if k[STATUS] != PAUSED:
        finish(more, further, k, s, w)


def begin(run: Any, frame: Any, k: Any, s: Any, w: Any) -> None:
    """Evaluate at the start."""
    n, m = k[N], k[M]
    copy(w, XT * n, X * n, n)
    if not evaluate(run, frame, k):
        return
    k[BEGUN] = 1
    copy(w, residuals(n), residuals(n) + m, m)
    s[F] = cost(k, s, w, residuals(n))
    if not (math.isfinite(s[F]) and finite(w, X * n, n)):
        k[STATUS] = NOT_FINITE
    elif s[F] == 0.0:
        k[STATUS] = GRADIENT


@apart
def linearize(more: Any, further: Any, k: Any, s: Any, w: Any) -> Any:
    """The Jacobian at the point, its factors and the gradient; False if the solve is at its end."""
    n, m = k[N], k[M]
    a, r = jacobian(n, m), residuals(n)
    if not evaluate_more(more, further, k, JACOBIANS):
        return False
    if not finite(w, a, n * m):
        k[STATUS] = NOT_FINITE
        return False
    copy(w, r + 2 * m, r, m)
    norms = WORK * n
    for i in range(n):
        w[norms + i] = math.sqrt(span(w, a + i * m, a + i * m, m))
    size = math.sqrt(span(w, r, r, m)) if k[LOSS] == 0 else weigh(k, s, w, r + 2 * m, a)
    copy(w, r + 3 * m, r + 2 * m, m)
    slopes(k, w)
    refactor(k, w)
    scale(k, s, w)
    s[GNORM] = steepness(k, w, norms, size)
    if s[GNORM] <= s[GTOL]:
        k[STATUS] = GRADIENT
    return k[STATUS] == 0


def slopes(k: Any, w: Any) -> None:
    """The gradient."""
    n, m = k[N], k[M]
    for i in range(n):
        w[G * n + i] = span(w, jacobian(n, m) + i * m, residuals(n) + 3 * m, m)


@apart
def refactor(k: Any, w: Any) -> None:
    """The factors of the columns of the parameters that are not held at a bound."""
    n, m, count = k[N], k[M], 0
    for i in range(n):
        g, x = w[G * n + i], w[X * n + i]
        held = (g > 0.0 and x <= w[BELOW * n + i]) or (g < 0.0 and x >= w[ABOVE * n + i])
        w[S * n + i] = 0.0
        if k[BOUNDED] == 0 or not (held or w[BELOW * n + i] == w[ABOVE * n + i]):
            w[ORDER * n + count] = float(i)
            count += 1
    k[FREE] = count
    copy(w, residuals(n) + 2 * m, residuals(n) + 3 * m, m)
    copy(w, jacobian(n, m) + n * m, jacobian(n, m), n * m)
    factorize(k, w)
    k[FRESH] = 1


def scale(k: Any, s: Any, w: Any) -> None:
    """Scales that do not fall, and at the start the radius."""
    n, total = k[N], 0.0
    if k[SCALED] == 0:
        for j in range(k[FREE]):
            i = int(w[ORDER * n + j])
            norm = w[NORMS * n + i]
            if k[ITERATIONS] == 0 and w[D * n + i] == 0.0:
                w[D * n + i] = norm if norm != 0.0 else 1.0
            w[D * n + i] = max(w[D * n + i], norm)
    for i in range(n):
        if w[D * n + i] == 0.0:
            w[D * n + i] = 1.0
        total += (w[D * n + i] * w[X * n + i]) ** 2
    s[LENGTH] = math.sqrt(total)
    if s[RADIUS] == 0.0:
        s[RADIUS] = FIRST_RADIUS * s[LENGTH] if s[LENGTH] > 0.0 else FIRST_RADIUS


def steepness(k: Any, w: Any, norms: int, size: float) -> float:
    """The largest cosine of the angles between residuals and columns, as the loss weighs them, whose lengths are at *norms*."""
    n, most = k[N], 0.0
    for j in range(k[FREE]):
        i = int(w[ORDER * n + j])
        if w[norms + i] > 0.0 and size > 0.0:
            most = max(most, abs(w[G * n + i] / w[norms + i] / size))
    return most


@apart
def attempt(run: Any, frame: Any, k: Any, s: Any, w: Any) -> None:
    """Try a step, and take it if it is good."""
    n, m = k[N], k[M]
    if k[FRESH] == REDUCED:
        refactor(k, w)
    step(k, s, w)
    cut = place(k, w)
    if cut:
        reduce(k, s, w)
    length, slope, square = predicted(k, w, cut)
    for i in range(n):
        x = w[X * n + i] + w[S * n + i]
        w[XT * n + i] = min(max(x, w[BELOW * n + i]), w[ABOVE * n + i]) if k[BOUNDED] != 0 else x
    if k[ITERATIONS] == 0:
        s[RADIUS] = min(s[RADIUS], length)
    if not evaluate(run, frame, k):
        return
    s[FT] = cost(k, s, w, residuals(n) + m)
    # Both relative to the value; the gain of the linear model is that of a step that was not cut in another form.
    far = not s[FT] < 100.0 * s[F]
    actual = -1.0 if far else 1.0 - s[FT] / s[F]
    gain = -(slope + 0.5 * square) if cut else 0.5 * square + s[LAMBDA] * length * length
    expected = gain / s[F]
    ratio = actual / expected if expected > 0.0 else (0.0 if cut else -1.0)
    adjust(s, actual, ratio, 0.5 * slope / s[F], length, far)
    if ratio >= 1e-4:
        copy(w, X * n, XT * n, n)
        copy(w, residuals(n), residuals(n) + m, m)
        s[F] = s[FT]
        k[ITERATIONS] += 1
        k[FRESH] = 0
        length = 0.0
        for i in range(n):
            length += (w[D * n + i] * w[X * n + i]) ** 2
        s[LENGTH] = math.sqrt(length)
    judge(k, s, actual, expected, ratio)


def place(k: Any, w: Any) -> bool:
    """The steps of the free parameters; whether some were cut at a bound."""
    n, cut = k[N], False
    for j in range(k[FREE]):
        i = int(w[ORDER * n + j])
        moved = -w[P * n + i]
        if k[BOUNDED] != 0:
            x = w[X * n + i] + moved
            inside = min(max(x, w[BELOW * n + i]), w[ABOVE * n + i])
            if inside != x:
                moved, cut = inside - w[X * n + i], True
        w[S * n + i] = moved
    return cut


@apart
def reduce(k: Any, s: Any, w: Any) -> None:
    """Solve again for the parameters that are left, as long as some are cut: those go to their bounds."""
    n, m, cut = k[N], k[M], True
    a, rest = jacobian(n, m), residuals(n) + 2 * m
    while cut and k[FREE] > 0:
        count = 0
        for j in range(k[FREE]):
            i = w[ORDER * n + j]
            if w[S * n + int(i)] == -w[P * n + int(i)]:
                w[ORDER * n + count] = i
                count += 1
            else:
                w[P * n + int(i)] = 0.0
        k[FREE] = count
        copy(w, rest, rest + m, m)
        for j in range(count):
            w[S * n + int(w[ORDER * n + j])] = 0.0
        for i in range(n):
            for row in range(m):
                w[rest + row] += w[S * n + i] * w[a + i * m + row]
        copy(w, a + n * m, a, n * m)
        factorize(k, w)
        step(k, s, w)
        cut = place(k, w)
    k[FRESH] = REDUCED


def predicted(k: Any, w: Any, cut: bool) -> tuple[float, float, float]:
    """The scaled length of the step; by the linear model its slope, and the square of what it changes."""
    n, m, slope, square, length = k[N], k[M], 0.0, 0.0, 0.0
    for i in range(n):
        slope += w[G * n + i] * w[S * n + i]
        length += (w[D * n + i] * w[S * n + i]) ** 2
    if cut:
        a = jacobian(n, m)
        for row in range(m):
            moved = 0.0
            for i in range(n):
                moved += w[a + i * m + row] * w[S * n + i]
            square += moved * moved
        return math.sqrt(length), slope, square
    count, r = k[FREE], matrix(n)
    for j in range(count):
        moved = 0.0
        for l in range(j, count):
            moved += w[r + j * n + l] * w[P * n + int(w[ORDER * n + l])]
        square += moved * moved
    return math.sqrt(length), slope, square


def adjust(s: Any, actual: float, ratio: float, slope: float, length: float, far: bool) -> None:
    """The radius of the next step."""
    if ratio <= 0.25:
        part = 0.5
        if actual < 0.0:
            part = 0.5 * slope / (slope + 0.5 * actual)
        if far or not 0.1 <= part <= 0.5:
            part = 0.1
        s[RADIUS] = part * min(s[RADIUS], length / 0.1)
        s[LAMBDA] /= part
    elif s[LAMBDA] == 0.0 or ratio >= 0.75:
        s[RADIUS] = length / 0.5
        s[LAMBDA] *= 0.5


def judge(k: Any, s: Any, actual: float, expected: float, ratio: float) -> None:
    """Whether the solve is at its end."""
    if s[F] == 0.0:
        k[STATUS] = GRADIENT
        return
    change = abs(actual) <= s[FTOL] and expected <= s[FTOL] and ratio <= 2.0
    short = s[RADIUS] <= s[XTOL] * s[LENGTH]
    if change or short:
        k[STATUS] = BOTH if change and short else SMALL_CHANGE if change else SMALL_STEP
    elif (abs(actual) <= EPS and expected <= EPS and ratio <= 2.0) or s[RADIUS] <= EPS * s[LENGTH]:
        k[STATUS] = SMALL_CHANGE


@apart
def finish(more: Any, further: Any, k: Any, s: Any, w: Any) -> None:
    """The Jacobian at the point, as the loss weighs it, and the inverse of its square; NaN where that has none."""
    n, m, status, calls = k[N], k[M], k[STATUS], k[JACOBIANS]
    a, r, c = jacobian(n, m), matrix(n), damped(n)
    if status in (NOT_FINITE, FAILED) or not evaluate_more(more, further, k, JACOBIANS):
        for i in range(n * n):
            w[c + i] = math.nan
        return
    k[JACOBIANS] = calls
    copy(w, residuals(n) + 2 * m, residuals(n), m)
    if k[LOSS] != 0:
        weigh(k, s, w, residuals(n) + 2 * m, a)
    for i in range(n):
        w[G * n + i] = span(w, a + i * m, residuals(n) + 2 * m, m)
        w[ORDER * n + i] = float(i)
    copy(w, a + n * m, a, n * m)
    k[FREE] = n
    factorize(k, w)
    inverse(w, n, r, c)


def inverse(w: Any, n: int, r: int, c: int) -> None:
    """(R'R)^-1 in the order of the parameters, at *c*; R is overwritten by its inverse."""
    for j in range(n):
        if not abs(w[r + j * n + j]) > n * EPS * w[NORMS * n + int(w[ORDER * n + j])]:
            for i in range(n * n):
                w[c + i] = math.nan
            return
    for j in range(n):
        last = 1.0 / w[r + j * n + j]
        for i in range(j):
            total = 0.0
            for l in range(i, j):
                total += w[r + i * n + l] * w[r + l * n + j]
            w[r + i * n + j] = -total * last
        w[r + j * n + j] = last
    for i in range(n):
        for j in range(n):
            total = 0.0
            for l in range(max(i, j), n):
                total += w[r + i * n + l] * w[r + j * n + l]
            w[c + int(w[ORDER * n + i]) * n + int(w[ORDER * n + j])] = total
