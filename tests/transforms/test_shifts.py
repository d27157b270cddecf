"""An extremum that is taken out of exponentials is as good as a constant, and only where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

F = Callable[[Any], Any]
X = np.array([[0.3, -1.2, 0.9], [2.0, 2.0, -0.5]])  # a row with ties
WEIGHTS = np.array([0.5, 2.0, 0.25])
INF, NAN = np.inf, np.nan


@pytest.fixture(autouse=True)
def uncompiled() -> Any:
    """What is tested is which operations there are."""
    with ng.configure(tier="reference"):
        yield


def with_top(x: Any) -> Any:
    top = x.max(1, keepdims=True)
    return ng.log(ng.exp(x - top).sum(1, keepdims=True)) + top


def squeezed(x: Any) -> Any:
    top = x.max(1)
    return top + ng.log(ng.exp(x - top[:, None]).sum(1))


def along_columns(x: Any) -> Any:
    columns = x.T
    top = columns.max(0)
    return ng.log(ng.exp(columns - top).sum(0)) + top


def of_both_axes(x: Any) -> Any:
    top = x.max((0, 1), keepdims=True)
    return (ng.log(ng.exp(x - top).sum((0, 1), keepdims=True)) + top)[0]


def of_all(x: Any) -> Any:
    top = ng.numpy.max(x)
    return ng.log(ng.exp(x - top).sum()) + top


def guarded(x: Any) -> Any:
    top = x.max(1)
    top = ng.where(ng.isfinite(top), top, 0.0)
    return ng.log(ng.exp(x - top[:, None]).sum(1)) + top


def weighted(x: Any) -> Any:
    top = x.max(1)
    return ng.log((WEIGHTS * ng.exp(x - top[:, None])).mean(1)) + top


def of_smallest(x: Any) -> Any:
    low = x.min(1, keepdims=True)
    return low[:, 0] - ng.log(ng.exp(-(x - low)).sum(1))


def softmax(x: Any) -> Any:
    e = ng.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def turned_softmax(x: Any) -> Any:
    e = ng.exp(x - x.max(1)[:, None])
    return (e.T * (1 / e.sum(1))).T


def log_softmax(x: Any) -> Any:
    z = x - x.max(1, keepdims=True)
    return z - ng.log(ng.exp(z).sum(1, keepdims=True))


def cross_entropy(x: Any) -> Any:
    return -log_softmax(x)[np.arange(len(x)), np.arange(len(x)) % 3]


def _sum(row: Any, weights: Any = (1, 1, 1)) -> Any:
    return mpmath.log(sum(w * mpmath.exp(a) for w, a in zip(weights, row, strict=False)))


def _softmax(row: Any) -> Any:
    return [mpmath.exp(a) / sum(map(mpmath.exp, row)) for a in row]


def _flat(of: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *rows: [of([*rows[0], *rows[1]], [1] * 6)]


# What the values are, of rows of mpmath's numbers.
FORMS: dict[F, Callable[..., Any]] = {
    **dict.fromkeys((with_top, squeezed, along_columns, guarded), lambda *rows: map(_sum, rows)),
    **dict.fromkeys((of_both_axes, of_all), _flat(_sum)),
    weighted: lambda *rows: [_sum(row, WEIGHTS / 3) for row in rows],
    of_smallest: lambda *rows: [-_sum([-a for a in row]) for row in rows],
    **dict.fromkeys((softmax, turned_softmax), lambda *rows: [p for r in rows for p in _softmax(r)]),
    log_softmax: lambda *rows: [mpmath.log(p) for row in rows for p in _softmax(row)],
    cross_entropy: lambda *rows: [-mpmath.log(_softmax(r)[k]) for k, r in enumerate(rows)],
}  # fmt: skip


def loss_of(f: F) -> F:
    """The results of *f*, each times a number of its own, squared in part."""

    def loss(x: Any) -> Any:
        y = f(x).reshape(-1)
        return (np.sqrt(np.arange(1.0, y.size + 1)) * y).sum() + (y * y).sum()

    return loss


def exactly(f: F) -> tuple[Any, Any]:
    """Gradient and Hessian of the loss by differences of 40 digits."""

    def loss(*x: Any) -> Any:
        y = FORMS[f](x[:3], x[3:])
        return sum(mpmath.sqrt(k) * a + a * a for k, a in enumerate(y, 1))

    with mpmath.workdps(40):
        x, units = [mpmath.mpf(a) for a in X.ravel()], np.eye(6, dtype=int)
        first = [float(mpmath.diff(loss, x, tuple(u))) for u in units]
        rows = [[float(mpmath.diff(loss, x, tuple(u + v))) for v in units[: k + 1]] for k, u in enumerate(units)]  # fmt: skip
    lower = np.array([row + [0.0] * (6 - len(row)) for row in rows])
    return np.array(first).reshape(X.shape), lower + np.tril(lower, -1).T


def counts_ties(f: F, x: Any = X) -> bool:
    return " = equal " in str(ng.make_tape(ng.grad(loss_of(f)))(x))


@pytest.mark.parametrize("f", FORMS, ids=lambda f: f.__name__)
def test_derivatives_are_exact_at_orders_1_and_2_and_count_no_ties(f: F) -> None:
    loss, (first, second) = loss_of(f), exactly(f)
    assert not counts_ties(f)
    leaf = ng.tensor(X, requires_grad=True)
    (kept,) = ng.autograd.grad(loss(leaf), leaf, create_graph=True)
    assert_allclose(kept.detach(), first, 1e-13, 1e-14)
    assert_allclose(ng.jit(ng.grad(loss))(X), first, 1e-13, 1e-14)
    v = np.arange(6.0).reshape(X.shape)
    wanted = (second @ v.ravel()).reshape(X.shape)
    (backward,) = ng.autograd.grad((kept * v).sum(), leaf)
    assert_allclose(backward, wanted, 1e-11, 1e-12)
    assert_allclose(ng.jvp(ng.grad(loss), (X,), (v,))[1], wanted, 1e-11, 1e-12)
    assert_allclose(ng.hessian(loss)(X).reshape(6, 6), second, 1e-11, 1e-12)


def left_out(x: Any) -> Any:
    return ng.log(ng.exp(x - x.max(1)[:, None]).sum(1))


def added_twice(x: Any) -> Any:
    return squeezed(x) + x.max(1)


def shown(x: Any) -> Any:
    return ng.exp(x - x.max(1)[:, None]).sum(1)


def summed_along_others(x: Any) -> Any:
    top = x.max(1)
    return ng.log(ng.exp(x - top[:, None]).sum(0)).sum() + top.sum()


def of_the_wrong_axis(x: Any) -> Any:
    x = x[:, :2]
    return ng.log(ng.exp(x - x.max(1)).sum(0)) + x.max(1)  # as good, but not below one


def of_another(x: Any) -> Any:
    top = (x * x).max(1)
    return ng.log(ng.exp(x - top[:, None]).sum(1)) + top  # the same


def rows_mixed(x: Any) -> Any:
    top = x.max(1)
    return ng.log(ng.exp(x - top[:, None]).sum(1)) + top[::-1]


def with_a_floor(x: Any) -> Any:
    e = ng.exp(x - x.max(1)[:, None])
    return e / (e.sum(1) + 0.1)[:, None]


def picked(x: Any) -> Any:
    z = x - x.max(1)[:, None]
    return ng.log(ng.exp(z).sum(1)) - z[:, 1] * 0.5


@pytest.mark.parametrize("f", [left_out, added_twice, shown, summed_along_others, of_the_wrong_axis, of_another, rows_mixed, with_a_floor, picked], ids=lambda f: f.__name__)  # fmt: skip
def test_what_may_depend_on_the_extremum_is_differentiated_through_it(f: F) -> None:
    x = np.array([[0.3, -1.2, 0.9], [2.0, 1.5, -0.5]])
    assert counts_ties(f, x)
    assert ng.autograd.gradcheck(loss_of(f), (ng.tensor(x, requires_grad=True),))
    assert ng.autograd.gradgradcheck(loss_of(f), (ng.tensor(x, requires_grad=True),))


ROWS = np.array([[INF, 1, 0], [-INF, 1, 1], [-INF, -INF, -INF], [NAN, 1, 2], [INF, INF, 0], [800, -800, 800]])  # fmt: skip


@pytest.mark.parametrize("f", [squeezed, guarded, softmax, of_smallest], ids=lambda f: f.__name__)  # fmt: skip
def test_rows_that_are_not_finite_are_nan_as_they_were_by_the_rules(f: F) -> None:
    def found() -> list[Any]:
        first, second = ng.grad(lambda x: f(x).sum()), ng.hessian(lambda x: f(x).sum())
        return [ng.jit(first)(ROWS), ng.jit(second)(ROWS)]

    by_identity = found()
    with mock.patch("nbgrad.transforms.vjp.idle", return_value=frozenset()):
        by_rules = found()
    for a, b in zip(by_identity, by_rules, strict=True):
        assert_allclose(a, b, 1e-12, 1e-14)
    leaf = ng.tensor(ROWS, requires_grad=True)
    f(leaf).sum().backward()
    assert_array_equal(leaf.grad, by_identity[0])


def test_an_infinite_cotangent_comes_back_as_through_a_log_sum_exp_of_its_own() -> None:
    """As of logsumexp in PyTorch and JAX; shared with the maximum it would be inf - inf."""
    _, back = ng.vjp(with_top, X)
    assert_allclose(
        back(np.array([[INF], [-2.0]]))[0], [[INF] * 3, *-2 * ng.special.softmax(X[1:], 1)]
    )


def test_a_hook_may_give_other_cotangents() -> None:
    def run(change: Callable[..., Any]) -> tuple[Any, Any, Any]:
        x = ng.tensor(X[:1], requires_grad=True)
        top = x.max(1, keepdims=True)
        e = ng.exp(x - top)
        change(top, e)
        (ng.log(e.sum(1)) + top[:, 0]).sum().backward()
        return x.grad, top, np.exp(X[:1]) / np.exp(X[:1]).sum()

    found, _, p = run(lambda top, e: e.register_hook(lambda ct: 2 * ct))
    assert_allclose(found, 2 * p - np.array([[0, 0, 1]]), 1e-13)
    found, _, p = run(lambda top, e: top.register_hook(lambda ct: ct + 1))
    assert_allclose(found, p + np.array([[0, 0, 1]]), 1e-13)
    found, top, p = run(lambda top, e: top.retain_grad())
    assert_allclose(found, p, 1e-13)
    assert_allclose(top.grad, [[0]], atol=1e-15)


def test_what_is_asked_for_on_the_way_is_found() -> None:
    x = ng.tensor(X, requires_grad=True)
    top = x.max(1, keepdims=True)
    e = ng.exp(x - top)
    y = (ng.log(e.sum(1)) + top[:, 0]).sum()
    total = np.exp(X - X.max(1, keepdims=True)).sum(1, keepdims=True)
    found = ng.autograd.grad(y, [top, e], retain_graph=True)
    assert_allclose(found[0], np.zeros((2, 1)), atol=1e-15)
    assert_allclose(found[1], np.broadcast_to(1 / total, X.shape), 1e-13)
    with ng.configure(nan_policy="ieee"):
        assert counts_ties(softmax)


def test_log_sum_exp_goes_through_its_rows_three_times() -> None:
    x = np.random.default_rng(0).normal(size=(40, 70))
    derive = ng.jit(ng.grad(lambda x: squeezed(x).sum()))
    assert_allclose(derive(x), np.exp(x) / np.exp(x).sum(1, keepdims=True), 1e-13, 1e-15)
    steps = [s["name"] for s in derive.cost(x)["steps"] if s["bytes_moved"] >= x.nbytes]
    assert steps == ["max", "subtract+exp+sum", "strong_multiply"]
