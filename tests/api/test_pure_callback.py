"""Opaque Python inside traced functions: ``pure_callback``."""

from __future__ import annotations

import threading
import traceback
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.errors import AutogradError

X = np.array([0.5, -1.0, 2.0])


def sine(x: Any) -> Any:
    assert type(x) is np.ndarray
    return np.array([np.sin(float(v)) for v in x.ravel()]).reshape(x.shape)


def slope(args: Any, out: Any, ct: Any) -> Any:
    (x,) = args
    assert all(type(a) is np.ndarray for a in (x, out, ct))
    return (np.cos(x) * ct,)


def f(x: Any) -> Any:
    return ng.pure_callback(sine, x, x, vjp=slope)


@pytest.mark.parametrize("t", [lambda g: g, ng.jit])
def test_values_and_gradients(t: Any) -> None:
    assert_allclose(t(f)(X), np.sin(X))
    assert isinstance(t(f)(X), np.ndarray)
    assert_allclose(t(f)(ng.tensor(X)).numpy(), np.sin(X))
    g = t(ng.grad(lambda x: (f(x) ** 2).sum()))
    assert_allclose(g(X), 2 * np.sin(X) * np.cos(X), rtol=1e-14)
    assert_allclose(t(ng.jacobian(f))(X), np.diag(np.cos(X)), rtol=1e-14)
    x = ng.tensor(X, requires_grad=True)
    t(f)(x * 2).sum().backward()
    assert_allclose(x.grad, 2 * np.cos(2 * X), rtol=1e-14)
    for tier in ("reference", "block", "fused"):
        with ng.configure(tier=tier):
            assert_allclose(t(lambda x: f(x * 2) + 1)(X), np.sin(2 * X) + 1)


@pytest.mark.parametrize("t", [lambda g: g, ng.jit])
@pytest.mark.parametrize("vectorized", [False, True])
def test_batches(t: Any, vectorized: bool) -> None:
    shapes = []

    def seen(x: Any) -> Any:
        shapes.append(x.shape)
        return sine(x)

    g = lambda x: ng.pure_callback(seen, x, x, vjp=slope, vectorized=vectorized)
    stack = np.stack([X, X + 1])
    assert_allclose(t(ng.vmap(g))(stack), np.sin(stack))
    assert set(shapes) == ({(2, 3)} if vectorized else {(3,)})
    each = t(ng.vmap(ng.grad(lambda x: g(x).sum())))
    assert_allclose(each(stack), np.cos(stack), rtol=1e-14)
    twice = t(ng.vmap(ng.vmap(lambda x: ng.pure_callback(sine, x, x))))
    assert_allclose(twice(stack), np.sin(stack))


def test_several_arguments_results_and_settings() -> None:
    def both(x: Any, p: Any, n: int) -> Any:
        return {"sum": x + p["w"], "product": (n * x * p["w"]).astype(np.float32)}

    def rule(args: Any, out: Any, ct: Any) -> Any:
        x, p, n = args
        return (
            ct["sum"] + n * p["w"] * ct["product"],
            {"w": ct["sum"] + n * x * ct["product"]},
            None,
        )

    like = {"sum": X, "product": np.zeros(3, np.float32)}

    def g(x: Any, w: Any) -> Any:
        found = ng.pure_callback(both, like, x, {"w": w}, 3, vjp=rule)
        return (found["sum"] ** 2).sum() + found["product"].sum()

    plain = lambda x, w: ((x + w) ** 2).sum() + (3 * x * w).sum()
    for t in (lambda h: h, ng.jit):
        for mine, its in zip(
            t(ng.grad(g, (0, 1)))(X, X + 2), ng.grad(plain, (0, 1))(X, X + 2), strict=True
        ):
            assert_allclose(mine, its, rtol=1e-6)
    found = ng.pure_callback(both, like, X, {"w": X}, 3)
    assert found["product"].dtype == np.float32
    assert ng.pure_callback(lambda: 3.0, 0.0) == 3.0


def test_the_users_traceback() -> None:
    def failing(x: Any) -> Any:
        raise KeyError("of my own")

    for call in (
        lambda: ng.pure_callback(failing, X, X),
        lambda: ng.jit(lambda x: ng.pure_callback(failing, x, x) * 2)(X),
        lambda: ng.vmap(lambda x: ng.pure_callback(failing, x, x))(X),
    ):
        for _ in range(2):
            with pytest.raises(KeyError, match="of my own") as info:
                call()
            names = [frame.name for frame in traceback.extract_tb(info.value.__traceback__)]
            assert names[-1] == "failing"


def test_what_is_returned_wrongly() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\) where result_like has \(3,\)"):
        ng.jit(lambda x: ng.pure_callback(lambda x: x[:2], x, x))(X)
    with pytest.raises(ValueError, match="another nest"):
        ng.pure_callback(lambda x: (x, x), X, X)
    with pytest.raises(TypeError, match="complex128 where result_like has float64"):
        ng.pure_callback(lambda x: x * 1j, X, X)
    with pytest.raises(TypeError, match="expected a function"):
        ng.pure_callback(3, X, X)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no arrays"):
        ng.pure_callback(sine, (), X)
    with pytest.raises(TypeError, match="which is no array"):
        ng.pure_callback(sine, "x", X)
    with pytest.raises(TypeError, match="tuple of 1"):
        ng.grad(lambda x: ng.pure_callback(sine, x, x, vjp=lambda a, o, ct: ct).sum())(X)


def test_derivatives_that_are_not_known() -> None:
    plain = lambda x: ng.pure_callback(sine, x, x).sum()
    for t in (lambda g: g, ng.jit):
        with pytest.raises(AutogradError, match="Pass vjp="):
            t(ng.grad(plain))(X)
        with pytest.raises(AutogradError, match="custom_vjp around"):
            t(ng.hessian(lambda x: f(x).sum()))(X)
    with pytest.raises(NotImplementedError, match="forward AD"):
        ng.autograd.functional.jvp(f, ng.tensor(X), ng.ones(3))


def test_a_second_derivative_by_a_custom_rule() -> None:
    calls = {"sin": np.sin, "cos": np.cos}

    @ng.custom_vjp
    def opaque(x: Any) -> Any:
        return ng.pure_callback(calls["sin"], x, x)

    opaque.defvjp(
        lambda x: (opaque(x), x),
        lambda x, ct: (ct * ng.pure_callback(calls["cos"], x, x, vjp=_minus),),
    )
    for t in (lambda g: g, ng.jit):
        assert_allclose(t(ng.grad(lambda x: opaque(x).sum()))(X), np.cos(X), rtol=1e-13)
        curve = t(ng.grad(lambda x: ng.grad(lambda y: opaque(y).sum())(x).sum()))
        assert_allclose(curve(X), -np.sin(X), rtol=1e-13)


def _minus(args: Any, out: Any, ct: Any) -> Any:
    return (-np.sin(args[0]) * ct,)


def test_threads_and_nbgrad_inside() -> None:
    """A callback may call nbgrad, compiled too; threads do not wait for one another."""
    inner = ng.jit(lambda x: np.sin(x) * 2)
    g = ng.jit(ng.grad(lambda x: ng.pure_callback(lambda v: inner(v), x, x, vjp=_twice).sum()))
    found: dict[int, Any] = {}
    barrier = threading.Barrier(4, timeout=60)

    def work(k: int) -> None:
        barrier.wait()
        found[k] = [g(X + k) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for k in range(4):
        for row in found[k]:
            assert_allclose(row, 2 * np.cos(X + k), rtol=1e-13)


def _twice(args: Any, out: Any, ct: Any) -> Any:
    return (2 * np.cos(args[0]) * ct,)


def test_in_a_loop_and_calls_counted() -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(1)
        return np.cos(x)

    run = ng.jit(lambda x: ng.fori_loop(0, 5, lambda k, c: ng.pure_callback(counted, c, c), x))
    expected = X
    for _ in range(5):
        expected = np.cos(expected)
    assert_allclose(run(X), expected, rtol=1e-14)
    assert len(calls) == 5
