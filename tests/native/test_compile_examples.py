"""The examples wholly in compiled code: what they find, at small sizes.

They run as plain Python here, as compiling them takes seconds; the functions of ``nbgrad.compile`` are the same.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import nbgrad as ng

SCRIPTS = Path(__file__).parents[2] / "examples"
NUTS = SCRIPTS.parent / "src" / "nbgrad" / "examples" / "nuts.py"
SCALE = "nbgrad.examples.nuts_scale"


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Numba's decorators give the functions themselves, also those that a script imports."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    monkeypatch.delitem(sys.modules, SCALE, raising=False)
    yield
    sys.modules.pop(SCALE, None)


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
    assert all(each.diverged == 0 and 0.7 < each.accepted <= 1 for each in chains)
    assert abs(draws[:400].mean() - draws[400:].mean()) < 0.4


def test_a_dense_scale_is_of_the_covariance_and_keeps_the_draw(plain: None) -> None:
    names = runpy.run_path(str(NUTS.with_name("nuts_scale.py")))
    rng = np.random.default_rng(0)
    half = np.array([[1.0, 0.0, 0.0], [30.0, 5.0, 0.0], [0.2, -0.1, 0.01]])
    middle = np.array([4.0, -50.0, 0.3])
    x = middle + rng.normal(size=(400, 3)) @ half.T
    slopes = (middle - x) @ np.linalg.inv(half @ half.T)
    w, scale = names["memory"](3), np.eye(3)
    w[names["CHOSEN_Z"]], w[names["CHOSEN_G"]] = x[-1], slopes[-1]
    for _ in range(3):
        z = (x - w[names["CENTRE"]]) @ np.linalg.inv(scale).T
        nearly_normal = names["improve"](scale, w, z, slopes @ scale)
    assert nearly_normal
    np.testing.assert_allclose(scale @ scale.T, half @ half.T, rtol=1e-3)
    np.testing.assert_allclose(w[names["CENTRE"]], middle, rtol=1e-2)
    np.testing.assert_allclose(w[names["CENTRE"]] + scale @ w[names["CHOSEN_Z"]], x[-1])
    np.testing.assert_allclose(w[names["CHOSEN_G"]], slopes[-1] @ scale)
    assert not names["improve"](scale, w, z, slopes @ scale - 3 * z**3)


@pytest.mark.parametrize(("correlation", "flat"), [(0.3, True), (0.8, False)])
def test_weak_correlations_leave_a_diagonal(plain: None, correlation: float, flat: bool) -> None:
    names = runpy.run_path(str(NUTS.with_name("nuts_scale.py")))
    rng = np.random.default_rng(0)
    covariance = np.outer([1.0, 30.0], [1.0, 30.0]) * np.array(
        [[1, correlation], [correlation, 1]]
    )
    x = rng.multivariate_normal(np.zeros(2), covariance, 400)
    slopes = -x @ np.linalg.inv(covariance)
    w, scale = names["memory"](2), np.eye(2)
    w[names["CHOSEN_Z"]], w[names["CHOSEN_G"]] = x[-1], slopes[-1]
    names["improve"](scale, w, x, slopes)
    assert (scale[1, 0] == 0.0) == flat == bool(w[names["FLAT"], 0])
    np.testing.assert_allclose(np.sqrt((scale**2).sum(1)), [1.0, 30.0], rtol=0.05)
    x_again = w[names["CENTRE"]] + scale @ w[names["CHOSEN_Z"]]
    np.testing.assert_allclose(x_again, x[-1])
    if flat:
        np.testing.assert_allclose(np.diag(scale), w[names["SIZE"]])


def test_a_way_from_far_leaves_the_scale_finite(plain: None) -> None:
    names = runpy.run_path(str(NUTS.with_name("nuts_scale.py")))
    for seed in (1, 3):
        rng = np.random.default_rng(seed)
        turn = np.linalg.qr(rng.normal(size=(60, 60)))[0]
        precision = turn * 10 ** rng.uniform(0, 8, 60) @ turn.T
        way = np.outer(0.5 ** np.arange(30), rng.uniform(-2, 2, 60))
        x = way + 1e-3 * rng.normal(size=(30, 60))
        w, scale = names["memory"](60), np.eye(60)
        names["improve"](scale, w, x, -x @ precision)
        assert np.isfinite(scale).all() and np.isfinite(w).all()


@pytest.mark.parametrize("triangle", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_steps_go_back_where_momenta_are_turned_round(plain: None, split: bool, triangle: bool) -> None:  # fmt: skip
    names = runpy.run_path(str(NUTS))
    scale = np.array([[1.2, 0.0], [-0.5, 0.8]])[: 2 if triangle else 0]
    full = scale if triangle else np.diag([0.5, 1.5])
    w, x, slope, z = names["memory"](2), np.zeros(2), np.zeros(2), names["RIGHT_Z"]
    w[names["FLAT"]], w[names["SIZE"]] = not triangle, 1.0 if triangle else np.diag(full)
    w[names["CENTRE"]] = 0.1, -0.2

    def density(x: Any, slope: Any) -> Any:
        slope[:] = -x - 0.3 * x**3
        return (-0.5 * (x * x).sum() - 0.075 * (x**4).sum(),)

    def steps(count: int, step: float) -> Any:
        for _ in range(count):
            found = names["leapfrog"](density, scale, w, x, slope, z, step, split)
        np.testing.assert_allclose(x, w[names["CENTRE"]] + full @ w[z])
        np.testing.assert_allclose(w[z + 2], full.T @ (-x - 0.3 * x**3))
        assert found[1] == pytest.approx(0.5 * (w[z + 1] ** 2).sum())
        return found[1] - found[0]

    w[z], w[z + 1] = (0.5, -0.7), (0.3, 0.8)
    energy, began = steps(1, 0.0), w[z : z + 2].copy()
    assert abs(steps(3, 0.1) - energy) < 1e-2
    w[z + 1] *= -1
    assert abs(steps(3, 0.1) - energy) < 1e-12
    w[z + 1] *= -1
    np.testing.assert_allclose(w[z : z + 2], began, atol=1e-12)
