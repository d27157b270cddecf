"""Several solves with one matrix, or with it and its transpose, factor it once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng


def steps(f: Any, *args: Any) -> Counter[str]:
    return Counter(step["name"] for step in f.cost(*args)["steps"] if step["kind"] == "library")


def system(*shape: int, dtype: str = "float64", columns: int = 2) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    a = rng.normal(size=shape) + 2 * shape[-1] * np.eye(shape[-1])
    return a.astype(dtype), rng.normal(size=(*shape[:-1], columns)).astype(dtype)


def loss(a: Any, b: Any) -> Any:
    return ng.sin(ng.linalg.solve(a, b)).sum()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(18, 18), (2, 3, 3)])
def test_value_and_gradient_share_a_factorization(shape: tuple[int, ...], dtype: str) -> None:
    a, b = system(*shape, dtype=dtype)
    derive = ng.jit(ng.value_and_grad(loss, argnums=(0, 1)))
    value, (by_a, by_b) = derive(a, b)
    found = steps(derive, a, b)
    assert found["lu_factored"] == 1 and found["lu_solved"] == 2 and not found["solve"]
    x = np.linalg.solve(a.astype(float), b)
    back = np.linalg.solve(np.swapaxes(a, -1, -2).astype(float), np.cos(x))
    few = 1e-12 if dtype == "float64" else 1e-4
    assert_allclose(value, np.sin(x).sum(), few)
    assert_allclose(by_b, back, few, few)
    assert_allclose(by_a, -back @ np.swapaxes(x, -1, -2), few, few)


def test_derivatives_of_second_order_do_too() -> None:
    a, b = system(4, 4)
    v = np.cos(np.arange(16.0)).reshape(4, 4)
    product = ng.jit(lambda a: ng.hvp(lambda a: loss(a, b), (a,), (v,)))
    found = steps(product, a)
    assert found["lu_factored"] == 1 and not found["solve"]
    gradient = ng.grad(lambda a: loss(a, b))
    step = 1e-5
    expected = (gradient(a + step * v) - gradient(a - step * v)) / (2 * step)
    assert_allclose(product(a), expected, 1e-6, 1e-9)


def test_one_solve_keeps_its_own_kernel() -> None:
    a, b = system(4, 4)
    assert steps(ng.jit(loss), a, b) == {"solve": 1}


def test_a_singular_matrix_is_named_as_before() -> None:
    a, b = system(2, 3, 3)
    a[1] = 0
    with pytest.raises(
        np.linalg.LinAlgError, match=r"Singular matrix \(matrix \(1,\) of the batch"
    ):
        ng.jit(ng.value_and_grad(loss))(a, b)


# ------------------------------------------------------------------------------------------ Cholesky


def whitened(a: Any, y: Any) -> tuple[Any, Any]:
    factor = ng.linalg.cholesky((a + ng.swapaxes(a, -1, -2)) * 0.5)
    return factor, ng.linalg.solve_triangular(factor, y, lower=True)


def likelihood(a: Any, y: Any) -> Any:
    factor, w = whitened(a, y)
    return -0.5 * (w * w).sum() * 1.5 - 2.0 * ng.log(ng.linalg.diagonal(factor)).sum()


def scaled(a: Any, y: Any) -> Any:
    """The cotangents are multiples that the program computes."""
    factor, w = whitened(a, y)
    return (w * w).sum() * ng.log(ng.linalg.diagonal(factor)).sum()


def by_both(a: Any, y: Any) -> Any:
    factor, w = whitened(a, y)
    x = ng.linalg.solve_triangular(ng.swapaxes(factor, -1, -2), w, lower=False)
    return (x * y).sum() + ng.log(ng.linalg.diagonal(factor)).sum()


def factored_twice(a: Any, y: Any) -> Any:
    """As users write it who keep no factor."""
    a = (a + ng.swapaxes(a, -1, -2)) * 0.5
    x = ng.linalg.cho_solve(ng.linalg.cho_factor(a, lower=True), y)
    return -(x * y).sum() - ng.log(ng.diagonal(ng.linalg.cholesky(a))).sum()


def mixed(a: Any, y: Any) -> Any:
    factor, w = whitened(a, y)
    d = ng.linalg.diagonal(factor)
    return ng.sin(w).sum() + ng.log(d).sum() + (d**3).sum() + (ng.tril(factor, -1) ** 2).sum()


def upper(a: Any, y: Any) -> Any:
    factor = ng.swapaxes(whitened(a, y)[0], -1, -2)
    w = ng.linalg.solve_triangular(factor, y, lower=False)
    return ng.cos(w).sum()


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (likelihood, (5, 5)),
        (scaled, (2, 4, 4)),
        (by_both, (5, 5)),
        (factored_twice, (5, 5)),
        (mixed, (2, 4, 4)),
        (upper, (5, 5)),
    ],
)
def test_cotangents_of_a_cholesky_factor(f: Any, shape: tuple[int, ...]) -> None:
    a, y = system(*shape, columns=1 if len(shape) == 2 else 3)
    v = np.cos(np.arange(a.size)).reshape(shape)

    def along(t: float) -> Any:
        return float(f(ng.tensor(a + t * v), ng.tensor(y)))

    step = 1e-4
    slope = (8 * (along(step) - along(-step)) - along(2 * step) + along(-2 * step)) / (12 * step)
    derive = ng.jit(ng.grad(f))
    found = derive(a, y)
    assert_allclose((found * v).sum(), slope, 1e-8)
    assert_allclose(ng.grad(f)(a, y), found, 1e-11, 1e-13)
    # Their own derivative, along v: the rules of both formulas.
    change = (ng.grad(f)(a + step * v, y) - ng.grad(f)(a - step * v, y)) / (2 * step)
    assert_allclose(ng.hvp(lambda a: f(a, y), (a,), (v,)), change, 1e-5, 1e-6)
    library = steps(derive, a, y)
    if f in (likelihood, scaled, by_both, factored_twice):
        # No product or solve with a whole matrix on its right: one inverse, of the factor.
        assert library["cholesky_inverse"] == 1 and library["solve_triangular"] <= 5
        assert library["matmul"] <= (len(shape) > 2)
    else:
        assert not library["cholesky_inverse"]


def test_the_inverse_of_float32() -> None:
    a, y = system(20, 20, dtype="float32", columns=1)
    expected = ng.grad(likelihood)(a.astype(float), y.astype(float))
    assert_allclose(ng.jit(ng.grad(likelihood))(a, y), expected, 1e-4, 1e-5)


def test_a_likelihood_has_one_factorization() -> None:
    """Solve, determinant and the adjoints of both, of a matrix and of its transpose."""
    a = np.random.default_rng(3).normal(size=(6, 6)) + 6 * np.eye(6)

    def loss(a: Any, b: Any) -> Any:
        return b @ np.linalg.solve(a, b) + 3 * np.linalg.slogdet(a.T)[1]

    b = np.arange(6.0)
    compiled = ng.jit(ng.value_and_grad(loss))
    value, slope = compiled(a, b)
    found = steps(compiled, a, b)
    assert found["lu_factored"] == 1 and not found["inv"] and not found["solve"], found
    assert_allclose(np.asarray(value), loss(a, b), rtol=1e-12)
    for i, j in ((0, 0), (1, 4), (5, 2)):
        h = np.zeros((6, 6))
        h[i, j] = 1e-5
        assert_allclose(
            np.asarray(slope)[i, j], (loss(a + h, b) - loss(a - h, b)) / 2e-5, rtol=1e-6
        )
