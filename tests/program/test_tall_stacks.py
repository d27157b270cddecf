"""Stacks of tall matrices run along their rows; sums of their products are products of sums."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

K, N, D, E = 5, 90, 3, 4


def arrays() -> tuple[Any, ...]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(N, D)), rng.normal(size=(K, D)), rng.normal(size=(K, D, E))


def mixture(x: Any, means: Any, w: Any) -> Any:
    gaps = x - means[:, None, :]
    q = ng.tanh(gaps @ w) * 0.5
    terms = -(q * q).sum(-1) + gaps.max(-1)
    top = terms.max(0)
    return (ng.log(ng.exp(terms - top).sum(0)) + top).sum()


def kept(x: Any, means: Any, w: Any) -> Any:
    """A stack is a result, and sums keep their dimensions."""
    q = (x - means[:, None, :]) @ w
    return ng.sin(q).sum() + (q.sum(-2, keepdims=True) * q.mean(-1, keepdims=True)).sum(), q


def scalar(f: Any) -> Any:
    def value(*args: Any) -> Any:
        found = f(*args)
        return found[0] if isinstance(found, tuple) else found

    return value


@pytest.mark.parametrize("f", [mixture, kept])
def test_gradients_agree_with_those_of_the_reference(f: Any) -> None:
    args = arrays()
    by = (0, 1, 2) if f is kept else (1, 2)
    found = ng.jit(ng.grad(scalar(f), argnums=by))(*args)
    for a, b in zip(found, ng.grad(scalar(f), argnums=by)(*args), strict=True):
        assert_allclose(a, b, 1e-11, 1e-12)
    assert_allclose(ng.jit(f)(*args)[1], f(*args)[1], 1e-12) if f is kept else None


def test_a_mixture_runs_along_the_points() -> None:
    args = arrays()
    derive = ng.jit(ng.grad(mixture, argnums=(1, 2)))
    derive(*args)
    products = Counter(s["name"] for s in derive.cost(*args)["steps"] if s["kind"] == "library")
    # The value's, and that of the weights: the means' needs none as large as the points.
    large = [
        s for s in derive.cost(*args)["steps"] if s["kind"] == "library" and s["flops"] >= K * N
    ]
    assert products["matmul"] == 3 and len(large) == 2


def test_few_matrices_are_left_as_they_are() -> None:
    x, _, w = arrays()
    text = ng.jit(lambda x, w: ng.tanh(x @ w)).source(x, w[0])
    assert f"float64[{N},{E}]" in text and f"float64[{E},{N}]" not in text


def test_infinities_stay_where_they_were() -> None:
    x, means, w = arrays()
    x[3] = np.inf
    with np.errstate(all="ignore"):
        by_means = [
            g(ng.grad(lambda m: ng.tanh((x - m[:, None, :]) @ w).sum()))(means)
            for g in (ng.jit, lambda f: f)
        ]
    np.testing.assert_array_equal(*map(np.isnan, by_means))
