# ruff: noqa: B007, SIM108
"""Functions of loops, branches and arrays, as users write them for Numba, with arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

DRAW = np.random.default_rng(0)
STRUCTURES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {}


def structure(*args: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function with arguments to differentiate it at."""

    def register(f: Callable[..., Any]) -> Callable[..., Any]:
        STRUCTURES[f.__name__] = f, args
        return f

    return register


@structure(0.3, 1.9, 5)
def recurrence(x, r, n):
    s = 0.0
    for i in range(n):
        if x < 0.5:
            x = r * x
        else:
            x = r * (1.0 - x)
        s += x * x
    return s


@structure(DRAW.random(5))
def sum_of_elements(a):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * math.sin(a[i])
    return s


@structure(DRAW.random((3, 4)))
def rows_written(a):
    out = np.zeros(a.shape[0])
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i] += a[i, j] ** 2 * math.exp(out[i])
    return out


@structure(1.3, 2.0)
def newton(a, x):
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
    return x


@structure(DRAW.random(6))
def written_in_place(a):
    b = a.copy()
    for k in range(3):
        for i in range(1, len(b)):
            b[i] = b[i] * b[i - 1] + math.sqrt(b[i])
    return b


@structure(DRAW.random(6), 0.4)
def left_early(a, t):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * t
        if s > 0.5:
            break
        s = s * s + a[i]
    return s


@structure(DRAW.random(6), 0.4)
def returned_early(a, t):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * t
        if s > 0.5:
            return s * s
        if a[i] < 0.2:
            continue
        s = s * 1.5
    return s


@structure(1.0, 0.5, (1.0, 2.0), 20)
def predator_prey(x, y, p, n):
    a, b = p
    h = 0.01
    for i in range(n):
        k1 = a * x - b * x * y
        l1 = b * x * y - y
        x1 = x + h * k1
        y1 = y + h * l1
        k2 = a * x1 - b * x1 * y1
        l2 = b * x1 * y1 - y1
        x, y = x + h * 0.5 * (k1 + k2), y + h * 0.5 * (l1 + l2)
    return x, y


@structure(DRAW.random((4, 3)), DRAW.random((4, 3)), DRAW.random(4), 0.01, 3)
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
    return p, v


@structure(DRAW.random(5), 3)
def chosen_values(a, n):
    s = 1.0
    for k in range(n):
        for i in range(a.size - 1, -1, -1):
            s = s * a[i] if a[i] > 0.5 and s > 0.1 else s + max(a[i], 0.3 * s)
    return s


@structure(DRAW.random(5))
def loops_while(a):
    i = 0
    s = 0.0
    while i < len(a):
        j = i
        while j < len(a) and a[j] < 0.9:
            s += a[j] * a[i]
            j += 1
        i += 1
    return s


@structure(DRAW.random(5), DRAW.random((2, 2)))
def made_in_a_loop(a, m):
    t = 0.0
    for k in range(3):
        w = np.zeros(len(a))
        for i in range(len(a)):
            w[i] = a[i] * t + m[0, 1]
        for i in range(len(a)):
            t += w[i] * w[len(a) - 1 - i]
    return t


@structure(DRAW.random((4, 4)) + 4 * np.eye(4), DRAW.random(4))
def elimination(a, b):
    n = len(b)
    lower = a.copy()
    x = b.copy()
    for k in range(n):
        for i in range(k + 1, n):
            f = lower[i, k] / lower[k, k]
            for j in range(k, n):
                lower[i, j] -= f * lower[k, j]
            x[i] -= f * x[k]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= lower[i, j] * x[j]
        x[i] /= lower[i, i]
    return x


@structure(DRAW.random((4, 5)))
def views(a):
    b = a.copy()
    s = 0.0
    for i in range(1, b.shape[0]):
        r = b[i]
        q = b[i - 1]
        for j in range(len(r)):
            r[j] = r[j] * q[-1 - j]
    c = b[1:3, ::2]
    for i in range(c.shape[0]):
        for x in c[i]:
            s += x * x
    return s, c


@numba.njit
def helper(x, y):
    if x > y:
        return x * y
    z = x - y
    return z * z * x


@structure(0.7, DRAW.random(4))
def calls_of_others(x, a):
    s = x
    for i in range(len(a)):
        s = helper(s, a[i]) + helper(a[i], s)
    return s


@structure(DRAW.random(4).astype("f4"))
def single_precision(a):
    s = np.float32(0)
    t = 0.0
    for i in range(len(a)):
        s += a[i] * a[i]
        t += s * 2.0
    return s, t


@structure(DRAW.random(7), np.array([0, 3, 2, 2, 6]))
def by_number(a, idx):
    b = np.zeros(len(idx))
    for k in range(len(idx)):
        b[k] += a[idx[k]] * a[idx[k]]
    for k in range(len(idx)):
        b[idx[k] % 5] = b[k] * 2 + b[idx[k] % 5] ** 2
    return b


@structure(DRAW.random(5), DRAW.random((3, 5)), 0.3)
def whole_arrays(a, m, t):
    b = a * t + m[0] - np.sin(a) / (1.0 + a**2)
    c = np.where(b > 0.3, b, 2.0 * b)
    s = np.sum(c * c) + m.sum() * b.mean()
    d = m @ b
    b += d[0] * m[1]
    return s, d, -b, np.dot(a, b)


@structure(DRAW.random((3, 1)), DRAW.random(4))
def spread_over_extents(a, b):
    s = 0.0
    for _ in range(3):
        t = a * b * s
        s += t.sum() + np.maximum(a, b).mean()
    return s
