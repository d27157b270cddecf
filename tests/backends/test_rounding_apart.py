"""Tiers agree with NumPy where it matters: no fused rounding, signs of zero, sums of float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.machine import bounds

INF = np.inf
TIERS = ["reference", "block", "fused"]


@pytest.fixture(params=TIERS)
def tier(request: Any) -> Any:
    with ng.configure(tier=request.param):
        yield request.param


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "f",
    [
        lambda t, u: t * t - u * u,
        lambda t, u: t * u - u * t,
        lambda t, u: (t * u).sum(axis=1, keepdims=True) - t * u,
        lambda t, u: np.exp(t) * u - np.exp(u) * t,
        lambda t, u: np.square(t) - t * u,
        lambda t, u: np.sqrt(t * t - u * u),
    ],
    ids=["squares", "products", "sum", "exponentials", "square", "root"],
)
def test_a_product_and_a_sum_are_rounded_apart(f: Any, dtype: Any, tier: str) -> None:
    t = np.random.default_rng(0).uniform(1, 2, (999, 1)).astype(dtype)
    assert_array_equal(f(ng.tensor(t), ng.tensor(t.copy())), np.zeros_like(t))


def test_zeros_keep_numpys_sign_and_roots_of_infinity_its_value(tier: str) -> None:
    x = np.array([-0.0, 0.0, -INF, INF, np.nan, 4.0, -1.0])
    for f in (
        np.sign,
        lambda v: v ** np.array(0.5),
        lambda v: v ** np.array([0.5]),
        lambda v: v**0.5,
        lambda v: v**2.5,
    ):
        with np.errstate(all="ignore"):
            wanted = f(x)
        found = np.asarray(f(ng.tensor(x)))
        assert_array_equal(found, wanted)
        number = ~np.isnan(wanted)
        assert_array_equal(np.signbit(found)[number], np.signbit(wanted)[number])


SUMS = [
    ((1_000_000,), 0),
    ((200_000, 3), 0),
    ((50_000, 12), 0),
    ((3, 300_000), 1),
    ((10_000, 5, 4), (0, 2)),
    ((300, 3000), 0),
    ((70, 40_000), 0),
]


@pytest.mark.parametrize(("shape", "axis"), SUMS)
def test_sums_of_float32_keep_their_digits(shape: Any, axis: Any, tier: str) -> None:
    if bounds.ON and tier == "fused":
        pytest.skip(
            "loops that test each access have no vectors, whose lanes are sums of their own"
        )
    x = np.full(shape, 0.1, np.float32)
    exact = x.astype(np.float64)
    t = ng.tensor(x)
    assert_allclose(t.sum(axis=axis).numpy(), exact.sum(axis=axis), rtol=2e-6)
    assert_allclose(t.mean(axis=axis).numpy(), exact.mean(axis=axis), rtol=2e-6)
    squares = (t * t).sum(axis=axis).numpy()
    assert_allclose(squares, (exact * exact).sum(axis=axis), rtol=2e-6)


def test_float32_columns_beside_other_reductions(tier: str) -> None:
    x = np.random.default_rng(1).random((1000, 40)).astype(np.float32)
    t = ng.tensor(x)
    total, top, mean = t.sum(axis=0), t.max(axis=0), t.mean(axis=0)
    assert_array_equal(top, x.max(axis=0))
    assert_allclose(total.numpy(), x.sum(axis=0, dtype=float), rtol=1e-6)
    assert_allclose(mean.numpy(), x.mean(axis=0, dtype=float), rtol=1e-6)
