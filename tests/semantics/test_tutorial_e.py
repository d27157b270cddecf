"""Rows 42-61: run-time tracing, the graph seen from Python, training, modes, functional API."""

from __future__ import annotations

import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

ANGLES = np.linspace(0.0, 2 * math.pi, 25)


@pytest.mark.row(42)
@pytest.mark.parametrize("start", [2.0, 9.0, 1e-4, 1e6])
def test_row_42_loop_of_unknown_length(start: float) -> None:
    a = ng.tensor(start, requires_grad=True)
    root = a
    while abs(root * root - a) > 1e-13 * a:
        root = (root + a / root) / 2
    root.backward()
    assert_allclose(a.grad.item(), 0.5 / math.sqrt(start), rtol=1e-10)


@pytest.mark.row(42)
def test_row_42_branches_differentiate_the_one_taken() -> None:
    def f(x: Any) -> Any:
        return x**2 if x > 0 else ng.sin(x)

    for start, slope in [(3.0, 6.0), (-1.0, math.cos(1.0))]:
        x = ng.tensor(start, requires_grad=True)
        f(x).backward()
        assert_allclose(x.grad.item(), slope)


@pytest.mark.row(43)
def test_row_43_path_sums_are_not_enumerated() -> None:
    x = ng.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(60):  # 2**60 paths from y to x
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


@pytest.mark.row(43)
def test_row_43_every_tracked_tensor_knows_its_creator() -> None:
    x = ng.tensor(0.5, requires_grad=True)
    y = x.exp()
    z = y / x
    assert [type(t.grad_fn) is not type(None) for t in (x, y, z)] == [False, True, True]
    assert "ExpBackward0" in repr(y.grad_fn) and "DivBackward0" in repr(z.grad_fn)


def angles() -> Any:
    return ng.linspace(0.0, 2.0 * math.pi, steps=25, requires_grad=True)


@pytest.mark.row(44)
def test_row_44_creation_functions_accept_requires_grad() -> None:
    a = angles()
    assert a.shape == (25,) and a.requires_grad and a.is_leaf
    assert_allclose(a.detach().numpy(), ANGLES)
    for leaf in (
        ng.zeros(2, requires_grad=True),
        ng.full((2,), 3.0, requires_grad=True),
        ng.eye(2, requires_grad=True),
        ng.rand(2, requires_grad=True),
        ng.randn(2, requires_grad=True),
        ng.zeros_like(a, requires_grad=True),
        ng.ones_like(a, requires_grad=True),
    ):
        assert leaf.requires_grad and leaf.is_leaf


@pytest.mark.row(45)
def test_row_45_detached_tensors_convert_and_tracked_ones_refuse() -> None:
    a = angles()
    b = ng.sin(a)
    assert isinstance(np.asarray(b.detach()), np.ndarray)
    assert_allclose(np.asarray(b.detach()), np.sin(ANGLES), atol=1e-15)
    for tracked in (a, b):
        with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires"):
            np.asarray(tracked)


def names(node: Any) -> list[tuple[str | None, int]]:
    """``next_functions`` as (name without the trailing digit, index) pairs."""
    return [
        (None if parent is None else re.sub(r"^<(\w+?)(Backward)?\d? .*", r"\1", repr(parent)), k)
        for parent, k in node.next_functions
    ]


@pytest.mark.row(46)
def test_row_46_names_of_the_chain() -> None:
    b = ng.sin(angles())
    c = 2 * b
    d = c + 1
    out = d.sum()
    for tensor, name in [(b, "Sin"), (c, "Mul"), (d, "Add"), (out, "Sum")]:
        assert f"grad_fn=<{name}Backward0>" in repr(tensor)
    assert_allclose(out.item(), 25.0, rtol=1e-14)


@pytest.mark.row(47)
def test_row_47_walk_to_the_leaf() -> None:
    a = angles()
    d = 2 * ng.sin(a) + 1
    add = d.grad_fn
    assert names(add) == [("Mul", 0), (None, 0)]
    mul = add.next_functions[0][0]
    assert names(mul) == [("Sin", 0), (None, 0)]
    sin = mul.next_functions[0][0]
    assert names(sin) == [("AccumulateGrad", 0)]
    assert sin.next_functions[0][0].next_functions == ()
    assert a.grad_fn is None


@pytest.mark.row(48)
def test_row_48_gradient_is_two_cosines() -> None:
    a = angles()
    (2 * ng.sin(a) + 1).sum().backward()
    assert_allclose(a.grad.numpy(), 2 * np.cos(ANGLES), rtol=1e-12, atol=1e-15)


@pytest.mark.row(49)
def test_row_49_only_leaves_get_a_gradient() -> None:
    a = angles()
    b = ng.sin(a)
    c = 2 * b
    c.sum().backward()
    with warnings.catch_warnings():  # PyTorch warns when .grad of a non-leaf is read
        warnings.simplefilter("ignore")
        assert c.grad is None and b.grad is None
    assert a.grad is not None


class TinyModel:
    """Linear(1000, 100), relu, Linear(100, 10), written out, with its gradient in NumPy."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.arrays = [
            rng.normal(size=(100, 1000)) / 30,
            rng.normal(size=100) / 30,
            rng.normal(size=(10, 100)) / 10,
            rng.normal(size=10) / 10,
        ]
        self.parameters = [ng.tensor(a, requires_grad=True) for a in self.arrays]
        self.input = rng.normal(size=(16, 1000))
        self.ideal = rng.normal(size=(16, 10))

    def loss(self) -> Any:
        w1, b1, w2, b2 = self.parameters
        hidden = ng.relu(ng.matmul(ng.tensor(self.input), w1.T) + b1)
        prediction = ng.matmul(hidden, w2.T) + b2
        return (ng.tensor(self.ideal) - prediction).pow(2).sum()

    def gradients(self) -> list[np.ndarray]:
        w1, b1, w2, b2 = self.arrays
        before = self.input @ w1.T + b1
        hidden = np.maximum(before, 0)
        outer = 2 * (hidden @ w2.T + b2 - self.ideal)
        inner = (outer @ w2) * (before > 0)
        return [inner.T @ self.input, inner.sum(0), outer.T @ hidden, outer.sum(0)]


@pytest.mark.row(50)
def test_row_50_gradients_of_a_small_network() -> None:
    model = TinyModel()
    assert all(p.grad is None and p.requires_grad for p in model.parameters)
    model.loss().backward()
    for parameter, expected in zip(model.parameters, model.gradients(), strict=True):
        assert_allclose(parameter.grad.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.row(51)
def test_row_51_backward_fills_gradients_and_step_moves_weights() -> None:
    model = TinyModel()
    optimizer = ng.optim.SGD(model.parameters, lr=0.001)
    model.loss().backward()
    for parameter, before in zip(model.parameters, model.arrays, strict=True):
        assert_allclose(parameter.detach().numpy(), before, rtol=0)
    gradients = [p.grad.numpy().copy() for p in model.parameters]
    optimizer.step()
    for p, before, g in zip(model.parameters, model.arrays, gradients, strict=True):
        assert_allclose(p.detach().numpy(), before - 0.001 * g, rtol=1e-12)
        assert_allclose(p.grad.numpy(), g, rtol=0)
        assert p.is_leaf and p.requires_grad


@pytest.mark.row(52)
def test_row_52_gradients_add_up_until_zero_grad() -> None:
    model = TinyModel()
    optimizer = ng.optim.SGD(model.parameters, lr=0.001)
    for _ in range(5):
        model.loss().backward()
    for parameter, once in zip(model.parameters, model.gradients(), strict=True):
        assert_allclose(parameter.grad.numpy(), 5 * once, rtol=1e-9, atol=1e-12)
    optimizer.zero_grad(set_to_none=False)
    for parameter in model.parameters:
        assert not parameter.grad.numpy().any() and parameter.grad.shape == parameter.shape
    optimizer.zero_grad(set_to_none=True)
    assert all(p.grad is None for p in model.parameters)
    model.loss().backward()
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters)


@pytest.mark.row(53)
def test_row_53_flag_assigned_after_use() -> None:
    a = ng.ones(2, 3, requires_grad=True)
    b1 = 2 * a
    a.requires_grad = False
    b2 = 2 * a
    assert b1.grad_fn is not None and b1.requires_grad
    assert b2.grad_fn is None and not b2.requires_grad


@pytest.mark.row(54)
def test_row_54_no_grad_and_enable_grad_as_context_and_decorator() -> None:
    a = ng.ones(2, 3, requires_grad=True) * 2
    b = ng.ones(2, 3, requires_grad=True) * 3

    def add(x: Any, y: Any) -> Any:
        return x + y

    untracked = ng.no_grad()(add)
    tracked = ng.enable_grad()(add)
    c1 = a + b
    with ng.no_grad():
        c2 = a + b
        c4 = tracked(a, b)
        with ng.enable_grad():
            c5 = a + b
    c3 = a * b
    assert [c.grad_fn is None for c in (c1, c2, c3, c4, c5)] == [False, True, False, False, False]
    assert untracked(a, b).grad_fn is None
    assert_allclose(c2.numpy(), np.full((2, 3), 5.0))


@pytest.mark.row(55)
def test_row_55_detached_tensor_shares_storage_and_has_no_history() -> None:
    x = ng.rand(5, requires_grad=True)
    y = x.detach()
    assert not y.requires_grad and x.requires_grad and y.is_leaf
    assert_allclose(y.numpy(), x.tolist(), rtol=0)
    assert np.shares_memory(y.numpy(copy=False), x.detach().numpy(copy=False))
    y[0] = 5.0
    assert x[0].item() == 5.0


@pytest.mark.row(56)
def test_row_56_in_place_sine_of_a_leaf_raises() -> None:
    a = angles()
    leaf = "a leaf Variable that requires grad is being used in an in-place operation"
    with pytest.raises(RuntimeError, match=leaf):
        ng.sin_(a)
    assert_allclose(a.detach().numpy(), ANGLES)
    b = ng.tensor([0.5, 1.0])
    assert ng.sin_(b) is b
    assert_allclose(b.numpy(), np.sin([0.5, 1.0]))


def profiled(count: int, **options: Any) -> Any:
    x = ng.randn(2, 3, requires_grad=True)
    y = ng.rand(2, 3) + 1
    z = ng.ones(2, 3, requires_grad=True)
    with ng.autograd.profiler.profile(**options) as profile:
        for _ in range(count):
            z = (z / x) * y
    return profile


@pytest.mark.row(57)
def test_row_57_profiler_counts_calls_per_operation() -> None:
    averages = profiled(1000).key_averages()
    table = averages.table(sort_by="self_cpu_time_total")
    for name in ("div", "mul"):
        lines = [line for line in table.splitlines() if re.search(rf"\b{name}", line)]
        assert lines, f"no row for {name} in\n{table}"
        assert re.search(r"\b1000\b", lines[0])


@pytest.mark.row(57)
def test_row_57_profiler_groups_by_shape_and_exports_a_trace(tmp_path: Path) -> None:
    profile = profiled(3, record_shapes=True)
    table = profile.key_averages(group_by_input_shape=True).table(sort_by="self_cpu_time_total")
    assert "2, 3" in table
    target = tmp_path / "trace.json"
    profile.export_chrome_trace(str(target))
    trace = json.loads(target.read_text())
    events = trace["traceEvents"] if isinstance(trace, dict) else trace
    assert sum("div" in event.get("name", "") for event in events) == 3


@pytest.mark.row(57)
def test_row_57_profiler_labels_blocks() -> None:
    x = ng.ones(3, requires_grad=True)
    profiler = ng.autograd.profiler
    with profiler.profile() as profile, profiler.record_function("my block"):
        (x * 2).sum().item()
    assert "my block" in profile.key_averages().table(sort_by="self_cpu_time_total")


def double_until_long(x: Any) -> Any:
    y = x * 2
    while y.data.norm() < 1000:
        y = y * 2
    return y


@pytest.mark.row(58)
def test_row_58_vector_jacobian_product_of_a_loop() -> None:
    ng.manual_seed(3)
    x = ng.randn(3, requires_grad=True)
    y = double_until_long(x)
    v = [0.1, 1.0, 0.0001]
    y.backward(ng.tensor(v))
    factor = (y / x).detach().numpy()[0]
    assert math.log2(factor) == round(math.log2(factor)) > 5
    assert_allclose(x.grad.numpy(), factor * np.array(v))


def exp_adder(x: Any, y: Any) -> Any:
    return 2 * x.exp() + 3 * y


@pytest.mark.row(59)
def test_row_59_jacobian_of_one_element() -> None:
    x, y = ng.tensor([0.31]), ng.tensor([0.87])
    jacobian = ng.autograd.functional.jacobian(exp_adder, (x, y))
    assert isinstance(jacobian, tuple) and len(jacobian) == 2
    assert_allclose(jacobian[0].numpy(), [[2 * math.exp(0.31)]])
    assert_allclose(jacobian[1].numpy(), [[3.0]])


@pytest.mark.row(60)
def test_row_60_jacobian_of_three_elements() -> None:
    values = np.array([0.1, -0.4, 0.9])
    x, y = ng.tensor(values), ng.tensor([1.0, 2.0, 3.0])
    by_x, by_y = ng.autograd.functional.jacobian(exp_adder, (x, y))
    assert_allclose(by_x.numpy(), np.diag(2 * np.exp(values)))
    assert_allclose(by_y.numpy(), np.diag([3.0, 3.0, 3.0]))


@pytest.mark.row(61)
def test_row_61_vjp_of_a_loop() -> None:
    v = np.array([0.1, 1.0, 0.0001])
    inputs = ng.tensor([0.7, -1.1, 0.2])
    output, product = ng.autograd.functional.vjp(double_until_long, inputs, v=ng.tensor(v))
    factor = 2.0 ** math.ceil(math.log2(1000 / np.linalg.norm([0.7, -1.1, 0.2])))
    assert_allclose(output.numpy(), factor * np.array([0.7, -1.1, 0.2]))
    assert_allclose(product.numpy(), factor * v)


@pytest.mark.row(61)
def test_row_61_hessian_and_its_products() -> None:
    values, v = np.array([0.7, -1.1, 0.2]), np.array([1.0, 0.5, -2.0])

    def f(x: Any) -> Any:
        return (x**3).sum() + x[0] * x[1] * x[2]

    a, b, c = values
    hessian = np.array([[6 * a, c, b], [c, 6 * b, a], [b, a, 6 * c]])
    x, direction = ng.tensor(values), ng.tensor(v)
    functional = ng.autograd.functional
    assert_allclose(functional.hessian(f, x).numpy(), hessian, rtol=1e-12, atol=1e-14)
    for product in (functional.hvp, functional.vhp):
        output, result = product(f, x, direction)
        assert_allclose(output.item(), (values**3).sum() + a * b * c)
        assert_allclose(result.numpy(), hessian @ v)
    output, tangent = functional.jvp(lambda x: x**2, x, direction)
    assert_allclose(output.numpy(), values**2)
    assert_allclose(tangent.numpy(), 2 * values * v)
