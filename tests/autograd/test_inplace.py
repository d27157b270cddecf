"""In-place operations: values saved for a backward are never overwritten. See test_views.py too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

VALUES = np.array([0.5, 1.5, -2.0])


def leaf(values: Any = VALUES) -> Any:
    return ng.tensor(np.array(values), requires_grad=True)


# name, the operation in place, the same on arrays, slope of the result in its first operand
METHODS: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = [
    ("add_", lambda t: t.add_(3), lambda a: a + 3, np.ones_like),
    ("sub_", lambda t: t.sub_(3), lambda a: a - 3, np.ones_like),
    ("mul_", lambda t: t.mul_(3), lambda a: a * 3, lambda a: np.full_like(a, 3)),
    ("div_", lambda t: t.div_(4), lambda a: a / 4, lambda a: np.full_like(a, 0.25)),
    ("zero_", lambda t: t.zero_(), np.zeros_like, np.zeros_like),
    ("fill_", lambda t: t.fill_(7.0), lambda a: np.full_like(a, 7), np.zeros_like),
    ("copy_", lambda t: t.copy_(ng.ones(3)), np.ones_like, np.zeros_like),
    ("sin_", lambda t: t.sin_(), np.sin, np.cos),
    ("exp_", lambda t: t.exp_(), np.exp, np.exp),
    ("clamp_", lambda t: t.clamp_(-1, 1), lambda a: a.clip(-1, 1), lambda a: 1.0 * (abs(a) <= 1)),
    ("add_ of itself", lambda t: t.add_(t), lambda a: 2 * a, lambda a: np.full_like(a, 2)),
    ("mul_ by itself", lambda t: t.mul_(t), lambda a: a * a, lambda a: 2 * a),
]
IDS = [m[0] for m in METHODS]


@pytest.mark.parametrize(("change", "value", "slope"), [m[1:] for m in METHODS], ids=IDS)
def test_method_changes_an_untracked_tensor(change: Any, value: Any, slope: Any) -> None:
    t = ng.tensor(VALUES)
    alias = t
    assert change(t) is t
    assert_allclose(t.numpy(), value(VALUES), rtol=1e-12)
    assert alias.tolist() == t.tolist()
    assert not t.requires_grad


@pytest.mark.parametrize(("change", "value", "slope"), [m[1:] for m in METHODS], ids=IDS)
def test_method_on_a_result_is_differentiated(change: Any, value: Any, slope: Any) -> None:
    x = leaf()
    y = x * 2
    kept = y.exp()  # saves its result, made from the old y
    change(y)
    assert_allclose(y.detach().numpy(), value(2 * VALUES), rtol=1e-12)
    (y + kept).sum().backward()
    expected = 2 * slope(2 * VALUES) + 2 * np.exp(2 * VALUES)
    assert_allclose(x.grad.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize(("change", "value", "slope"), [m[1:] for m in METHODS], ids=IDS)
def test_changed_result_stays_tracked_even_when_overwritten(
    change: Any, value: Any, slope: Any
) -> None:
    x = leaf()
    y = x * 2
    change(y)
    assert y.requires_grad and not y.is_leaf and y.grad_fn is not None
    y.sum().backward()
    assert_allclose(x.grad.numpy(), 2 * slope(2 * VALUES), rtol=1e-12)


@pytest.mark.parametrize(("change", "value", "slope"), [m[1:] for m in METHODS], ids=IDS)
def test_method_on_a_leaf_under_no_grad(change: Any, value: Any, slope: Any) -> None:
    x = leaf()
    with ng.no_grad():
        assert change(x) is x
    assert x.is_leaf and x.requires_grad and x.grad_fn is None
    assert_allclose(x.detach().numpy(), value(VALUES), rtol=1e-12)
    (x * x).sum().backward()
    assert_allclose(x.grad.numpy(), 2 * value(VALUES), rtol=1e-12)


def test_functional_forms_return_the_same_object() -> None:
    t = ng.tensor(VALUES)
    assert ng.sin_(t) is t
    assert_allclose(t.numpy(), np.sin(VALUES), rtol=1e-12)


def test_augmented_assignment_keeps_the_object() -> None:
    x = leaf()
    y = x * 1
    alias = y
    y += 1
    y -= 0.5
    y *= 4
    y /= 2
    assert y is alias
    assert_allclose(y.detach().numpy(), (VALUES + 0.5) * 2)
    y.sum().backward()
    assert_allclose(x.grad.numpy(), [2.0, 2.0, 2.0])


def test_saved_value_survives_the_update_of_its_tensor() -> None:
    x = leaf()
    y = x * 1
    z = (y * y).sum()
    y.zero_()
    z.backward()
    assert_allclose(x.grad.numpy(), 2 * VALUES)


def test_weight_update_does_not_reach_a_graph_already_built() -> None:
    w = leaf()
    loss = (w**3).sum()
    with ng.no_grad():
        w -= 100.0
    loss.backward()
    assert_allclose(w.grad.numpy(), 3 * VALUES**2)
    assert_allclose(w.detach().numpy(), VALUES - 100)


def test_untracked_tensor_becomes_tracked_by_a_tracked_operand() -> None:
    x = leaf()
    total = ng.zeros(3)
    for k in range(1, 4):
        total += k * x
    assert total.requires_grad and not total.is_leaf
    total.sum().backward()
    assert_allclose(x.grad.numpy(), [6.0, 6.0, 6.0])


def test_gradient_descent_with_plain_updates() -> None:
    w = leaf()
    for _ in range(100):
        ((w - 3) ** 2).sum().backward()
        with ng.no_grad():
            w -= 0.25 * w.grad
            w.grad.zero_()
    assert_allclose(w.detach().numpy(), [3.0, 3.0, 3.0], rtol=1e-12)


def test_shape_must_not_change() -> None:
    t = ng.ones(3)
    with pytest.raises((RuntimeError, ValueError), match=r"shape|broadcast"):
        t.add_(ng.ones(2, 3))
    assert_allclose(t.numpy(), np.ones(3))
    assert_allclose(ng.ones(2, 3).add_(ng.ones(3)).numpy(), np.full((2, 3), 2.0))


def test_dtype_must_not_change() -> None:
    t = ng.arange(3)
    with pytest.raises((RuntimeError, TypeError)):
        t.add_(0.5)
    assert t.tolist() == [0, 1, 2]
    single = ng.tensor(np.ones(2, np.float32))
    single.add_(0.5)
    assert single.dtype == np.float32


# ------------------------------------------------------------------------------- item assignment

MASK = np.array([True, False, True])
INDICES: list[tuple[str, Any, Any]] = [
    ("integer", 1, 5.0),
    ("negative integer", -1, 5.0),
    ("slice", slice(1, None), [5.0, 6.0]),
    ("slice, one number", slice(None, 2), 5.0),
    ("step", slice(None, None, 2), [5.0, 6.0]),
    ("negative step", slice(None, None, -1), [5.0, 6.0, 7.0]),
    ("integer array", np.array([2, 0]), [5.0, 6.0]),
    ("list", [0, 1], [5.0, 6.0]),
    ("mask", MASK, [5.0, 6.0]),
    ("mask, one number", MASK, 5.0),
    ("everything", slice(None), 5.0),
    ("ellipsis", Ellipsis, [5.0, 6.0, 7.0]),
    ("empty", slice(0, 0), 5.0),
]


@pytest.mark.parametrize(("index", "value"), [i[1:] for i in INDICES], ids=[i[0] for i in INDICES])
def test_assigned_items_and_both_gradients(index: Any, value: Any) -> None:
    x, v = leaf(), ng.tensor(np.array(value), requires_grad=True)
    weights = np.array([1.0, 10.0, 100.0])
    y = x * 3
    y[index] = v * 2
    expected = 3 * VALUES
    expected[index] = 2 * np.array(value)
    assert_allclose(y.detach().numpy(), expected)
    (y * weights).sum().backward()
    by_x = 3 * weights
    by_x[index] = 0
    by_v = 2 * weights[index]
    assert_allclose(x.grad.numpy(), by_x)
    assert_allclose(v.grad.numpy(), by_v.sum() if v.ndim == 0 else by_v)


def test_assigned_block_of_a_matrix() -> None:
    v = ng.tensor([[1.0], [2.0]], requires_grad=True)
    y = ng.zeros(3, 4)
    y[1:, ::2] = v
    assert_allclose(y.detach().numpy(), [[0, 0, 0, 0], [1, 0, 1, 0], [2, 0, 2, 0]])
    (y * np.arange(12.0).reshape(3, 4)).sum().backward()
    assert_allclose(v.grad.numpy(), [[4.0 + 6.0], [8.0 + 10.0]])


def test_augmented_item_assignment() -> None:
    x = leaf()
    y = x * 1
    y[0] += x[1] * 10
    y[1:] *= 2
    assert_allclose(y.detach().numpy(), [15.5, 3.0, -4.0])
    y.sum().backward()
    assert_allclose(x.grad.numpy(), [1.0, 12.0, 2.0])


def test_later_read_after_assignment_sees_it_and_an_earlier_one_does_not() -> None:
    x = leaf()
    y = x * 1
    before = y[0] * 1
    y[0] = 9.0
    after = y[0] * 1
    assert before.item() == 0.5 and after.item() == 9.0
    (before * 100 + after).backward()
    assert_allclose(x.grad.numpy(), [100.0, 0.0, 0.0])


def test_loop_that_fills_a_tensor() -> None:
    x = leaf(0.9)
    powers = ng.ones(6)
    for k in range(1, 6):
        powers[k] = powers[k - 1] * x
    assert_allclose(powers.detach().numpy(), 0.9 ** np.arange(6))
    powers.sum().backward()
    assert_allclose(x.grad.item(), sum(k * 0.9 ** (k - 1) for k in range(6)))


def test_assigned_value_is_cast_to_the_dtype_of_the_tensor() -> None:
    t = ng.tensor(np.zeros(2, np.float32))
    t[0] = 0.1
    assert t.dtype == np.float32 and t.tolist()[0] == float(np.float32(0.1))


def test_assignment_out_of_range_and_of_wrong_shape() -> None:
    t = ng.zeros(3)
    with pytest.raises(IndexError):
        t[3] = 1.0
    with pytest.raises(ValueError, match=r"shape|broadcast"):
        t[:2] = [1.0, 2.0, 3.0]
    assert t.tolist() == [0.0, 0.0, 0.0]


# --------------------------------------------------------------------------- NumPy on the other side


@pytest.mark.skipif(ng.config.settings.device is not None, reason="looks at the host's memory")
def test_numpy_view_cannot_be_written() -> None:
    t = ng.tensor(VALUES)
    for view in (t.numpy(copy=False), t.__array__(copy=False), np.array(t, copy=False)):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 99.0
    assert_allclose(t.numpy(), VALUES)


def test_what_is_written_to_an_array_of_a_tensor_changes_no_tensor() -> None:
    x = ng.tensor(VALUES, requires_grad=True)
    y = x * x  # whose gradient needs x as it is
    y.sum().backward(retain_graph=True)
    asked = (lambda t: t.numpy(), np.asarray, np.array, np.asanyarray, np.ascontiguousarray)
    for tensor in (x.detach(), y.detach(), x.grad, x.data):
        for ask in asked:
            array = ask(tensor)
            assert array.flags.writeable and array.flags.c_contiguous and array.flags.owndata
            array[...] = 99.0
    x.grad = None
    y.sum().backward()
    assert_allclose(x.grad.numpy(), 2.0 * np.asarray(VALUES))
    assert_allclose(y.numpy(force=True), np.asarray(VALUES) ** 2)


def test_numpy_view_taken_before_an_update_keeps_its_values() -> None:
    t = ng.tensor(VALUES)
    view = t.numpy()
    t.add_(1)
    assert_allclose(t.numpy(), VALUES + 1)
    assert_allclose(view, VALUES)


def test_source_array_is_not_aliased() -> None:
    source = VALUES.copy()
    t = ng.tensor(source)
    source[0] = 99.0
    assert_allclose(t.numpy(), VALUES)
    t.add_(1)
    assert_allclose(source, [99.0, 1.5, -2.0])


def test_a_hook_on_a_copy_is_not_one_on_the_source():
    x, w = ng.tensor(1.0, requires_grad=True), ng.tensor(0.0)
    y = x * 2.0
    w.copy_(y)
    w.register_hook(lambda g: g * 10.0)
    (y + w).backward()
    assert x.grad.item() == 22.0
