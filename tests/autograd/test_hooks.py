"""Tensor hooks and ``retain_grad``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng


def leaf() -> Any:
    return ng.tensor([1.0, 2.0], requires_grad=True)


def test_hook_sees_the_gradient_of_a_result() -> None:
    x, seen = leaf(), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.numpy().copy()))
    (y * y).sum().backward()
    assert len(seen) == 1
    assert_allclose(seen[0], [4.0, 8.0])
    assert_allclose(x.grad.numpy(), [8.0, 16.0])


def test_hook_runs_once_with_the_sum_over_all_uses() -> None:
    x, seen = leaf(), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y * 3 + y.exp() + y[0]).sum().backward()
    assert len(seen) == 1
    assert_allclose(seen[0], 3 + np.exp([2.0, 4.0]) + np.array([2.0, 0.0]))


def test_returned_gradient_replaces_the_old_one() -> None:
    x = leaf()
    y = x * 2
    y.register_hook(lambda g: g * 10)
    (y * y).sum().backward()
    assert_allclose(x.grad.numpy(), [80.0, 160.0])


def test_hooks_run_in_order_of_registration() -> None:
    x = leaf()
    y = x * 1
    y.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: g * 100)
    y.sum().backward()
    assert_allclose(x.grad.numpy(), [200.0, 200.0])


def test_hook_of_a_leaf_runs_before_accumulation() -> None:
    x = leaf()
    x.register_hook(lambda g: -g)
    x.sum().backward()
    x.sum().backward()
    assert_allclose(x.grad.numpy(), [-2.0, -2.0])


def test_hook_of_a_leaf_sees_only_the_new_gradient() -> None:
    x, seen = leaf(), []
    x.sum().backward()
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * x).sum().backward()
    assert seen == [[2.0, 4.0]]
    assert_allclose(x.grad.numpy(), [3.0, 5.0])


def test_removed_hook_does_not_run() -> None:
    x, seen = leaf(), []
    y = x * 1
    first = y.register_hook(lambda g: seen.append("first"))
    y.register_hook(lambda g: seen.append("second"))
    first.remove()
    first.remove()
    y.sum().backward()
    assert seen == ["second"]


def test_hooks_run_under_grad_too() -> None:
    x, seen = leaf(), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 10)
    (g,) = ng.autograd.grad((y * y).sum(), x)
    assert seen == [[4.0, 8.0]]
    assert_allclose(g.numpy(), [80.0, 160.0])
    assert x.grad is None


def test_hook_of_the_input_of_grad_changes_the_result() -> None:
    y = leaf() * 2
    y.register_hook(lambda g: g * 10)
    (g,) = ng.autograd.grad((y * y).sum(), y)
    assert_allclose(g.numpy(), [40.0, 80.0])


def test_hook_off_the_path_does_not_run() -> None:
    x, seen = leaf(), []
    y, z = x * 2, x * 3
    z.register_hook(lambda g: seen.append(g))
    y.sum().backward()
    assert seen == []


def test_hook_on_the_output_itself() -> None:
    x, seen = leaf(), []
    y = (x * x).sum()
    y.register_hook(lambda g: seen.append(g.item()))
    y.backward()
    assert seen == [1.0]


def test_gradient_given_to_a_hook_is_tracked_with_create_graph() -> None:
    x, seen = leaf(), []
    y = x * 1
    y.register_hook(seen.append)
    (y**3).sum().backward(create_graph=True)
    (second,) = ng.autograd.grad(seen[0].sum(), x)
    assert_allclose(second.numpy(), [6.0, 12.0])


def test_gradient_given_to_a_hook_is_untracked_otherwise() -> None:
    x, seen = leaf(), []
    x.register_hook(seen.append)
    (x**3).sum().backward()
    assert not seen[0].requires_grad


def test_hook_that_changes_the_shape_raises() -> None:
    x = leaf()
    x.register_hook(lambda g: g[:1])
    with pytest.raises(RuntimeError, match=r"size|shape"):
        (x * x).sum().backward()


def test_hook_that_raises_stops_the_backward() -> None:
    def refuse(g: Any) -> None:
        raise KeyError("refused")

    x = leaf()
    y = x * 2
    y.register_hook(refuse)
    with pytest.raises(KeyError, match="refused"):
        (y * y).sum().backward()


def test_hook_on_an_untracked_tensor_raises() -> None:
    text = "cannot register a hook on a tensor that doesn't require gradient"
    with pytest.raises(RuntimeError, match=text):
        ng.ones(2).register_hook(print)


def test_retain_grad_keeps_the_gradient_of_a_result() -> None:
    x = leaf()
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    assert_allclose(y.grad.numpy(), [4.0, 8.0])
    assert_allclose(x.grad.numpy(), [8.0, 16.0])


def test_retained_gradient_accumulates() -> None:
    y = leaf() * 2
    y.retain_grad()
    z = (y * y).sum()
    z.backward(retain_graph=True)
    z.backward()
    assert_allclose(y.grad.numpy(), [8.0, 16.0])


@pytest.mark.parametrize("hook_first", [False, True])
def test_retained_gradient_is_the_one_after_the_hooks(hook_first: bool) -> None:
    y = leaf() * 2
    if hook_first:
        y.register_hook(lambda g: g * 10)
    y.retain_grad()
    if not hook_first:
        y.register_hook(lambda g: g * 10)
    (y * y).sum().backward()
    assert_allclose(y.grad.numpy(), [40.0, 80.0])


def test_retain_grad_of_a_leaf_changes_nothing() -> None:
    x = leaf()
    x.retain_grad()
    (x * x).sum().backward()
    assert_allclose(x.grad.numpy(), [2.0, 4.0])


def test_retain_grad_of_an_untracked_tensor_raises() -> None:
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor"):
        ng.ones(2).retain_grad()


@pytest.mark.parametrize("how", ["grad", "backward"])
def test_hooks_below_the_inputs_of_a_pass_are_not_on_its_way(how):
    """As in PyTorch 2.13: only what lies between outputs and inputs is executed."""
    seen = []
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    h = x * 2.0
    h.register_hook(seen.append)
    h.retain_grad()
    z = h * 3.0
    loss = (z * z).sum()

    def run(t):
        if how == "grad":
            return ng.autograd.grad(loss, t, retain_graph=True)[0].tolist()
        loss.backward(inputs=[t], retain_graph=True)
        return t.grad.tolist()

    assert run(z) == [12.0, 24.0]
    assert seen == [] and h.grad is None
    assert run(h) == [36.0, 72.0]
    assert len(seen) == 1 and h.grad.tolist() == [36.0, 72.0]  # retained, and added once
    assert run(x) == [72.0, 144.0]
    assert len(seen) == 2 and h.grad.tolist() == [72.0, 144.0]


def test_a_leaf_changed_in_place_is_still_the_input_it_was():
    w = ng.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * 3.0).sum()
    with ng.no_grad():
        w -= 1.0
    assert ng.autograd.grad(loss, w, retain_graph=True)[0].tolist() == [3.0, 3.0]
    loss.backward(inputs=[w])
    assert w.grad.tolist() == [3.0, 3.0]
    assert ng.autograd.grad((w * w).sum(), w)[0].tolist() == [0.0, 2.0]
    before = (w * 5.0).sum()
    with ng.no_grad():
        w += 1.0
    both = before + (w * w).sum()
    assert ng.autograd.grad(both, w, retain_graph=True)[0].tolist() == [7.0, 9.0]
    both.backward(inputs=[w])
    assert w.grad.tolist() == [10.0, 12.0]
