"""The methods by name: their loops, what functions they call, their options, and what they have to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from nbgrad.api.grad import value_and_grad
from nbgrad.solvers import bfgs
from nbgrad.solvers.compiled import Memory, Method
from nbgrad.solvers.native import (
    CURVATURE,
    DECREASE,
    FT,
    GTOL,
    MOST_CALLS,
    MOST_ITERATIONS,
    XTOL,
)  # fmt: skip

# What is derived of an objective, by the name of what a loop calls.
DERIVED: Final[dict[str, Callable[[Any], Any]]] = {"value_and_grad": value_and_grad}


def _bfgs_calls(memory: Memory, n: int, m: int) -> list[tuple[list[Any], list[Any]]]:
    w = memory.w
    x, g = w[bfgs.XT * n : (bfgs.XT + 1) * n], w[bfgs.GT * n : (bfgs.GT + 1) * n]
    return [([x], [memory.s[FT : FT + 1].reshape(()), g])]


def _bfgs_result(memory: Memory, n: int) -> dict[str, Any]:
    return {"hess_inv": memory.w[bfgs.H * n : bfgs.H * n + n * n].reshape(n, n).copy()}


BFGS: Final = Method(
    "bfgs", bfgs.bfgs, lambda n, m: bfgs.VECTORS * n + n * n, ("value_and_grad",), _bfgs_calls, bfgs.X, bfgs.G,
    {"gtol": (GTOL, 1e-5), "xrtol": (XTOL, 0.0), "c1": (DECREASE, 1e-4), "c2": (CURVATURE, 0.9)},
    ("gtol",),    lambda n: {MOST_ITERATIONS: 200 * n, MOST_CALLS: 1 << 62}, _bfgs_result,
)  # fmt: skip

METHODS: Final[Mapping[str, Method]] = {"nb-bfgs": BFGS}
