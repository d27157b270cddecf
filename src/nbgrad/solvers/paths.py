"""The generalized Cauchy point, and the minimizer of the subspace of the variables that are free there."""

from __future__ import annotations

import math
from typing import Any

from nbgrad.machine.intrinsics import reduce_add
from nbgrad.machine.pointers import apart
from nbgrad.solvers.native import HELD, MEMORY, THETA, dot
from nbgrad.solvers.places import (
    ABOVE,
    BELOW,
    EPS,
    HEAP,
    MEETS,
    PATH,
    RED,
    XC,
    G,
    X,
    middle,
    pairs_s,
    pairs_y,
    products,
    row,
    slot,
    small_weights,
)  # fmt: skip


def inner_products(k: Any, w: Any, n: int, at: int) -> None:
    """The row and the column of the pair at *at* in S'S and S'Y."""
    size = k[MEMORY]
    ss = products(n, size)
    sy = ss + size * size
    for j in range(k[HELD]):
        other = slot(k, j)
        a, b = pairs_s(n) + at * n, pairs_s(n) + other * n
        w[ss + at * size + other] = w[ss + other * size + at] = dot(w, a, b, n)
        w[sy + at * size + other] = dot(w, a, pairs_y(n, size) + other * n, n)
        w[sy + other * size + at] = dot(w, b, pairs_y(n, size) + at * n, n)


@apart
def assemble(k: Any, s: Any, w: Any, n: int, a: int) -> None:
    """K, at *a*."""
    size, count = k[MEMORY], k[HELD]
    ss = products(n, size)
    sy = ss + size * size
    wide = 2 * count
    for i in range(count):
        for j in range(count):
            at, other = slot(k, i), slot(k, j)
            low = w[sy + at * size + other] if i > j else 0.0
            w[a + i * wide + j] = -w[sy + at * size + at] if i == j else 0.0
            w[a + (count + i) * wide + j] = low
            w[a + j * wide + count + i] = low
            w[a + (count + i) * wide + count + j] = s[THETA] * w[ss + at * size + other]


@apart
def factor(w: Any, a: int, wide: int, order: int) -> None:
    """Factors of a small matrix, rows being exchanged."""
    for j in range(wide):
        best = j
        for i in range(j + 1, wide):
            if abs(w[a + i * wide + j]) > abs(w[a + best * wide + j]):
                best = i
        w[order + j] = float(best)
        for l in range(wide):
            x = w[a + j * wide + l]
            w[a + j * wide + l] = w[a + best * wide + l]
            w[a + best * wide + l] = x
        pivot = w[a + j * wide + j]
        if pivot == 0.0:
            w[a + j * wide + j] = pivot = EPS
        for i in range(j + 1, wide):
            part = w[a + i * wide + j] / pivot
            w[a + i * wide + j] = part
            for l in range(j + 1, wide):
                w[a + i * wide + l] -= part * w[a + j * wide + l]


@apart
def solved(w: Any, a: int, wide: int, order: int, x: int, to: int) -> None:
    """The solution of a factorized system, at *to*."""
    for j in range(wide):
        w[to + j] = w[x + j]
    for j in range(wide):
        best = int(w[order + j])
        y = w[to + j]
        w[to + j] = w[to + best]
        w[to + best] = y
    for i in range(wide):
        for j in range(i):
            w[to + i] -= w[a + i * wide + j] * w[to + j]
    for back in range(wide):
        i = wide - 1 - back
        for j in range(i + 1, wide):
            w[to + i] -= w[a + i * wide + j] * w[to + j]
        w[to + i] /= w[a + i * wide + i]


def breaks(w: Any, n: int) -> int:
    """Where the path of steepest descent meets bounds; how many it meets, which are made a heap."""
    count = 0
    for i in range(n):
        g, x = w[G * n + i], w[X * n + i]
        bound = w[ABOVE * n + i] if g < 0.0 else w[BELOW * n + i]
        t = (x - bound) / g if g != 0.0 else math.inf
        w[XC * n + i] = x
        w[PATH * n + i] = 0.0 if t <= 0.0 else -g
        w[MEETS * n + i] = t
        if t > 0.0 and math.isfinite(t):
            w[HEAP * n + count] = float(i)
            count += 1
    for back in range(count // 2):
        sift(w, n, count // 2 - 1 - back, count)
    return count


def sift(w: Any, n: int, place: int, count: int) -> None:
    """Let the variable at a place of the heap sink to where it belongs."""
    while True:
        least = place
        for child in range(2 * place + 1, min(2 * place + 3, count)):
            if w[MEETS * n + int(w[HEAP * n + child])] < w[MEETS * n + int(w[HEAP * n + least])]:
                least = child
        if least == place:
            return
        x = w[HEAP * n + place]
        w[HEAP * n + place] = w[HEAP * n + least]
        w[HEAP * n + least] = x
        place = least


@apart
def gather(k: Any, s: Any, w: Any, n: int, vector: int, to: int) -> None:
    """W' of a vector."""
    size, count = k[MEMORY], k[HELD]
    for j in range(count):
        at = slot(k, j) * n
        w[to + j] = dot(w, pairs_y(n, size) + at, vector, n)
        w[to + count + j] = s[THETA] * dot(w, pairs_s(n) + at, vector, n)


@apart
def cauchy(k: Any, s: Any, w: Any, n: int) -> None:
    """The first minimizer of the model on the path of projected steepest descent (algorithm CP)."""
    size, theta, wide = k[MEMORY], s[THETA], 2 * k[HELD]
    p = small_weights(n, size)
    c, b, v, order, a = p + 2 * size, p + 4 * size, p + 6 * size, p + 8 * size, middle(n, size)
    assemble(k, s, w, n, a)
    factor(w, a, wide, order)
    count = breaks(w, n)
    gather(k, s, w, n, PATH * n, p)
    for j in range(wide):
        w[c + j] = 0.0
    first = -dot(w, PATH * n, PATH * n, n)
    if first == 0.0:
        return
    solved(w, a, wide, order, p, v)
    second = -theta * first - small(w, p, v, wide)
    start, t, step = second, 0.0, -first / second
    while count > 0:
        i = int(w[HEAP * n])
        gap = w[MEETS * n + i] - t
        if step < gap:
            break
        t = w[MEETS * n + i]
        count -= 1
        w[HEAP * n] = w[HEAP * n + count]
        sift(w, n, 0, count)
        g = w[G * n + i]
        w[XC * n + i] = w[ABOVE * n + i] if g < 0.0 else w[BELOW * n + i]
        w[PATH * n + i] = 0.0
        row(k, s, w, n, i, b)
        for j in range(wide):
            w[c + j] += gap * w[p + j]
        solved(w, a, wide, order, b, v)
        moved = w[XC * n + i] - w[X * n + i]
        first += gap * second + g * g + theta * g * moved - g * small(w, v, c, wide)
        second -= theta * g * g + 2.0 * g * small(w, v, p, wide) + g * g * small(w, v, b, wide)
        second = max(EPS * start, second)
        for j in range(wide):
            w[p + j] += g * w[b + j]
        step = -first / second
    travel(w, n, t, max(step, 0.0), p, c, wide)


def travel(w: Any, n: int, t: float, step: float, p: int, c: int, wide: int) -> None:
    """The end of the path."""
    for i in range(n):
        if w[PATH * n + i] != 0.0:
            x = w[X * n + i] + (t + step) * w[PATH * n + i]
            w[XC * n + i] = min(max(x, w[BELOW * n + i]), w[ABOVE * n + i])
    for j in range(wide):
        w[c + j] += step * w[p + j]


def small(w: Any, a: int, b: int, wide: int) -> float:
    """The product of two small vectors."""
    total = 0.0
    for j in range(wide):
        total += w[a + j] * w[b + j]
    return total


@apart
def subspace(k: Any, s: Any, w: Any, n: int) -> None:
    """Move the Cauchy point to the minimizer of the free variables, projected, or as far as bounds let it."""
    size, theta, wide = k[MEMORY], s[THETA], 2 * k[HELD]
    if wide == 0:
        return
    p = small_weights(n, size)
    c, v, order, a = p + 2 * size, p + 6 * size, p + 8 * size, middle(n, size)
    solved(w, a, wide, order, c, v)  # K^-1 c
    for i in range(n):
        x = w[XC * n + i]
        free = w[BELOW * n + i] < x < w[ABOVE * n + i]
        w[PATH * n + i] = 1.0 if free else 0.0
        w[RED * n + i] = 0.0
        if free:
            row(k, s, w, n, i, p)
            w[RED * n + i] = w[G * n + i] + theta * (x - w[X * n + i]) - small(w, p, v, wide)
    reduced(k, s, w, n, a + wide * wide)
    gather(k, s, w, n, RED * n, p)
    factor(w, a + wide * wide, wide, order + 2 * size)
    solved(w, a + wide * wide, wide, order + 2 * size, p, v)
    for i in range(n):
        if w[PATH * n + i] != 0.0:
            row(k, s, w, n, i, p)
            w[RED * n + i] = -(w[RED * n + i] + small(w, p, v, wide) / theta) / theta
    land(w, n)


@apart
def reduced(k: Any, s: Any, w: Any, n: int, a: int) -> None:
    """K - W' Z Z' W / theta, at *a*."""
    size, count, theta = k[MEMORY], k[HELD], s[THETA]
    wide = 2 * count
    assemble(k, s, w, n, a)
    for i in range(wide):
        for j in range(i + 1):
            x = (pairs_y(n, size) if i < count else pairs_s(n)) + slot(k, i % count) * n
            y = (pairs_y(n, size) if j < count else pairs_s(n)) + slot(k, j % count) * n
            total = 0.0
            for l in range(n):
                total = reduce_add(total, w[PATH * n + l] * w[x + l] * w[y + l])
            total *= (theta if i >= count else 1.0) * (theta if j >= count else 1.0) / theta
            w[a + i * wide + j] -= total
            if i != j:
                w[a + j * wide + i] -= total


def land(w: Any, n: int) -> None:
    """The point that the step leads to: projected if that is downhill, else cut where it meets a bound."""
    downhill, part = 0.0, 1.0
    for i in range(n):
        d, x = w[RED * n + i], w[XC * n + i]
        inside = min(max(x + d, w[BELOW * n + i]), w[ABOVE * n + i])
        w[MEETS * n + i] = inside
        downhill += (inside - w[X * n + i]) * w[G * n + i]
        room = w[ABOVE * n + i] - x if d > 0.0 else w[BELOW * n + i] - x
        if d != 0.0 and math.isfinite(room):
            part = min(part, room / d)
    for i in range(n):
        moved = min(max(w[XC * n + i] + part * w[RED * n + i], w[BELOW * n + i]), w[ABOVE * n + i])
        w[XC * n + i] = w[MEETS * n + i] if downhill < 0.0 else moved
