"""Whole solves with plans: SciPy's methods, Newton's with sparse systems, bundle adjustment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.optimize import Bounds, least_squares, minimize

import nbgrad as ng
from benchmarks.sparse import Membrane, Scene, broyden, rosenbrock


@pytest.fixture(autouse=True)
def _uncompiled() -> Iterator[None]:
    with ng.configure(tier="reference"):
        yield


def test_newtons_method_on_broydens_function() -> None:
    x = np.full(200, -1.0)
    plan = ng.sparse.jacobian(broyden, x)
    matrix = plan(x)
    for _ in range(8):
        x = x - ng.sparse.spsolve(plan.into(matrix, x), broyden(x))
    assert np.abs(broyden(x)).max() < 1e-12


@pytest.mark.parametrize("method", ["trust-ncg", "trust-constr", "Newton-CG"])
def test_hessian_of_a_plan_is_what_minimize_takes(method: str) -> None:
    x = np.full(12, 0.5)
    plan = ng.sparse.hessian(rosenbrock, x)
    hess: Any = plan if method == "trust-constr" else lambda x: plan(x).toarray()
    found = minimize(rosenbrock, x, jac=ng.grad(rosenbrock), hess=hess, method=method)
    assert np.allclose(found.x, 1.0, atol=1e-3)


def test_membrane_stays_above_its_obstacle() -> None:
    of = Membrane(8)
    found = minimize(
        of.energy,
        of.start,
        jac=ng.grad(of.energy),
        hess=of.plan,
        bounds=Bounds(of.below, np.inf),
        method="trust-constr",
        options={"maxiter": 200},
    )
    assert np.all(found.x >= of.below - 1e-9)
    assert np.abs(np.minimum(ng.grad(of.energy)(found.x), found.x - of.below)).max() < 1e-2


def test_bundle_adjustment_finds_what_was_planted() -> None:
    scene = Scene(3, 15)
    x = scene.truth + 1e-3 * np.random.default_rng(1).normal(size=scene.truth.size)
    plan = ng.sparse.jacobian(scene.residual, x)
    assert plan.nnz == 12 * 2 * len(scene.camera)
    hand = scene.by_hand()(x)
    assert np.abs(plan.values(x) - hand).max() < 1e-9 * np.abs(hand).max()
    found = least_squares(scene.residual, x, jac=lambda x: plan(x).toarray(), x_scale="jac")
    assert found.cost < 1e-15
