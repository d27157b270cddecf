"""Loops by ``while_loop``, forward and back: ``python -m benchmarks.whiles``, beside loops by hand.

Ratios are medians of pairs in one process. By hand is what somebody patient writes for Numba: the way
back keeps what was carried in an array that grows, and goes back over it. How many steps there are is
known to none of them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
import numpy as np

import nbgrad as ng
from benchmarks.paired import compare

by_hand = numba.njit(error_model="numpy", cache=False)


@dataclass(frozen=True)
class Case:
    """A function of some numbers, by hand, and so many steps."""

    f: Callable[..., Any]
    hand: Callable[..., Any]
    args: tuple[Any, ...]
    steps: int
    derived: bool = True


# ------------------------------------------------------------------------------ a fixed point, damped


def damped(a: Any, b: Any, tolerance: Any) -> Any:
    """X = b cos(a x), approached a little at a time."""
    step = lambda c: (c[0] + 1e-5 * (b / (1.0 + a * c[0] * c[0]) - c[0]), c[1] * 0.99998)
    return ng.while_loop(lambda c: c[1] > tolerance, step, (0.1 * b, 1.0))[0]


@by_hand
def damped_by_hand(a, b, tolerance):  # type: ignore[no-untyped-def]
    x, t = 0.1 * b, 1.0
    while t > tolerance:
        x, t = x + 1e-5 * (b / (1.0 + a * x * x) - x), t * 0.99998
    return x


@by_hand
def damped_and_back(a, b, tolerance):  # type: ignore[no-untyped-def]
    x, t, n, kept = 0.1 * b, 1.0, 0, np.empty(64)
    while t > tolerance:
        if n == len(kept):
            more = np.empty(2 * n)
            more[:n] = kept
            kept = more
        kept[n] = x
        n += 1
        x, t = x + 1e-5 * (b / (1.0 + a * x * x) - x), t * 0.99998
    value, g, ga, gb = x, 1.0, 0.0, 0.0
    for k in range(n - 1, -1, -1):
        x = kept[k]
        d = 1.0 + a * x * x
        s = 1e-5 * g
        gb += s / d
        t = -s * b / (d * d)
        ga += t * x * x
        g = g - s + 2.0 * t * a * x
    return value, (ga, gb + 0.1 * g)


# --------------------------------------------------------------------------- a recurrence with a branch


def branching(a: Any, b: Any, n: Any) -> Any:
    def step(c: Any) -> Any:
        x, k = c
        return ng.cond(x > 1.0, lambda x: a * x, lambda x: x * x * 0.1 + x + b, x), k + 1

    return ng.while_loop(lambda c: c[1] < n, step, (0.5 * b, 0))[0]


@by_hand
def branching_by_hand(a, b, n):  # type: ignore[no-untyped-def]
    x, k = 0.5 * b, 0
    while k < n:
        x = a * x if x > 1.0 else x * x * 0.1 + x + b
        k += 1
    return x


@by_hand
def branching_and_back(a, b, n):  # type: ignore[no-untyped-def]
    x, k, kept = 0.5 * b, 0, np.empty(64)
    while k < n:
        if k == len(kept):
            more = np.empty(2 * k)
            more[:k] = kept
            kept = more
        kept[k] = x
        x = a * x if x > 1.0 else x * x * 0.1 + x + b
        k += 1
    value, g, ga, gb = x, 1.0, 0.0, 0.0
    for i in range(k - 1, -1, -1):
        x = kept[i]
        if x > 1.0:
            ga += g * x
            g *= a
        else:
            gb += g
            g *= 0.2 * x + 1.0
    return value, (ga, gb + 0.5 * g)


# ------------------------------------------------------------------------------------- a loop in a loop


def collatz(n: Any) -> Any:
    """How many steps all numbers below *n* take to 1: a loop of integers in another."""

    def count(c: Any) -> Any:
        step = lambda c: (ng.where(c[0] % 2 == 0, c[0] // 2, 3 * c[0] + 1), c[1] + 1)
        return c[0] + 1, ng.while_loop(lambda c: c[0] != 1, step, c)[1]

    return ng.while_loop(lambda c: c[0] < n, count, (n * 0 + 1, n * 0))[1]


@by_hand
def collatz_by_hand(n):  # type: ignore[no-untyped-def]
    k, total = 1, 0
    while k < n:
        m = k
        while m != 1:
            m = m // 2 if m % 2 == 0 else 3 * m + 1
            total += 1
        k += 1
    return total


def roots(a: Any, xs: Any) -> Any:
    """A scan whose step is Newton's method, until it is satisfied."""

    def step(total: Any, x: Any) -> Any:
        y = ng.while_loop(
            lambda y: abs(y * y * y - a * x) > 1e-12,
            lambda y: y - (y * y * y - a * x) / (3 * y * y),
            x,
        )
        return total + y, None

    return ng.scan(step, a * 0.0, xs)[0]


@by_hand
def roots_by_hand(a, xs):  # type: ignore[no-untyped-def]
    total = 0.0
    for x in xs:
        y = x
        while abs(y * y * y - a * x) > 1e-12:
            y = y - (y * y * y - a * x) / (3 * y * y)
        total += y
    return total


@by_hand
def roots_and_back(a, xs):  # type: ignore[no-untyped-def]
    total, ga, kept = 0.0, 0.0, np.empty(64)
    for x in xs:
        y, n = x, 0
        while abs(y * y * y - a * x) > 1e-12:
            kept[n] = y
            n += 1
            y = y - (y * y * y - a * x) / (3 * y * y)
        total += y
        g = 1.0
        for k in range(n - 1, -1, -1):
            y = kept[k]
            r, s = y * y * y - a * x, 1 / (3 * y * y)
            ga += g * s * x
            g = g - g * s * (3 * y * y) + g * r * s * s * 6 * y
    return total, (ga,)


# --------------------------------------------------------------------------------------------- report

XS = np.random.default_rng(0).uniform(0.5, 2.0, 10**5)
CASES = {
    "a damped fixed point, 10^6 steps": Case(
        damped, (damped_by_hand, damped_and_back), (1.3, 0.9, 2.06e-9), 10**6
    ),
    "a recurrence with a branch, 10^6 steps": Case(
        branching, (branching_by_hand, branching_and_back), (0.6, 0.13, 10**6), 10**6
    ),
    "Newton in a scan, 10^5 of 5 steps": Case(
        roots, (roots_by_hand, roots_and_back), (1.1, XS), 5 * 10**5
    ),
    "Collatz, a loop in a loop, 10^6 steps": Case(
        collatz, (collatz_by_hand, None), (10_000,), 849_666, False
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whiles", description=__doc__)
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose name matches")
    options = parser.parse_args()
    print("| loop | nbgrad, ns a step | by hand | nbgrad / by hand |\n|---|---|---|---|")
    for name, case in CASES.items():
        if not re.search(options.only, name):
            continue
        args = [np.asarray(a) for a in case.args]
        wanted = tuple(
            k for k, a in enumerate(args) if not a.ndim and a.dtype.kind == "f" and k < 2
        )
        kinds = [("", ng.jit(case.f), case.hand[0])]
        if case.derived:
            both = ng.jit(ng.value_and_grad(case.f, wanted))
            kinds.append((", value and gradient", both, case.hand[1]))
        for kind, ours, theirs in kinds:
            mine, its = ours(*args), theirs(*case.args)
            for a, b in zip(_flat(mine), _flat(its), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6)
            pair = compare(partial(ours, *args), partial(theirs, *case.args))
            each = 1e3 / case.steps
            print(
                f"| {name}{kind} | {pair.ours * each:.3g} | {pair.theirs * each:.3g} | {pair.ratio:.2f} |",
                flush=True,
            )


def _flat(found: Any) -> list[Any]:
    return [y for x in found for y in _flat(x)] if isinstance(found, tuple) else [found]


if __name__ == "__main__":
    main()
