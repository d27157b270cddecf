"""``while_loop`` of arrays with ``max_bytes=``: frame after frame, and the same bits as without."""

from __future__ import annotations

import numpy as np
import pytest

import nbgrad as ng

N = 100
U, W = np.random.default_rng(0).normal(size=(2, N))


def loss(u, w, steps, **budget):
    """Of arrays, a number that goes round, and one that counts; *w* is read from outside."""

    def step(c):
        u, mean, k = c
        u = u + 0.1 * (ng.numpy.roll(u, 1) - u) * w - 0.01 * u * u * u
        return u, 0.5 * mean + u.mean(), k + 1

    u, mean, _ = ng.while_loop(lambda c: c[2] < steps, step, (u, 0.0, 0), **budget)
    return (u * u).sum() + mean


@pytest.fixture(scope="module")
def compiled():
    """The gradient in some budgets of so many states."""
    made = {}
    for states in (None, 1, 4, 10**6):
        budget = {} if states is None else {"max_bytes": states * (8 * N + 16)}
        derived = ng.value_and_grad(lambda u, w, n, b=budget: loss(u, w, n, **b), (0, 1))
        made[states] = ng.jit(derived)
    return made


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 16, 17, 100, 333])
def test_bits_are_those_without(compiled, steps):
    value, expected = compiled[None](U, W, steps)
    for f in compiled.values():
        found, gradients = f(U, W, steps)
        assert found == value
        for a, b in zip(gradients, expected, strict=True):
            assert np.array_equal(a, b)


def test_gradients_are_those_of_the_loop_in_python(compiled):
    def python(u, w):
        mean = 0.0
        for _ in range(6):
            u = u + 0.1 * (ng.numpy.roll(u, 1) - u) * w - 0.01 * u * u * u
            mean = 0.5 * mean + u.mean()
        return (u * u).sum() + mean

    for a, b in zip(compiled[4](U, W, 6)[1], ng.grad(python, (0, 1))(U, W), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_nothing_runs_in_numpy(compiled):
    assert compiled[4].stats(U, W, 50)["host_calls"] == 0


@pytest.mark.parametrize("limit", [0, 1, 7, 30])
def test_with_a_largest_number_of_runs(limit):
    options = {"max_steps": limit, "max_bytes": 5 * (8 * N + 16)}
    found = ng.jit(ng.grad(lambda u: loss(u, W, 1000, **options)))(U)
    assert np.array_equal(found, ng.jit(ng.grad(lambda u: loss(u, W, limit)))(U))


def test_second_derivatives_and_loops_around_it():
    budget = {"max_bytes": 3 * (8 * N + 16)}
    t = np.cos(np.arange(float(N)))
    along = lambda **b: ng.jit(ng.hvp)(lambda u: loss(u, W, 9, **b), (U,), (t,))
    np.testing.assert_allclose(along(**budget), along(), rtol=1e-12, atol=1e-15)

    def outer(u, **b):
        step = lambda c, k: (c * 0.5 + 1e-3 * loss(u * c, W, k, **b), None)
        return ng.scan(step, 0.5, np.array([3, 0, 8]))[0]

    both = [ng.jit(ng.grad(lambda u, b=b: outer(u, **b)))(U) for b in (budget, {})]
    assert np.array_equal(*both)
