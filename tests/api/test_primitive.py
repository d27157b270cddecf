"""Elementwise operations that users declare: ``primitive`` and ``register_gradient``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.errors import AutogradError

X = np.linspace(-2.0, 2.0, 12).reshape(3, 4) + 0.05
Y = np.cos(np.arange(12.0)).reshape(3, 4) + 2.0
functional = ng.autograd.functional

by_function = ng.primitive(
    "my_gauss_by_function",
    lambda x, s: np.exp(-x * x / s) * 3.0,
    lambda out, x, s: -2 * x / s * out,
    lambda out, x, s: out * x * x / s**2,
    domain=((-2.0, 2.0), (0.5, 3.0)),
    doc="A bell of three and a half units.",
)
by_text = ng.primitive(
    "my_gauss_by_text",
    "exp_{c}(-{x} * {x} / {y}) * {c}(3.0)",
    lambda out, x, s: -2 * x / s * out,
    lambda out, x, s: out * x * x / s**2,
    reference=lambda x, s: np.exp(-x * x / s) * 3.0,
    domain=((-2.0, 2.0), (0.5, 3.0)),
)
OPERATIONS = [by_function, by_text]


def plainly(x: Any, s: Any) -> Any:
    return np.exp(-x * x / s) * 3.0


@pytest.fixture(params=OPERATIONS, ids=["function", "text"])
def op(request: Any) -> Any:
    return request.param


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
def test_values_and_derivatives_on_all_tiers(op: Any, tier: str) -> None:
    with ng.configure(tier=tier):
        assert_allclose(op(ng.tensor(X), Y).numpy(), plainly(X, Y), rtol=1e-14)
        assert_allclose(ng.jit(op)(X.T, Y.T[::-1]), plainly(X.T, Y.T[::-1]), rtol=1e-14)
        f = lambda g: lambda x, s: (g(x, s) ** 2).sum()
        for t in (lambda g: g, ng.jit):
            for mine, its in zip(
                t(ng.grad(f(op), (0, 1)))(X, Y), ng.grad(f(plainly), (0, 1))(X, Y), strict=True
            ):
                assert_allclose(mine, its, rtol=1e-12)
        mine, its = (ng.hessian(f(g), (0, 1))(X[0], Y[0]) for g in (op, plainly))
        for a, b in zip(mine, its, strict=True):
            for c, d in zip(a, b, strict=True):
                assert_allclose(c, d, rtol=1e-11, atol=1e-12)


def test_numbers_broadcasts_dtypes_and_forward_mode(op: Any) -> None:
    assert_allclose(float(op(0.5, 2.0)), plainly(0.5, 2.0), rtol=1e-14)
    assert_allclose(op(X, 2.0).numpy(), plainly(X, 2.0), rtol=1e-14)
    assert_allclose(op(2, Y[0]).numpy(), plainly(2.0, Y[0]), rtol=1e-14)
    assert op(X.astype(np.float32), np.float32(2)).dtype == np.float32
    assert op(X.astype(np.float32), 2.0).dtype == np.float32
    assert_allclose(op(X[:, :1], Y[0]).numpy(), plainly(X[:, :1], Y[0]), rtol=1e-14)
    w = ng.grad(lambda s: op(X, s).sum())(2.0)
    assert_allclose(w, ng.grad(lambda s: plainly(X, s).sum())(2.0), rtol=1e-12)
    _, t = functional.jvp(op, (ng.tensor(X), ng.tensor(Y)), (ng.tensor(Y), ng.tensor(X)))
    _, its = functional.jvp(plainly, (ng.tensor(X), ng.tensor(Y)), (ng.tensor(Y), ng.tensor(X)))
    assert_allclose(t, its, rtol=1e-12)
    rows = ng.vmap(op, (0, None))(X, Y[0])
    assert_allclose(rows, plainly(X, Y[0]), rtol=1e-14)
    per_row = ng.jit(ng.vmap(ng.grad(lambda x, s: op(x, s).sum()), (0, None)))(X, 2.0)
    assert_allclose(per_row, ng.grad(lambda x: plainly(x, 2.0).sum())(X), rtol=1e-12)
    x = [ng.tensor(a[0], requires_grad=True) for a in (X, Y)]
    assert ng.autograd.gradcheck(op, x, check_forward_ad=True)
    assert ng.autograd.gradgradcheck(op, x)


def test_one_kernel_with_what_stands_around(op: Any) -> None:
    alone = ng.jit(lambda x, s: np.tanh(op(x * 2, s) + 1))
    alone(X, Y)
    assert alone.stats(X, Y)["kernels"] == 1


def test_in_a_loop(op: Any) -> None:
    def f(g: Any, x: Any) -> Any:
        return ng.scan(lambda c, s: (g(c, s), c), x, Y)[0].sum()

    def unrolled(x: Any) -> Any:
        for row in Y:
            x = plainly(x, row)
        return x.sum()

    assert_allclose(ng.grad(lambda x: f(op, x))(X[0]), ng.grad(unrolled)(X[0]), rtol=1e-12)


def test_it_is_documented_and_known() -> None:
    assert ng.my_gauss_by_function is by_function
    assert by_function.__doc__.startswith("A bell of three and a half units")
    assert "Parameters\n----------" in by_function.__doc__
    assert by_function.__name__ == "my_gauss_by_function"
    y = by_function(ng.tensor(X, requires_grad=True), Y)
    assert "MyGaussByFunctionBackward0" in repr(y)


def test_one_operand_is_a_method_and_in_place() -> None:
    f = ng.primitive(
        "my_softsign_here", lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2
    )
    x = ng.tensor(X)
    assert_allclose(x.my_softsign_here(), X / (1 + abs(X)), rtol=1e-14)
    assert ng.my_softsign_here_(x) is x
    assert_allclose(x, X / (1 + abs(X)), rtol=1e-14)
    assert_allclose(ng.grad(f)(3.0), 1 / 16)


def test_a_partial_that_is_none_and_one_that_is_a_number() -> None:
    f = ng.primitive("my_held", lambda x, y: x * y, lambda x, y: 5.0, None)
    dx, dy = ng.grad(lambda x, y: f(x, y).sum(), (0, 1))(X, Y)
    assert_allclose(dx, 5 + 0 * X)
    assert_allclose(dy, 0 * Y)


def test_what_is_no_declaration() -> None:
    half = lambda x: 0.5 * x
    with pytest.raises(ValueError, match="already declared"):
        ng.primitive("sin", half, half)
    with pytest.raises(ValueError, match="is no name"):
        ng.primitive("my op", half, half)
    with pytest.raises(TypeError, match="1 operands and 2 partial"):
        ng.primitive("my_wrong", half, half, half)
    with pytest.raises(TypeError, match="needs reference"):
        ng.primitive("my_wrong", "{x} * 2", half)
    with pytest.raises(TypeError, match="function, or the text"):
        ng.primitive("my_wrong", 3, half)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no expression"):
        ng.primitive("my_wrong", "{x} *", half, reference=half)
    with pytest.raises(ValueError, match="no expression"):
        ng.primitive("my_wrong", "{q} * 2", half, reference=half)
    with pytest.raises(ValueError, match="in that order"):
        ng.primitive("my_wrong", "{y} * 2", half, reference=half)
    with pytest.raises(ValueError, match="kernels know no foo"):
        ng.primitive("my_wrong", "foo({x})", half, reference=half)
    with pytest.raises(TypeError, match="not elementwise: it calls sum"):
        ng.primitive("my_wrong", lambda x: x * x.sum(), half)
    with pytest.raises(TypeError, match="reads an array from outside"):
        ng.primitive("my_wrong", lambda x: x * Y, half)
    with pytest.raises(TypeError, match="return one element"):
        ng.primitive("my_wrong", lambda x: (x, x), half)
    with pytest.raises(TypeError, match="operands by position"):
        ng.primitive("my_wrong", lambda *x: x[0], half)
    with pytest.raises(TypeError, match="takes no operands"):
        ng.primitive("my_wrong", lambda: 1.0, half)
    assert "my_wrong" not in dir(ng.numpy)


# ------------------------------------------------------------------------------ registered gradients


def test_a_gradient_registered_later() -> None:
    f = ng.primitive("my_step_then", lambda x: np.where(x > 0, 1.0, 0.0))
    assert_allclose(f(X).numpy(), X > 0)
    for g in (ng.grad(lambda x: f(x).sum()), ng.jit(ng.grad(lambda x: f(x).sum()))):
        with pytest.raises(AutogradError, match="register_gradient"):
            g(X)
    with pytest.raises(AutogradError, match="register_gradient"):
        functional.jvp(f, ng.tensor(X), ng.tensor(Y))

    @ng.register_gradient("my_step_then")
    def soft(op: Any, grad: Any) -> Any:
        assert "my_step_then" in repr(op) and op.outputs[0].shape == op.inputs[0].shape
        s = 1 / (1 + np.exp(-op.inputs[0]))
        return grad * s * (1 - s)

    s = 1 / (1 + np.exp(-X))
    for t in (lambda g: g, ng.jit):
        assert_allclose(t(ng.grad(lambda x: f(x).sum()))(X), s * (1 - s), rtol=1e-13)
        second = t(ng.grad(ng.grad(lambda x: f(x))))(0.3)
        sigma = 1 / (1 + np.exp(-0.3))
        assert_allclose(second, sigma * (1 - sigma) * (1 - 2 * sigma), rtol=1e-12)
    _, tangent = functional.jvp(f, ng.tensor(X), ng.tensor(Y))
    assert_allclose(tangent, s * (1 - s) * Y, rtol=1e-13)
    with pytest.raises(KeyError, match="has a gradient already"):
        ng.register_gradient("my_step_then")(soft)


def test_of_two_inputs_and_none() -> None:
    f = ng.primitive("my_pair_then", lambda x, y: x * y)
    ng.register_gradient("my_pair_then")(lambda op, grad: (grad * 7 * op.inputs[1], None))
    dx, dy = ng.grad(lambda x, y: f(x, y).sum(), (0, 1))(X, Y)
    assert_allclose(dx, 7 * Y)
    assert_allclose(dy, 0 * Y)
    g = ng.primitive("my_pair_wrong", lambda x, y: x * y)
    ng.register_gradient("my_pair_wrong")(lambda op, grad: grad)
    with pytest.raises(TypeError, match="1 gradients for 2 inputs"):
        ng.grad(lambda x: g(x, Y).sum())(X)


def test_operations_that_have_a_gradient_or_are_none() -> None:
    with pytest.raises(KeyError, match="no operation 'my_nothing'"):
        ng.register_gradient("my_nothing")(lambda op, grad: grad)
    with pytest.raises(KeyError, match="has a gradient already"):
        ng.register_gradient("sin")(lambda op, grad: grad)
