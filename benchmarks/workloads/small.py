"""Small problems: what a call costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

import nbgrad as ng
from benchmarks import peers, problems
from benchmarks.libraries import counted
from benchmarks.workloads.base import Sides, Workload, of_libraries, of_peers
from benchmarks.workloads.elementwise import CHAIN, by_hand


def scalar(x: Any, xp: Any) -> Any:
    """A function of one number."""
    return xp.sin(x) * xp.exp(-x * x) + x * x


@njit(error_model="numpy")  # type: ignore[misc]
def _scalar(x: float) -> tuple[float, float]:
    s, e = math.sin(x), math.exp(-x * x)
    return s * e + x * x, math.cos(x) * e - 2.0 * x * s * e + 2.0 * x


def one_number() -> Sides:
    ours = ng.jit(ng.value_and_grad(lambda x: scalar(x, ng)))
    return Sides(counted(ours, 1.3), lambda: _scalar(1.3), of_peers(scalar, (np.float64(1.3),)))


def long_chain() -> Sides:
    def ten(x: Any, xp: Any) -> Any:
        for _ in range(10):
            x = problems.chain(x, xp)
        return x.sum()

    x = problems.chain_input(10)
    ours, others = of_libraries(ten, (x,))
    return Sides(ours, by_hand(CHAIN, "chain", (x,), rounds=40), others)


def fresh() -> Sides:
    x = problems.rosenbrock_input(10)
    ours, others = of_libraries(problems.rosenbrock, (x,))
    return Sides(ours, lambda: peers.serial["rosenbrock"](x), others)


def given() -> Sides:
    """Into memory of the caller, beside an adjoint by hand that allocates its results."""
    x = problems.rosenbrock_input(10)
    value, out = np.zeros(()), np.zeros(10)
    compiled = ng.jit(ng.value_and_grad(lambda x: problems.rosenbrock(x, ng)))

    def ours() -> Any:
        compiled.into(x, out=(value, out))
        return value, out

    others = of_peers(problems.rosenbrock, (x,))
    return Sides(ours, lambda: peers.serial["rosenbrock"](x), others)


WORKLOADS = [
    Workload("scalar function, one number", one_number, 1.5),
    Workload("chain of 200, n = 10", long_chain, 1.2),
    Workload("Rosenbrock, n = 10", fresh, 1.5),
    Workload("Rosenbrock, n = 10, into a buffer", given, 0.7),
]
