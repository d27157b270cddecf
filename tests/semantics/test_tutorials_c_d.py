"""Rows 25-41: the computation graph, accumulation, detaching, Python control flow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.interpolate import RectBivariateSpline

import nbgrad as ng


@pytest.mark.row(25)
def test_row_25_polynomial() -> None:
    x = ng.tensor(3.0, requires_grad=True)
    y = 3 * x**2 + 4 * x + 2
    y.backward()
    assert y.item() == 41.0
    assert x.grad.item() == 22.0


@pytest.mark.row(26)
def test_row_26_requires_grad_false_removes_x_from_autograd() -> None:
    x = ng.tensor(3.0, requires_grad=True)
    assert (x * 2).requires_grad is True
    x.requires_grad_(False)
    y = x * 2
    assert y.requires_grad is False and y.grad_fn is None


def three_epochs(zero: bool) -> list[float]:
    x = ng.tensor(3.0, requires_grad=True)
    seen = []
    for _ in range(3):
        y = 3 * x**2 + 4 * x + 2
        y.backward()
        seen.append(x.grad.item())
        if zero:
            x.grad.zero_()
    return seen


@pytest.mark.row(27)
def test_row_27_zeroing_between_epochs() -> None:
    assert three_epochs(zero=True) == [22.0, 22.0, 22.0]


@pytest.mark.row(28)
def test_row_28_without_zeroing_gradients_accumulate() -> None:
    assert three_epochs(zero=False) == [22.0, 44.0, 66.0]


@pytest.mark.row(29)
def test_row_29_partial_derivative_holds_the_other_variable_fixed() -> None:
    x = ng.tensor(2.0, requires_grad=True)
    y = ng.tensor(-3.0, requires_grad=True)
    (x**2 * y + y**3).backward()
    assert_allclose(x.grad.item(), 2 * 2.0 * -3.0)
    assert_allclose(y.grad.item(), 2.0**2 + 3 * 9.0)


@pytest.mark.row(30)
def test_row_30_mean_of_squares() -> None:
    x = ng.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = 2 * x + 3
    z = y**2
    out = z.mean()
    assert_allclose(out.item(), 155 / 3)
    assert "grad_fn=<MeanBackward0>" in repr(out)
    out.backward()
    assert_allclose(x.grad.numpy(), np.array([20.0, 28.0, 36.0]) / 3)


class MyRelu(ng.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return ng.maximum(x, 0.0)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * (x > 0)


@pytest.mark.row(31)
def test_row_31_custom_relu() -> None:
    x = ng.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    y = MyRelu.apply(x)
    assert_allclose(y.detach().numpy(), [0.0, 0.0, 2.0])
    y.backward(ng.tensor([10.0, 20.0, 30.0]))
    assert_allclose(x.grad.numpy(), [0.0, 0.0, 30.0])
    away_from_kink = ng.tensor([-1.0, 0.4, 2.0], requires_grad=True)
    assert ng.autograd.gradcheck(MyRelu.apply, (away_from_kink,)) is True


def spline() -> RectBivariateSpline:
    grid = np.linspace(0.0, 3.0, 9)
    return RectBivariateSpline(grid, grid, np.sin(grid)[:, None] * np.cosh(grid))


class Bicubic(ng.autograd.Function):
    """SciPy's bicubic interpolation, with its own derivatives as the backward."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        return ng.tensor(spline().ev(x.detach().numpy(), y.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, g: Any) -> tuple[Any, Any]:
        x, y = (saved.detach().numpy() for saved in ctx.saved_tensors)
        return g * spline().ev(x, y, dx=1), g * spline().ev(x, y, dy=1)


@pytest.mark.row(31)
def test_row_31_gradient_through_scipy() -> None:
    x = ng.tensor([0.31, 1.7, 2.2], requires_grad=True)
    y = ng.tensor([2.5, 0.9, 1.3], requires_grad=True)
    assert ng.autograd.gradcheck(Bicubic.apply, (x, y)) is True
    Bicubic.apply(x * 2 - x, y).sum().backward()
    assert_allclose(x.grad.numpy(), spline().ev(x.detach().numpy(), y.detach().numpy(), dx=1))


@pytest.mark.row(31)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_row_31_output_requires_grad_if_any_input_does(first: bool, second: bool) -> None:
    a = ng.tensor(2.0, requires_grad=first)
    b = ng.tensor(3.0, requires_grad=second)
    assert (a * b).requires_grad is (first or second)
    assert ((a * b).grad_fn is not None) is (first or second)


@pytest.mark.row(31)
def test_row_31_one_step_of_logistic_regression() -> None:
    rng = np.random.default_rng(7)
    features, labels = rng.normal(size=(20, 3)), (rng.random(20) > 0.5).astype(float)
    start = rng.normal(size=3)
    w = ng.tensor(start, requires_grad=True)
    p = ng.sigmoid(ng.matmul(features, w))
    loss = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    loss.backward()
    probability = 1 / (1 + np.exp(-features @ start))
    gradient = features.T @ (probability - labels) / 20
    assert_allclose(w.grad.numpy(), gradient, rtol=1e-10)
    with ng.no_grad():
        w -= 0.1 * w.grad
    assert w.is_leaf and w.requires_grad
    assert_allclose(w.detach().numpy(), start - 0.1 * gradient, rtol=1e-10)


@pytest.mark.row(32)
def test_row_32_requires_grad_after_creation_or_at_creation() -> None:
    x = ng.arange(4.0)
    assert x.grad is None
    x.requires_grad_(True)
    assert x.grad is None and x.requires_grad
    z = ng.arange(4.0, requires_grad=True)
    assert z.grad is None and z.requires_grad and z.is_leaf
    assert_allclose(z.detach().numpy(), [0.0, 1.0, 2.0, 3.0])


@pytest.mark.row(33)
def test_row_33_gradient_storage_is_reused() -> None:
    x = ng.arange(4.0, requires_grad=True)
    (x * x).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad is first
    assert_allclose(first.numpy(), [0.0, 4.0, 8.0, 12.0])
    first.zero_()
    assert x.grad is first
    x.sum().backward()
    assert x.grad is first
    assert_allclose(first.numpy(), np.ones(4))


@pytest.mark.row(34)
def test_row_34_two_x_dot_x() -> None:
    x = ng.arange(4.0, requires_grad=True)
    y = 2 * ng.dot(x, x)
    y.backward()
    assert y.item() == 28.0
    assert_allclose(x.grad.numpy(), [0.0, 4.0, 8.0, 12.0])
    assert (x.grad == 4 * x).tolist() == [True] * 4


@pytest.mark.row(35)
def test_row_35_zeroed_gradient_then_sum() -> None:
    x = ng.arange(4.0, requires_grad=True)
    (2 * ng.dot(x, x)).backward()
    x.sum().backward()
    assert_allclose(x.grad.numpy(), [1.0, 5.0, 9.0, 13.0])
    x.grad.zero_()
    x.sum().backward()
    assert_allclose(x.grad.numpy(), np.ones(4))


@pytest.mark.row(36)
def test_row_36_sum_backward_is_backward_with_ones() -> None:
    x = ng.arange(4.0, requires_grad=True)
    (x * x).sum().backward()
    assert_allclose(x.grad.numpy(), [0.0, 2.0, 4.0, 6.0])
    x.grad.zero_()
    (x * x).backward(ng.ones(len(x)))
    assert_allclose(x.grad.numpy(), [0.0, 2.0, 4.0, 6.0])


@pytest.mark.row(37)
def test_row_37_detached_factor_is_a_constant() -> None:
    x = ng.arange(4.0, requires_grad=True)
    y = x * x
    u = y.detach()
    z = u * x
    z.sum().backward()
    assert (x.grad == u).tolist() == [True] * 4
    assert_allclose(x.grad.numpy(), [0.0, 1.0, 4.0, 9.0])


@pytest.mark.row(38)
def test_row_38_other_graph_survives_a_backward() -> None:
    x = ng.arange(4.0, requires_grad=True)
    y = x * x
    u = y.detach()
    (u * x).sum().backward()
    x.grad.zero_()
    y.sum().backward()
    assert (x.grad == 2 * x).tolist() == [True] * 4


def control_flow(a: Any) -> Any:
    """The piecewise linear function of the book: a loop and a branch of unknown outcome."""
    b = a * 2
    while b.norm() < 1000:
        b = b * 2
    if b.sum() > 0:
        return b
    return 100 * b


@pytest.mark.row(39)
@pytest.mark.parametrize("seed", range(6))
def test_row_39_python_control_flow(seed: int) -> None:
    ng.manual_seed(seed)
    a = ng.randn(size=(), requires_grad=True)
    assert a.shape == ()
    d = control_flow(a)
    d.backward()
    assert_allclose(a.grad.item(), d.item() / a.item(), rtol=1e-14)


@pytest.mark.row(40)
@pytest.mark.parametrize("start", [-0.1, -0.3, -1.7, -2.9, -1e-3])
def test_row_40_equality_of_slope_and_ratio_holds_up_to_rounding(start: float) -> None:
    a = ng.tensor(start, requires_grad=True)
    d = control_flow(a)
    d.backward()
    doublings = 1 + math.ceil(math.log2(500 / abs(start)))
    assert a.grad.item() == 100 * 2.0**doublings
    assert_allclose((d / a).item(), a.grad.item(), rtol=1e-15)


@pytest.mark.row(40)
@pytest.mark.parametrize("start", [0.1, 0.3, 1.7, 2.9])
def test_row_40_equality_is_exact_for_a_positive_start(start: float) -> None:
    a = ng.tensor(start, requires_grad=True)
    d = control_flow(a)
    d.backward()
    assert bool(a.grad == d / a) is True


@pytest.mark.row(41)
def test_row_41_comparisons_are_boolean_and_untracked() -> None:
    x = ng.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = ng.tensor([1.0, 5.0, 0.0])
    for result, expected in [
        (x == y, [True, False, False]),
        (x != y, [False, True, True]),
        (x < y, [False, True, False]),
        (x <= y, [True, True, False]),
        (x > 1.5, [False, True, True]),
        (x >= 1.0, [True, True, True]),
    ]:
        assert result.tolist() == expected
        assert result.dtype == np.dtype(bool)
        assert result.requires_grad is False and result.grad_fn is None


@pytest.mark.row(41)
def test_row_41_comparison_with_a_shape_that_does_not_broadcast_raises() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        _ = ng.tensor([1.0, 2.0]) == ng.tensor([1.0, 2.0, 3.0])


def test_exercise_control_flow_on_a_vector_scales_every_element_alike() -> None:
    a = ng.tensor([0.5, -0.25, 2.0], requires_grad=True)
    d = control_flow(a)
    with pytest.raises(RuntimeError, match="scalar outputs"):
        d.backward()
    d.backward(ng.ones_like(d))
    assert_allclose(a.grad.numpy(), (d / a).detach().numpy())


def test_exercise_plot_of_sin_and_its_derivative() -> None:
    x = ng.linspace(-3.0, 3.0, 100, requires_grad=True)
    y = ng.sin(x)
    y.sum().backward()
    assert_allclose(x.grad.numpy(), np.cos(np.linspace(-3.0, 3.0, 100)), rtol=1e-10)
    assert_allclose(np.asarray(y.detach()), np.sin(np.linspace(-3.0, 3.0, 100)), rtol=1e-10)


def test_exercise_chain_rule_of_log_square_sine_and_reciprocal() -> None:
    x = ng.tensor([0.7, -1.3, 2.9], requires_grad=True)
    (ng.log(x**2) * ng.sin(x) + 1 / x).sum().backward()
    v = np.array([0.7, -1.3, 2.9])
    expected = 2 / v * np.sin(v) + np.log(v**2) * np.cos(v) - 1 / v**2
    assert_allclose(x.grad.numpy(), expected, rtol=1e-12)
