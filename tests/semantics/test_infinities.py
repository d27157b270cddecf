"""Values and derivatives where an operand is infinite: limits, or what the reference gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.api.products import jvp

INF, NAN = np.inf, np.nan
ROWS = [
    ([INF, 1.0], [1.0, 0.0]),
    ([1.0, INF, 2.0], [0.0, 1.0, 0.0]),
    ([INF, -INF], [1.0, 0.0]),
    ([INF, 0.0, INF], [0.5, 0.0, 0.5]),
    ([-INF, 1.0], [0.0, 1.0]),
    ([-INF, 0.0, 0.0], [0.0, 0.5, 0.5]),
]
TIERS = ["reference", "block", "fused"]


@pytest.fixture(params=TIERS)
def tier(request: Any) -> Any:
    with ng.configure(tier=request.param):
        yield request.param


@pytest.mark.parametrize(("row", "weights"), ROWS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_log_sums_give_infinite_elements_their_share(
    row: list[float], weights: list[float], dtype: Any, tier: str
) -> None:
    x = np.array(row, dtype)
    assert_allclose(ng.grad(ng.special.logsumexp)(x), weights)
    both = np.stack([x, np.zeros_like(x)])
    found = ng.grad(lambda z: ng.special.logsumexp(z, axis=1).sum())(both)
    assert_allclose(found[0], weights)
    last = ng.grad(lambda z: ng.numpy.logcumsumexp(z)[-1])(x)
    assert_allclose(last, weights)
    assert_allclose(ng.special.softmax(x), weights)
    assert_allclose(np.exp(ng.special.log_softmax(x)), weights)
    p = np.array(weights)
    exact = np.diag(p) - np.outer(p, p)
    assert_allclose(ng.jacobian(ng.special.softmax)(x), exact, atol=1e-7)
    assert not np.isnan(ng.jacobian(ng.special.log_softmax)(x)).any()
    if len(row) == 2:
        assert_allclose(ng.grad(lambda z: np.logaddexp(z[0], z[1]))(x), weights)
        assert_allclose(ng.grad(lambda z: np.logaddexp2(z[0], z[1]))(x), weights)


def test_logcumsumexp_shares_among_the_infinities_that_have_come(tier: str) -> None:
    x = np.array([1.0, INF, 2.0, INF, -INF])
    wanted = [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0.5, 0, 0.5, 0],
        [0, 0.5, 0, 0.5, 0],
    ]
    assert_allclose(ng.jacobian(ng.numpy.logcumsumexp)(x), wanted)
    columns = [jvp(ng.numpy.logcumsumexp, ng.tensor(x), ng.tensor(e))[1] for e in np.eye(5)]
    assert_allclose(np.stack([c.numpy() for c in columns], axis=1), wanted)


def test_softmax_of_nothing_but_minus_infinity_is_nan_as_in_scipy() -> None:
    x = np.array([[-INF, -INF], [0.0, 0.0]])
    found = ng.jacobian(lambda z: ng.special.softmax(z, axis=1))(x)
    assert np.isnan(found[0, :, 0]).all()
    assert_allclose(found[1, :, 1], [[0.25, -0.25], [-0.25, 0.25]])
    assert_allclose(ng.grad(ng.special.logsumexp)(x[0]), [0.0, 0.0])


def test_arctan2_at_the_origin_has_no_derivative() -> None:
    found = ng.grad(lambda y, x: np.arctan2(y, x), argnums=(0, 1))(0.0, 0.0)
    assert np.isnan(found).all()


PLACES = np.array([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, NAN, INF, -INF])


@pytest.mark.parametrize(
    "knots",
    [[0.0, 1.0, 2.0, 3.0, 4.0], [-INF, -INF, 0.0, 1.0, INF], [0.0, 1.0, 1.0, 2.0, INF]],
)
@pytest.mark.parametrize(
    "values",
    [[0.0, 1.0, INF, 3.0, 4.0], [INF, 1.0, 2.0, -INF, -INF], [0.0, INF, INF, 1.0, NAN]],
)
def test_interp_beside_infinite_knots_and_values(
    knots: list[float], values: list[float], tier: str
) -> None:
    found = ng.numpy.interp(ng.tensor(PLACES), np.array(knots), np.array(values))
    assert_array_equal(found, np.interp(PLACES, knots, values))


def test_interp_differentiates_by_the_value_of_a_knot_beside_infinity(tier: str) -> None:
    knots, values = np.arange(5.0), np.array([0.0, 1.0, INF, 3.0, 4.0])
    places = np.array([1.0, 0.5, 3.0, 4.0])
    found = ng.jacobian(lambda v: ng.numpy.interp(places, knots, v))(values)
    wanted = [[0, 1, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    assert_allclose(found, wanted)


def test_logsumexp_with_weights_of_zero_and_infinities_that_cancel() -> None:
    a, b = ng.tensor([1.0, 2.0]), np.array([0.0, 1.0])
    found = ng.grad(lambda w: ng.special.logsumexp(a, b=w))(b)
    assert_allclose(found, [np.exp(-1.0), 1.0])  # not 0, though the weight is
    both = np.array([1.0, 2.0, 0.0, 1.0])
    plain = ng.hessian(lambda v: np.log((v[2:] * np.exp(v[:2])).sum()))(both)
    assert_allclose(ng.hessian(lambda v: ng.special.logsumexp(v[:2], b=v[2:]))(both), plain)
    beyond = ng.special.logsumexp(ng.tensor([np.inf, 1.0]), b=b)
    assert_allclose(beyond.item(), 1.0)
    assert np.isnan(
        ng.special.logsumexp(ng.tensor([np.inf, np.inf]), b=np.array([1.0, -1.0])).item()
    )


@pytest.mark.parametrize("function", [np.divide, np.power, np.copysign, np.remainder, np.hypot])
@pytest.mark.parametrize("number", [0.0, -0.0, 0, True, INF, NAN, 1e19, 10**19])
def test_numbers_that_rules_meet_as_they_are(function: Any, number: Any) -> None:
    """A rule that is recorded reads Python's numbers, of which ``1 / 0`` raises."""
    x = ng.tensor([0.5, -0.75])
    with ng.configure(tier="reference"):
        for f in (lambda z: function(z, number).sum(), lambda z: function(number, z).sum()):
            expected = ng.grad(f)(x)
            assert_allclose(ng.jit(ng.grad(f))(x), expected)
            assert_allclose(jvp(ng.jit(f), x, ng.tensor([1.0, 1.0]))[1], expected.sum())
