"""Libraries that call compiled functions by pointers of their own form."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nbgrad as ng
from nbgrad.native.adapters import lsoda_rates, nutpie_model


def rates(t: Any, y: Any, p: Any) -> Any:
    return np.stack([p[0] * y[0] - y[0] * y[1], y[0] * y[1] - p[1] * y[1]]) + 0 * t


def test_numbalsodas_form() -> None:
    y, p, out = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.zeros(2)
    form = ctypes.CFUNCTYPE(None, ctypes.c_double, *[ctypes.c_void_p] * 3)
    found = lsoda_rates(ng.compile(rates, 0.0, y, p, argnums=1))
    form(found.address)(0.5, y.ctypes.data, out.ctypes.data, p.ctypes.data)
    np.testing.assert_array_equal(out, rates(0.5, y, p))
    with pytest.raises(TypeError, match="time, state and parameters"):
        lsoda_rates(ng.compile(lambda y: y, y))


def test_numbalsoda() -> None:
    numbalsoda = pytest.importorskip("numbalsoda", reason="numbalsoda is not installed")
    p, times = np.array([3.0, 4.0]), np.linspace(0, 1, 5)
    found = lsoda_rates(ng.compile(rates, 0.0, np.ones(2), p, argnums=1))
    given = {"rtol": 1e-10, "atol": 1e-12}  # by default within 1e-3
    solution, success = numbalsoda.lsoda(found.address, np.array([1.0, 2.0]), times, p, **given)
    assert success
    exact = solve_ivp(rates, (0, 1), [1.0, 2.0], "DOP853", times, args=(p,), **given)
    np.testing.assert_allclose(solution, exact.y.T, rtol=1e-8)


def test_solve_ivp() -> None:
    p = np.array([3.0, 4.0])
    c = ng.compile(rates, 0.0, np.ones(2), p, argnums=1)
    given = {"rtol": 1e-8, "atol": 1e-10, "method": "BDF", "args": (p,)}
    found = solve_ivp(c.value, (0, 1), [1.0, 2.0], jac=c.jacobian, **given)
    plain = solve_ivp(rates, (0, 1), [1.0, 2.0], **given)
    np.testing.assert_allclose(found.y[:, -1], plain.y[:, -1], rtol=1e-6)
    assert found.nfev <= plain.nfev and found.njev > 0


def test_nutpie() -> None:
    nutpie = pytest.importorskip("nutpie", reason="nutpie is not installed")
    deviations = np.array([1.0, 2.0, 0.5])
    c = ng.compile(lambda x: -0.5 * ((x - 1) / deviations @ ((x - 1) / deviations)), np.zeros(3))
    found = nutpie.sample(
        nutpie_model(c, "w"), draws=500, tune=300, chains=2, seed=1, progress_bar=False
    ).posterior["w"]
    assert found.shape == (2, 500, 3)
    draws = found.values.reshape(-1, 3)
    np.testing.assert_allclose(draws.mean(axis=0), 1, atol=0.3)
    np.testing.assert_allclose(draws.std(axis=0), deviations, rtol=0.2)


def test_nutpie_draws_from_vectors_alone() -> None:
    with pytest.raises(TypeError, match="one vector"):
        nutpie_model(ng.compile(lambda x: x.sum(), np.ones((2, 2))))
