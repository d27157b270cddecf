"""20 objectives as the CUTEst collection has them, at sizes that a test runs, with gradients by hand.

From Gould, Orban, Toint: CUTEst, Computational Optimization and Applications 60 (2015), and the papers that its
files name; the starts are theirs. Plain NumPy: they record on tensors as they compute on arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Objective:
    """A number to be made small, its gradient by hand, and where to start."""

    name: str
    fun: Callable[[Any], Any]
    grad: Callable[[Any], Any]
    x0: Any


CUTEST: list[Objective] = []


def objective(x0: Any) -> Callable[..., Any]:
    """Declare a function that returns value or gradient by ``(x, slopes)``."""

    def declare(f: Callable[[Any, bool], Any]) -> Any:
        value, gradient = functools.partial(f, slopes=False), functools.partial(f, slopes=True)
        start = np.asarray(x0, float)
        CUTEST.append(Objective(f.__name__.upper(), value, gradient, start))
        return f

    return declare


def placed(n: int, *parts: tuple[Any, Any]) -> Any:
    """Add each part where its places (a slice or an index) say."""
    found = np.zeros(n)
    for places, part in parts:
        found[places] += part
    return found


HEAD, TAIL = slice(None, -1), slice(1, None)


@objective(np.ones(20))
def arwhead(x: Any, slopes: bool) -> Any:
    a = x[:-1] ** 2 + x[-1] ** 2
    if slopes:
        return placed(len(x), (HEAD, 4 * a * x[:-1] - 4), (-1, (4 * a * x[-1]).sum()))
    return (a**2 - 4 * x[:-1] + 3).sum()


@objective(np.ones(20))
def bdqrtic(x: Any, slopes: bool) -> Any:
    a = 3 - 4 * x[:-4]
    parts = [x[k : len(x) - 4 + k] for k in range(4)]
    b = sum((k + 1) * part**2 for k, part in enumerate(parts)) + 5 * x[-1] ** 2
    if slopes:
        places = [slice(k, len(x) - 4 + k) for k in range(4)]
        inner = [(s, 4 * b * (k + 1) * x[s]) for k, s in enumerate(places)]
        return placed(len(x), (places[0], -8 * a), *inner, (-1, (20 * b * x[-1]).sum()))
    return (a**2 + b**2).sum()


@objective([-3, -1, -3, -1, *[-2, 0] * 8])
def chainwoo(x: Any, slopes: bool) -> Any:
    """Chained Wood."""
    a, b, c, d = x[:-3:2], x[1:-2:2], x[2:-1:2], x[3::2]
    p, q, r, s = b - a**2, d - c**2, b + d - 2, b - d
    if slopes:
        by_b, by_d = 200 * p + 20 * r + 0.2 * s, 180 * q + 20 * r - 0.2 * s
        first = (slice(None, -3, 2), -400 * a * p - 2 * (1 - a)), (slice(1, -2, 2), by_b)
        last = (slice(2, -1, 2), -360 * c * q - 2 * (1 - c)), (slice(3, None, 2), by_d)
        return placed(len(x), *first, *last)
    first = 100 * p**2 + (1 - a) ** 2 + 90 * q**2
    return 1 + (first + (1 - c) ** 2 + 10 * r**2 + 0.1 * s**2).sum()


@objective([1, *[2] * 19])
def cragglvy(x: Any, slopes: bool) -> Any:
    a, b, c, d = x[:-3:2], x[1:-2:2], x[2:-1:2], x[3::2]
    e, t = np.exp(a) - b, np.tan(c - d)
    if slopes:
        by_a, by_b = 4 * e**3 * np.exp(a) + 8 * a**7, 600 * (b - c) ** 5 - 4 * e**3
        by_t = 4 * t**3 * (1 + t**2)
        first = (slice(None, -3, 2), by_a), (slice(1, -2, 2), by_b)
        by_d = 2 * (d - 1) - by_t
        return placed(
            len(x), *first, (slice(2, -1, 2), by_t - 600 * (b - c) ** 5), (slice(3, None, 2), by_d)
        )
    return (e**4 + 100 * (b - c) ** 6 + t**4 + a**8 + (d - 1) ** 2).sum()


def dixmaan(x: Any, slopes: bool, weights: tuple[float, float, float, float], powers: Any) -> Any:
    n, m = len(x), len(x) // 3
    w = [a * (np.arange(1, n + 1) / n) ** k for a, k in zip(weights, powers, strict=True)]
    one, two, three, four = w[0], w[1][:-1], w[2][: 2 * m], w[3][:m]
    a, b, inner = x[:-1], x[1:], x[1:] + x[1:] ** 2
    if slopes:
        by_b = 2 * two * a**2 * inner * (1 + 2 * b)
        chain = (slice(None), 2 * one * x), (HEAD, 2 * two * a * inner**2), (TAIL, by_b)
        far = (slice(None, 2 * m), 2 * three * x[: 2 * m] * x[m:] ** 4)
        near = (slice(m, None), 4 * three * x[: 2 * m] ** 2 * x[m:] ** 3)
        ends = (slice(None, m), four * x[2 * m :]), (slice(2 * m, None), four * x[:m])
        return placed(n, *chain, far, near, *ends)
    first = 1 + (one * x**2).sum() + (two * a**2 * inner**2).sum()
    return first + (three * x[: 2 * m] ** 2 * x[m:] ** 4).sum() + (four * x[:m] * x[2 * m :]).sum()


@objective(np.full(15, 2.0))
def dixmaana(x: Any, slopes: bool) -> Any:
    return dixmaan(x, slopes, (1, 0, 0.125, 0.125), (0, 0, 0, 0))


@objective(np.full(15, 2.0))
def dixmaanb(x: Any, slopes: bool) -> Any:
    return dixmaan(x, slopes, (1, 0.0625, 0.0625, 0.0625), (0, 0, 0, 0))


@objective(np.full(15, 2.0))
def dixmaani(x: Any, slopes: bool) -> Any:
    return dixmaan(x, slopes, (1, 0, 0.125, 0.125), (2, 0, 0, 2))


@objective(np.full(20, 3.0))
def dqdrtic(x: Any, slopes: bool) -> Any:
    a, b, c = x[:-2], x[1:-1], x[2:]
    if slopes:
        return placed(
            len(x), (slice(None, -2), 2 * a), (slice(1, -1), 200 * b), (slice(2, None), 200 * c)
        )
    return (a**2 + 100 * b**2 + 100 * c**2).sum()


@objective(np.zeros(20))
def edensch(x: Any, slopes: bool) -> Any:
    a, b = x[:-1], x[1:]
    q = a * b - 2 * b
    if slopes:
        by_a, by_b = 4 * (a - 2) ** 3 + 2 * q * b, 2 * q * (a - 2) + 2 * (b + 1)
        return placed(len(x), (HEAD, by_a), (TAIL, by_b))
    return 16 + ((a - 2) ** 4 + q**2 + (b + 1) ** 2).sum()


@objective(np.full(20, 2.0))
def engval1(x: Any, slopes: bool) -> Any:
    a, b = x[:-1], x[1:]
    q = a**2 + b**2
    if slopes:
        return placed(len(x), (HEAD, 4 * q * a - 4), (TAIL, 4 * q * b))
    return (q**2 - 4 * a + 3).sum()


@objective(np.zeros(10))
def fletchcr(x: Any, slopes: bool) -> Any:
    a, b = x[:-1], x[1:]
    q = b - a + 1 - a**2
    if slopes:
        return placed(len(x), (HEAD, -200 * q * (1 + 2 * a)), (TAIL, 200 * q))
    return 100 * (q**2).sum()


@objective([0.5, -2, *[0] * 8])
def freuroth(x: Any, slopes: bool) -> Any:
    a, b = x[:-1], x[1:]
    p, q = -13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b
    if slopes:
        by_b = 2 * p * (10 * b - 3 * b**2 - 2) + 2 * q * (3 * b**2 + 2 * b - 14)
        return placed(len(x), (HEAD, 2 * p + 2 * q), (TAIL, by_b))
    return (p**2 + q**2).sum()


@objective(np.arange(1, 11) / 11)
def genrose(x: Any, slopes: bool) -> Any:
    a, b = x[:-1], x[1:]
    q = b - a**2
    if slopes:
        return placed(len(x), (HEAD, -400 * a * q), (TAIL, 200 * q + 2 * (b - 1)))
    return 1 + (100 * q**2 + (b - 1) ** 2).sum()


@objective(np.full(20, 4.0))
def liarwhd(x: Any, slopes: bool) -> Any:
    q = x**2 - x[0]
    if slopes:
        return placed(len(x), (slice(None), 16 * q * x + 2 * (x - 1)), (0, -8 * q.sum()))
    return (4 * q**2 + (x - 1) ** 2).sum()


@objective(-np.ones(20))
def nondia(x: Any, slopes: bool) -> Any:
    q = x[0] - x[:-1] ** 2
    if slopes:
        first = (0, 2 * (x[0] - 1) + 200 * q.sum())
        return placed(len(x), first, (HEAD, -400 * q * x[:-1]))
    return (x[0] - 1) ** 2 + 100 * (q**2).sum()


@objective([1, -1] * 5)
def nondquar(x: Any, slopes: bool) -> Any:
    q, p, r = x[:-2] + x[1:-1] + x[-1], x[0] - x[1], x[-2] + x[-1]
    if slopes:
        c = 4 * q**3
        ends = (0, 2 * p), (1, -2 * p), (-2, 2 * r), (-1, 2 * r + c.sum())
        return placed(len(x), (slice(None, -2), c), (slice(1, -1), c), *ends)
    return p**2 + r**2 + (q**4).sum()


@objective(np.ones(10))
def power(x: Any, slopes: bool) -> Any:
    i = np.arange(1, len(x) + 1)
    total = (i * x**2).sum()
    return 4 * total * i * x if slopes else total**2


@objective(np.full(10, 2.0))
def quartc(x: Any, slopes: bool) -> Any:
    away = x - np.arange(1, len(x) + 1)
    return 4 * away**3 if slopes else (away**4).sum()


@objective(np.full(5, 0.1))
def sinquad(x: Any, slopes: bool) -> Any:
    middle, first, last = x[1:-1], x[0], x[-1]
    q, r = np.sin(middle - last) - first**2 + middle**2, last**2 - first**2
    if slopes:
        turn = np.cos(middle - last)
        by_first = 4 * (first - 1) ** 3 - 4 * first * q.sum() - 4 * r * first
        by_last = 4 * r * last - (2 * q * turn).sum()
        return placed(
            len(x), (0, by_first), (slice(1, -1), 2 * q * (turn + 2 * middle)), (-1, by_last)
        )
    return (first - 1) ** 4 + (q**2).sum() + r**2


@objective(np.ones(20))
def tridia(x: Any, slopes: bool) -> Any:
    i = np.arange(2, len(x) + 1)
    q = 2 * x[1:] - x[:-1]
    if slopes:
        return placed(len(x), (0, 2 * (x[0] - 1)), (TAIL, 4 * i * q), (HEAD, -2 * i * q))
    return (x[0] - 1) ** 2 + (i * q**2).sum()
