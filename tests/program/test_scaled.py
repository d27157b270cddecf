"""Sums of multiples of what another sum is of are multiples of that sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.core.aval import make_aval
from nbgrad.core.check import check
from nbgrad.core.interpret import computed
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.ops.basis import broadcast_to, reshape, sum_
from nbgrad.ops.elements.arithmetic import negative, strong_multiply
from nbgrad.program.scaled import scaled


def log_sum_exp(x: Any) -> Any:
    top = x.max(axis=1, keepdims=True)
    return (ng.log(ng.exp(x - top).sum(1)) + top[:, 0]).sum()


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("of_sum", [False, True])
def test_multiples_of_a_sum(of_sum: bool, keepdims: bool) -> None:
    """Those by a factor that is not made of the sum stay: that may be finite where the sum has no room."""
    x, k = (placeholder(make_aval(s, np.dtype("f8"))) for s in ((5, 4), (5,)))
    total = sum_(x, axis=(1,), keepdims=False)
    factor = broadcast_to(reshape(2.0 / total if of_sum else k, shape=(5, 1)), shape=(5, 4))
    other = sum_(negative(strong_multiply(factor, x)), axis=(1,), keepdims=keepdims)
    tape, _ = linearize([total, other], [x, k])
    found = check(scaled(tape))
    assert (sum(eqn.prim is sum_ for eqn in found.eqns) == 1) is of_sum
    args = np.arange(20.0).reshape(5, 4), np.arange(5.0)
    for a, b in zip(computed(found, args), computed(tape, args), strict=True):
        assert_allclose(a, b, 1e-14)


def test_log_sum_exp_goes_through_its_rows_three_times() -> None:
    x = np.random.default_rng(0).normal(size=(40, 60))
    x[3, 4:7] = x[3].max() + 1  # ties
    derive = ng.jit(ng.grad(log_sum_exp))
    e = np.exp(x - x.max(1, keepdims=True))
    assert_allclose(derive(x), e / e.sum(1, keepdims=True), 1e-13, 1e-15)
    assert sum(step["bytes_moved"] >= x.nbytes for step in derive.cost(x)["steps"]) == 3
    x[0, 1], x[1] = np.inf, -np.inf
    with np.errstate(all="ignore"):
        assert_array_equal(np.isnan(derive(x)).all(1), np.arange(40) < 2)
