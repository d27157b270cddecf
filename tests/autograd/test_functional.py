"""``autograd.functional`` with PyTorch's shapes, and ``grad``, ``value_and_grad``, ``jit``."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.autograd import functional

X, Y, V = np.array([0.5, -1.5]), np.array([2.0, 3.0, -1.0]), np.array([1.0, -2.0])


def outer_sine(x: Any, y: Any) -> Any:
    """Shape (2, 3) from shapes (2,) and (3,)."""
    return ng.sin(x).reshape(2, 1) * y


def cubic(x: Any, y: Any) -> Any:
    return (x**3).sum() * y.sum() + (y**2).sum()


# ---------------------------------------------------------------------------- autograd.functional


def test_jacobian_of_one_input_has_shape_of_output_then_input() -> None:
    jacobian = functional.jacobian(lambda x: outer_sine(x, Y), ng.tensor(X))
    assert jacobian.shape == (2, 3, 2)
    expected = np.einsum("ik,i,j->ijk", np.eye(2), np.cos(X), Y)
    assert_allclose(jacobian.numpy(), expected, rtol=1e-12)


def test_jacobian_of_two_inputs_is_a_tuple() -> None:
    by_x, by_y = functional.jacobian(outer_sine, (ng.tensor(X), ng.tensor(Y)))
    assert_allclose(by_x.numpy(), np.einsum("ik,i,j->ijk", np.eye(2), np.cos(X), Y), rtol=1e-12)
    assert_allclose(by_y.numpy(), np.einsum("jk,i->ijk", np.eye(3), np.sin(X)), rtol=1e-12)


def test_jacobian_of_two_outputs_is_a_tuple_over_outputs() -> None:
    square, total = functional.jacobian(lambda x: (x**2, x.sum()), ng.tensor(X))
    assert_allclose(square.numpy(), np.diag(2 * X))
    assert_allclose(total.numpy(), [1.0, 1.0])


def test_jacobian_of_two_outputs_and_two_inputs_is_nested() -> None:
    nested = functional.jacobian(lambda x, y: (x * 2, y.sum()), (ng.tensor(X), ng.tensor(Y)))
    shapes = [[block.shape for block in row] for row in nested]
    assert shapes == [[(2, 2), (2, 3)], [(2,), (3,)]]
    assert_allclose(nested[0][0].numpy(), 2 * np.eye(2))
    assert_allclose(nested[0][1].numpy(), np.zeros((2, 3)))
    assert_allclose(nested[1][0].numpy(), np.zeros(2))


def test_jacobian_of_a_number_is_a_number() -> None:
    jacobian = functional.jacobian(lambda x: x**2, ng.tensor(3.0))
    assert jacobian.shape == () and jacobian.item() == 6.0


def test_jacobian_with_create_graph_is_differentiable() -> None:
    x = ng.tensor(X, requires_grad=True)
    jacobian = functional.jacobian(lambda x: x**3, x, create_graph=True)
    (g,) = ng.autograd.grad(jacobian.sum(), x)
    assert_allclose(g.numpy(), 6 * X)
    assert not functional.jacobian(lambda x: x**3, x).requires_grad


def test_functional_calls_leave_the_inputs_alone() -> None:
    x = ng.tensor(X, requires_grad=True)
    untracked = ng.tensor(X)
    for t in (x, untracked):
        functional.jacobian(lambda x: x**3, t)
        functional.hessian(lambda x: (x**3).sum(), t)
        functional.vjp(lambda x: x**3, t, ng.ones(2))
        functional.jvp(lambda x: x**3, t, ng.ones(2))
    assert x.grad is None and x.requires_grad
    assert untracked.grad is None and not untracked.requires_grad


def test_hessian_of_one_input() -> None:
    hessian = functional.hessian(lambda x: (x**3).sum() + x[0] * x[1], ng.tensor(X))
    assert_allclose(hessian.numpy(), [[6 * X[0], 1.0], [1.0, 6 * X[1]]])


def test_hessian_of_two_inputs_is_a_tuple_of_tuples() -> None:
    blocks = functional.hessian(cubic, (ng.tensor(X), ng.tensor(Y)))
    (xx, xy), (yx, yy) = blocks
    mixed = np.outer(3 * X**2, np.ones(3))
    assert_allclose(xx.numpy(), np.diag(6 * X * Y.sum()))
    assert_allclose(xy.numpy(), mixed)
    assert_allclose(yx.numpy(), mixed.T)
    assert_allclose(yy.numpy(), 2 * np.eye(3))


def test_hessian_of_a_linear_function_is_zeros() -> None:
    hessian = functional.hessian(lambda x: (2 * x).sum(), ng.tensor(X))
    assert_allclose(hessian.numpy(), np.zeros((2, 2)))


def test_hessian_needs_a_single_element() -> None:
    with pytest.raises(RuntimeError, match="single"):
        functional.hessian(lambda x: x**2, ng.tensor(X))


def test_vjp_and_jvp_of_two_inputs() -> None:
    inputs = (ng.tensor(X), ng.tensor(Y))
    v = np.arange(6.0).reshape(2, 3)
    output, (by_x, by_y) = functional.vjp(outer_sine, inputs, ng.tensor(v))
    assert_allclose(output.numpy(), np.outer(np.sin(X), Y), rtol=1e-12)
    assert_allclose(by_x.numpy(), np.cos(X) * (v @ Y), rtol=1e-12)
    assert_allclose(by_y.numpy(), np.sin(X) @ v, rtol=1e-12)
    dx, dy = V, np.array([1.0, 0.0, 4.0])
    output, tangent = functional.jvp(outer_sine, inputs, (ng.tensor(dx), ng.tensor(dy)))
    assert_allclose(output.numpy(), np.outer(np.sin(X), Y), rtol=1e-12)
    expected = np.outer(np.cos(X) * dx, Y) + np.outer(np.sin(X), dy)
    assert_allclose(tangent.numpy(), expected, rtol=1e-12)


def test_vjp_and_jvp_without_a_vector() -> None:
    _, product = functional.vjp(lambda x: (x**2).sum(), ng.tensor(X))
    assert_allclose(product.numpy(), 2 * X)
    _, tangent = functional.jvp(lambda x: x**2, ng.tensor(3.0))
    assert tangent.item() == 6.0
    with pytest.raises(RuntimeError, match="single element"):
        functional.vjp(lambda x: x**2, ng.tensor(X))
    with pytest.raises(RuntimeError, match="single element"):
        functional.jvp(lambda x: x**2, ng.tensor(X))


def test_jvp_equals_the_jacobian_times_the_vector() -> None:
    f = lambda x: ng.exp(x[0] * x) / (1 + x * x)
    jacobian = functional.jacobian(f, ng.tensor(X)).numpy()
    _, tangent = functional.jvp(f, ng.tensor(X), ng.tensor(V))
    _, cotangent = functional.vjp(f, ng.tensor(X), ng.tensor(V))
    assert_allclose(tangent.numpy(), jacobian @ V, rtol=1e-12)
    assert_allclose(cotangent.numpy(), V @ jacobian, rtol=1e-12)


def test_hessian_products_of_two_inputs() -> None:
    inputs, v = (ng.tensor(X), ng.tensor(Y)), (ng.tensor(V), ng.tensor([1.0, 0.0, 4.0]))
    by_x = 6 * X * Y.sum() * V + 3 * X**2 * 5.0
    by_y = np.full(3, (3 * X**2 * V).sum()) + 2 * np.array([1.0, 0.0, 4.0])
    for product in (functional.hvp, functional.vhp):
        output, (hx, hy) = product(cubic, inputs, v)
        assert_allclose(output.item(), (X**3).sum() * Y.sum() + (Y**2).sum())
        assert_allclose(hx.numpy(), by_x)
        assert_allclose(hy.numpy(), by_y)


def test_unused_input_gives_zeros() -> None:
    inputs = (ng.tensor(X), ng.tensor(Y))
    f = lambda x, y: (x**2).sum()
    assert_allclose(functional.jacobian(f, inputs)[1].numpy(), np.zeros(3))
    assert_allclose(functional.vjp(f, inputs)[1][1].numpy(), np.zeros(3))
    assert_allclose(functional.hessian(f, inputs)[0][1].numpy(), np.zeros((2, 3)))


# ----------------------------------------------------------------------------- the functional front


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def rosenbrock_gradient(x: np.ndarray) -> np.ndarray:
    g = np.zeros_like(x)
    residual = x[1:] - x[:-1] ** 2
    g[1:] += 200 * residual
    g[:-1] += -400 * x[:-1] * residual - 2 * (1 - x[:-1])
    return g


def test_grad_takes_and_returns_arrays() -> None:
    x = np.linspace(-1, 2, 10)
    gradient = ng.grad(rosenbrock)(x)
    assert isinstance(gradient, np.ndarray) and gradient.shape == (10,)
    assert_allclose(gradient, rosenbrock_gradient(x), rtol=1e-12, atol=1e-12)


def test_value_and_grad() -> None:
    x = np.linspace(-1, 2, 10)
    value, gradient = ng.value_and_grad(rosenbrock)(x)
    assert_allclose(float(value), rosenbrock(x), rtol=1e-14)
    assert_allclose(gradient, rosenbrock_gradient(x), rtol=1e-12, atol=1e-12)


def test_grad_of_a_python_float() -> None:
    assert_allclose(float(ng.grad(lambda x: x * ng.sin(x))(2.0)), np.sin(2.0) + 2 * np.cos(2.0))


def test_argnums() -> None:
    f = lambda x, k, y: k * (x * y).sum()
    y = np.array([3.0, 4.0])
    assert_allclose(ng.grad(f)(X, 2, y), 2 * y)
    assert_allclose(ng.grad(f, argnums=2)(X, 2, y), 2 * X)
    assert_allclose(ng.grad(f, argnums=-1)(X, 2, y), 2 * X)
    by_y, by_x = ng.grad(f, argnums=(2, 0))(X, 2.0, y)
    assert_allclose(by_y, 2 * X)
    assert_allclose(by_x, 2 * y)
    value, (by_x,) = ng.value_and_grad(f, argnums=(0,))(X, 2.0, y)
    assert_allclose(float(value), 2 * X @ y)
    assert_allclose(by_x, 2 * y)


def test_keyword_arguments_are_constants() -> None:
    f = lambda x, *, scale: (scale * x * x).sum()
    assert_allclose(ng.grad(f)(X, scale=3.0), 6 * X)


def test_grad_nests() -> None:
    third = ng.grad(ng.grad(ng.grad(lambda x: x**5)))
    assert_allclose(float(third(2.0)), 60 * 4.0)
    mixed = ng.grad(lambda x: x * ng.grad(lambda y: x * y * y)(3.0))
    assert_allclose(float(mixed(2.0)), 2 * 2.0 * 2 * 3.0)


def test_grad_of_numpy_functions_and_python_control_flow() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for k in range(3):
            total = total + np.sin(k * x).sum() if k % 2 else total + np.exp(x).sum()
        return total

    assert_allclose(ng.grad(f)(X), 2 * np.exp(X) + np.cos(X), rtol=1e-12)


def test_grad_of_a_tensor_argument() -> None:
    gradient = ng.grad(lambda x: (x * x).sum())(ng.tensor(X))
    assert_allclose(np.asarray(gradient), 2 * X)


def test_grad_keeps_the_dtype_of_its_argument() -> None:
    assert ng.grad(lambda x: (x * x).sum())(X.astype(np.float32)).dtype == np.float32


def test_function_that_raises_leaves_everything_usable() -> None:
    def f(x: Any) -> Any:
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        ng.grad(f)(X)
    assert_allclose(ng.grad(lambda x: (x * x).sum())(X), 2 * X)


# -------------------------------------------------------------------------------------------- jit


def test_jit_of_a_function_of_arrays() -> None:
    calls = []

    @ng.jit
    def f(x: Any, y: Any) -> Any:
        calls.append(1)
        return ng.sin(x) * y + 2

    for k in range(1, 5):
        x, y = k * X, k + V
        result = f(x, y)
        assert isinstance(result, np.ndarray)
        assert_allclose(result, np.sin(x) * y + 2, rtol=1e-12)
    assert len(calls) == 1
    assert_allclose(f(Y, Y), np.sin(Y) * Y + 2, rtol=1e-12)
    assert len(calls) == 2


def test_jit_follows_shape_and_dtype() -> None:
    f = ng.jit(lambda x: (x * x).sum(axis=0))
    for x in (
        np.ones((2, 3)),
        np.ones((5, 1)),
        np.ones(4, np.float32),
        np.ones((0, 2)),
        np.ones(3),
    ):
        result = f(x)
        assert np.asarray(result).dtype == x.dtype
        assert_allclose(result, (x * x).sum(axis=0))


def test_jit_of_gradients_and_gradients_of_jit() -> None:
    x = np.linspace(-1, 2, 10)
    expected = rosenbrock_gradient(x)
    for f in (
        ng.jit(ng.grad(rosenbrock)),
        ng.grad(ng.jit(rosenbrock)),
        ng.jit(ng.grad(ng.jit(rosenbrock))),
    ):
        for _ in range(2):
            assert_allclose(f(x), expected, rtol=1e-11, atol=1e-11)
    value, gradient = ng.jit(ng.value_and_grad(rosenbrock))(x)
    assert_allclose(float(value), rosenbrock(x), rtol=1e-12)
    assert_allclose(gradient, expected, rtol=1e-11, atol=1e-11)


def test_jit_inputs_may_be_strided_or_reversed() -> None:
    f = ng.jit(lambda x: 2 * x + 1)
    base = np.arange(12.0).reshape(3, 4)
    for x in (base.T, base[::-1], base[:, ::2], base[1]):
        assert_allclose(f(x), 2 * x + 1)


def test_jit_result_is_not_overwritten_by_the_next_call() -> None:
    f = ng.jit(lambda x: x * 2)
    first = f(np.ones(3))
    f(np.full(3, 7.0))
    assert_allclose(first, [2.0, 2.0, 2.0])


def test_jit_of_several_results() -> None:
    square, total = ng.jit(lambda x: (x * x, x.sum()))(X)
    assert_allclose(square, X * X)
    assert_allclose(total, X.sum())


def test_jit_of_a_branch_on_a_value_names_where() -> None:
    with pytest.raises(TypeError, match=re.escape("where")):
        ng.jit(lambda x: x if x.sum() > 0 else -x)(X)
    with pytest.raises(TypeError, match="jit"):
        ng.jit(lambda x: x * float(x[0]))(X)
    with pytest.raises(TypeError, match="jit"):
        ng.jit(lambda x: x * np.asarray(x))(X)


def test_jit_reads_closed_over_arrays_once() -> None:
    weights = np.array([2.0, 3.0])
    f = ng.jit(lambda x: x * weights)
    assert_allclose(f(X), X * [2.0, 3.0])
    assert_allclose(f(V), V * [2.0, 3.0])


def test_arrays_in_arrays_out_also_where_an_inner_transform_is_of_another_variable():
    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])

    def inner(x):
        return ng.grad(lambda y: (x * y * y).sum())(y).sum()

    for f in (ng.grad(inner), ng.jit(ng.grad(inner))):
        assert type(f(x)) is np.ndarray
        np.testing.assert_allclose(f(x), 2 * y)
    by_jacobian = ng.grad(lambda x: ng.jacobian(lambda y: x * y * y)(y).sum())(x)
    assert type(by_jacobian) is np.ndarray
    np.testing.assert_allclose(by_jacobian, 2 * y)
    tracked = ng.tensor(x, requires_grad=True)
    assert ng.grad(lambda y: (tracked * y * y).sum())(y).requires_grad


def test_jacobian_and_hessian_by_several_arguments() -> None:
    x, y = np.array([1.0, 2.0]), np.array([0.5, -1.0, 2.0])

    def f(x: Any, y: Any) -> Any:
        return (x**2)[:, None] * y

    blocks = ng.jacobian(f, argnums=(0, 1))(x, y)
    assert isinstance(blocks, tuple) and [b.shape for b in blocks] == [(2, 3, 2), (2, 3, 3)]
    for k, block in enumerate(blocks):
        assert_allclose(block, ng.jacobian(f, argnums=k)(x, y))
    for found in (ng.jit(ng.jacobian(f, (0, 1))), ng.jacobian(ng.jit(f), [0, 1])):
        for a, b in zip(found(x, y), blocks, strict=True):
            assert_allclose(a, b)
    (rows,) = ng.jacobian(lambda x, y: (x**2).sum() * y.sum(), (1,))(x, y)  # reverse mode
    assert_allclose(rows, [5.0] * 3)

    def scalar(x: Any, y: Any) -> Any:
        return (f(x, y) ** 2).sum()

    second = ng.hessian(scalar, argnums=(0, 1))(x, y)
    whole = ng.hessian(lambda z: scalar(z[:2], z[2:]))(np.concatenate([x, y]))
    assert_allclose(np.block([list(row) for row in second]), whole)
    assert_allclose(second[0][0], ng.hessian(scalar)(x, y))
    third = ng.jacobian(ng.hessian(scalar))(x, y)
    assert_allclose(
        ng.grad(lambda x: ng.hessian(scalar, (0, 1))(x, y)[0][0].sum())(x), third.sum((0, 1))
    )
    linear = ng.hessian(lambda x, y: x.sum() + (y**2).sum(), (0, 1))(x, y)
    assert not linear[0][0].any() and not linear[0][1].any() and linear[1][1][0, 0] == 2.0


def test_a_strategy_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="strategy='forward' must be one of auto, forward-mode"):
        ng.autograd.functional.jacobian(lambda x: x, ng.ones(2), strategy="forward")
