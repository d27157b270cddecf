"""``jit``: what is an input of the compiled program, what is part of its structure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

X = np.array([0.5, -1.5])


def test_keyword_arguments_are_inputs_too() -> None:
    traces = []

    @ng.jit
    def f(x: Any, *, scale: Any, shift: Any = 0.0) -> Any:
        traces.append(1)
        return x * scale + shift

    assert_array_equal(f(X, scale=2.0), 2 * X)
    assert_array_equal(f(X, scale=3.0), 3 * X)
    assert_array_equal(f(X, scale=np.array([1.0, 2.0])), X * [1.0, 2.0])
    assert_array_equal(f(X, scale=np.array([3.0, 4.0])), X * [3.0, 4.0])
    assert len(traces) == 2
    assert_array_equal(f(X, scale=2.0, shift=1.0), 2 * X + 1)
    assert_array_equal(f(X, shift=5.0, scale=2.0), 2 * X + 5)
    assert len(traces) == 3


def test_gradient_passes_to_a_keyword_argument() -> None:
    f = ng.jit(lambda x, scale: (x * x * scale).sum())
    scale = ng.tensor(3.0, requires_grad=True)
    f(ng.tensor(X), scale=scale).backward()
    assert_allclose(scale.grad.item(), (X * X).sum())


def test_static_arguments_belong_to_the_structure() -> None:
    f = ng.jit(lambda x, n, powers: sum((x**p for p in powers), start=x * n))
    assert_allclose(f(X, 2, (2, 3)), 2 * X + X**2 + X**3)
    assert_allclose(f(X, 3, (2, 3)), 3 * X + X**2 + X**3)
    assert_allclose(f(X, 3, (1,)), 4 * X)


def test_static_arguments_that_compare_equal_are_told_apart() -> None:
    f = ng.jit(lambda x, t: x * t[0])
    whole = np.array([1, 2])
    assert f(whole, (2,)).dtype == np.int64
    assert f(whole, (2.0,)).dtype == np.float64
    g = ng.jit(lambda x, flag: x + flag)
    assert g(whole, True).tolist() == [2, 3] and g(whole, 1).tolist() == [2, 3]


def test_nan_policy_belongs_to_the_structure() -> None:
    f = ng.jit(ng.grad(lambda x: np.where(x > 0, np.log(x), 0.0).sum()))
    x = np.array([0.0, 2.0])
    with ng.configure(nan_policy="ieee"):
        assert np.isnan(f(x)[0])
    assert_array_equal(f(x), [0.0, 0.5])


def test_results_are_arrays_of_their_own() -> None:
    weights = ng.tensor([1.0, 2.0])
    f = ng.jit(lambda x: (x, x, weights, weights * 1.0))
    results = f(X)
    for k, a in enumerate(results):
        assert not np.shares_memory(a, X)
        a[:] = 9.0
        assert all(not np.shares_memory(a, b) for b in results[:k])
    assert_array_equal(f(X)[2], [1.0, 2.0])
    assert weights.tolist() == [1.0, 2.0]


def test_results_keep_their_nesting() -> None:
    f = ng.jit(lambda x: {"a": (x, [x.sum(), 2.0]), "b": x.max()})
    found = f(X)
    assert list(found) == ["a", "b"]
    assert_array_equal(found["a"][0], X)
    assert found["a"][1] == [-1.0, 2.0] and found["b"] == 0.5


def test_gradient_inside_jit_of_a_closed_over_argument() -> None:
    f = ng.jit(lambda x: ng.grad(lambda y: (x * y * y).sum())(3.0))
    assert_allclose(f(X), 6 * X.sum())


class _StraightThrough(ng.Function):
    """Rounds, and passes the cotangent on as if it did not."""

    @staticmethod
    def forward(ctx, x):
        return np.floor(x)

    @staticmethod
    def backward(ctx, ct):
        return 3.0 * ct


def test_user_written_backward_survives_jit_in_every_order_of_transforms() -> None:
    f = ng.jit(lambda x: (_StraightThrough.apply(x) * x).sum())
    x = np.array([0.5, 1.5])
    wanted = np.floor(x) + 3.0 * x
    np.testing.assert_allclose(f(x), (np.floor(x) * x).sum())
    np.testing.assert_allclose(ng.grad(f)(x), wanted)
    np.testing.assert_allclose(ng.jit(ng.grad(f))(x), wanted)
    t = ng.tensor(x, requires_grad=True)
    f(t).backward()
    np.testing.assert_allclose(t.grad.numpy(), wanted)


def test_policy_raise_looks_at_the_gradients_of_a_compiled_function() -> None:
    f = ng.jit(ng.grad(lambda x: np.sqrt(x).sum()))
    with ng.configure(nan_policy="raise"):
        np.testing.assert_allclose(f(np.array([4.0, 1.0])), [0.25, 0.5])
        with pytest.raises(ng.errors.AnomalyError, match="nan_policy"):
            f(np.array([4.0, 0.0]))
        assert np.isinf(ng.jit(lambda x: 1 / x)(np.array([0.0]))).all()  # no gradient of it
    assert np.isinf(f(np.array([4.0, 0.0]))).any()


def test_anomaly_detection_sees_the_operations_of_a_compiled_function() -> None:
    f = ng.jit(lambda x: np.log(x).sum())
    assert f(np.array([0.0])) == -np.inf
    with ng.detect_anomaly(), pytest.raises(ng.errors.AnomalyError, match="'log'"):
        f(np.array([0.0]))


def test_the_profiler_sees_the_operations_of_a_compiled_function() -> None:
    f = ng.jit(lambda x: np.tanh(x).sum())
    f(np.ones(3))
    with ng.autograd.profiler.profile() as profile:
        f(np.ones(3))
    assert "tanh" in profile.key_averages().table()


def test_untracked_tensors_are_computed_at_once():
    f = ng.jit(lambda a, b: {"y": (a * b).sum(), "z": [a + 1, 2.0]})
    a, b = ng.tensor([1.0, 2.0]), ng.tensor([3.0, 4.0])
    for _ in range(3):
        found = f(a, b.numpy())
        assert isinstance(found["y"], ng.Tensor)
        assert found["y"]._node.value is not None and found["y"]._node.sig is None
        assert found["y"].item() == 11.0
        assert found["z"][0].tolist() == [2.0, 3.0]
        assert found["z"][1].item() == 2.0
    pending = f(a * 2.0, b)
    assert pending["y"]._node.value is None
    assert pending["y"].item() == 22.0
    tracked = ng.tensor([1.0, 2.0], requires_grad=True)
    f(tracked, b)["y"].backward()
    assert tracked.grad.tolist() == [3.0, 4.0]
    outer = ng.jit(lambda a: f(a, b)["y"] * 2.0)
    assert outer(np.array([1.0, 2.0])) == 22.0
