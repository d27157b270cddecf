"""What would cut a gradient silently raises instead, and says what to write."""

from __future__ import annotations

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.errors import AutogradError

X = np.arange(1.0, 4.0)


def preallocated(x, zeros):
    out = zeros(3)
    for i in range(3):
        out[i] = x[i] ** 2
    return out.sum()


def test_assigning_to_a_numpy_array_raises():
    # NumPy raises its own error, "from" ours, which grad raises again.
    with pytest.raises(AutogradError, match=r"nbgrad\.zeros"):
        ng.grad(lambda x: preallocated(x, np.zeros))(X)


def test_assigning_to_a_tensor_is_differentiated():
    np.testing.assert_allclose(ng.grad(lambda x: preallocated(x, ng.zeros))(X), 2 * X)


@pytest.mark.parametrize("make", [lambda x: ng.tensor([x[0], x[1]]), ng.tensor])
def test_copying_without_history_raises(make):
    with pytest.raises(AutogradError, match=r"nbgrad\.stack"):
        ng.grad(lambda x: make(x).sum())(X)


def test_stacking_keeps_the_gradient():
    gradient = ng.grad(lambda x: ng.as_tensor([x[0], 2 * x[1]]).sum())(X)
    np.testing.assert_allclose(gradient, [1.0, 2.0, 0.0])


def test_printing_a_loss_outside_of_transforms_is_fine():
    loss = (ng.tensor(X, requires_grad=True) ** 2).sum()
    assert float(loss) == 14.0


def cross_entropy(w, x, labels):
    z = x @ w
    return (ng.logsumexp(z, axis=1) - z[np.arange(len(x)), labels]).mean()


def test_traced_index_arrays_over_two_dimensions():
    rng = np.random.default_rng(0)
    w, x, labels = rng.normal(size=(4, 3)), rng.normal(size=(5, 4)), np.array([0, 2, -1, 1, 2])
    expected = ng.grad(cross_entropy)(w, x, labels)
    compiled = ng.jit(ng.grad(cross_entropy))
    np.testing.assert_allclose(compiled(w, x, labels), expected, rtol=1e-12)
    with pytest.raises(IndexError, match="out of bounds"):
        compiled(w, x, np.array([0, 3, 0, 0, 0]))


def heat(x, steps=6):
    for _ in range(steps):
        inner = x[1:-1, 1:-1]
        lap = x[2:, 1:-1] + x[:-2, 1:-1] + x[1:-1, 2:] + x[1:-1, :-2] - 4.0 * inner
        y = x * 1.0
        y[1:-1, 1:-1] = inner + 0.1 * lap
        x = y
    return (x**2).sum()


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
def test_a_long_stencil_loop(tier):
    x = np.random.default_rng(1).normal(size=(8, 9))
    direction = np.random.default_rng(2).normal(size=x.shape)
    with ng.configure(tier=tier):
        gradient = ng.grad(heat)(x)
    eps = 1e-6
    numeric = (heat(x + eps * direction) - heat(x - eps * direction)) / (2 * eps)
    np.testing.assert_allclose((gradient * direction).sum(), numeric, rtol=1e-7)


def test_numpy_functions_that_describe_or_compare():
    t = ng.tensor(X)
    assert (np.shape(t), np.ndim(t), np.size(t)) == ((3,), 1, 3)
    assert np.allclose(t, X) and np.array_equal(np.copy(t), t)
    assert np.zeros_like(t).shape == (3,) and np.ravel(ng.ones(2, 2)).shape == (4,)
