"""Random functions for Numba: derivatives against difference quotients.

``NBGRAD_NJIT_PROGRAMS=500`` tries as many, from ``NBGRAD_NJIT_SEED`` on.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import njit_programs
import numba
import numpy as np
import pytest
from corpus import oracle
from test_corpus import WAYS

import nbgrad as ng

FROM = int(os.environ.get("NBGRAD_NJIT_SEED", "0"))
SEEDS = range(FROM, FROM + int(os.environ.get("NBGRAD_NJIT_PROGRAMS", "1")))
WRT = (0, 1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_derivatives_of_a_random_function(seed: int) -> None:
    text = njit_programs.source(seed)
    program = njit_programs.compiled(text, f"<random {seed}>")
    args = njit_programs.arguments(seed)
    try:
        value = program(*args)
    except numba.TypingError as error:
        pytest.skip(f"not for Numba: {str(error)[:60]}")
    ds, weights, wanted = expected(program, args, seed, value)
    compiled = ng.njit(program)
    phi = lambda *xs: oracle.weigh(compiled(*xs, args[4]), weights)
    for name in ways_of(seed):
        order, derive = WAYS[name]
        got, want = float(derive(phi, args[:4], ds)), wanted[order]
        rtol = (1e-7, 1e-4)[order - 1]
        assert abs(got - want) <= rtol * sum(map(abs, wanted[: order + 1])), f"{name}\n{text}"
    assert float(phi(*args[:4])) == pytest.approx(wanted[0], rel=1e-11)


def ways_of(seed: int) -> tuple[str, ...]:
    return ("reverse", ("forward", "forward_over_reverse", "forward_twice")[seed % 3])


def expected(program: Any, args: tuple[Any, ...], seed: int, value: Any) -> tuple[Any, ...]:
    """Direction, weights and derivatives; no kink may be within the steps of the quotients."""
    rng = np.random.default_rng(seed)
    ds = tuple(rng.uniform(-1.0, 1.0, np.shape(args[k]))[()] for k in WRT)
    weights = [rng.uniform(0.5, 1.5, np.shape(y))[()] for y in oracle.leaves(value)]
    case = SimpleNamespace(function=program, args=args, wrt=WRT, analytic=False, step=2e-3)
    wanted = oracle.derivatives(case, ds, weights)
    case.step = 1e-3
    again = oracle.derivatives(case, ds, weights)
    scale = sum(map(abs, wanted))
    apart = abs(wanted[1] - again[1]) > 1e-9 * scale or abs(wanted[2] - again[2]) > 1e-5 * scale
    if apart or not np.isfinite(scale):
        pytest.skip("a kink nearby, or numbers too large")
    return ds, weights, wanted
