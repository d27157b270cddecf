"""What a backward pass frees: which rules save values, and what a freed node still allows."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.engine.freeing import saves
from nbgrad.ops import basis
from nbgrad.ops.arrays import reductions
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.linalg import products

AGAIN = "Trying to backward through the graph a second time"
X = np.array([0.5, -1.5, 2.0])


def leaf(values: Any = X) -> Any:
    return ng.tensor(np.array(values), requires_grad=True)


# --------------------------------------------------------------------- which rules read a value

OPERATIONS: list[tuple[str, Callable[[Any], Any], Any, bool]] = [
    ("add", lambda x: x + x, arithmetic.add, False),
    ("subtract a number", lambda x: x - 1.0, arithmetic.subtract, False),
    ("negative", lambda x: -x, arithmetic.negative, False),
    # PyTorch 2.13 keeps a number that is a factor as a tensor, which a pass frees.
    ("multiply by a number", lambda x: x * 2.0, arithmetic.multiply, True),
    ("multiply", lambda x: x * x, arithmetic.multiply, True),
    ("divide by a number", lambda x: x / 2.0, arithmetic.divide, True),
    ("number divided", lambda x: 2.0 / x, arithmetic.divide, True),
    ("power 1", lambda x: x**1, arithmetic.integer_power, False),
    ("power 3", lambda x: x**3, arithmetic.integer_power, True),
    ("exp", ng.exp, arithmetic.exp, True),
    ("sign", ng.sign, arithmetic.sign, False),
    ("relu", ng.relu, None, True),
    ("sum", lambda x: x.sum(), basis.sum_, False),
    ("mean", lambda x: x.mean(), reductions.mean, False),
    ("max", lambda x: x.max(), reductions.max_, True),
    ("prod", lambda x: x.prod(), reductions.prod, True),
    ("cast", lambda x: x.float(), basis.cast, False),
    ("reshape", lambda x: x.reshape(3, 1), basis.reshape, False),
    ("slice", lambda x: x[1:], basis.slice_, False),
    ("concatenate", lambda x: ng.concatenate([x, x]), basis.concatenate, False),
    ("take", lambda x: x[np.array([0, 0])], None, True),  # its index
    ("matmul", lambda x: ng.matmul(x.reshape(1, 3), x.reshape(3, 1)), products.matmul, True),
]


@pytest.mark.parametrize(
    ("f", "prim", "expected"), [o[1:] for o in OPERATIONS], ids=[o[0] for o in OPERATIONS]
)
def test_whether_a_rule_saves_a_value(f: Callable[[Any], Any], prim: Any, expected: bool) -> None:
    node = f(leaf())._node
    assert prim is None or node.sig.prim is prim
    assert saves(node.sig) is expected


# ------------------------------------------------------------------------- what a pass consumes


def test_only_the_outputs_above_a_saved_value_are_consumed() -> None:
    x = leaf()
    saving, plain = (x * x).sum(), (x + 1).sum()
    ng.autograd.backward([saving, plain])
    plain.backward()
    with pytest.raises(RuntimeError, match=AGAIN):
        saving.backward()


def test_gradient_to_one_input_leaves_the_path_to_another() -> None:
    x, y = leaf(), leaf([1.0, 2.0, 3.0])
    z = (x.exp() + y.exp()).sum()
    ng.autograd.grad(z, x)
    (by_y,) = ng.autograd.grad(z, y)
    assert_allclose(by_y.numpy(), np.exp([1.0, 2.0, 3.0]))
    with pytest.raises(RuntimeError, match=AGAIN):
        ng.autograd.grad(z, x)


def test_consumed_loss_inside_a_larger_one() -> None:
    x = leaf()
    first = (x * x).sum()
    first.backward()
    y = leaf()
    total = first * 2 + (y * y).sum()
    (by_y,) = ng.autograd.grad(total, y, retain_graph=True)
    assert_allclose(by_y.numpy(), 2 * X)
    (by_first,) = ng.autograd.grad(total, first, retain_graph=True)
    assert by_first.item() == 2.0
    for attempt in (total.backward, lambda: ng.autograd.grad(total, x)):
        with pytest.raises(RuntimeError, match=AGAIN):
            attempt()
    assert y.grad is None


def test_part_of_a_gradient_is_never_returned() -> None:
    """One path to the input is intact, the other was freed: an error, not half the gradient."""
    x = leaf()
    consumed = (x * x).sum()
    consumed.backward()
    with pytest.raises(RuntimeError, match=AGAIN):
        ng.autograd.grad(x.sum() + consumed, x)
    with pytest.raises(RuntimeError, match=AGAIN):
        ng.autograd.grad(x.sum() + consumed, x, allow_unused=True)


def test_error_names_the_operation() -> None:
    y = leaf().exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"\((exp|sum)\)"):
        y.backward()


def test_loss_that_is_kept_does_not_keep_the_graph() -> None:
    x = leaf()
    hidden = x.exp()
    loss = (hidden * hidden).sum()
    reference = weakref.ref(hidden._node)
    del hidden
    gc.disable()
    try:
        loss.backward()
        assert reference() is None
    finally:
        gc.enable()
    assert_allclose(loss.item(), np.exp(2 * X).sum())


def test_hooked_graph_is_freed_as_well() -> None:
    x = leaf()
    y = x.exp()
    handle = y.register_hook(lambda g: g)
    z = (y * y).sum()
    z.backward()
    handle.remove()
    with pytest.raises(RuntimeError, match=AGAIN):
        z.backward()


# ------------------------------------------------------------------------------------- Function


class Exponential(ng.Function):
    """Saves its result, which is connected to the graph in the backward."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = ng.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g * y


class Doubled(ng.Function):
    """Saves nothing."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2


def test_saved_result_is_differentiated_again() -> None:
    x = leaf()
    assert ng.autograd.gradgradcheck(Exponential.apply, x)
    (first,) = ng.autograd.grad(Exponential.apply(x).sum(), x, create_graph=True)
    (second,) = ng.autograd.grad(first.sum(), x)
    assert_allclose(second.numpy(), np.exp(X))


def test_function_that_saves_nothing_may_run_twice() -> None:
    x = leaf()
    y = Doubled.apply(x).sum()
    y.backward()
    y.backward()
    assert_allclose(x.grad.numpy(), np.full(3, 4.0))


def test_saved_result_makes_no_cycle() -> None:
    x = leaf()
    y = Exponential.apply(x)
    reference = weakref.ref(y._node)
    gc.collect()
    gc.disable()
    try:
        del y
        assert reference() is None
    finally:
        gc.enable()
