"""What ``jit`` takes as arguments and gives as results, and what it must not freeze."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import nbgrad as ng

X = np.arange(1.0, 4.0)
Pair = namedtuple("Pair", "a b")


def cube(x):
    return (x**3).sum()


def test_second_derivatives_inside_jit():
    np.testing.assert_allclose(ng.jit(ng.hessian(cube))(X), np.diag(6 * X))
    outer = ng.jit(ng.grad(lambda x: (ng.grad(cube)(x) ** 2).sum()))
    np.testing.assert_allclose(outer(X), 36 * X**3)


def test_second_derivative_of_a_pending_argument():
    pending = ng.tensor(X) * 1.0
    np.testing.assert_allclose(ng.hessian(cube)(pending).detach().numpy(), np.diag(6 * X))


def test_keyword_arguments_are_not_frozen():
    scaled = ng.jit(lambda x, k=2.0: (x * k).sum())
    assert [float(scaled(X, k=k)) for k in (2.0, 3.0, 4.0)] == [12.0, 18.0, 24.0]
    assert [float(scaled(X, k=np.full(3, k))) for k in (1.0, 2.0)] == [6.0, 12.0]
    assert float(scaled(X)) == 12.0


def test_tensors_in_containers_stay_differentiable():
    product = ng.jit(lambda pair: (pair[0] * pair["b" if isinstance(pair, dict) else 1]).sum())
    t = ng.tensor(X, requires_grad=True)
    product((t, t)).backward()
    np.testing.assert_allclose(t.grad.numpy(), 2 * X)
    with ng.no_grad():
        t += 1
    assert product((t, t)).item() == ((X + 1) ** 2).sum()


def test_settings_are_told_apart_by_type_and_sign():
    by_type = ng.jit(lambda x, n: x * (2 if n[0] is True else 5))
    np.testing.assert_allclose(by_type(X, (1,)), 5 * X)
    np.testing.assert_allclose(by_type(X, (True,)), 2 * X)
    quotient = ng.jit(lambda x, n: x / n[0])
    assert np.isposinf(quotient(X, (0.0,))).all()
    assert np.isneginf(quotient(X, (-0.0,))).all()


def test_results_keep_their_nesting():
    result = ng.jit(lambda x: Pair(x, {"double": [x * 2, 1.0]}))(X)
    assert isinstance(result, Pair)
    np.testing.assert_allclose(result.b["double"][0], 2 * X)
    assert result.b["double"][1] == 1.0


def test_a_tracked_tensor_from_outside_gets_its_gradient():
    w = ng.ones(3, requires_grad=True)
    ng.jit(lambda x: (w * x).sum())(X).backward()
    np.testing.assert_allclose(w.grad, X)


def test_an_unhashable_setting_is_refused():
    with pytest.raises(TypeError, match="neither an array nor hashable"):
        ng.jit(lambda x, names: x)(X, {"a"})


@pytest.mark.parametrize("dtype", [">f8", "<f4", ">i4"])
def test_byte_order_and_strides_of_arguments(dtype):
    double = ng.jit(lambda x: x * 2)
    given = np.arange(6).reshape(2, 3).astype(dtype)
    for array in (given, given.T, given[:, ::-1], given[::2]):
        np.testing.assert_array_equal(double(array), array * 2)
