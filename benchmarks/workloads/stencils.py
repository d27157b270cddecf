"""Stencils in a Python loop, and their gradient in the initial state."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks.libraries import counted
from benchmarks.rolled import ROUNDS, SIZE, by_hand, padded, stencil
from benchmarks.workloads.base import Sides, Workload


def _stencil(rate: float, dtype: str) -> Sides:
    u = np.random.default_rng(0).random((SIZE, SIZE)).astype(dtype)
    us = np.zeros((ROUNDS + 1, SIZE + 2, SIZE + 2), dtype)
    g, h = np.zeros((2, SIZE + 2, SIZE + 2), dtype)
    ours = ng.jit(ng.value_and_grad(functools.partial(stencil, padded, rate=rate)))

    def hand() -> Any:
        return by_hand(u, us, g, h, rate, False)

    return Sides(counted(ours, u), hand, same=dtype == "float64")


WORKLOADS = [
    Workload("heat 512x512, 50 steps, float64", lambda: _stencil(0.0, "float64"), 1.3),
    Workload("heat 512x512, 50 steps, float32", lambda: _stencil(0.0, "float32"), 1.3),
    Workload("Fisher 512x512, 50 steps, float64", lambda: _stencil(0.01, "float64"), 1.3),
]
