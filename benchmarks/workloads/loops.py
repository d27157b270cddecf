"""Loops: by ``scan`` and ``while_loop`` under ``jit``, and of functions that Numba compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks import native, scans, whiles
from benchmarks.libraries import Step, counted, load
from benchmarks.workloads.base import Sides, Workload


def scanned(case: scans.Case) -> Sides:
    def of_jax() -> Step:
        load("jax")
        return scans.by_jax(case)

    return Sides(scans.ours(case), lambda: case.hand(*case.args), {"jax": of_jax}, same=False)


def while_loop(case: whiles.Case) -> Sides:
    """Value and gradient in the numbers that come first."""
    args = [np.asarray(a) for a in case.args]
    wanted = [k for k in (0, 1) if not args[k].ndim and args[k].dtype.kind == "f"]
    derive = ng.jit(ng.value_and_grad(case.f, tuple(wanted)))
    return Sides(counted(derive, *args), lambda: case.hand[1](*case.args))


def compiled(f: Any, hand: Any, args: tuple[Any, ...], by: tuple[int, ...]) -> Sides:
    derive = ng.value_and_grad(ng.njit(f), argnums=by)
    return Sides(lambda: derive(*args), lambda: hand(*args), same=False)


WORKLOADS = [
    *(Workload(f"scan: {name}", lambda case=case: scanned(case)) for name, case in scans.CASES.items()),  # type: ignore[misc]
    *(
        Workload(f"while_loop: {name}", lambda case=case: while_loop(case))  # type: ignore[misc]
        for name, case in whiles.CASES.items()
        if case.derived
    ),
    *(
        Workload(f"njit: {name}", lambda row=row: compiled(*row))  # type: ignore[misc]
        for name, *row in native.ROWS
    ),
]  # fmt: skip
