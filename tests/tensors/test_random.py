"""nbgrad.random: NumPy's numbers, gradients through draws, exact replays, refusal inside jit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import subprocesses

import nbgrad as ng
from nbgrad.errors import ConcretizationError

SEED = 5


def drawn(name: str, *params: Any, size: Any = 4) -> Any:
    return getattr(ng.random, name)(*params, size=size, rng=SEED)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("random", ()),
        ("standard_normal", ()),
        ("uniform", (-1.0, 3.0)),
        ("normal", (1.0, 2.0)),
        ("lognormal", (0.5, 0.3)),
        ("exponential", (2.0,)),
        ("laplace", (1.0, 2.0)),
        ("logistic", (1.0, 2.0)),
        ("gumbel", (1.0, 2.0)),
        ("weibull", (1.7,)),
        ("standard_gamma", (0.7,)),
        ("gamma", (2.5, 3.0)),
        ("chisquare", (3.0,)),
        ("poisson", (4.0,)),
        ("binomial", (9, 0.3)),
        ("geometric", (0.3,)),
        ("integers", (10,)),
    ],
)
def test_numbers_are_numpys(name: str, params: tuple[Any, ...]) -> None:
    wanted = getattr(np.random.default_rng(SEED), name)(*params, size=4)
    found = drawn(name, *params)
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("uniform", (-1.0, 3.0)),
        ("normal", (1.0, 2.0)),
        ("lognormal", (0.5, 0.3)),
        ("exponential", (2.0,)),
        ("laplace", (1.0, 2.0)),
        ("logistic", (1.0, 2.0)),
        ("gumbel", (1.0, 2.0)),
        ("cauchy", (1.0, 2.0)),
        ("weibull", (1.7,)),
    ],
)
def test_gradients_are_those_of_the_same_numbers(name: str, params: tuple[float, ...]) -> None:
    leaves = [ng.tensor(p, requires_grad=True) for p in params]
    drawn(name, *leaves).sum().backward()
    for k, leaf in enumerate(leaves):
        h = 1e-6 * np.eye(len(params))[k]
        up, down = (drawn(name, *(np.array(params) + s * h)).sum().item() for s in (1, -1))
        np.testing.assert_allclose(leaf.grad.item(), (up - down) / 2e-6, rtol=1e-6)


def moved_gamma(a0: float, a: float, scale: float = 1.0) -> Any:
    z = np.random.default_rng(SEED).standard_gamma(a0, size=4)
    return scale * scipy.special.gammaincinv(a, scipy.special.gammainc(a0, z))


def test_gamma_draws_move_with_their_quantiles() -> None:
    shape = ng.tensor(1.3, requires_grad=True)
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    y = (drawn("gamma", shape, 2.0) * weights).sum()
    (first,) = ng.autograd.grad(y, [shape], create_graph=True)
    (second,) = ng.autograd.grad(first, [shape])

    def exact(a: float) -> float:
        return float((moved_gamma(1.3, a, 2.0) * weights).sum())

    h = 1e-3
    slope = (exact(1.3 + h) - exact(1.3 - h)) / (2 * h)
    bend = (exact(1.3 + h) - 2 * exact(1.3) + exact(1.3 - h)) / h**2
    np.testing.assert_allclose(first.item(), slope, rtol=1e-5)
    np.testing.assert_allclose(second.item(), bend, rtol=1e-4)


MEANS: list[tuple[str, tuple[float, ...], Callable[..., float]]] = [
    ("beta", (2.0, 3.0), lambda a, b: a / (a + b)),
    ("beta", (0.05, 0.1), lambda a, b: a / (a + b)),
    ("gamma", (0.4, 2.0), lambda a, s: a * s),
    ("chisquare", (3.0,), lambda df: df),
]


@pytest.mark.parametrize(("name", "params", "mean"), MEANS)
def test_gradient_of_the_mean(name: str, params: tuple[float, ...], mean: Any) -> None:
    """The pathwise gradient of a sample mean estimates the gradient of the mean."""
    n = 4000
    leaves = [ng.tensor(np.full(n, p), requires_grad=True) for p in params]
    draws = getattr(ng.random, name)(*leaves, rng=SEED)
    draws.sum().backward()
    error = 5 * draws.detach().numpy().std() / np.sqrt(n)
    np.testing.assert_allclose(draws.detach().numpy().mean(), mean(*params), atol=error)
    for k, leaf in enumerate(leaves):
        g = leaf.grad.detach().numpy()
        h = 1e-6 * np.eye(len(params))[k]
        slope = (mean(*(np.array(params) + h)) - mean(*(np.array(params) - h))) / 2e-6
        np.testing.assert_allclose(g.mean(), slope, atol=5 * g.std() / np.sqrt(n))


def test_student_and_dirichlet() -> None:
    t = ng.random.standard_t(5.0, size=3000, rng=1).numpy()
    assert scipy.stats.kstest(t, scipy.stats.t(5.0).cdf).pvalue > 1e-3
    alpha = ng.tensor([0.5, 2.0, 3.0], requires_grad=True)
    d = ng.random.dirichlet(alpha, size=2000, rng=1)
    np.testing.assert_allclose(d.detach().numpy().sum(axis=1), 1.0)
    np.testing.assert_allclose(
        d.detach().numpy().mean(axis=0), np.array([0.5, 2.0, 3.0]) / 5.5, atol=0.02
    )
    (d**2).sum().backward()
    assert np.all(np.isfinite(alpha.grad.detach().numpy()))


def test_multivariate_normal() -> None:
    mean = ng.tensor([1.0, -2.0], requires_grad=True)
    cov = ng.tensor([[2.0, 0.6], [0.6, 1.0]], requires_grad=True)
    x = ng.random.multivariate_normal(mean, cov, size=4000, rng=2)
    np.testing.assert_allclose(np.cov(x.detach().numpy().T), cov.detach().numpy(), atol=0.15)
    x.sum().backward()
    np.testing.assert_allclose(mean.grad.detach().numpy(), [4000.0, 4000.0])
    assert np.any(cov.grad.detach().numpy() != 0)


def test_choice_and_permutation_pass_gradients_to_what_they_pick_from() -> None:
    x = ng.tensor(np.arange(5.0), requires_grad=True)
    rng = ng.random.default_rng(0)
    rng.permutation(x).sum().backward()
    np.testing.assert_allclose(x.grad.detach().numpy(), np.ones(5))
    picked = rng.choice(x, size=3)
    assert picked.shape == (3,) and picked.requires_grad


def test_a_replay_is_exact() -> None:
    mu = ng.tensor(0.5, requires_grad=True)
    y = ng.random.normal(mu, 1.0, size=3, rng=0) ** 2
    y.sum().backward(retain_graph=True)
    once = mu.grad.item()
    y.sum().backward()
    assert mu.grad.item() == 2 * once


def test_seeds_generators_and_the_default() -> None:
    ng.manual_seed(3)
    a = ng.random.normal(size=2).numpy()
    ng.manual_seed(3)
    np.testing.assert_array_equal(ng.random.normal(size=2).numpy(), a)
    shared = np.random.default_rng(3)
    np.testing.assert_array_equal(ng.random.normal(size=2, rng=shared).numpy(), a)
    assert not np.array_equal(ng.random.normal(size=2, rng=shared).numpy(), a)
    own = ng.random.default_rng(3)
    assert ng.random.default_rng(own) is own
    np.testing.assert_array_equal(ng.random.normal(size=2, rng=own).numpy(), a)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: ng.random.normal(x, 1.0),
        lambda x: ng.random.gamma(x, 1.0),
        lambda x: x + ng.rand(2),
        lambda x: x + ng.random.default_rng(0).integers(5),
        lambda x: ng.random.default_rng().permutation(x),
    ],
    ids=["normal", "gamma", "rand", "integers", "permutation"],
)
def test_a_draw_inside_jit_raises(draw: Any) -> None:
    with pytest.raises(ConcretizationError, match="pass the draws as an argument"):
        ng.jit(draw)(np.ones(2))


def test_an_outside_generator_inside_jit_raises() -> None:
    rng = ng.random.default_rng(0)
    with pytest.raises(ConcretizationError, match="pass the draws as an argument"):
        ng.jit(lambda x: x * rng.random(2))(np.ones(2))


def test_the_first_draws_of_a_process_find_the_functions_that_they_call() -> None:
    text = """
    import nbgrad as ng
    rng = ng.random.default_rng(0)
    print(rng.permutation(np.arange(6).reshape(3, 2)).shape, rng.multivariate_normal(np.zeros(2), np.eye(2)).shape)
    """
    assert subprocesses.run(text).split() == ["(3,", "2)", "(2,)"]
