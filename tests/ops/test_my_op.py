"""Adding an operation is one declaration: everything below follows from the one in this file."""

from __future__ import annotations

import numpy as np
import operations_page as operations
import pytest
from numpy.testing import assert_allclose
from samples import samples

import nbgrad as ng
from nbgrad.ops.kinds.elementwise import elementwise

my_op = elementwise(
    "my_op",
    expr="log1p_{c}({x} * {x})",
    reference=lambda x: np.log1p(x * x),
    loop=lambda kinds: (np.result_type(*kinds, np.float32),) * 2,
    partials=lambda out, x: (2 * x / (1 + x * x),),
    domain=((-3.0, 3.0),),
    doc="Logarithm of one plus the square: the loss of a Cauchy residual.",
)

X = np.linspace(-2.0, 2.0, 12).reshape(3, 4)
V = np.cos(np.arange(12.0)).reshape(3, 4)
SLOPE = 2 * X / (1 + X * X)
CURVATURE = 2 * (1 - X * X) / (1 + X * X) ** 2


@pytest.fixture(autouse=True, params=["reference", "block", "fused"])
def tier(request):
    with ng.configure(tier=request.param):
        yield request.param


def test_value_of_tensors_arrays_numbers_and_views():
    assert_allclose(ng.my_op(ng.tensor(X)).numpy(), np.log1p(X * X), rtol=1e-14)
    assert_allclose(ng.my_op(X).numpy(), np.log1p(X * X), rtol=1e-14)
    assert_allclose(ng.my_op(2.0).item(), np.log(5.0), rtol=1e-14)
    assert_allclose(ng.jit(ng.my_op)(X.T[::-1]), np.log1p(X * X).T[::-1], rtol=1e-14)
    assert ng.my_op(X.astype(np.float32)).dtype == np.float32


def test_gradient_by_backward():
    x = ng.tensor(X, requires_grad=True)
    y = ng.my_op(x)
    assert "MyOpBackward0" in repr(y)
    y.backward(ng.tensor(V))
    assert_allclose(x.grad.numpy(), V * SLOPE, rtol=1e-13)


def test_gradient_of_broadcast_and_reduced_use():
    w = ng.tensor(X[0], requires_grad=True)
    (ng.my_op(w) * V).sum().backward()
    assert_allclose(w.grad.numpy(), V.sum(axis=0) * SLOPE[0], rtol=1e-13)


def test_vjp_jvp_and_order_two():
    functional = ng.autograd.functional
    _, cotangent = functional.vjp(ng.my_op, ng.tensor(X), ng.tensor(V))
    _, tangent = functional.jvp(ng.my_op, ng.tensor(X), ng.tensor(V))
    _, product = functional.hvp(lambda x: ng.my_op(x).sum(), ng.tensor(X), ng.tensor(V))
    assert_allclose(cotangent.numpy(), V * SLOPE, rtol=1e-13)
    assert_allclose(tangent.numpy(), V * SLOPE, rtol=1e-13)
    assert_allclose(product.numpy(), V * CURVATURE, rtol=1e-12)
    assert ng.autograd.gradcheck(ng.my_op, ng.tensor(X[0], requires_grad=True))
    assert ng.autograd.gradgradcheck(ng.my_op, ng.tensor(X[0], requires_grad=True))


def test_functional_front():
    gradient = ng.grad(lambda x: ng.my_op(x).sum())
    assert_allclose(gradient(X), SLOPE, rtol=1e-13)
    assert_allclose(ng.jit(gradient)(X), SLOPE, rtol=1e-13)


def test_in_place_form():
    x = ng.tensor(X)
    assert ng.my_op_(x) is x
    assert_allclose(x.numpy(), np.log1p(X * X), rtol=1e-14)


def test_documentation_and_samples():
    assert ng.my_op is ng.numpy.my_op
    assert ng.my_op.__name__ == "my_op"
    assert ng.my_op.__doc__.startswith("Logarithm of one plus the square")
    assert "Parameters\n----------\nx : array_like" in ng.my_op.__doc__
    assert all(np.abs(s.arrays[0]).max(initial=0.0) <= 3.0 for s in samples(my_op))


def test_a_second_declaration_of_the_name_is_refused():
    with pytest.raises(ValueError, match="already declared"):
        elementwise("my_op", expr="{x}", reference=np.positive, doc="Another.")


def test_a_name_that_is_no_operation():
    with pytest.raises(AttributeError, match="my_operation"):
        _ = ng.my_operation


def test_documentation():
    row = next(r for r in operations.page().split("\n") if r.startswith("| `my_op`"))
    assert my_op.doc in row and "`2 * x / (1 + x * x)`" in row and "[-3, 3]" in row
