# ruff: noqa: B007, SIM108
"""Gradients of compiled functions beside the functions themselves and adjoints by hand: medians of pairs, one thread.

python -m benchmarks.native [REGEX]
python -m benchmarks.native first

The second prints the seconds until the first gradient of functions of 50 lines, in new processes: cold, with an
empty cache, and warm; the best of three.
"""

from __future__ import annotations

import math
import re
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

import nbgrad as ng
from benchmarks.fresh import njit_first_gradients
from nbgrad.native import routes

RUNS = 21


@numba.njit
def recurrence(x, r, n):
    s = 0.0
    for i in range(n):
        if x < 0.5:
            x = x + 0.3 * r
        else:
            x = 0.4 * x * r
        s += x * x
    return s


@numba.njit
def recurrence_by_hand(x, r, n):
    xs = np.empty(n + 1)
    s = 0.0
    for i in range(n):
        xs[i] = x
        if x < 0.5:
            x = x + 0.3 * r
        else:
            x = 0.4 * x * r
        s += x * x
    xs[n] = x
    xb = 0.0
    rb = 0.0
    for i in range(n - 1, -1, -1):
        xb += 2.0 * xs[i + 1]
        xo = xs[i]
        if xo < 0.5:
            rb += xb * 0.3
        else:
            rb += xb * 0.4 * xo
            xb = xb * 0.4 * r
    return s, xb, rb


@numba.njit
def lotka_volterra(x, y, a, b, c, d, h, n):
    for i in range(n):
        k1 = a * x - b * x * y
        l1 = d * x * y - c * y
        x1 = x + 0.5 * h * k1
        y1 = y + 0.5 * h * l1
        k2 = a * x1 - b * x1 * y1
        l2 = d * x1 * y1 - c * y1
        x2 = x + 0.5 * h * k2
        y2 = y + 0.5 * h * l2
        k3 = a * x2 - b * x2 * y2
        l3 = d * x2 * y2 - c * y2
        x3 = x + h * k3
        y3 = y + h * l3
        k4 = a * x3 - b * x3 * y3
        l4 = d * x3 * y3 - c * y3
        x = x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        y = y + h / 6.0 * (l1 + 2.0 * l2 + 2.0 * l3 + l4)
    return x + y


@numba.njit
def lotka_volterra_by_hand(x, y, a, b, c, d, h, n):
    xs = np.empty(n)
    ys = np.empty(n)
    for i in range(n):
        xs[i] = x
        ys[i] = y
        k1 = a * x - b * x * y
        l1 = d * x * y - c * y
        x1 = x + 0.5 * h * k1
        y1 = y + 0.5 * h * l1
        k2 = a * x1 - b * x1 * y1
        l2 = d * x1 * y1 - c * y1
        x2 = x + 0.5 * h * k2
        y2 = y + 0.5 * h * l2
        k3 = a * x2 - b * x2 * y2
        l3 = d * x2 * y2 - c * y2
        x3 = x + h * k3
        y3 = y + h * l3
        k4 = a * x3 - b * x3 * y3
        l4 = d * x3 * y3 - c * y3
        x = x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        y = y + h / 6.0 * (l1 + 2.0 * l2 + 2.0 * l3 + l4)
    v = x + y
    xb = 1.0
    yb = 1.0
    ab = bb = cb = db = 0.0
    for i in range(n - 1, -1, -1):
        x = xs[i]
        y = ys[i]
        x1 = x + 0.5 * h * (a * x - b * x * y)
        y1 = y + 0.5 * h * (d * x * y - c * y)
        x2 = x + 0.5 * h * (a * x1 - b * x1 * y1)
        y2 = y + 0.5 * h * (d * x1 * y1 - c * y1)
        x3 = x + h * (a * x2 - b * x2 * y2)
        y3 = y + h * (d * x2 * y2 - c * y2)
        kb4 = h / 6.0 * xb
        lb4 = h / 6.0 * yb
        kb3 = 2.0 * kb4
        lb3 = 2.0 * lb4
        # stage 4
        x3b = kb4 * (a - b * y3) + lb4 * d * y3
        y3b = -kb4 * b * x3 + lb4 * (d * x3 - c)
        ab += kb4 * x3
        bb -= kb4 * x3 * y3
        db += lb4 * x3 * y3
        cb -= lb4 * y3
        xb_ = xb + x3b
        yb_ = yb + y3b
        kb3 += h * x3b
        lb3 += h * y3b
        x2b = kb3 * (a - b * y2) + lb3 * d * y2
        y2b = -kb3 * b * x2 + lb3 * (d * x2 - c)
        ab += kb3 * x2
        bb -= kb3 * x2 * y2
        db += lb3 * x2 * y2
        cb -= lb3 * y2
        xb_ += x2b
        yb_ += y2b
        kb2 = 2.0 * kb4 + 0.5 * h * x2b
        lb2 = 2.0 * lb4 + 0.5 * h * y2b
        x1b = kb2 * (a - b * y1) + lb2 * d * y1
        y1b = -kb2 * b * x1 + lb2 * (d * x1 - c)
        ab += kb2 * x1
        bb -= kb2 * x1 * y1
        db += lb2 * x1 * y1
        cb -= lb2 * y1
        xb_ += x1b
        yb_ += y1b
        kb1 = kb4 + 0.5 * h * x1b
        lb1 = lb4 + 0.5 * h * y1b
        xb = xb_ + kb1 * (a - b * y) + lb1 * d * y
        yb = yb_ - kb1 * b * x + lb1 * (d * x - c)
        ab += kb1 * x
        bb -= kb1 * x * y
        db += lb1 * x * y
        cb -= lb1 * y
    return v, xb, yb, ab, bb, cb, db


@numba.njit
def bodies(pos, vel, m, dt, n):
    p = pos.copy()
    v = vel.copy()
    count = p.shape[0]
    for s in range(n):
        for i in range(count):
            ax = 0.0
            ay = 0.0
            az = 0.0
            for j in range(count):
                if i != j:
                    dx = p[j, 0] - p[i, 0]
                    dy = p[j, 1] - p[i, 1]
                    dz = p[j, 2] - p[i, 2]
                    r2 = dx * dx + dy * dy + dz * dz + 0.01
                    w = m[j] / (r2 * math.sqrt(r2))
                    ax += w * dx
                    ay += w * dy
                    az += w * dz
            v[i, 0] += dt * ax
            v[i, 1] += dt * ay
            v[i, 2] += dt * az
        for i in range(count):
            for k in range(3):
                p[i, k] += dt * v[i, k]
    e = 0.0
    for i in range(count):
        for k in range(3):
            e += p[i, k] * p[i, k]
    return e


@numba.njit
def bodies_by_hand(pos, vel, m, dt, n):
    p = pos.copy()
    v = vel.copy()
    count = p.shape[0]
    ps = np.empty((n, count, 3))
    for s in range(n):
        ps[s] = p
        for i in range(count):
            ax = 0.0
            ay = 0.0
            az = 0.0
            for j in range(count):
                if i != j:
                    dx = p[j, 0] - p[i, 0]
                    dy = p[j, 1] - p[i, 1]
                    dz = p[j, 2] - p[i, 2]
                    r2 = dx * dx + dy * dy + dz * dz + 0.01
                    w = m[j] / (r2 * math.sqrt(r2))
                    ax += w * dx
                    ay += w * dy
                    az += w * dz
            v[i, 0] += dt * ax
            v[i, 1] += dt * ay
            v[i, 2] += dt * az
        for i in range(count):
            for k in range(3):
                p[i, k] += dt * v[i, k]
    e = 0.0
    for i in range(count):
        for k in range(3):
            e += p[i, k] * p[i, k]
    pb = 2.0 * p
    vb = np.zeros((count, 3))
    mb = np.zeros(count)
    for s in range(n - 1, -1, -1):
        q = ps[s]
        for i in range(count):
            for k in range(3):
                vb[i, k] += dt * pb[i, k]
        for i in range(count):
            axb = dt * vb[i, 0]
            ayb = dt * vb[i, 1]
            azb = dt * vb[i, 2]
            for j in range(count):
                if i != j:
                    dx = q[j, 0] - q[i, 0]
                    dy = q[j, 1] - q[i, 1]
                    dz = q[j, 2] - q[i, 2]
                    r2 = dx * dx + dy * dy + dz * dz + 0.01
                    c = 1.0 / (r2 * math.sqrt(r2))
                    w = m[j] * c
                    wb = axb * dx + ayb * dy + azb * dz
                    mb[j] += wb * c
                    r2b = -1.5 * w / r2 * wb * 2.0
                    dxb = axb * w + r2b * dx
                    dyb = ayb * w + r2b * dy
                    dzb = azb * w + r2b * dz
                    pb[j, 0] += dxb
                    pb[j, 1] += dyb
                    pb[j, 2] += dzb
                    pb[i, 0] -= dxb
                    pb[i, 1] -= dyb
                    pb[i, 2] -= dzb
    return e, pb, vb, mb


DRAW = np.random.default_rng(0)
BODIES = DRAW.standard_normal((16, 3)), 0.1 * DRAW.standard_normal((16, 3)), DRAW.random(16) / 16
ROWS: list[tuple[str, Any, Any, tuple[Any, ...], tuple[int, ...]]] = [
    ("recurrence with a branch, 10^6 steps", recurrence, recurrence_by_hand, (0.3, 0.9, 10**6), (0, 1)),
    (
        "Lotka-Volterra, RK4, 10^5 steps", lotka_volterra, lotka_volterra_by_hand,
        (1.0, 0.5, 1.1, 0.4, 0.4, 0.1, 0.001, 10**5), (0, 1, 2, 3, 4, 5),
    ),
    ("16 bodies, 1000 steps", bodies, bodies_by_hand, (*BODIES, 0.001, 1000), (0, 1, 2)),
]  # fmt: skip


# What the tape of partials records: each operation on numbers that derivatives pass through is one.


@numba.njit
def sines(a, b):
    s = 0.0
    for i in range(a.shape[0]):
        t = a[i] * b[i] + math.sin(a[i])
        if t > 0.5:
            s += t
        else:
            s = s - t * 2.0
    return s


@numba.njit
def polynomials(a, b):
    s = 0.0
    for i in range(a.shape[0]):
        x = a[i]
        y = ((x * 0.3 + b[i]) * x - b[i]) * x + 1.5
        s = s * 0.5 + y * x
    return s


@numba.njit
def in_place(a, b):
    n = a.shape[0]
    c = np.zeros(n)
    c[0] = a[0]
    for i in range(1, n):
        c[i] = a[i] - c[i - 1] * b[i] * 0.1
    s = 0.0
    for i in range(n):
        s += c[i] * c[i]
    return s


A, B = DRAW.standard_normal((2, 200_000))
T = A * B + np.sin(A)
TAPES: list[tuple[str, Any, int]] = [
    ("tape: a product, a sine and a branch", sines, int(3 * A.size + (T > 0.5).sum() + 2 * (T <= 0.5).sum())),
    ("tape: a polynomial in two variables", polynomials, 9 * A.size),
    ("tape: a recurrence in an array", in_place, 5 * A.size),
]  # fmt: skip


def timed(f: Callable[..., Any], *args: Any) -> float:
    start = time.thread_time()
    f(*args)
    return time.thread_time() - start


def measured(f: Any, hand: Any, args: tuple[Any, ...], by: tuple[int, ...]) -> list[float]:
    """Milliseconds of the function, of value and gradient by hand, of the gradient and of both."""
    wrapped = ng.njit(f)
    both = ng.value_and_grad(wrapped, argnums=by)
    value, grads = both(*args)
    expected, *cts = hand(*args)
    np.testing.assert_allclose(float(value), expected, rtol=1e-12)
    for mine, theirs in zip(grads, cts, strict=True):
        np.testing.assert_allclose(np.asarray(mine), theirs, rtol=1e-6)
    ways = (f, hand, ng.grad(wrapped, argnums=by), both)
    found = [[timed(way, *args) for way in ways] for _ in range(RUNS)]
    return [1e3 * statistics.median(column) for column in zip(*found, strict=True)]


def by_tape(f: Any, operations: int) -> list[float]:
    """Nanoseconds a recorded operation: of the function, of the gradient, and of both."""
    held = dict(routes.ROUTES)
    del routes.ROUTES["source"]  # such loops have an adjoint generated from source, else
    try:
        wrapped = ng.njit(f)
        both = ng.value_and_grad(wrapped, argnums=(0, 1))
        value, (slope, _) = both(A, B)
        np.testing.assert_allclose(float(value), f(A, B), rtol=1e-12)
        step = np.zeros(A.size)
        step[7] = 1e-4
        difference = (f(A + step, B) - f(A - step, B)) / 2e-4
        np.testing.assert_allclose(float(slope[7]), difference, rtol=1e-5)
        ways = (f, ng.grad(wrapped, argnums=(0, 1)), both)
        found = [[timed(way, A, B) for way in ways] for _ in range(RUNS)]
    finally:
        routes.ROUTES.clear()
        routes.ROUTES.update(held)
    return [1e9 * statistics.median(c) / operations for c in zip(*found, strict=True)]


def main() -> None:
    """Print the table."""
    if sys.argv[1:] == ["first"]:
        njit_first_gradients()
        return
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    print(f"{'':38}{'function':>10}{'by hand':>10}{'gradient':>10}{'both':>10}   ms")
    for name, f, hand, args, by in ROWS:
        if wanted.search(name):
            plain, ours, gradient, both = measured(f, hand, args, by)
            print(
                f"{name:38}{plain:10.2f}{ours:10.2f}{gradient:10.2f}{both:10.2f}   "
                f"both: {both / plain:.1f} functions, {both / ours:.2f} by hand"
            )
    for name, f, operations in TAPES:
        if wanted.search(name):
            plain, gradient, both = by_tape(f, operations)
            print(
                f"{name:38}{plain:10.2f}{'':10}{gradient:10.2f}{both:10.2f}   "
                "ns a recorded operation, all in all"
            )


if __name__ == "__main__":
    main()
