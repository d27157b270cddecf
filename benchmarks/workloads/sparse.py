"""Sparse derivatives: the values of a Jacobian or Hessian whose pattern is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks.sparse import broyden, rosenbrock
from benchmarks.workloads.base import Sides, Workload


def values(derive: Callable[..., Any], f: Callable[[Any], Any]) -> Sides:
    x = np.linspace(0.1, 0.9, 100_000)
    plan = derive(f, x)
    matrix = plan(x)
    return Sides(lambda: plan.into(matrix, x))


WORKLOADS = [
    Workload("Broyden's Jacobian, n = 1e5, values", lambda: values(ng.sparse.jacobian, broyden)),
    Workload("Rosenbrock's Hessian, n = 1e5, values", lambda: values(ng.sparse.hessian, rosenbrock)),
]  # fmt: skip
