"""What the tutorials demand of a flat tape: freeing, accumulation, mixing, collection."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

SECOND_TIME = "Trying to backward through the graph a second time"
VALUES = np.array([0.5, -1.5, 2.0])


def leaf(values: Any = VALUES) -> Any:
    return ng.tensor(np.array(values), requires_grad=True)


# --------------------------------------------------- 1. per-node freeing, path-restricted execution


def test_grad_executes_only_the_path_to_the_requested_input() -> None:
    x = leaf()
    y = x * x
    u = y.exp()
    (by_y,) = ng.autograd.grad(u.sum(), y)
    assert_allclose(by_y.numpy(), np.exp(VALUES**2))
    y.sum().backward()  # x * x was not consumed
    assert_allclose(x.grad.numpy(), 2 * VALUES)


def test_shared_part_is_freed_by_the_first_backward() -> None:
    x = leaf()
    y = x * x
    (y + 1).sum().backward()
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        (y + 2).sum().backward()


def test_shared_part_survives_with_retain_graph() -> None:
    x = leaf()
    y = x * x
    (y * y).sum().backward(retain_graph=True)
    y.sum().backward()
    assert_allclose(x.grad.numpy(), 4 * VALUES**3 + 2 * VALUES)


def test_detached_branch_is_not_consumed() -> None:
    x = leaf()
    y = x.exp()
    (y.detach() * x).sum().backward()
    y.sum().backward()
    assert_allclose(x.grad.numpy(), 2 * np.exp(VALUES))


def test_freed_result_can_still_be_read() -> None:
    x = leaf()
    y = x * x
    z = y.exp()
    z.sum().backward()
    assert_allclose(y.detach().numpy(), VALUES**2)
    assert_allclose(z.detach().numpy(), np.exp(VALUES**2))


def test_new_operations_on_a_freed_result_work_forward() -> None:
    x = leaf()
    y = x * x
    y.sum().backward()
    z = y * 3
    assert_allclose(z.detach().numpy(), 3 * VALUES**2)
    (by_y,) = ng.autograd.grad(z.sum(), y)
    assert_allclose(by_y.numpy(), [3.0, 3.0, 3.0])


def test_grad_with_several_inputs_frees_once() -> None:
    x, y = leaf(), leaf([2.0, 3.0, -1.0])
    by_x, by_y = ng.autograd.grad((x * y).sum(), (x, y))
    assert_allclose(by_x.numpy(), [2.0, 3.0, -1.0])
    assert_allclose(by_y.numpy(), VALUES)


# ---------------------------------------- 2. an error only where a needed value has been freed


NOTHING_SAVED: list[tuple[str, Callable[[Any], Any], Any]] = [
    ("sum", lambda x: x.sum(), [1, 1, 1]),
    ("sum over an axis", lambda x: x.sum(axis=0), [1, 1, 1]),
    ("mean", lambda x: x.mean(), [1 / 3, 1 / 3, 1 / 3]),
    ("add a number", lambda x: (x + 1).sum(), [1, 1, 1]),
    ("add to itself", lambda x: (x + x).sum(), [2, 2, 2]),
    ("subtract", lambda x: (1 - x).sum(), [-1, -1, -1]),
    ("negative", lambda x: (-x).sum(), [-1, -1, -1]),
    ("reshape", lambda x: x.reshape(3, 1).sum(), [1, 1, 1]),
    ("transpose", lambda x: x.reshape(3, 1).T.sum(), [1, 1, 1]),
    ("broadcast_to", lambda x: ng.broadcast_to(x, (2, 3)).sum(), [2, 2, 2]),
    ("slice", lambda x: x[1:].sum(), [0, 1, 1]),
    ("concatenate", lambda x: ng.concatenate([x, x]).sum(), [2, 2, 2]),
    ("stack", lambda x: ng.stack([x, x, x]).sum(), [3, 3, 3]),
]


@pytest.mark.parametrize(
    ("f", "slope"), [c[1:] for c in NOTHING_SAVED], ids=[c[0] for c in NOTHING_SAVED]
)
def test_second_backward_succeeds_where_nothing_was_saved(
    f: Callable[[Any], Any], slope: Any
) -> None:
    x = leaf()
    y = f(x)
    y.backward()
    y.backward()
    assert_allclose(x.grad.numpy(), 2 * np.array(slope))


SAVES: list[tuple[str, Callable[[Any], Any]]] = [
    ("twice a dot", lambda x: 2 * ng.dot(x, x)),
    ("multiply", lambda x: (x * x).sum()),
    ("divide", lambda x: (1 / x).sum()),
    ("exp", lambda x: x.exp().sum()),
    ("sin", lambda x: x.sin().sum()),
    ("power", lambda x: (x**3).sum()),
    ("abs", lambda x: x.abs().sum()),
    ("relu", lambda x: ng.relu(x).sum()),
    ("maximum", lambda x: ng.maximum(x, 0.1).sum()),
    ("max", lambda x: x.max()),
    ("prod", lambda x: x.prod()),
    ("norm", lambda x: x.norm()),
    ("matmul", lambda x: ng.matmul(x.reshape(1, 3), x.reshape(3, 1)).sum()),
    ("sum of an exp", lambda x: (x.exp() + 1).sum()),
]


@pytest.mark.parametrize("f", [c[1] for c in SAVES], ids=[c[0] for c in SAVES])
def test_second_backward_raises_where_a_value_was_saved(f: Callable[[Any], Any]) -> None:
    x = leaf()
    y = f(x)
    y.backward()
    once = x.grad.numpy().copy()
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        y.backward()
    assert_allclose(x.grad.numpy(), once, rtol=0)


# -------------------------------------------------- 3. grad() leaves .grad alone, backward() adds


def test_grad_does_not_touch_the_grad_attribute() -> None:
    x = leaf()
    y = (x * x).sum()
    assert x.grad is None
    ng.autograd.grad(y, x, retain_graph=True)
    assert x.grad is None
    y.backward()
    before = x.grad
    ng.autograd.grad((x * x * x).sum(), x)
    assert x.grad is before
    assert_allclose(x.grad.numpy(), 2 * VALUES)


def test_backward_accumulates_in_place() -> None:
    x = leaf()
    (x * x).sum().backward()
    first = x.grad
    x.sum().backward()
    assert x.grad is first
    assert_allclose(first.numpy(), 2 * VALUES + 1)


def test_grad_set_to_none_starts_anew() -> None:
    x = leaf()
    (x * x).sum().backward()
    old = x.grad
    x.grad = None
    x.sum().backward()
    assert x.grad is not old
    assert_allclose(x.grad.numpy(), np.ones(3))
    assert_allclose(old.numpy(), 2 * VALUES)


def test_one_backward_adds_all_uses_of_a_leaf() -> None:
    x = leaf()
    (x * 2 + x.exp() + x[0]).sum().backward()
    assert_allclose(x.grad.numpy(), 2 + np.exp(VALUES) + np.array([3.0, 0, 0]))


# --------------------------------------------------------------- 4. derivatives are on the tape too


def test_gradient_with_create_graph_shows_its_node_and_differentiates() -> None:
    x = leaf()
    (g,) = ng.autograd.grad((x**4).sum(), x, create_graph=True)
    assert g.requires_grad and not g.is_leaf
    assert re.search(r"grad_fn=<\w+Backward\d?>", repr(g))
    (g2,) = ng.autograd.grad(g.sum(), x, create_graph=True)
    (g3,) = ng.autograd.grad(g2.sum(), x, create_graph=True)
    (g4,) = ng.autograd.grad(g3.sum(), x)
    assert_allclose(g.detach().numpy(), 4 * VALUES**3)
    assert_allclose(g2.detach().numpy(), 12 * VALUES**2)
    assert_allclose(g3.detach().numpy(), 24 * VALUES)
    assert_allclose(g4.numpy(), np.full(3, 24.0))
    assert not g4.requires_grad


def test_backward_with_create_graph_leaves_a_differentiable_gradient() -> None:
    x = leaf()
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    penalty = (x.grad * x.grad).sum()
    (g,) = ng.autograd.grad(penalty, x)
    assert_allclose(g.numpy(), 36 * VALUES**3)


def test_create_graph_implies_retain_graph() -> None:
    x = leaf()
    y = (x**3).sum()
    ng.autograd.grad(y, x, create_graph=True)
    (again,) = ng.autograd.grad(y, x)
    assert_allclose(again.numpy(), 3 * VALUES**2)


# --------------------------------------------------------- 5. Python scalars and NumPy arrays mix


ARRAY = np.array([3.0, -0.5, 4.0])
BASE = np.array([0.5, 1.5, 2.0])
MIXED: list[tuple[str, Callable[[Any], Any]]] = [
    ("2*x", lambda x: 2 * x),
    ("x*2", lambda x: x * 2),
    ("x+2", lambda x: x + 2),
    ("2-x", lambda x: 2 - x),
    ("x/2", lambda x: x / 2),
    ("2/x", lambda x: 2 / x),
    ("x**2", lambda x: x**2),
    ("2**x", lambda x: 2**x),
    ("2.5**x", lambda x: 2.5**x),
    ("x%3", lambda x: x % 3),
    ("array*x", lambda x: ARRAY * x),
    ("x*array", lambda x: x * ARRAY),
    ("array-x", lambda x: ARRAY - x),
    ("x/array", lambda x: x / ARRAY),
    ("array/x", lambda x: ARRAY / x),
    ("array+x", lambda x: ARRAY + x),
    ("array@x", lambda x: ARRAY @ x),
    ("x@array", lambda x: x @ ARRAY),
    ("float64 scalar*x", lambda x: np.float64(2.5) * x),
    ("x*float64 scalar", lambda x: x * np.float64(2.5)),
    ("0-d array-x", lambda x: np.array(2.5) - x),
    ("True*x", lambda x: True * x),
    ("np.sin(x)", np.sin),
    ("np.multiply(array, x)", lambda x: np.multiply(ARRAY, x)),
]


@pytest.mark.parametrize("f", [c[1] for c in MIXED], ids=[c[0] for c in MIXED])
def test_numbers_and_arrays_mix_with_tensors(f: Callable[[Any], Any]) -> None:
    x = leaf(BASE)
    y = f(x)
    assert isinstance(y, ng.Tensor) and y.requires_grad
    assert_allclose(y.detach().numpy(), f(BASE), rtol=1e-12)
    y.sum().backward()
    step = 1e-6
    slope = [
        (np.sum(f(BASE + step * unit)) - np.sum(f(BASE - step * unit))) / (2 * step)
        for unit in np.eye(3)
    ]
    assert_allclose(x.grad.numpy(), slope, rtol=1e-7, atol=1e-9)


def test_tensor_between_numpy_array_and_scalar() -> None:
    x, z = leaf(BASE), leaf(ARRAY)
    (z / x * ARRAY - 1).sum().backward()
    assert_allclose(z.grad.numpy(), ARRAY / BASE)
    assert_allclose(x.grad.numpy(), -(ARRAY**2) / BASE**2)


def test_later_writes_to_a_source_array_do_not_reach_the_graph() -> None:
    source, factor = np.array([1.0, 2.0]), np.array([5.0, 6.0])
    x = ng.tensor(source, requires_grad=True)
    y = (x * factor).sum()
    source[:] = 0
    factor[:] = 0
    y.backward()
    assert y.item() == 17.0
    assert_allclose(x.grad.numpy(), [5.0, 6.0])


# ------------------------------------------------------------------- 6. abandoned graphs are freed


@pytest.mark.parametrize("computed", [False, True])
def test_abandoned_forward_is_freed_without_the_collector(computed: bool) -> None:
    x = leaf()
    gc.collect()
    gc.disable()
    try:
        y = x.exp()
        z = (y * y).sum()
        if computed:
            z.item()
        dead = [weakref.ref(y), weakref.ref(z)]
        del y, z
        assert [ref() for ref in dead] == [None, None]
    finally:
        gc.enable()
