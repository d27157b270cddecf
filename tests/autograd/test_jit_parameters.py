"""Tensors that require grad and are read from outside: inputs of a compiled function, with gradients."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

X = np.array([1.0, -2.0, 0.5])
GLOBAL = ng.tensor(X, requires_grad=True)


def leaf(values: Any) -> Any:
    return ng.tensor(values, requires_grad=True)


def numbers(y: Any) -> Any:
    return y.detach().numpy() if isinstance(y, ng.Tensor) else y


class Parameter(ng.Tensor):
    pass


class Slotted:
    __slots__ = ("w",)

    def __init__(self) -> None:
        self.w = leaf(X)


class Layer:
    def __init__(self) -> None:
        self.weight, self.b = leaf(np.linspace(-1.0, 1.0, 9).reshape(3, 3)), leaf(X)
        self.traces = 0

    def formula(self, x: Any) -> Any:
        self.traces += 1
        return np.tanh(x @ self.weight + self.b)

    forward = ng.jit(formula)


class Network:
    def __init__(self) -> None:
        first = Layer()
        self.layers, self.extra = [first, Layer(), first], {"scale": leaf(2.0)}

    def formula(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.formula(x)
        return x * self.extra["scale"]

    forward = ng.jit(formula)

    @property
    def parameters(self) -> list[Any]:
        return [
            self.layers[0].weight,
            self.layers[1].weight,
            self.layers[1].b,
            self.extra["scale"],
        ]


def places() -> Iterator[tuple[Callable[[Any], Any], Callable[[], list[Any]]]]:
    """Functions that read tracked tensors, and what finds these."""
    w, held, slotted = leaf(X), types.SimpleNamespace(w=leaf(X), other=[leaf(X)]), Slotted()
    network, options, own = Network(), {"a": (leaf(X), leaf(2.0))}, Parameter(leaf(X)._node)
    own = own.detach().requires_grad_()
    layer = Layer()
    yield lambda x: np.sin(x * w), lambda: [w]
    yield lambda x: x * GLOBAL**2, lambda: [GLOBAL]
    yield lambda x: held.w * x + held.other[0], lambda: [held.w, held.other[0]]
    yield lambda x: slotted.w * x * w, lambda: [slotted.w, w]
    yield lambda x: options["a"][0] * x * options["a"][1], lambda: list(options["a"])
    yield lambda x, d=w: x * d * d.detach(), lambda: [w]
    yield lambda x: x * own, lambda: [own]
    yield network.formula, lambda: network.parameters
    yield network.forward, lambda: network.parameters
    yield lambda x: layer.forward(layer.forward(x) * w), lambda: [layer.weight, layer.b, w]
    yield lambda x: x * w[1:].sum() + w.T, lambda: [w]
    yield lambda x: x + w, lambda: [w]
    yield lambda x: w, lambda: [w]
    yield ng.grad(lambda x: (np.sin(x * w) * x).sum()), lambda: [w]
    yield ng.grad(ng.jit(lambda x: (np.sin(x * w) * x).sum())), lambda: [w]
    yield lambda x: ng.value_and_grad(lambda x: (x * x * w).sum())(x)[1], lambda: [w]
    yield lambda x: x @ ng.hessian(lambda x: (x**3 * w).sum())(x), lambda: [w]


def gradients(y: Any, wrt: list[Any]) -> list[Any]:
    found = ng.autograd.grad((y * np.array([1.0, 3.0, -2.0])).sum(), wrt, materialize_grads=True)
    return [y.detach().numpy(), *(g.numpy() for g in found)]


def agree(compiled: Any, f: Any, wrt: list[Any], x: Any = X) -> None:
    for found, wanted in zip(gradients(compiled(x), wrt), gradients(f(x), wrt), strict=True):
        assert_allclose(found, wanted, 1e-12, 1e-14)


@pytest.mark.parametrize("calls", [1, 60])
def test_gradients_arrive_wherever_the_tensor_is_kept(calls: int) -> None:
    for f, find in places():
        compiled = ng.jit(f)
        for _ in range(2):
            for _ in range(calls):
                y = compiled(X)
            assert y.requires_grad
            agree(compiled, f, find())
            with ng.no_grad():
                for t in find():
                    t.mul_(0.75)
        tracked = leaf(X)
        agree(compiled, f, [tracked, *find()], tracked)


def test_backward_adds_to_grad_and_hooks_run() -> None:
    layer = Layer()
    seen: list[Any] = []
    layer.b.register_hook(lambda g: seen.append(g) or g * 2)
    layer.forward(X).sum().backward()
    wanted = ng.autograd.grad(layer.formula(X).sum(), [layer.weight, layer.b])
    assert_allclose(layer.weight.grad, wanted[0])
    assert_allclose(layer.b.grad, wanted[1])
    assert len(seen) == 2


def test_training_traces_once_and_follows_each_step() -> None:
    layer, twin = Layer(), Layer()
    for model, call in ((layer, layer.forward), (twin, twin.formula)):
        optimizer = ng.optim.SGD([model.weight, model.b], lr=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            (call(X) ** 2).sum().backward()
            optimizer.step()
    assert layer.traces == 1
    assert_allclose(layer.weight.detach(), twin.weight.detach(), 1e-10)


def test_a_change_of_what_is_read_is_followed() -> None:
    layer = Layer()

    def check(**changes: Any) -> None:
        for name, value in changes.items():
            setattr(layer, name, value)
        found, wanted = layer.forward(X), layer.formula(X)
        assert found.dtype == wanted.dtype
        assert_allclose(numbers(found), numbers(wanted))
        tracked = [t for t in (layer.weight, layer.b) if getattr(t, "requires_grad", False)]
        if tracked:
            agree(layer.forward, layer.formula, tracked)

    check()
    check(weight=leaf(np.eye(3)))
    check(b=leaf(2.0))
    check(b=leaf(X.astype(np.float32)), weight=leaf(np.eye(3, dtype=np.float32)))
    check(b=X.copy())
    check(b=ng.tensor(X))
    check(b=leaf(X))
    layer.b.requires_grad_(False)
    check()
    layer.b.requires_grad_(True)
    check()
    check(b=layer.weight[0])
    check(b=leaf(X) * 2)
    layer.weight.data = np.eye(3, dtype=np.float32)
    check()


def test_in_no_grad_nothing_is_recorded_and_after_it_all_is() -> None:
    layer = Layer()
    for _ in range(3):
        with ng.no_grad():
            y = layer.forward(X)
            assert not y.requires_grad
            assert_allclose(y, layer.formula(X))
            layer.weight.mul_(0.5)
        agree(layer.forward, layer.formula, [layer.weight, layer.b])


def test_one_tensor_in_two_places_is_one_until_it_is_two() -> None:
    pair = types.SimpleNamespace(a=leaf(X), b=leaf(X))
    pair.b = pair.a
    f = ng.jit(lambda x: pair.a * x + pair.b**2)
    agree(f, lambda x: pair.a * x + pair.b**2, [pair.a])
    pair.b = leaf(-X)
    agree(f, lambda x: pair.a * x + pair.b**2, [pair.a, pair.b])


def test_grad_sees_a_parameter_that_is_bound_to_its_argument() -> None:
    layer = Layer()

    def loss(weight: Any, x: Any) -> Any:
        before, layer.weight = layer.weight, weight
        try:
            return (layer.forward(x) ** 2).sum()
        finally:
            layer.weight = before

    def plain(weight: Any, x: Any) -> Any:
        return (np.tanh(x @ weight + layer.b.detach()) ** 2).sum()

    w = np.eye(3) * 0.3
    found, wanted = ng.grad(loss, (0, 1))(w, X), ng.grad(plain, (0, 1))(w, X)
    for a, b in zip(found, wanted, strict=True):
        assert_allclose(numbers(a), b)
    assert_allclose(numbers(ng.hessian(loss)(w, X)), ng.hessian(plain)(w, X), 1e-12, 1e-14)
    pushed = ng.autograd.functional.jvp(loss, (w, X), (w, X))[1]
    assert_allclose(numbers(pushed), ng.autograd.functional.jvp(plain, (w, X), (w, X))[1])


def test_second_derivatives_by_what_is_read() -> None:
    w = leaf(X)
    f = ng.jit(lambda x: (w**3 * x).sum())
    (first,) = ng.autograd.grad(f(X), [w], create_graph=True)
    (second,) = ng.autograd.grad(first.sum(), [w])
    assert_allclose(second, 6 * X * X)
    z = leaf(X * 1j)
    g = ng.jit(lambda x: (z * z * x).real.sum())
    (found,) = ng.autograd.grad(g(X), [z])
    (wanted,) = ng.autograd.grad((z * z * X).real.sum(), [z])
    assert_allclose(found, wanted)


def test_what_is_detached_gets_no_gradient_and_straight_through_one() -> None:
    w, v = leaf(X), leaf(X)
    f = ng.jit(lambda x: (x * (v + (np.round(v) - v).detach()) * w.detach()).sum())
    f(X).backward()
    assert w.grad is None
    assert_allclose(v.grad, X * X)


def test_the_gradient_of_what_is_read_is_read_as_it_is() -> None:
    w = leaf(X)
    f = ng.jit(lambda x: x * (w.detach() - w.grad) if w.grad is not None else x)
    for grad in (None, X, -X, None):
        w.grad = grad if grad is None else ng.tensor(grad)
        assert_allclose(f(X), X if grad is None else X * (X - grad))


def test_numbers_of_it_hold_as_long_as_it_does() -> None:
    w = leaf(X)
    f = ng.jit(lambda x: x * float(w.detach().max()) + w.detach().numpy())
    for _ in range(3):
        assert_allclose(f(X), X * float(w.max()) + w.detach().numpy())
        with ng.no_grad():
            w.sub_(0.5)
    with pytest.raises(ng.errors.ConcretizationError, match="reads from outside"):
        ng.jit(lambda x: x * w if w.sum() > 0 else -x * w)(X)
    assert w.is_leaf


def test_writing_what_is_read_is_refused_and_leaves_it_as_it_was() -> None:
    w = leaf(X)

    def writes(x: Any) -> Any:
        with ng.no_grad():
            w.mul_(2.0)
        return x * w

    def fails(x: Any) -> Any:
        raise KeyError((x * w).shape)

    for f, error in ((writes, TypeError), (fails, KeyError)):
        with pytest.raises(error):
            ng.jit(f)(X)
        assert w.is_leaf
        assert_allclose(w.detach(), X)
    with pytest.raises(RuntimeError, match="backward"):
        ng.jit(lambda x: (x * w).sum().backward())(X)
    assert w.grad is None


def test_binding_another_tensor_where_one_was_read_is_refused() -> None:
    held = types.SimpleNamespace(w=leaf(X))

    def steps(x: Any) -> Any:
        held.w = held.w * 0.5
        return x * held.w

    with pytest.raises(TypeError, match="bind it outside"):
        ng.jit(steps)(X)


def test_other_threads_meanwhile_use_the_tensor() -> None:
    w = leaf(X)
    reached, done = threading.Event(), threading.Event()
    made: list[Any] = []

    def other() -> None:
        reached.wait(20)
        y = (w * w).sum()
        done.set()
        made.append(float(y.detach()))
        y.backward()
        made.append(ng.jit(lambda x: x * w)(X).detach().numpy())

    def f(x: Any) -> Any:
        y = x * w
        reached.set()
        done.wait(20)
        return y

    thread = threading.Thread(target=other)
    thread.start()
    found = ng.jit(f)(X)
    thread.join(60)
    assert not thread.is_alive()
    assert_allclose(found.detach(), X * X)
    assert_allclose(made[0], (X * X).sum())
    assert_allclose(made[1], X * X)
    assert_allclose(w.grad, 2 * X)
    assert w.is_leaf
