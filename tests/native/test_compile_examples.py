"""The examples wholly in compiled code: what they find, at small sizes.

They run as plain Python here, as compiling them takes seconds; the functions of ``nbgrad.compile`` are the same.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import nbgrad as ng

SCRIPTS = Path(__file__).parents[2] / "examples"
NUTS = SCRIPTS.parent / "src" / "nbgrad" / "examples" / "nuts.py"


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Numba's decorators give the functions themselves."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)


def test_particle_filter_finds_the_score(plain: None) -> None:
    value, slope, exactly = runpy.run_path(str(SCRIPTS / "particle_filter.py"))["main"](20, 500)
    assert abs(value) < 0.5
    np.testing.assert_allclose(slope, 0, atol=0.2 * np.abs(exactly).max())


def test_predator_prey_finds_the_rates(plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    names = runpy.run_path(str(SCRIPTS / "predator_prey.py"))
    times = np.linspace(0.5, 6, 6)
    true = np.concatenate([names["TRUE"], names["START"]])
    exact, sensitivities = names["solved"](true, times, 10)
    step = 1e-6 * np.eye(6)[1]
    ahead, behind = (names["solved"](true + s, times, 10)[0] for s in (step, -step))
    np.testing.assert_allclose(sensitivities[:, :, 1], (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-5)  # fmt: skip
    names["fit"].__globals__["solved"] = lambda unknown, times, _: names["solved"](unknown, times, 10)  # fmt: skip
    found, rest = names["fit"](true * 1.05, times, exact, 6)
    np.testing.assert_allclose(found, true, rtol=1e-6)
    assert rest < 1e-10


def test_swing_up_goes_down_in_cost(plain: None) -> None:
    names = runpy.run_path(str(SCRIPTS / "swing_up.py"))
    costs, path = names["planned"](np.zeros(2), 0.5 * np.sin(0.11 * np.arange(60)), 15)
    assert np.all(np.diff(costs) <= 0)
    assert costs[-1] < 0.7 * costs[0]
    moved = names["move"](path[7])
    np.testing.assert_allclose(moved, path[8, :2])


def test_nuts_draws_from_a_known_posterior(plain: None) -> None:
    names = runpy.run_path(str(NUTS))
    covariance = np.array([[1.0, 0.9], [0.9, 2.0]])
    inverse = np.linalg.inv(covariance)

    def density(x: Any) -> Any:
        return -0.5 * (x - 1.0) @ inverse @ (x - 1.0)

    c = ng.compile(density, np.zeros(2))
    f, sample = c.value_and_grad, names["sample"]
    chains = [
        sample(f, np.zeros(2), 200, 400, chains=1, seed=seed, dense=dense)[0]
        for seed, dense in enumerate((False, True))
    ]
    draws = np.concatenate([each.draws for each in chains])
    np.testing.assert_allclose(draws.mean(axis=0), 1.0, atol=0.3)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.5)
    assert all(each.diverged == 0 and 0.7 < each.accepted < 0.99 for each in chains)
    assert abs(draws[:400].mean() - draws[400:].mean()) < 0.4


def test_a_dense_scale_is_of_the_covariance_and_keeps_the_draw(plain: None) -> None:
    names = runpy.run_path(str(NUTS))
    rng = np.random.default_rng(0)
    half = np.array([[1.0, 0.0, 0.0], [30.0, 5.0, 0.0], [0.2, -0.1, 0.01]])
    z = rng.normal(size=(400, 3)) @ half.T
    slopes = -z @ np.linalg.inv(half @ half.T)
    w, scale = np.zeros((21, 3)), np.eye(3)
    w[names["CHOSEN_Z"]], w[names["CHOSEN_G"]] = z[-1], slopes[-1]
    for _ in range(3):
        names["improve"](scale, w, z @ np.linalg.inv(scale).T, slopes @ scale)
    np.testing.assert_allclose(scale @ scale.T, half @ half.T, rtol=1e-3)
    np.testing.assert_allclose(scale @ w[names["CHOSEN_Z"]], z[-1])
    np.testing.assert_allclose(w[names["CHOSEN_G"]], slopes[-1] @ scale)
