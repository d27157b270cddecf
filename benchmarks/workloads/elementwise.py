"""Elementwise chains over many elements: value and gradient in one pass over memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numba import njit

from benchmarks.problems import RATE, SQRT_HALF, black_scholes_inputs, black_scholes_sum, chain_sum
from benchmarks.workloads.base import Sides, Workload, of_libraries, written

DTYPES = ("float32", "float64")
DENSITY = 0.3989422804014327

_GELU = """
def gelu(x, out, value, n):
    total = 0.0
    for start in range(0, n, 1024):
        part = {c}(0.0)
        for i in range(start, min(start + 1024, n)):
            v = x[i]
            u = v * {c}({root})
            chance = {c}(0.5) + {c}(0.5) * erf_{c}(u)
            part = reduce_add(part, v * chance)
            out[i] = chance + v * {c}({density}) * bell_{c}(u, {c}(-1.0))
        total += part
    value[0] = total
    return 0
"""

# The greeks in closed form: one density serves all three, which derivatives of the formula have twice.
_BLACK_SCHOLES = """
def greeks(s, v, t, k, delta, vega, theta, value, n):
    total = 0.0
    for start in range(0, n, 1024):
        part = {c}(0.0)
        for i in range(start, min(start + 1024, n)):
            root = math.sqrt(t[i])
            deviation = v[i] * root
            d1 = (log_{c}(s[i] / k[i]) + ({c}({rate}) + {c}(0.5) * v[i] * v[i]) * t[i]) / deviation
            d2 = d1 - deviation
            u = d1 * {c}({root})
            chance1 = {c}(0.5) + {c}(0.5) * erf_{c}(u)
            chance2 = {c}(0.5) + {c}(0.5) * erf_{c}(d2 * {c}({root}))
            discounted = k[i] * exp_{c}({c}(-{rate}) * t[i])
            slope = s[i] * {c}({density}) * bell_{c}(u, {c}(-1.0))
            part = reduce_add(part, s[i] * chance1 - discounted * chance2)
            delta[i] = chance1
            vega[i] = slope * root
            theta[i] = {c}(0.5) * slope * v[i] / root + {c}({rate}) * discounted * chance2
        total += part
    value[0] = total
    return 0
"""

CHAIN = """
def chain(x, out, value, n):
    total = 0.0
    for start in range(0, n, 1024):
        part = {c}(0.0)
        for i in range(start, min(start + 1024, n)):
            v = x[i]
            d = {c}(1.0)
{rounds}
            part = reduce_add(part, v)
            out[i] = d
        total += part
    value[0] = total
    return 0
"""
_ROUND = """
            d = d * cos_{c}(v) * {c}(1.25)
            v = tanh_{c}(sin_{c}(v) * {c}(1.25) + {c}(0.5))
            d = d * ({c}(1.0) - v * v) * {c}(2.0) * v
            v = v * v
"""


def gelu(x: Any, xp: Any) -> Any:
    """The Gaussian error linear unit, summed."""
    return (x * (0.5 + 0.5 * xp.erf(x * SQRT_HALF))).sum()


def by_hand(source: str, name: str, xs: tuple[Any, ...], wrt: int = 1, rounds: int = 4) -> Any:
    """A loop of *source* over the elements, which writes the first *wrt* gradients and its own sum."""
    x = xs[0]
    code = "f8" if x.dtype == np.float64 else "f4"
    text = source.replace("{rounds}", _ROUND * rounds).replace("{c}", code)
    for constant, is_ in (("root", SQRT_HALF), ("density", DENSITY), ("rate", RATE)):
        text = text.replace("{" + constant + "}", repr(is_))
    function = written(text, name, f"{code}* " * (len(xs) + wrt) + "f8* i8").function  # type: ignore[attr-defined]
    outs = [np.empty_like(x) for _ in range(wrt)]
    return partial(_called(function, len(xs), wrt), *xs, *outs)


def _called(function: Any, reads: int, writes: int) -> Any:
    """A function for Numba that writes to memory which is there: a call from Python by ctypes takes as long as a thousand numbers."""
    outs = [f"out{k}" for k in range(writes)]
    arrays = [*(f"x{k}" for k in range(reads)), *outs]
    lines = [
        f"def step({', '.join(arrays)}):",
        "    total, value = np.empty(1), np.empty(1, x0.dtype)",
        f"    function({', '.join(f'{a}.ctypes' for a in (*arrays, 'total'))}, x0.size)",
        f"    value[0] = total[0]\n    return value, {', '.join(outs)}",
    ]
    namespace = {"np": np, "function": function}
    exec("\n".join(lines), namespace)
    return njit(namespace["step"])


def _gelu(shape: Any, dtype: str) -> Sides:
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    ours, peers = of_libraries(gelu, (x,))
    return Sides(ours, by_hand(_GELU, "gelu", (x,)), peers)


def _options(n: int, dtype: str) -> Sides:
    xs = black_scholes_inputs(n, dtype)
    ours, peers = of_libraries(black_scholes_sum, xs, 3)
    return Sides(ours, by_hand(_BLACK_SCHOLES, "greeks", xs, 3), peers)


def _chain(n: int, dtype: str) -> Sides:
    x = np.linspace(0.1, 1.0, n).astype(dtype)
    ours, peers = of_libraries(chain_sum, (x,))
    return Sides(ours, by_hand(CHAIN, "chain", (x,)), peers)


_SIZED: dict[str, Callable[[int, str], Sides]] = {
    "GELU": _gelu,
    "chain of 20": _chain,
    "Black-Scholes and three greeks": _options,
}
WORKLOADS = [
    *(Workload(f"GELU 4096x1024 {d}", partial(_gelu, (4096, 1024), d), 1.1) for d in DTYPES),
    *(
        Workload(f"{name}, n = {n} {d}", partial(build, int(float(n)), d), 1.2)
        for name, build in _SIZED.items()
        for n in ("1e3", "1e5", "1e7")
        for d in DTYPES
    ),
]
