"""The value of each derivative where a function has a kink, a pole or a jump: a decision each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

INF, NAN, LN2 = math.inf, math.nan, math.log(2.0)

# Function, arguments, and the gradient by each.
KINKS: list[tuple[Any, tuple[float, ...], tuple[float, ...]]] = [
    (np.abs, (0.0,), (0.0,)),
    (np.fabs, (0.0,), (0.0,)),
    (np.sign, (0.0,), (0.0,)),
    (np.floor, (2.0,), (0.0,)),
    (np.rint, (0.5,), (0.0,)),
    (np.trunc, (-1.0,), (0.0,)),
    (np.maximum, (1.0, 1.0), (0.5, 0.5)),
    (np.minimum, (1.0, 1.0), (0.5, 0.5)),
    (np.fmax, (1.0, 1.0), (1.0, 0.0)),
    (np.fmin, (1.0, 1.0), (1.0, 0.0)),
    (np.fmax, (NAN, 1.0), (0.0, 1.0)),
    (np.fmin, (1.0, NAN), (1.0, 0.0)),
    (np.hypot, (0.0, 0.0), (0.0, 0.0)),
    (np.hypot, (3e200, 4e200), (0.6, 0.8)),
    (np.arctan2, (0.0, 0.0), (NAN, NAN)),
    (np.sqrt, (0.0,), (INF,)),
    (np.cbrt, (0.0,), (INF,)),
    (np.log, (0.0,), (INF,)),
    (np.log2, (0.0,), (INF,)),
    (np.arccosh, (1.0,), (INF,)),
    (np.logaddexp, (-INF, -INF), (0.0, 0.0)),
    (np.logaddexp, (INF, 0.0), (1.0, 0.0)),
    (np.logaddexp, (0.0, -INF), (1.0, 0.0)),
    (np.logaddexp, (800.0, -800.0), (1.0, 0.0)),
    (np.logaddexp2, (-INF, -INF), (0.0, 0.0)),
    (np.copysign, (0.0, -1.0), (0.0, 0.0)),
    (np.copysign, (2.0, -1.0), (-1.0, 0.0)),
    (np.heaviside, (0.0, 0.5), (0.0, 1.0)),
    (np.heaviside, (1.0, 0.5), (0.0, 0.0)),
    (np.remainder, (5.0, 3.0), (1.0, -1.0)),
    (np.remainder, (-5.0, 3.0), (1.0, 2.0)),
    (np.fmod, (-5.0, 3.0), (1.0, 1.0)),
    (np.float_power, (0.0, 0.0), (0.0, 0.0)),
    (np.power, (0.0, 0.0), (0.0, 0.0)),
    (np.power, (-1.0, 2.0), (-2.0, NAN)),
    (np.nextafter, (1.0, 2.0), (1.0, 0.0)),
    (np.ldexp, (3.0,), (8.0,)),
    (np.modf, (2.0,), (1.0,)),
    (np.sinc, (0.0,), (0.0,)),
    (np.clip, (0.0,), (1.0,)),
    (np.clip, (1.0,), (1.0,)),
    (np.nan_to_num, (NAN,), (0.0,)),
    (np.nan_to_num, (INF,), (0.0,)),
    (np.nan_to_num, (2.0,), (1.0,)),
    (np.angle, (-1.0,), (0.0,)),
]
REST: dict[Any, Any] = {np.ldexp: (3,), np.clip: (0.0, 1.0)}


@pytest.mark.parametrize(
    "k", range(len(KINKS)), ids=lambda k: f"{KINKS[k][0].__name__}{KINKS[k][1]}"
)
def test_derivative(k: int) -> None:
    f, args, wanted = KINKS[k]

    def first(*xs: Any) -> Any:
        found = f(*xs, *REST.get(f, ()))
        return found[0] if isinstance(found, tuple) else found

    for tier in ("reference", "block"):
        with ng.configure(tier=tier):
            found = ng.grad(first, argnums=tuple(range(len(args))))(*args)
        assert_allclose(found, wanted, rtol=1e-15)


def test_sinc_has_every_derivative_at_zero() -> None:
    """Those of the series: 0, -pi^2/3, 0, pi^4/5, 0, -pi^6/7."""
    f: Any = np.sinc
    wanted = [0.0, -(math.pi**2) / 3, 0.0, math.pi**4 / 5, 0.0, -(math.pi**6) / 7]
    for value in wanted:
        f = ng.grad(f)
        assert_allclose(f(0.0), value, rtol=1e-14, atol=1e-14)


def test_derivatives_of_sinc_join_where_the_series_ends() -> None:
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 30
    f: Any = np.sinc
    for order in range(1, 5):
        f = ng.grad(f)
        for x in (0.1, 0.6, 0.64, 0.95, 1.0, 1.3, 4.5, -0.7):
            exact = mpmath.diff(lambda u: mpmath.sin(mpmath.pi * u) / (mpmath.pi * u), x, order)
            assert_allclose(f(x), float(exact), rtol=1e-11, atol=1e-11 * math.pi**order)


def test_hypot_has_no_second_derivative_at_zero() -> None:
    found = ng.hessian(lambda x: np.hypot(x[0], x[1]))(np.zeros(2))
    assert np.isnan(np.diag(found)).all()


@pytest.mark.parametrize(("f", "curvature"), [(np.logaddexp, 0.25), (np.logaddexp2, 0.25 * LN2)])
def test_logaddexp_is_smooth_where_its_operands_are_equal(f: Any, curvature: float) -> None:
    found = ng.hessian(lambda x: f(x[0], x[1]))(np.array([1.5, 1.5]))
    assert_allclose(found, curvature * np.array([[1, -1], [-1, 1]]), rtol=1e-14)
