"""``GradientTape``: TensorFlow's way to ask for derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.errors import AutogradError

X = np.array([[0.3, -0.7, 1.1], [0.5, 2.0, -0.4]])


def test_a_gradient_of_a_watched_tensor() -> None:
    x = ng.tensor(X)
    before = x._node
    with ng.GradientTape() as tape:
        tape.watch(x)
        y = (np.sin(x) * x).sum()
    assert x._node is before and not x.requires_grad
    g = tape.gradient(y, x)
    assert_allclose(g, np.cos(X) * X + np.sin(X), rtol=1e-13)
    assert not g.requires_grad
    with pytest.raises(AutogradError, match="persistent=True"):
        tape.gradient(y, x)


def test_what_is_not_watched_and_what_requires_grad() -> None:
    x, c, w = ng.tensor(X), ng.tensor(X), ng.tensor(2.0, requires_grad=True)
    with ng.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * w * c
    assert tape.gradient(y, c) is None
    assert_allclose(tape.gradient(y, c, unconnected_gradients="zero"), 0 * X)
    assert_allclose(tape.gradient(y, w), (X * X).sum())
    assert w.grad is None
    found = tape.gradient(y, {"x": x, "rest": [w, c]})
    assert_allclose(found["x"], 2 * X)
    assert found["rest"][1] is None
    assert tape.gradient(ng.tensor(1.0), x) is None
    assert_allclose(tape.gradient([y, 3 * y], x, [None, ng.tensor(X)]), 2 * X + 6 * X * X)
    assert_allclose(tape.gradient(y, x, 2.0), 4 * X)
    with ng.GradientTape(watch_accessed_variables=False) as named:
        z = w * x
    assert named.gradient(z, w) is None


def test_of_what_was_computed_on_the_way() -> None:
    x = ng.tensor(X)
    with ng.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = (y * y).sum()
    assert_allclose(tape.gradient(z, y), 2 * X * X)
    assert_allclose(tape.gradient(z, x), 4 * X**3)


def test_tapes_in_tapes() -> None:
    x = ng.tensor(1.5)
    with ng.GradientTape() as third:
        third.watch(x)
        with ng.GradientTape() as second:
            second.watch(x)
            with ng.GradientTape() as first:
                first.watch(x)
                y = x**4 + np.sin(x)
            slope = first.gradient(y, x)
        curve = second.gradient(slope, x)
    assert_allclose(slope.item(), 4 * 1.5**3 + np.cos(1.5), rtol=1e-13)
    assert_allclose(curve.item(), 12 * 1.5**2 - np.sin(1.5), rtol=1e-13)
    assert_allclose(third.gradient(curve, x).item(), 24 * 1.5 - np.cos(1.5), rtol=1e-13)
    assert not x.requires_grad


def test_of_different_tensors() -> None:
    x, y = ng.tensor(2.0), ng.tensor(3.0)
    with ng.GradientTape() as outer:
        outer.watch(y)
        with ng.GradientTape() as inner:
            inner.watch(x)
            z = x**2 * y**3
        dx = inner.gradient(z, x)
    assert outer.gradient(dx, y).item() == 2 * 2 * 3 * 9


def test_jacobians() -> None:
    x, w = ng.tensor(X), ng.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    with ng.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = np.tanh(x @ w)
    whole, by_w = tape.jacobian(y, [x, w])
    f = lambda x, w: np.tanh(x @ w)
    its = ng.jacobian(f, (0, 1))(X, w.detach().numpy())
    assert_allclose(whole, its[0], rtol=1e-12)
    assert_allclose(by_w, its[1], rtol=1e-12)
    each = tape.batch_jacobian(y, x)
    assert_allclose(each, np.stack([its[0][k, :, k] for k in range(2)]), rtol=1e-12)
    c = ng.tensor(X)
    assert tape.jacobian(y, c) is None
    assert tape.jacobian(y, c, "zero").shape == (2, 2, 2, 3)
    assert tape.batch_jacobian(y, c) is None
    assert tape.batch_jacobian(y, c, "zero").shape == (2, 2, 3)
    with pytest.raises(ValueError, match="same number of rows"):
        tape.batch_jacobian(y, w)


def test_a_jacobian_differentiated_again() -> None:
    x = ng.tensor(X[0])
    with ng.GradientTape() as outer:
        outer.watch(x)
        with ng.GradientTape() as tape:
            tape.watch(x)
            y = x**3
        total = (tape.jacobian(y, x) ** 2).sum()
    assert_allclose(outer.gradient(total, x), 36 * X[0] ** 3, rtol=1e-12)


def test_stop_recording() -> None:
    x = ng.tensor(2.0)
    with ng.GradientTape() as tape:
        tape.watch(x)
        with tape.stop_recording():
            y = x * 3
        z = x * y
    assert tape.gradient(z, x).item() == 6.0
    with ng.GradientTape() as outer:
        outer.watch(x)
        with ng.GradientTape() as tape:
            tape.watch(x)
            y = x**3
            with tape.stop_recording():
                slope = tape.gradient(y, x)
    assert outer.gradient(slope, x).item() == 12.0


def test_views_and_writes() -> None:
    x = ng.tensor(X)
    row = x[0]
    with ng.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = (row * row).sum() + x.sum()
    expected = np.ones((2, 3))
    expected[0] += 2 * X[0]
    assert_allclose(tape.gradient(y, x), expected)
    assert_allclose(row, X[0])
    with ng.GradientTape() as tape:
        tape.watch(x)
        z = (x * x).sum()
        x += 1.0
    assert_allclose(x, X + 1)
    assert_allclose(tape.gradient(z, x), 2 * X)


@pytest.mark.parametrize("t", [ng.jit, lambda f: f])
def test_inside_transforms(t: Any) -> None:
    def slope(x: Any) -> Any:
        x = ng.as_tensor(x)
        with ng.GradientTape() as tape:
            tape.watch(x)
            y = (x**3).sum()
        return tape.gradient(y, x)

    assert_allclose(t(slope)(X), 3 * X**2, rtol=1e-13)
    assert_allclose(t(ng.grad(lambda x: slope(x).sum()))(X), 6 * X, rtol=1e-13)
    assert_allclose(t(ng.vmap(slope))(X), 3 * X**2, rtol=1e-13)


def test_what_cannot_be_done() -> None:
    x = ng.tensor(X)
    tape = ng.GradientTape()
    with pytest.raises(AutogradError, match="with block"):
        tape.watch(x)
    with tape:
        with pytest.raises(ValueError, match="records already"):
            tape.__enter__()
        with pytest.raises(TypeError, match="ndarray cannot be watched"):
            tape.watch(X)
        with pytest.raises(TypeError, match="int64 has no derivative"):
            tape.watch(ng.tensor([1, 2]))
        tape.watch([x, x])
        y = x * 2
    with pytest.raises(TypeError, match="a source is a tensor"):
        tape.gradient(y, X)
    tape.reset()
    with pytest.raises(ValueError, match='"none" or "zero"'):
        tape.gradient(y, x, unconnected_gradients="some")
    with pytest.raises(ValueError, match=r"output_gradients of shape \(2,\)"):
        tape.gradient(y, x, [1.0, 2.0])
    with pytest.raises(ValueError, match="does not record"), tape.stop_recording():
        pass
