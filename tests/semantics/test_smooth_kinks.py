"""Second derivatives where a distance is 0: limits where the whole is smooth, else NaN, never 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.autograd import functional
from nbgrad.core.linearize import linearize
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.vjp import vjp

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
        k = ROOT5 * np.linalg.norm(x)
        return (1 + k + k * k / 3) * np.exp(-k)

    assert np.isnan(ng.jacobian(ng.hessian(f))(np.zeros(2))).any()
    beside = np.array([0.3, -0.1])
    step = 1e-5 * np.array([1.0, 0.0])
    differences = (ng.hessian(f)(beside + step) - ng.hessian(f)(beside - step)) / 2e-5
    assert_allclose(ng.jacobian(ng.hessian(f))(beside)[..., 0], differences, rtol=1e-7)


ONES = np.ones(2)
SQUARES: dict[str, Callable[[Any], Any]] = {
    "square": lambda r: r**2,
    "product": lambda r: r * r,
    "even power": lambda r: r**4,
    "scaled": lambda r: (3.0 * r / ONES.sum()) ** 2 / 2.25,
    "view": lambda r: (r.reshape(1, 1)[0, :] ** 2)[0],
    "negative": lambda r: (-r) ** 2,
}


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("name", SQUARES)
def test_squares_of_roots_are_smooth_at_every_order(distance: str, name: str) -> None:
    def f(x: Any) -> Any:
        return np.exp(-SQUARES[name](DISTANCES[distance](x - PLACE)))

    def plain(x: Any) -> Any:
        s = ((x - PLACE) ** 2).sum()
        return np.exp(-(s * s if name == "even power" else s))

    for x in (PLACE, PLACE + np.array([0.5, -0.7]), PLACE + 0.5 * EYE[0]):
        found, wanted = f, plain
        for transform in (ng.grad, ng.jacobian, ng.jacobian, ng.jacobian):
            found, wanted = transform(found), transform(wanted)
            assert_allclose(found(x), wanted(x), atol=1e-9)
    along = functional.jvp(f, ng.tensor(PLACE + 1), ng.tensor(ONES))[1]
    assert_allclose(along.numpy(), ng.grad(plain)(PLACE + 1).sum())


def test_squares_of_square_roots_keep_their_domain() -> None:
    def f(x: Any) -> Any:
        return (np.sqrt(x) ** 2).sum()

    x = np.array([4.0, 0.0, -1.0, np.inf, np.nan])
    assert_allclose(ng.grad(f)(x), [1.0, 1.0, np.nan, 1.0, np.nan])
    assert_allclose(np.diag(ng.hessian(f)(x))[:2], 0.0)
    with ng.configure(nan_policy="ieee"):
        assert np.isnan(ng.grad(f)(x)[1])  # 0 times infinity, as it is written
    y = np.sqrt(ng.tensor(x))
    assert_allclose((y**2).numpy(), np.sqrt(x, where=x >= 0, out=np.full(5, np.nan)) ** 2)


def test_roots_whose_derivative_is_asked_for_keep_it() -> None:
    x = ng.tensor([3.0, 4.0], requires_grad=True)
    r = np.linalg.norm(x)
    by_root, by_x = ng.autograd.grad(r**2, [r, x], create_graph=True)
    assert_allclose(by_root.item(), 10.0)
    assert_allclose(by_x.detach().numpy(), [6.0, 8.0])
    seen: list[float] = []
    r = np.linalg.norm(x)
    r.register_hook(lambda g: seen.append(g.item()))
    (r**2).backward()
    assert seen == [10.0]
    r = np.linalg.norm(x)
    r.retain_grad()
    (2 * r**2).backward()
    assert_allclose(r.grad.item(), 20.0)
    with ng.no_grad():
        fixed = np.linalg.norm(x)
    assert not (fixed**2).requires_grad
    assert_allclose(
        ng.grad(lambda t: (np.linalg.norm(t).detach() * t[0]) ** 2)(x.detach()), [150.0, 0]
    )


def test_squares_of_roots_need_no_root_in_their_derivatives() -> None:
    x = ng.tensor(PLACE, requires_grad=True)
    tape, _ = linearize([(np.linalg.norm(x) ** 2)._node], [x._node])
    first, _ = vjp(simplify(tape), tape.inputs, seeded=[False])
    names = [eqn.prim.name for eqn in simplify(first).eqns]
    assert names == ["multiply"]  # 2 x
