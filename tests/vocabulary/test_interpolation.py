"""Splines against SciPy's, also where the table-driven tests cannot move the data freely."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import interpolate as scipy_interpolate

import nbgrad as ng
from nbgrad.core.node import constant
from nbgrad.ops.linalg.tridiagonal import solve_tridiagonal

ENDS: list[Any] = ["not-a-knot", "natural", "clamped", ((2, 1.5), (1, -0.5)), "periodic"]


def data(n: int) -> tuple[Any, Any]:
    """The same for a test whatever ran before it."""
    rng = np.random.default_rng(n)
    x = np.cumsum(rng.uniform(0.2, 1.5, n))
    y = rng.normal(size=(n, 2))
    y[-1] = y[0]
    return x, y


@pytest.mark.parametrize("n", [2, 3, 4, 5, 40])
@pytest.mark.parametrize("bc_type", ENDS, ids=str)
def test_spline_agrees_with_scipy(bc_type: Any, n: int) -> None:
    x, y = data(n)
    if isinstance(bc_type, tuple):
        bc_type = tuple((order, np.full(2, value)) for order, value in bc_type)
    places = np.linspace(x[0] - 0.3, x[-1] + 0.3, 17)
    ours = ng.interpolate.CubicSpline(x, y, bc_type=bc_type)
    theirs = scipy_interpolate.CubicSpline(x, y, bc_type=bc_type)
    scale = np.abs(theirs.c).max()
    assert_allclose(ours.c.numpy(), theirs.c, rtol=1e-12, atol=1e-12 * scale)
    for nu in range(4):
        assert_allclose(ours(places, nu), theirs(places, nu), rtol=1e-12, atol=1e-12 * scale)
    for f, g in ((ours.derivative(2), theirs.derivative(2)),):
        assert_allclose(f(places), g(places), rtol=1e-12, atol=1e-12 * scale)
    inner = np.linspace(x[0], x[-1], 9)
    found, wanted = (s.antiderivative()(inner) for s in (ours, theirs))
    assert_allclose(found, wanted, rtol=1e-11, atol=1e-12 * scale)
    for a, b in ((x[0], x[-1]), (x[0] - 0.1, x[-1] + 0.2), (x[-1], x[0])):
        assert_allclose(ours.integrate(a, b), theirs.integrate(a, b), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("last", [1.0, 4.3])
def test_integral_of_whole_periods_is_a_number(last: float) -> None:
    """A period less than either last knot, rounded, is left of the first."""
    x, y = np.array([0.1, 0.4, 0.8, last]), np.array([0.0, 1.0, -2.0, 0.0])
    assert last - (last - x[0]) < x[0]
    ours = ng.interpolate.CubicSpline(x, y, bc_type="periodic")
    theirs = scipy_interpolate.CubicSpline(x, y, bc_type="periodic")
    ends = last + np.arange(-3, 4) * (last - x[0])
    found = [ours.integrate(x[0], end).item() for end in ends]
    assert_allclose(found, [theirs.integrate(x[0], end) for end in ends], rtol=1e-12, atol=1e-14)
    # The slope by an end is the function there, on either side of a whole period.
    slope = ng.grad(lambda end: ours.integrate(x[1], end))
    for end in (last, last + 0.2):
        assert_allclose(slope(end), theirs(end), atol=1e-13)
        assert_allclose(ng.grad(slope)(end), theirs(end, 1), rtol=1e-12)


def test_periodic_spline_is_differentiable() -> None:
    x, y = data(6)
    places = np.linspace(x[0], x[-1], 7)

    def loss(values: Any, spline: Any) -> Any:
        closed = np.concatenate([values, values[:1]])
        return (spline(x, closed, bc_type="periodic")(places) ** 3).sum()

    free = y[:-1]
    gradient = ng.grad(lambda v: loss(v, ng.interpolate.CubicSpline))(free)
    direction = np.cos(np.arange(free.size)).reshape(free.shape)
    h = 1e-5
    up, down = (loss(free + s * h * direction, scipy_interpolate.CubicSpline) for s in (1, -1))
    assert_allclose(np.sum(gradient * direction), (up - down) / (2 * h), rtol=1e-7)


def test_end_conditions_are_differentiable() -> None:
    x, y = data(5)

    def middle(slope: Any) -> Any:
        spline = ng.interpolate.CubicSpline(x, y[:, 0], bc_type=((1, slope), "natural"))
        return spline(x[0] + 0.1)

    def exact(slope: float) -> Any:
        natural = ((1, slope), "natural")
        return scipy_interpolate.CubicSpline(x, y[:, 0], bc_type=natural)(x[0] + 0.1)

    # The spline is linear in its end conditions.
    assert_allclose(ng.grad(middle)(0.3), exact(1.3) - exact(0.3), rtol=1e-10)


def test_tridiagonal_system_of_one_equation_and_a_singular_one() -> None:
    def solved(*diagonals: Any) -> Any:
        nodes = [constant(np.asarray(d, dtype=float)) for d in diagonals]
        return ng.Tensor(solve_tridiagonal(*nodes, constant(np.ones((len(diagonals[1]), 1)))))

    assert solved([], [4.0], []).tolist() == [[0.25]]
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        solved([0.0], [0.0, 1.0], [0.0]).numpy()


def test_knots_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="strictly increasing"):
        ng.interpolate.cubic_spline([0.0, 2.0, 1.0], [0.0, 1.0, 2.0], 0.5)
    with pytest.raises(ValueError, match="must be the same"):
        ng.interpolate.cubic_spline([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], 0.5, bc_type="periodic")
    with pytest.raises(ValueError, match="not one of"):
        ng.interpolate.cubic_spline([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], 0.5, bc_type="quadratic")


def test_interp_at_and_beyond_its_knots() -> None:
    x = ng.tensor([-1.0, 0.0, 1.0, 3.0, 4.0], requires_grad=True)
    fp = ng.tensor([1.0, 2.0, 6.0], requires_grad=True)
    y = np.interp(x, np.array([0.0, 1.0, 3.0]), fp)
    assert_allclose(y.detach(), [1.0, 1.0, 2.0, 6.0, 6.0])
    y.sum().backward()
    # Right slope on a knot, the left one on the last, 0 outside.
    assert_allclose(x.grad, [0.0, 1.0, 2.0, 2.0, 0.0])
    assert_allclose(fp.grad, [2.0, 1.0, 2.0])


def test_interp_takes_jumps_and_nan_as_numpy_does() -> None:
    xp, fp = np.array([0.0, 1.0, 1.0, 2.0, 2.0]), np.array([0.0, 1.0, 5.0, 6.0, 9.0])
    places = np.array([0.5, 1.0, 1.5, 2.0, np.nan])
    assert_allclose(ng.numpy.interp(places, xp, fp), np.interp(places, xp, fp))
    assert_allclose(ng.numpy.interp([-1.0, 0.0, 1.0], [0.0], [3.0]), [3.0, 3.0, 3.0])
