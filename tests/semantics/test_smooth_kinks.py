"""Second derivatives where a distance is 0: limits where the whole is smooth, else NaN, never 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.autograd import functional

ROOT5, ROOT3 = np.sqrt(5.0), np.sqrt(3.0)
PLACE = np.array([0.3, -0.2])
EYE = np.eye(2)

DISTANCES: dict[str, Callable[[Any], Any]] = {
    "norm": lambda d: np.linalg.norm(d),
    "sqrt of a sum": lambda d: np.sqrt((d * d).sum()),
    "power of a product": lambda d: (d @ d) ** 0.5,
    "hypot": lambda d: np.hypot(d[0], d[1]),
    "complex": lambda d: np.abs(d[0] + 1j * d[1]),
    "broadcast": lambda d: np.linalg.norm(d[None, :] - np.zeros((3, 2)), axis=-1)[1],
}
SMOOTH: dict[str, tuple[Callable[[Any], Any], float]] = {
    "square": (lambda r: r**2, 2.0),
    "product": (lambda r: r * r, 2.0),
    "scaled": (lambda r: (r / 0.5) ** 2, 8.0),
    "fourth": (lambda r: r**4, 0.0),
    "gauss": (lambda r: np.exp(-(r**2)), -2.0),
    "cosine": (lambda r: np.cos(r), -1.0),
    "matern 3/2": (lambda r: (1 + ROOT3 * r) * np.exp(-ROOT3 * r), -3.0),
    "matern 5/2": (lambda r: (1 + ROOT5 * r + 5 / 3 * r**2) * np.exp(-ROOT5 * r), -5 / 3),
}


def create_graph(f: Any, x: Any) -> Any:
    t = ng.tensor(x, requires_grad=True)
    (first,) = ng.autograd.grad(f(t), [t], create_graph=True)
    rows = [ng.autograd.grad(g, [t], retain_graph=True)[0].numpy() for g in first]
    return np.stack(rows)


def products(f: Any, x: Any) -> Any:
    return np.stack([functional.hvp(f, ng.tensor(x), ng.tensor(e))[1].numpy() for e in EYE])


def reverse_over_forward(f: Any, x: Any) -> Any:
    def along(e: Any) -> Any:
        return ng.grad(lambda t: functional.jvp(f, t, ng.tensor(e), create_graph=True)[1])(x)

    return np.stack([along(e) for e in EYE])


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "hessian": lambda f, x: ng.hessian(f)(x),
    "jit": lambda f, x: ng.jit(ng.hessian(f))(x),
    "jacobian of grad": lambda f, x: ng.jacobian(ng.grad(f))(x),
    "create_graph": create_graph,
    "hvp": products,
    "reverse over forward": reverse_over_forward,
}


PAIRS = [(d, "hessian") for d in DISTANCES]
PAIRS += [(d, way) for way in WAYS if way != "hessian" for d in ("norm", "complex")]
PAIRS += [("hypot", "reverse over forward"), ("sqrt of a sum", "jit")]


@pytest.mark.parametrize(("distance", "way"), PAIRS)
def test_smooth_functions_of_a_distance_have_their_limit(distance: str, way: str) -> None:
    names = SMOOTH if way == "hessian" else ["square", "gauss", "matern 5/2"]
    for name in names:
        f, curvature = SMOOTH[name]
        found = WAYS[way](lambda x, f=f: f(DISTANCES[distance](x - PLACE)), PLACE.copy())
        assert_allclose(found, curvature * EYE, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("way", ["hessian", "create_graph"])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("f", [lambda r: r, lambda r: np.exp(-r)], ids=["r", "exponential"])
def test_a_kink_that_is_met_has_no_second_derivative(distance: str, way: str, f: Any) -> None:
    found = WAYS[way](lambda x: f(DISTANCES[distance](x - PLACE)), PLACE.copy())
    assert not np.isfinite(np.diag(found)).any()


def test_absolute_values_and_deviations() -> None:
    x = np.array([0.0, 1.0])
    for f in (np.abs, np.fabs):
        assert_allclose(ng.hessian(lambda t, f=f: (f(t) ** 2).sum())(x), 2 * EYE)
        # |x| is straight at either side, and so is a sum of them.
        assert_allclose(ng.hessian(lambda t, f=f: f(t).sum())(x), 0 * EYE)
        assert np.isnan(ng.hessian(lambda t, f=f: np.exp(-f(t)).sum())(x)[0, 0])
    flat = np.array([1.0, 1.0])
    assert_allclose(ng.hessian(lambda t: t.std() ** 2)(flat), ng.hessian(lambda t: t.var())(flat))


def test_distances_that_multiply_one_another() -> None:
    zero = np.zeros(2)
    norm = np.linalg.norm
    assert_allclose(ng.hessian(lambda x: norm(x) * norm(x))(zero), 2 * EYE)
    found = ng.hessian(lambda x: norm(x[:1]) * norm(x[1:]))(zero)
    assert np.isnan(found).any()  # |x| |y| has no second derivative there


POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
MIX = np.random.default_rng(0).normal(size=(3, 3))


@pytest.mark.parametrize(
    "loss",
    [
        lambda k: (MIX * k).sum(),
        lambda k: (k @ MIX @ k).sum(),
        lambda k: np.linalg.slogdet(k + 0.1 * np.eye(3))[1],
    ],
    ids=["linear", "quadratic", "determinant"],
)
@pytest.mark.parametrize("root", [True, False])
def test_gram_matrices_of_points_that_coincide(loss: Any, root: bool) -> None:
    def gram(x: Any) -> Any:
        d = x[:, None, :] - x[None, :, :]
        r = np.sqrt((d * d).sum(-1)) if root else np.linalg.norm(d, axis=-1)
        return np.exp(-(r**2))

    def plain(x: Any) -> Any:
        return np.exp(-((x[:, None, :] - x[None, :, :]) ** 2).sum(-1))

    found = ng.hessian(lambda x: loss(gram(x)))(POINTS)
    assert_allclose(found, ng.hessian(lambda x: loss(plain(x)))(POINTS), atol=1e-9)


def test_anomaly_detection_names_the_kink() -> None:
    x = ng.zeros(2, requires_grad=True)
    with ng.autograd.detect_anomaly():
        (first,) = ng.autograd.grad(np.linalg.norm(x), [x], create_graph=True)
        with pytest.raises(
            ng.errors.AnomalyError, match=r"at the kink of norm.*test_smooth_kinks"
        ):
            first.sum().backward()


def test_third_derivatives_are_nan_at_the_point_and_right_beside_it() -> None:
    def f(x: Any) -> Any:
        return np.exp(-(np.linalg.norm(x) ** 2))

    def plain(x: Any) -> Any:
        return np.exp(-(x**2).sum())

    third = ng.jacobian(ng.hessian(f))
    assert np.isnan(third(np.zeros(2))).any()
    beside = np.array([0.3, -0.1])
    assert_allclose(third(beside), ng.jacobian(ng.hessian(plain))(beside))
