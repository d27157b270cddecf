"""Elementwise chains over many elements: value and gradient in one pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problems import chain_sum
from benchmarks.workloads.base import Sides, Workload, of_libraries, written

ROOT_HALF, DENSITY = 0.7071067811865476, 0.3989422804014327

_GELU = """
def gelu(x, out, value, n):
    total = 0.0
    for i in range(n):
        v = x[i]
        chance = {c}(0.5) + {c}(0.5) * erf_{c}(v * {c}({root_half}))
        total = reduce_add(total, f8(v * chance))
        out[i] = chance + v * {c}({density}) * exp_{c}({c}(-0.5) * v * v)
    value[0] = total
    return 0
"""
_GELU = _GELU.replace("{root_half}", repr(ROOT_HALF)).replace("{density}", repr(DENSITY))

CHAIN = """
def chain(x, out, value, n):
    total = 0.0
    for i in range(n):
        v = x[i]
        d = {c}(1.0)
{rounds}
        total = reduce_add(total, f8(v))
        out[i] = d
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
    return (x * (0.5 + 0.5 * xp.erf(x * ROOT_HALF))).sum()


def by_hand(source: str, name: str, x: Any, rounds: int = 4) -> Any:
    """A loop of *source* over the elements, which writes the gradient and its own sum."""
    code = "f8" if x.dtype == np.float64 else "f4"
    text = source.replace("{rounds}", _ROUND * rounds).replace("{c}", code)
    run, value = written(text, name, f"{code}* {code}* f8* i8"), np.zeros(1)

    def step() -> tuple[Any, Any]:
        out = np.empty_like(x)
        run(x, out, value, x.size)
        return x.dtype.type(value[0]), out

    return step


def _gelu(dtype: str) -> Sides:
    x = np.random.default_rng(0).normal(size=(4096, 1024)).astype(dtype)
    ours, peers = of_libraries(gelu, (x,))
    return Sides(ours, by_hand(_GELU, "gelu", x), peers)


def _chain(n: int, dtype: str) -> Sides:
    x = np.linspace(0.1, 1.0, n).astype(dtype)
    ours, peers = of_libraries(chain_sum, (x,))
    return Sides(ours, by_hand(CHAIN, "chain", x), peers)


WORKLOADS = [
    *(Workload(f"GELU 4096x1024 {d}", lambda d=d: _gelu(d), 1.1) for d in ("float32", "float64")),  # type: ignore[misc]
    *(
        Workload(f"chain of 20, n = {n} {d}", lambda n=n, d=d: _chain(int(float(n)), d), 1.2)  # type: ignore[misc]
        for n in ("1e3", "1e5", "1e7")
        for d in ("float32", "float64")
    ),
]
