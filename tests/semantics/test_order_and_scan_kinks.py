"""Derivatives of sorting, scans, NaN functions and quantiles at ties, zeros, NaN and infinities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

NAN, INF = float("nan"), float("inf")
W = np.array([1.0, 10.0, 100.0, 1000.0])  # so that each result can be told from the others


def weighted(f: Callable[..., Any]) -> Callable[..., Any]:
    """The sum of the results, each with its own weight."""
    return lambda x: (f(x) * W[: x.shape[0]]).sum()


# name, function, argument, value, gradient
KINKS: list[tuple[str, Callable[..., Any], Any, Any]] = [
    ("sort keeps ties in order", weighted(np.sort), [2.0, 1.0, 2.0, 1.0], [100, 1, 1000, 10]),
    ("sort puts NaN last", lambda x: np.sort(x)[:2].sum(), [NAN, 1.0, 0.0], [0, 1, 1]),
    ("median of four", np.median, [4.0, 1.0, 3.0, 2.0], [0, 0, 0.5, 0.5]),
    ("median of three", np.median, [4.0, 1.0, 3.0], [0, 0, 1]),
    ("median of equal ones", np.median, [1.0, 1.0], [0.5, 0.5]),
    ("nanmedian", np.nanmedian, [4.0, NAN, 1.0], [0.5, 0, 0.5]),
    ("quantile between", lambda x: np.quantile(x, 0.25), [1.0, 5.0, 3.0], [0.5, 0, 0.5]),
    ("quantile on an element", lambda x: np.quantile(x, 0.5), [1.0, 5.0, 3.0], [0, 0, 1]),
    ("quantile 1", lambda x: np.quantile(x, 1.0), [1.0, 5.0, 3.0], [0, 1, 0]),
    ("nanquantile 1", lambda x: np.nanquantile(x, 1.0), [1.0, NAN, 3.0], [0, 0, 1]),
    ("ptp, ties", np.ptp, [3.0, 1.0, 3.0], [0.5, -1, 0.5]),
    ("max with an initial tie", lambda x: np.max(x, initial=2.0), [2.0, 1.0], [0.5, 0]),
    ("max of masked", lambda x: np.max(x, initial=0.0, where=[True, False]), [2.0, 9.0], [1, 0]),
    ("cumprod, one zero", weighted(np.cumprod), [2.0, 0.0, 3.0, 4.0], [1, 24620, 0, 0]),
    ("cumprod, two zeros", weighted(np.cumprod), [0.0, 2.0, 0.0], [621 - 600, 0, 0]),
    ("nanprod", np.nanprod, [2.0, NAN, 3.0], [3, 0, 2]),
    ("nansum", np.nansum, [2.0, NAN, 3.0], [1, 0, 1]),
    ("nanmean", np.nanmean, [2.0, NAN, 4.0], [0.5, 0, 0.5]),
    ("nanvar", np.nanvar, [2.0, NAN, 4.0], [-1, 0, 1]),
    ("nanstd of a constant", np.nanstd, [2.0, NAN, 2.0], [0, 0, 0]),
    ("nanmax", np.nanmax, [2.0, NAN, 2.0], [0.5, 0, 0.5]),
    ("nancumsum", weighted(np.nancumsum), [2.0, NAN, 2.0], [111, 0, 100]),
    ("cummax, ties", weighted(ng.numpy.cummax), [1.0, 1.0, 0.0, 2.0], [111, 0, 0, 1000]),
    ("cummin, NaN", lambda x: ng.numpy.cummin(x)[:2].sum(), [2.0, 1.0, NAN], [1, 1, 0]),
    ("unique, ties", lambda x: (np.unique(x) * W[:2]).sum(), [3.0, 1.0, 3.0], [10, 1, 0]),
    ("interp at a knot", lambda x: np.interp(x, [0.0, 1, 2], [0.0, 1, 5]).sum(), [1.0], [4]),
    ("where of a sum", lambda x: np.sum(x, where=[True, False]), [1.0, NAN], [1, 0]),
    ("corrcoef at 1", lambda x: np.corrcoef(x, [1.0, 2.0])[0, 1], [1.0, 3.0], [0, 0]),
]


@pytest.mark.parametrize(("f", "x", "expected"), [c[1:] for c in KINKS], ids=[c[0] for c in KINKS])
def test_derivative(f: Callable[..., Any], x: Any, expected: Any) -> None:
    leaf = ng.tensor(x, requires_grad=True)
    y = f(leaf)
    with np.errstate(all="ignore"):
        plain = f(np.array(x))
    assert_allclose(y.detach().numpy(), plain, rtol=1e-14)
    y.backward()
    assert_allclose(leaf.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_logcumsumexp_where_nothing_has_come_yet() -> None:
    x = ng.tensor([-INF, -INF, 0.5, -INF, 800.0], requires_grad=True)
    y = ng.numpy.logcumsumexp(x)
    assert_allclose(y.detach(), [-INF, -INF, 0.5, 0.5, 800.0])
    y[2:].sum().backward()
    assert_allclose(x.grad, [0, 0, 2, 0, 1], atol=1e-300)


def test_cumprod_is_exact_at_zeros_at_order_two() -> None:
    def f(x: Any) -> Any:
        return (np.cumprod(x) * W).sum()

    # d2/dx0dx1 of 10 x0 x1 + 100 x0 x1 x2 + 1000 x0 x1 x2 x3, and so on.
    found = ng.hessian(f)(np.array([2.0, 0.0, 0.0, 3.0]))
    wanted = np.zeros((4, 4))
    wanted[0, 1] = wanted[1, 0] = 10
    wanted[1, 2] = wanted[2, 1] = 2 * (100 + 1000 * 3)
    assert_allclose(found, wanted, rtol=1e-12)


def test_integer_results_are_untracked() -> None:
    x = ng.tensor([3.0, 1.0, 2.0], requires_grad=True)
    for y in (
        np.argsort(x),
        np.argpartition(x, 1),
        np.searchsorted(x, 2.0),
        np.digitize(x, [1.5]),
        np.count_nonzero(x),
        np.histogram(x, 2, (0, 4))[0],
        np.unique(x, return_inverse=True)[1],
    ):
        assert y.dtype.kind == "i" and not y.requires_grad


def test_methods_take_the_names_of_both_libraries() -> None:
    a = np.array([[3.0, 1.0], [2.0, 4.0]])
    t = ng.tensor(a, requires_grad=True)
    assert_allclose(t.cumsum(dim=0).detach(), np.cumsum(a, axis=0))
    in_place = t * 1
    in_place.sort(axis=0)  # as NumPy's method does
    assert_allclose(in_place.detach(), np.sort(a, axis=0))
    assert_allclose(
        t.quantile(0.3, dim=1, keepdim=True).detach(), np.quantile(a, 0.3, 1, keepdims=True)
    )
    assert_allclose(t.median(dim=0).detach(), np.median(a, axis=0))
    assert t.argsort(dim=0).tolist() == np.argsort(a, axis=0).tolist()


def test_traced_positions_follow_the_values() -> None:
    sort = ng.jit(lambda x: np.sort(x) * np.argsort(x))
    for x in (np.array([3.0, 1.0, 2.0]), np.array([1.0, 5.0, 0.0])):
        assert_allclose(sort(x), np.sort(x) * np.argsort(x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: np.sort(t, axis=2), "axis 2 is out of bounds"),
        (lambda t: np.partition(t, 7), "out of bounds"),
        (lambda t: np.quantile(t, 1.5), r"range \[0, 1\]"),
        (lambda t: np.quantile(t, 2), "Quantiles must be"),
        (lambda t: np.quantile(t, 0.5, method="best"), "not a valid method"),
        (lambda t: np.sum(t, out=np.zeros(())), "cut the gradient"),
        (lambda t: np.max(t, where=[True, False]), "initial"),
        (lambda t: np.bincount(t), "cannot cast"),
        (lambda t: np.average(t, weights=[0.0, 0.0]), "sum to zero"),
        (lambda t: np.histogram(t, 0), "positive"),
        (lambda t: np.nanargmax(t * np.nan), "all-NaN"),
        (lambda t: np.gradient(t, edge_order=3), "not supported"),
        (lambda t: np.cov(t, ddof=0.5), "integer"),
        (lambda t: np.diff(t, n=-1), "non-negative"),
    ],
)
def test_errors_say_what_is_wrong(call: Callable[[Any], Any], message: str) -> None:
    t = ng.tensor([1.0, 2.0], requires_grad=True)
    errors = (ValueError, TypeError, ZeroDivisionError)
    with pytest.raises(errors, match=message):
        call(t)
