"""``jit`` of what is differentiated: the same gradients as without it, cold and hot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

A, B = np.array([0.5, -1.5, 2.0]), np.array([1.5, 0.25, -2.0])
CALLS = (1, 70)  # the first one, and one of a structure that is hot


def _leaves() -> tuple[Any, Any]:
    return ng.tensor(A, requires_grad=True), ng.tensor(B, requires_grad=True)


def _quiet(x: Any, y: Any) -> Any:
    with ng.no_grad():
        scale = np.exp(x) * y
    return (scale * x * y).sum()


def _loud(x: Any, y: Any) -> Any:
    with ng.no_grad():
        z = x * y
        with ng.enable_grad():
            z = z + x**3
    return (z * y).sum()


def _straight_through(x: Any, y: Any) -> Any:
    rounded = x + (np.round(x) - x).detach()
    return (rounded * rounded * y).sum()


@ng.no_grad
def _decorated(x: Any, y: Any) -> Any:
    return x * y


def _inner_gradient(x: Any, y: Any) -> Any:
    return (ng.grad(lambda t: (t**3 * y).sum())(x) * x.detach()).sum()


CUT: dict[str, Callable[..., Any]] = {
    "detach": lambda x, y: (np.sin(x) * y.detach() + x.detach() * y).sum(),
    "detached twice": lambda x, y: (x.detach() * x * y + (x * y).detach() * y).sum(),
    "no_grad": _quiet,
    "enable_grad": _loud,
    "straight-through": _straight_through,
    "decorator": lambda x, y: (_decorated(x, y) * x + y).sum(),
    "set_grad_enabled": lambda x, y: (x * ng.no_grad()(lambda t: t * t)(y) + x * y).sum(),
    "inner gradient": _inner_gradient,
    "data": lambda x, y: (x.data * x + y.data * y * x).sum(),
}


def _gradients(f: Callable[..., Any]) -> list[Any]:
    x, y = _leaves()
    f(x, y).backward()
    return [t.grad.numpy() for t in (x, y)]


@pytest.mark.parametrize("name", CUT)
def test_gradients_of_a_compiled_function_stop_where_those_of_the_function_do(name: str) -> None:
    f = CUT[name]
    wanted, compiled, nested = _gradients(f), ng.jit(f), ng.jit(ng.jit(lambda x, y: f(x, y)))
    for calls in CALLS:
        for _ in range(calls):
            found = _gradients(compiled)
        assert_allclose(found, wanted, rtol=1e-14)
    assert_allclose(_gradients(nested), wanted, rtol=1e-14)
    for argnums, gradient in enumerate(wanted):
        assert_allclose(ng.grad(compiled, argnums)(A, B), gradient, rtol=1e-14)
        assert_allclose(ng.jit(ng.grad(f, argnums))(A, B), gradient, rtol=1e-14)


@pytest.mark.parametrize("name", CUT)
def test_second_derivatives_through_jit_are_those_without(name: str) -> None:
    f = CUT[name]

    def by_x(f: Callable[..., Any]) -> list[Any]:
        second = ng.hessian, lambda f: ng.jacobian(ng.grad(f, 1))
        return [t(f)(A, ng.tensor(B)).numpy() for t in second]

    wanted = by_x(f)
    assert_allclose(by_x(ng.jit(f)), wanted, rtol=1e-14)
    assert_allclose(ng.jit(ng.hessian(f))(A, B), wanted[0], rtol=1e-14)
    assert_allclose(ng.jacobian(ng.jit(ng.grad(f)))(A, B), wanted[0], rtol=1e-14)
    x, y = _leaves()
    (g,) = ng.autograd.grad(ng.jit(f)(x, y), x, create_graph=True)
    if g.requires_grad:
        rows = [
            ng.autograd.grad(g[k], x, retain_graph=True, materialize_grads=True)[0]
            for k in range(3)
        ]
        assert_allclose([row.numpy() for row in rows], wanted[0], rtol=1e-14)


def test_outputs_keep_what_they_are() -> None:
    def f(x: Any, y: Any) -> Any:
        with ng.no_grad():
            silent = x * y
        return x, x.detach(), x * y, (x * y).detach(), silent, y, 2.0

    x, _ = _leaves()
    y = ng.tensor(B)
    wanted = [t.requires_grad for t in f(x, y)[:6]]
    found = ng.jit(f)(x, y)
    assert [t.requires_grad for t in found] == [*wanted, False]
    assert found[0].is_leaf
    (found[0] * found[1] * found[4] + found[2] * found[3]).sum().backward()
    assert_allclose(x.grad, A * A * B + A * B * B)
    with ng.no_grad():
        assert not any(t.requires_grad for t in ng.jit(f)(*_leaves())[2:5])


def test_recording_that_is_switched_off_outside_stays_so_inside() -> None:
    f = ng.jit(lambda x, y: (x * y).sum())
    x, y = _leaves()
    with ng.no_grad():
        assert not f(x, y).requires_grad
    assert f(x, y).requires_grad
    with ng.no_grad():
        assert not f(x, y).requires_grad
        assert ng.jit(_loud)(x, y).requires_grad == _loud(x, y).requires_grad


def cubes(x: Any) -> Any:
    return (x**3).sum()


def test_a_compiled_derivative_can_be_differentiated() -> None:
    g, h = ng.jit(ng.grad(cubes)), ng.jit(ng.hessian(cubes))
    both, matrix = ng.jit(ng.value_and_grad(cubes)), ng.jit(ng.jacobian(lambda x: x**3))
    for calls in CALLS:
        for _ in range(calls):
            assert_allclose(g(A), 3 * A**2)
        assert_allclose(ng.jacobian(g)(A), np.diag(6 * A))
        assert_allclose(ng.grad(lambda x: (x * g(x)).sum())(A), 9 * A**2)
        assert_allclose(ng.grad(lambda x: h(x).sum())(A), [6.0] * 3)
        assert_allclose(ng.grad(lambda x: matrix(x).sum())(A), 6 * A)
        assert_allclose(ng.grad(lambda x: (both(x)[1] * both(x)[0]).sum())(A), _of_both())
        assert_allclose(ng.jacobian(ng.jit(ng.jacobian(g)))(A), _third())
        assert_allclose(ng.jit(ng.jacobian(ng.jit(ng.jacobian(ng.jit(g)))))(A), _third())


def _of_both() -> Any:
    value, gradient = (A**3).sum(), 3 * A**2
    return gradient * gradient.sum() + value * 6 * A


def _third() -> Any:
    wanted = np.zeros((3, 3, 3))
    wanted[range(3), range(3), range(3)] = 6.0
    return wanted


def test_a_compiled_derivative_of_a_tracked_tensor_is_tracked() -> None:
    x = ng.tensor(A, requires_grad=True)
    value, gradient = ng.jit(ng.value_and_grad(cubes))(x)
    (value + gradient.sum()).backward()
    assert_allclose(x.grad, 3 * A**2 + 6 * A)
    x = ng.tensor(A, requires_grad=True)
    assert_allclose((ng.jit(ng.grad(cubes))(x) * A).sum().backward() or x.grad, 6 * A * A)


def test_a_compiled_function_reads_what_an_enclosing_one_differentiates_or_traces() -> None:
    def outer(x: Any) -> Any:
        inner = ng.jit(lambda y: (x * y * y).sum())
        return inner(x) + ng.jit(ng.grad(lambda y: (x * y * y).sum()))(B).sum() + inner(2.0)

    def plain(x: Any) -> Any:
        return (x**3).sum() + (2 * x * B).sum() + 4 * x.sum()

    assert_allclose(ng.jit(outer)(A), plain(A))
    for transform in (ng.grad, ng.hessian, lambda f: ng.grad(ng.jit(f)), ng.value_and_grad):
        for found, wanted in zip(transform(outer)(A), transform(plain)(A), strict=True):
            assert_allclose(found, wanted)
        for found, wanted in zip(ng.jit(transform(outer))(A), transform(plain)(A), strict=True):
            assert_allclose(found, wanted)


def test_a_compiled_function_reads_what_is_differentiated_of_a_value_not_computed_yet() -> None:
    pending = ng.tensor(A) + 1.0

    def f(y: Any) -> Any:
        return ng.jit(lambda z: y * z)(B).sum()

    assert_allclose(ng.grad(f)(pending), B)
    assert_allclose(ng.grad(f)(pending * 2.0), B)
    assert_allclose(ng.jacobian(lambda y: ng.jit(lambda z: y * y)(B))(pending), np.diag(2 * A + 2))


def test_results_of_arrays_are_arrays_also_where_a_compiled_function_runs_uncompiled() -> None:
    found = []

    @ng.jit
    def outer(x: Any) -> Any:
        found.append(ng.jit(lambda y: (y * 2, y.sum()))(B))
        return x

    outer(A)
    assert type(found[0][0]) is np.ndarray and type(found[0][1]) is np.float64
    assert_array_equal(found[0][0], 2 * B)


def test_backward_inside_jit_of_an_argument_is_refused_and_changes_nothing() -> None:
    w = ng.tensor(B, requires_grad=True)

    def step(x: Any) -> Any:
        loss = (x * x * w).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match=r"backward\(\) inside nbgrad.jit"):
        ng.jit(step)(ng.tensor(A, requires_grad=True))
    assert w.grad is None

    @ng.jit
    def inner(x: Any) -> Any:
        y = x.detach().requires_grad_()
        (y**3).sum().backward()
        return y.grad * x

    x = ng.tensor(A, requires_grad=True)
    inner(x).sum().backward()
    assert_allclose(x.grad, 3 * A**2)


def _scaled(x: Any) -> Any:
    x *= 2
    return (x**2).sum()


def _assigned(x: Any) -> Any:
    x[0] = x[1] * 3
    return (x**2).sum()


def _written_by_out(x: Any) -> Any:
    np.add(x, x, out=x)
    np.multiply(x, x, out=x)
    return x.sum()


def _method(x: Any) -> Any:
    x.mul_(2).add_(1)
    return (x**2).sum()


WRITERS = {
    _scaled: 8 * A,
    _assigned: [0.0, 20 * A[1], 2 * A[2]],
    _written_by_out: 8 * A,
    _method: 4 * (2 * A + 1),
}


@pytest.mark.parametrize("f", WRITERS)
def test_the_derivative_of_a_function_that_writes_into_its_argument(f: Any) -> None:
    """It is by the value given, on every path; the argument itself is not written to."""
    wanted, curvature = WRITERS[f], None
    given = A.copy()
    tensors = (given, ng.tensor(A), ng.tensor(A) * 1.0, ng.tensor(A, requires_grad=True))
    for x in (*tensors, ng.tensor(A, requires_grad=True) * 1.0):
        for gradient in (
            ng.grad(f),
            ng.jit(ng.grad(f)),
            ng.grad(ng.jit(f)),
            ng.grad(ng.jit(ng.jit(f))),
        ):
            assert_allclose(np.asarray(_array(gradient(x))), wanted)
            assert_allclose(_array(x), A)
        for second in (ng.hessian(f), ng.jit(ng.hessian(f)), ng.jacobian(ng.jit(ng.grad(f)))):
            found = _array(second(x))
            curvature = found if curvature is None else curvature
            assert_allclose(found, curvature)
    assert_allclose(ng.autograd.functional.hessian(f, ng.tensor(A)), curvature)
    assert_allclose(ng.autograd.functional.vjp(f, ng.tensor(A))[1], wanted)
    assert_allclose(ng.autograd.functional.jvp(f, ng.tensor(A), ng.ones(3))[1], np.sum(wanted))


def _array(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, ng.Tensor) else x


def test_forward_mode_stops_where_reverse_mode_does() -> None:
    def f(x: Any) -> Any:
        with ng.no_grad():
            y = x * x
        return y * x + x.detach()

    x = ng.tensor(A)
    for strategy in ("forward-mode", "reverse-mode"):
        found = ng.autograd.functional.jacobian(f, x, strategy=strategy)
        assert_allclose(found, np.diag(A * A))
    assert_allclose(ng.jacobian(f)(A), np.diag(A * A))
    assert_allclose(ng.jit(ng.jacobian(f))(A), np.diag(A * A))
    assert_allclose(ng.autograd.functional.jvp(f, x, ng.ones(3))[1], A * A)
