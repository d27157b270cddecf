"""Sums of multiples of what another sum is of are multiples of that sum."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.core.aval import make_aval
from nbgrad.core.check import check
from nbgrad.core.interpret import computed
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.ops.basis import broadcast_to, reshape, sum_
from nbgrad.ops.elements.arithmetic import negative, strong_multiply
from nbgrad.program.scaled import scaled
from tests.support.differential import plan_of, with_gradient


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


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_ties_are_counted_where_something_is_left_to_share(dtype: str) -> None:
    """The bits are those of counting them in all rows, whatever lies there."""
    x = np.random.default_rng(1).normal(size=(32, 70)).astype(dtype)
    x[::3, 5:8] = 9
    x[1, 2], x[2, 3:5], x[4], x[5, ::2] = np.nan, np.inf, -np.inf, -np.inf

    def run() -> list[Any]:
        return CpuProgram(plan_of(with_gradient(log_sum_exp), x.shape, dtype=dtype)).run([x])

    found = run()
    with mock.patch("nbgrad.program.scaled.needed", lambda eqns, *_: eqns):
        wanted = run()
    for a, b in zip(found, wanted, strict=True):
        assert a.tobytes() == b.tobytes()
