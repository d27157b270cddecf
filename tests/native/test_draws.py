"""The gradient is that of the numbers that the value saw, or there is none."""
# ruff: noqa: NPY002 - the global generators are what this is about

from __future__ import annotations

import random
from typing import Any

import numba
import numpy as np
import pytest

import nbgrad as ng


@numba.njit
def drawn() -> float:
    return np.random.normal()


def by_module(x: float) -> float:
    return x * np.random.uniform(0.0, 1.0)


def by_python(x: float) -> float:
    return x * random.random()


def by_another(x: float) -> float:
    return x * drawn()


normal = np.random.standard_normal


def by_name(x: float) -> float:
    return x * normal()


def seeded(x: float) -> float:
    np.random.seed(3)
    return x * np.random.normal() + np.random.normal()


@pytest.mark.parametrize("f", [by_module, by_python, by_another, by_name])
@pytest.mark.parametrize("transform", [ng.grad, ng.jit, lambda f: lambda x: ng.jvp(f, (x,), (x,))])
def test_what_draws_is_refused_a_derivative(f: Any, transform: Any) -> None:
    g = ng.njit(f)
    assert np.isfinite(g(2.0))
    with pytest.raises(TypeError, match=r"draws by .* inside.*Draw outside"):
        transform(ng.grad(g) if transform is ng.jit else g)(2.0)


def test_what_seeds_draws_the_same_each_run() -> None:
    g = ng.njit(seeded)
    np.testing.assert_allclose(ng.grad(g)(2.0), g(3.0) - g(2.0), rtol=1e-12)
