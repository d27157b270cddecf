"""Values of derivatives at kinks and singular points, each on every tier."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

NAN, INF = float("nan"), float("inf")


@pytest.fixture(autouse=True, params=["reference", "block", "fused"])
def tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each test on each way of running a program, with warnings as errors."""
    with ng.configure(tier=request.param), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield request.param


def gradients(f: Callable[..., Any], *values: Any) -> list[Any]:
    """Gradients of the sum of ``f`` in every argument, as nested lists."""
    leaves = [ng.tensor(np.array(v, dtype=float), requires_grad=True) for v in values]
    y = f(*leaves)
    with warnings.catch_warnings():  # the forward may warn of log(0), as NumPy does
        warnings.simplefilter("ignore")
        y.tolist()
    y.sum().backward()
    return [None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]


# name, function, arguments, gradient in each argument
KINKS: list[tuple[str, Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = [
    ("abs at 0", ng.abs, ([-2.0, 0.0, 3.0],), ([-1, 0, 1],)),
    ("abs at -0.0", ng.abs, (-0.0,), (0,)),
    ("sign", ng.sign, ([-2.0, 0.0, 3.0],), ([0, 0, 0],)),
    ("floor division", lambda x, y: x // y, ([7.3, -7.3], [2.0, 2.0]), ([0, 0], [0, 0])),
    ("maximum tie", ng.maximum, ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), ([0, 0.5, 1], [1, 0.5, 0])),
    ("minimum tie", ng.minimum, ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), ([1, 0.5, 0], [0, 0.5, 1])),
    ("maximum of x and x", lambda x: ng.maximum(x, x), ([1.0, 0.0],), ([1, 1],)),
    ("relu at 0", ng.relu, ([-1.0, 0.0, 2.0],), ([0, 0, 1],)),
    ("maximum with 0 at 0", lambda x: ng.maximum(x, 0), ([-1.0, 0.0, 2.0],), ([0, 0.5, 1],)),
    ("max tie", lambda x: x.max(), ([1.0, 1.0, 0.0],), ([0.5, 0.5, 0],)),
    ("min tie", lambda x: x.min(), ([1.0, 0.0, 0.0, 0.0],), ([0, 1 / 3, 1 / 3, 1 / 3],)),
    (
        "max over an axis, ties",
        lambda x: x.max(axis=1),
        ([[2.0, 2.0, 1.0], [0.0, 5.0, 4.0]],),
        ([[0.5, 0.5, 0], [0, 1, 0]],),
    ),
    (
        "min over an axis, kept, ties",
        lambda x: x.min(axis=0, keepdims=True),
        ([[1.0, 3.0], [1.0, 2.0]],),
        ([[0.5, 0], [0.5, 1]],),
    ),
    ("max over all axes, ties", lambda x: x.max(), ([[1.0, 4.0], [4.0, 2.0]],), ([[0, 0.5], [0.5, 0]],)),
    ("clip at the bounds", lambda x: ng.clip(x, -1, 1), ([-2.0, -1.0, 0.0, 1.0, 3.0],), ([0, 1, 1, 1, 0],)),
    ("clip below only", lambda x: ng.clip(x, 0, None), ([-1.0, 0.0, 1.0],), ([0, 1, 1],)),
    ("clip above only", lambda x: ng.clip(x, None, 0), ([-1.0, 0.0, 1.0],), ([1, 1, 0],)),
    ("clip in its bounds", ng.clip, ([-2.0, -1.0, 0.0, 1.0, 3.0, 4.0], -1.0, 1.0), ([0, 1, 1, 1, 0, 0], 1, 2)),
    ("sqrt at 0", ng.sqrt, ([0.0, 4.0],), ([INF, 0.25],)),
    ("norm at 0", ng.norm, ([0.0, 0.0],), ([0, 0],)),
    ("norm", ng.norm, ([3.0, -4.0],), ([0.6, -0.8],)),
    ("norm of rows, one zero", lambda x: ng.norm(x, axis=1), ([[0.0, 0.0], [3.0, 4.0]],), ([[0, 0], [0.6, 0.8]],)),
    ("1-norm", lambda x: ng.norm(x, 1), ([3.0, 0.0, -3.0, 1.0],), ([1, 0, -1, 1],)),
    ("inf-norm tie", lambda x: ng.norm(x, INF), ([3.0, 0.0, -3.0, 1.0],), ([0.5, 0, -0.5, 0],)),
    ("1-norm at 0", lambda x: ng.norm(x, 1), ([0.0, 0.0],), ([0, 0],)),
    ("1.5-norm at 0", lambda x: ng.norm(x, 1.5), ([0.0, 0.0],), ([0, 0],)),
    ("3-norm at 0", lambda x: ng.norm(x, 3), ([0.0, 0.0],), ([0, 0],)),
    ("inf-norm at 0", lambda x: ng.norm(x, INF), ([0.0, 0.0],), ([0, 0],)),
    ("std of a constant", lambda x: x.std(), ([2.0, 2.0, 2.0],), ([0, 0, 0],)),
    ("var of a constant", lambda x: x.var(), ([2.0, 2.0, 2.0],), ([0, 0, 0],)),
    ("arctan2 at the origin", ng.arctan2, (0.0, 0.0), (NAN, NAN)),
    ("log at 0", ng.log, ([0.0, 2.0],), ([INF, 0.5],)),
    ("x**0 at 0", lambda x: x**0, ([0.0, 2.0],), ([0, 0],)),
    ("x**0. at 0", lambda x: x**0.0, ([0.0, 2.0],), ([0, 0],)),
    ("x**1 at 0", lambda x: x**1, (0.0,), (1,)),
    ("x**1. at 0", lambda x: x**1.0, (0.0,), (1,)),
    ("x**2 at 0", lambda x: x**2, (0.0,), (0,)),
    ("x**2. at -1", lambda x: x**2.0, (-1.0,), (-2,)),
    ("x**3. at -1", lambda x: x**3.0, (-1.0,), (3,)),
    ("x**-1 at -2", lambda x: x**-1, (-2.0,), (-0.25,)),
    ("a**b in b at a=0", lambda b: ng.tensor(0.0) ** b, ([2.0, 0.5, 0.0, -1.0],), ([0, 0, 0, -INF],)),
    ("a**b in a only, a<0", lambda a: a ** ng.tensor(3.0), (-2.0,), (12,)),
    ("a**b, a<0", lambda a, b: a**b, (-2.0, 3.0), (12, NAN)),
    ("a**b, a>0", lambda a, b: a**b, (2.0, 3.0), (12, 8 * np.log(2.0))),
    ("prod without zeros", lambda x: x.prod(), ([2.0, 3.0, 4.0],), ([12, 8, 6],)),
    ("prod with one zero", lambda x: x.prod(), ([0.0, 2.0, 3.0],), ([6, 0, 0],)),
    ("prod with two zeros", lambda x: x.prod(), ([0.0, 2.0, 0.0],), ([0, 0, 0],)),
    ("prod over an axis, zeros", lambda x: x.prod(axis=1), ([[0.0, 2.0, 3.0], [1.0, 5.0, 2.0]],), ([[6, 0, 0], [10, 2, 5]],)),
    ("where", lambda x, y: ng.where(x > 0, x * 2, y), ([1.0, -1.0], [5.0, 6.0]), ([2, 0], [0, 1])),
    ("where over log", lambda x: ng.where(x > 0, ng.log(x), 0.0), ([0.0, 2.0],), ([0, 0.5],)),
    ("where over sqrt", lambda x: ng.where(x > 0, ng.sqrt(x), 0.0), ([0.0, 4.0],), ([0, 0.25],)),
    ("where over sqrt of a negative", lambda x: ng.where(x > 0, ng.sqrt(x), x), ([-1.0, 4.0],), ([1, 0.25],)),
    ("where over 1/x", lambda x: ng.where(x == 0, 1.0, 1 / x), ([0.0, 4.0],), ([0, -0.0625],)),
    ("where over an overflow", lambda x: ng.where(x > 1, 0.0, ng.exp(x * x)), ([0.5, 1e3],), ([np.exp(0.25), 0],)),
    ("where over 0/0", lambda x: ng.where(x == 0, 1.0, ng.sin(x) / x), ([0.0, np.pi],), ([0, -1 / np.pi],)),
    ("remainder", lambda x, y: x % y, ([7.5, -7.5], [2.0, 2.0]), ([1, 1], [-3, 4])),
    ("remainder, negative divisor", lambda x, y: x % y, (7.5, -2.0), (1, 4)),
    ("gather with duplicates", lambda x: x[np.array([0, 0, 2])], ([1.0, 2.0, 3.0],), ([2, 0, 1],)),
    ("log1p at -1", ng.log1p, (-1.0,), (INF,)),
    ("arcsin at 1", ng.arcsin, ([1.0, 0.0],), ([INF, 1],)),
    ("arccos at 1", ng.arccos, ([1.0, 0.0],), ([-INF, -1],)),
    ("softplus far away", ng.softplus, ([-800.0, 0.0, 800.0],), ([0, 0.5, 1],)),
    ("sigmoid far away", ng.sigmoid, ([-800.0, 0.0, 800.0],), ([0, 0.25, 0],)),
    ("tanh far away", ng.tanh, ([-800.0, 0.0, 800.0],), ([0, 1, 0],)),
    ("erf at 0", ng.erf, ([0.0, 30.0],), ([2 / np.sqrt(np.pi), 0],)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "values", "expected"), [c[1:] for c in KINKS], ids=[c[0] for c in KINKS]
)
def test_derivative(f: Callable[..., Any], values: Any, expected: Any) -> None:
    for found, wanted in zip(gradients(f, *values), expected, strict=True):
        assert_allclose(found, np.array(wanted, dtype=float), rtol=1e-12)


UNTRACKED: list[tuple[str, Callable[[Any], Any], Any]] = [
    ("argmax", lambda x: ng.argmax(x), 1),
    ("any", lambda x: ng.any(x), True),
    ("all", lambda x: ng.all(x), False),
    ("isnan", ng.isnan, [False, False, False]),
    ("isfinite", ng.isfinite, [True, True, True]),
    ("greater", lambda x: x > 1, [False, True, False]),
    ("equal", lambda x: x == 0, [False, False, True]),
    ("logical_not", ng.logical_not, [False, False, True]),
    ("logical_and", lambda x: ng.logical_and(x, x > 1), [False, True, False]),
    ("logical_or", lambda x: ng.logical_or(x, x == 0), [True, True, True]),
    ("integer cast", lambda x: x.astype(np.int64), [1, 2, 0]),
]


@pytest.mark.parametrize(
    ("f", "expected"), [c[1:] for c in UNTRACKED], ids=[c[0] for c in UNTRACKED]
)
def test_integer_and_boolean_results_are_untracked(f: Callable[[Any], Any], expected: Any) -> None:
    y = f(ng.tensor([1.0, 2.0, 0.0], requires_grad=True))
    assert y.tolist() == expected
    assert y.dtype.kind in "bi"
    assert not y.requires_grad and y.grad_fn is None


def test_sign_is_tracked_with_a_zero_gradient() -> None:
    x = ng.tensor([-2.0, 3.0], requires_grad=True)
    y = ng.sign(x)
    assert y.requires_grad
    (y * x).sum().backward()
    assert_allclose(x.grad.numpy(), [-1.0, 1.0])


def test_forward_of_maximum_with_nan_is_nan() -> None:
    x = ng.tensor([NAN, 1.0, NAN])
    y = ng.tensor([1.0, NAN, NAN])
    assert np.isnan(ng.maximum(x, y).numpy()).all()
    assert np.isnan(ng.minimum(x, y).numpy()).all()
    assert np.isnan(ng.tensor([1.0, NAN, 2.0]).max().item())
    assert np.isnan(ng.tensor([1.0, NAN, 2.0]).min().item())
    assert ng.argmax(ng.tensor([1.0, NAN, 2.0])).item() == 1


def test_zero_to_the_zero_is_one() -> None:
    zero = ng.tensor(0.0)
    assert (zero**0).item() == (zero**0.0).item() == (zero**zero).item() == (0**zero).item() == 1.0


@pytest.mark.parametrize("name", ["norm", "std"])
def test_second_derivative_is_nan_where_the_first_was_masked(name: str) -> None:
    x = ng.zeros(3, requires_grad=True)
    (first,) = ng.autograd.grad(getattr(x, name)(), x, create_graph=True)
    assert_allclose(first.detach().numpy(), np.zeros(3))
    (second,) = ng.autograd.grad(first[0], x, allow_unused=True, materialize_grads=True)
    assert np.isnan(second.numpy()[0])


def test_second_derivative_of_norm_away_from_zero() -> None:
    values = np.array([1.0, -2.0, 2.0])
    hessian = ng.autograd.functional.hessian(ng.norm, ng.tensor(values))
    expected = np.eye(3) / 3 - np.outer(values, values) / 27
    assert_allclose(hessian.numpy(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("values", [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0, 4.0]])
def test_second_derivative_of_prod_is_exact_with_zeros(values: list[float]) -> None:
    n = len(values)
    expected = np.zeros((n, n))
    for i, j in np.ndindex(n, n):
        if i != j:
            expected[i, j] = np.prod([v for k, v in enumerate(values) if k not in (i, j)])
    hessian = ng.autograd.functional.hessian(lambda x: x.prod(), ng.tensor(values))
    assert_allclose(hessian.numpy(), expected)


def test_square_root_of_a_sum_of_squares_is_not_a_norm() -> None:
    """At 0 the outer cotangent is infinite: only the norm operation knows the limit."""
    (naive,) = gradients(lambda x: ng.sqrt((x * x).sum()), [0.0, 0.0])
    (norm,) = gradients(ng.norm, [0.0, 0.0])
    assert np.isnan(naive).all()
    assert_allclose(norm, [0.0, 0.0])


def test_structural_zero_can_be_switched_off() -> None:
    with ng.configure(nan_policy="ieee"):
        (leaked,) = gradients(lambda x: ng.where(x > 0, ng.log(x), 0.0), [0.0, 2.0])
    assert np.isnan(leaked[0])
    assert_allclose(leaked[1], 0.5)


def test_dead_branch_stays_dead_at_second_order() -> None:
    x = ng.tensor([0.0, 4.0], requires_grad=True)
    y = ng.where(x > 0, ng.sqrt(x), 0.0).sum()
    (first,) = ng.autograd.grad(y, x, create_graph=True)
    (second,) = ng.autograd.grad(first.sum(), x)
    assert_allclose(first.detach().numpy(), [0.0, 0.25])
    assert_allclose(second.numpy(), [0.0, -0.25 * 4**-1.5])


def test_scatter_of_duplicates_is_deterministic() -> None:
    rng = np.random.default_rng(5)
    index, weights = rng.integers(0, 7, 20_000), rng.normal(size=20_000)
    found = [gradients(lambda x: x[index] * weights, np.ones(7))[0] for _ in range(3)]
    assert_allclose(found[0], np.bincount(index, weights), rtol=1e-9)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


DEAD_BRANCHES: dict[str, Any] = {
    "where": lambda x: np.where(x > 1, np.log(x - 1), x**2).sum(),
    "root": lambda x: np.where(x > 1, np.sqrt(x - 1) ** 3, x**2).sum(),
    "reduction": lambda x: np.sum(np.sqrt(x - 1) * x, where=x > 1),
    "missing data": lambda x: np.nansum((np.array([np.nan, 1.0, 2.0]) * x) ** 2),
    "length": lambda x: np.where(x > 1, np.linalg.norm(x[:, None] * HOLES, axis=1), 0).sum(),
}
HOLES = np.array([[1.0, np.nan], [1.0, 2.0], [2.0, 0.0]])


@pytest.mark.parametrize("name", DEAD_BRANCHES)
@pytest.mark.parametrize("strategy", ["forward-mode", "reverse-mode"])
def test_no_derivative_leaks_from_dead_branches_at_any_order(name: str, strategy: str) -> None:
    """At x = 1 the branch has infinite derivatives of every order, or NaN for its value."""
    f, functional = DEAD_BRANCHES[name], ng.autograd.functional

    def gradient(x: Any) -> Any:
        return functional.vjp(f, x, create_graph=True)[1]

    def curvature(x: Any) -> Any:
        return functional.vjp(lambda y: gradient(y).sum(), x, create_graph=True)[1]

    x = np.array([1.0, 2.5, 3.0])
    alive = 2.0 if name in ("where", "root") else 0.0
    for order, derivative in enumerate([gradient, curvature]):
        found = functional.jacobian(derivative, ng.tensor(x), strategy=strategy).numpy()
        assert np.isfinite(found).all()
        assert_array_equal(found[0], [alive if order == 0 else 0.0, 0.0, 0.0])


@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_dead_branch_may_have_a_factor_that_is_not_finite(shape: Any) -> None:
    """Eagerly the factor is an operand, under jit a number in the rule itself."""
    branches = (
        lambda x: x * np.inf,
        lambda x: x / 0.0,
        lambda x: np.nan * np.std(x, ddof=x.size),
    )
    x = np.full(shape, 0.5)
    g = ng.grad(lambda x: sum(np.where(x > 0, x, f(x)).sum() for f in branches))
    for found in (g(x), ng.jit(g)(x), ng.vmap(g)(x[None])[0]):
        assert_array_equal(found, np.full(shape, 3.0))
