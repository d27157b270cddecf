"""Lists and tuples where NumPy takes a sequence for an array, with tensors in them."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
import nbgrad.numpy as gnp

X = np.array([1.0, 2.0, 3.0])

# A function of NumPy's or our namespace and an array.
NESTS: dict[str, Callable[[Any, Any], Any]] = {
    "reduction": lambda xp, x: xp.mean([x[0] ** 2, x[1]]),
    "spread": lambda xp, x: xp.var((x[0] ** 2, x[1], 4.0)),
    "nested": lambda xp, x: xp.sum([[x[0], x[1]], [x[2], 2.0]] * x[:2]),
    "ufunc": lambda xp, x: xp.exp([x[0], x[1]]).sum(),
    "ufunc of a tuple": lambda xp, x: xp.sin((x[2], x[1] * x[0])).sum(),
    "two operands": lambda xp, x: xp.multiply(x[:2], [x[1], x[2]]).sum(),
    "operator": lambda xp, x: (x[:2] * [x[1], x[2]]).sum(),
    "reflected operator": lambda xp, x: ([x[1], 2.0] / x[:2]).sum(),
    "in place": lambda xp, x: _added(x * 1.0, [x[2], x[1], x[0] * x[0]]).sum(),
    "matrix product": lambda xp, x: x[:2] @ [x[1], x[2]],
    "dot": lambda xp, x: xp.dot([x[0], x[1]], [x[2], 2.0]),
    "norm": lambda xp, x: xp.linalg.norm([x[0], x[1]]),
    "append": lambda xp, x: (xp.append([x[0], x[1]], [x[2]]) ** 2).sum(),
    "rows of an array": lambda xp, x: (xp.vstack(xp.outer(x, x)) ** 2).sum(),
    "columns of an array": lambda xp, x: (xp.column_stack(xp.outer(x, x[:2])) ** 2)[0].sum(),
    "joined array": lambda xp, x: (xp.concatenate(xp.outer(x, x)) ** 3)[:4].sum(),
    "stacked array": lambda xp, x: (xp.stack(xp.outer(x, x), axis=1) ** 3)[0].sum(),
    "tuples as index": lambda xp, x: (xp.outer(x, x)[(0, 1, 0), (2, 2, 1)] ** 2).sum(),
}


def _added(x: Any, values: Any) -> Any:
    x += values
    return x


@pytest.mark.parametrize("name", NESTS)
def test_value_and_gradient(name: str) -> None:
    function = NESTS[name]
    value, gradient = ng.value_and_grad(lambda x: function(gnp, x))(X)
    assert_allclose(value, function(np, X), rtol=1e-14)
    steps = 1e-6 * np.eye(3)
    numeric = [(function(np, X + s) - function(np, X - s)) / 2e-6 for s in steps]
    assert_allclose(gradient, numeric, rtol=1e-8, atol=1e-8)


def test_a_plain_ufunc_takes_a_list_of_tensors_beside_a_tensor() -> None:
    assert_allclose(ng.grad(lambda x: np.multiply([x[1], x[2]], x[:2]).sum())(X), [2, 4, 2])


def test_assignment_by_tuples() -> None:
    x = ng.zeros((2, 3))
    x[(0, 1), (2, 0)] = [5.0, 6.0]
    assert_array_equal(x.numpy(), [[0, 0, 5], [6, 0, 0]])


def test_joining_a_scalar_is_an_error() -> None:
    with pytest.raises(TypeError, match="must be a sequence, not one 0-d array"):
        gnp.vstack(ng.tensor(1.0))


@pytest.mark.parametrize(
    ("argument", "place"),
    [("text", "0"), ({"a": "b"}, r"0\['a'\]"), ([1.0, ["b"]], r"0\[1\]\[0\]")],
)
def test_what_is_no_number_is_refused_by_its_place(argument: Any, place: str) -> None:
    with pytest.raises(TypeError, match=rf"argument {place} is a str that makes no array"):
        ng.grad(lambda p: p[0].sum())(argument)


@pytest.mark.parametrize("transform", [ng.grad, ng.value_and_grad])
def test_a_list_is_no_scalar(transform: Any) -> None:
    with pytest.raises(TypeError, match=r"returned a list; .*return nbgrad.numpy.array"):
        transform(lambda x: [x[0], x[1]])(X)


def test_the_modules_of_numpy_can_be_imported_under_our_name() -> None:
    for name in ("random", "linalg", "fft"):
        ours, theirs = (importlib.import_module(f"{p}.{name}") for p in ("nbgrad.numpy", "numpy"))
        assert set(theirs.__all__) <= set(dir(ours))
    draws = importlib.import_module("nbgrad.numpy.random")
    assert type(draws.RandomState(0).randn(2)) is np.ndarray
    assert draws.seed is np.random.seed


BESIDE: dict[str, Callable[[Any, Any], Any]] = {
    "isclose": lambda a, xs: np.isclose(a, xs),
    "allclose": lambda a, xs: np.allclose(a, xs),
    "array_equal": lambda a, xs: np.array_equal(a * 1.5, xs),
    "where": lambda a, xs: np.where(a > 1, a, xs) * a,
    "clip": lambda a, xs: np.clip(a, 0.0, xs) * a,
    "add": lambda a, xs: np.add(a, [xs, [1.0, xs[0]]]),
    "quantile": lambda a, xs: np.quantile(a, [xs[0] / 4, xs[1] / 4]),
    "interp": lambda a, xs: np.interp(a, xs, [1.0, 2.0]),
    "written": lambda a, xs: _written(a * 1.0, xs),
    "put": lambda a, xs: _written(a * 1.0, xs, np.put, [0, 1]),
}


def _written(y: Any, xs: Any, write: Any = operator.setitem, *at: Any) -> Any:
    write(y, *(at or (slice(0, 2),)), xs)
    return y * y


@pytest.mark.parametrize("name", BESIDE)
def test_a_list_of_tensors_is_an_operand_as_a_list_of_numbers_is(name: str) -> None:
    f = BESIDE[name]
    numbers, array = [1.5, 3.0], np.array([1.0, 2.0])
    wanted = f(array, numbers)
    for build in (
        lambda q: f(ng.tensor(array), [q, q * 2.0]),
        lambda q: f(array * q / q, [q, 2 * q]),
    ):
        found = build(ng.tensor(1.5, requires_grad=True))
        assert_allclose(found.detach() if isinstance(found, ng.Tensor) else found, wanted)

    def total(q: Any) -> Any:
        return np.sum(f(ng.tensor(array), [q, q * 2.0]))

    if np.asarray(wanted).dtype.kind == "f":
        slope = (total(1.5 + 1e-6) - total(1.5 - 1e-6)) / 2e-6
        assert_allclose(ng.grad(total)(1.5), float(slope), rtol=1e-6, atol=1e-9)
        assert_allclose(ng.jit(ng.grad(total))(1.5), float(slope), rtol=1e-6, atol=1e-9)
