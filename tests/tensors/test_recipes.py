"""What was recorded once is replayed: same nodes, for the same avals and settings only."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.core.recipes import Recipes, replay
from nbgrad.tensors import calls, protocols
from nbgrad.tensors.dispatch import index_key, index_of

A = np.arange(12.0).reshape(3, 4) / 7
B = np.linspace(-1.0, 2.0, 4)


def prims(t):
    """Names of the operations that made *t*, outputs first."""
    found, nodes = [], [t._node]
    for node in nodes:
        if node.sig is not None:
            found.append(node.sig.prim.name)
            nodes += [x for x in node.inputs if hasattr(x, "sig")]
    return found


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: a * b,
        lambda a, b: a @ b,
        lambda a, b: b - a,
        lambda a, b: a[1:, ::-1] + b[None, 0],
        lambda a, b: a.std(axis=1, ddof=1) + b[-1],
        lambda a, b: a.reshape(4, 3).T ** 3 / b.mean(),
        lambda a, b: ng.where(a > b, a, b),
        lambda a, b: a.norm() * b.astype(np.float32),
    ],
    ids=["multiply", "matmul", "subtract", "index", "std", "reshape", "where", "norm"],
)
def test_the_second_time_gives_the_same(f):
    results = []
    for _ in range(3):
        a, b = ng.tensor(A, requires_grad=True), ng.tensor(B, requires_grad=True)
        y = f(a, b)
        names = prims(y)
        value = np.asarray(y.detach().numpy())
        y.sum().backward()
        results.append((names, value, a.grad.numpy(), b.grad.numpy()))
    for names, *arrays in results[1:]:
        assert names == results[0][0]
        for found, wanted in zip(arrays, results[0][1:], strict=True):
            np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(results[0][1], f(ng.tensor(A), ng.tensor(B)).numpy())


def test_one_operand_given_twice_teaches_nothing_about_two():
    a, b = ng.tensor(A[:, :3]), ng.tensor(A[:, 1:])
    np.testing.assert_allclose((a @ a).numpy(), A[:, :3] @ A[:, :3])
    np.testing.assert_allclose((a @ b).numpy(), A[:, :3] @ A[:, 1:])
    x = ng.tensor(np.arange(3))
    np.testing.assert_array_equal((x / x).numpy()[1:], [1.0, 1.0])
    np.testing.assert_array_equal((x / ng.tensor(np.array([1, 2, 4]))).numpy(), [0.0, 0.5, 0.5])


def test_tracking_is_that_of_the_operands_and_the_mode():
    for requires_grad in (False, True, False):
        a = ng.tensor(A, requires_grad=requires_grad)
        assert (a[1:] * B[0]).requires_grad is requires_grad
        assert (a @ ng.tensor(B)).requires_grad is requires_grad
        with ng.no_grad():
            assert not (a[1:] @ ng.tensor(B)).requires_grad


def test_integers_are_checked_every_time():
    x = ng.tensor(np.array([1, 2], np.uint8))
    for _ in range(2):
        assert (x + 3).dtype == np.uint8
        with pytest.raises(OverflowError):
            x + 300
        assert bool((x < 300).all())
        np.testing.assert_array_equal(np.clip(x, -1, 300), x.numpy(), strict=True)
        np.testing.assert_array_equal(np.clip(x, 2, 300), [2, 2])


def test_errors_come_every_time():
    x = ng.tensor(A)
    for _ in range(2):
        with pytest.raises(IndexError, match="too many indices"):
            x[0, 0, 0]
        with pytest.raises(ValueError, match="matmul"):
            x @ x
        with pytest.raises(IndexError, match="out of bounds"):
            x[3]


@pytest.mark.parametrize(
    "index",
    [0, -1, slice(None), slice(1, None, -2), None, Ellipsis, (0, slice(2)), (None, ..., 1)],
)
def test_keys_of_basic_indices_stand_for_them(index):
    key = index_key(index)
    hash(key)
    assert index_of(key) == index
    np.testing.assert_array_equal(ng.tensor(A)[index].numpy(), A[index])


@pytest.mark.parametrize("index", [True, [0, 1], np.array([0]), (0, [1]), np.int64(1)])
def test_other_indices_have_no_key(index):
    assert index_key(index) is None
    np.testing.assert_array_equal(ng.tensor(A)[index].numpy(), A[index])


def test_functions_are_replayed_for_equal_settings_only():
    a, b = ng.tensor(A, requires_grad=True), ng.tensor(B)
    for _ in range(2):
        assert np.sum(a, axis=0).shape == (4,) and np.sum(a, axis=(0, 1)).shape == ()
        assert np.concatenate([a, a]).shape == (6, 4)
        joined = np.concatenate([a, np.broadcast_to(b, (1, 4))])
        np.testing.assert_array_equal(joined.detach().numpy()[3], B)
        np.testing.assert_array_equal(np.clip(a, 0.0, 1.0).detach().numpy(), np.clip(A, 0, 1))
        np.testing.assert_array_equal(np.clip(a, 0.0, 0.5).detach().numpy(), np.clip(A, 0, 0.5))
        assert not np.mean(b).requires_grad and np.mean(a).requires_grad
        with pytest.raises(ValueError, match="axis"):
            np.sum(a, axis=5)


def test_settings_that_are_equal_but_not_the_same():
    counts = ng.tensor(np.arange(3))
    for _ in range(2):
        assert (counts**2).dtype == np.int64 and (counts**2.0).dtype == np.float64
        for power in (True, 1, 1.0):
            assert (counts**power).dtype == (np.arange(3) ** power).dtype
        below = ng.tensor(-A)
        for initial in (0.0, -0.0):
            found = below.max(initial=initial).numpy()
            assert np.signbit(found) == np.signbit((-A).max(initial=initial))


def test_tensors_among_the_settings_are_read_every_time():
    a, mask = ng.tensor(B), ng.tensor(B > 0)
    start = ng.tensor(1.0, requires_grad=True)
    for _ in range(2):
        assert a.sum(where=mask).item() == B.sum(where=mask.numpy())
        mask[-1] = False
        assert a.sum(where=mask).item() == B.sum(where=mask.numpy())
        y = a.sum(initial=start)
        assert y.item() == B.sum(initial=start.item())
        assert ng.autograd.grad(y, start)[0].item() == 1.0
        with ng.no_grad():
            start += 10.0
        mask = ng.tensor(B > 0)


@pytest.mark.parametrize(
    "same",
    [
        lambda y: y.reshape(3, 4),
        lambda y: y[:],
        lambda y: y.astype(y.dtype),
        lambda y: np.broadcast_to(y, (3, 4)),
        lambda y: np.atleast_2d(y),
        lambda y: np.broadcast_arrays(y, A)[0],
    ],
    ids=["reshape", "index", "astype", "broadcast_to", "atleast_2d", "broadcast_arrays"],
)
def test_a_hook_on_what_equals_the_operand_is_not_one_on_the_operand(same):
    for _ in range(2):
        x = ng.tensor(A, requires_grad=True)
        y = x * 2.0
        z = same(y)
        z.register_hook(lambda g: g * 10.0)
        z.retain_grad()
        (y + 3.0 * z).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.full((3, 4), 62.0))
        np.testing.assert_array_equal(z.grad.numpy(), np.full((3, 4), 30.0))
        assert not same(x).is_leaf


@pytest.mark.parametrize(
    "step",
    [lambda x: x.T, lambda x: x @ x, lambda x: x[::-1], lambda x: np.clip(x, 0.0, 1.0)],
    ids=["method", "matmul", "index", "function"],
)
def test_long_chains_of_replayed_calls_are_evaluated(step):
    x = ng.tensor(np.eye(2))
    depths = []
    for _ in range(5000):
        x = step(x)
        depths.append(x._node.depth)
    assert max(depths) <= ng.config.settings.current.max_pending
    np.testing.assert_array_equal(x.numpy(), np.eye(2))


def test_what_looks_at_values_is_not_replayed():
    for values in ([1.0, 0.0, 2.0], [0.0, 0.0, 2.0]):
        x = ng.tensor(values)
        assert len(np.nonzero(x)[0]) == np.count_nonzero(values)
        assert np.unique(x).shape == np.unique(values).shape


VOCABULARY = {
    "tensordot": lambda a, b: np.tensordot(a, b, axes=([1], [0])),
    "trace": lambda a, b: np.trace(a) * b[0],
    "kron of one operand": lambda a, b: np.kron(a[0], a[0]).sum() + b.sum(),
    "outer": lambda a, b: np.outer(b, b) + a[0, 0],
    "logpdf": lambda a, b: ng.stats.norm.logpdf(b, a[0, 0], 2.0),
    "cov": lambda a, b: np.cov(a) + b[0],
}


@pytest.mark.parametrize("name", VOCABULARY)
def test_functions_of_the_vocabulary_are_replayed(name, monkeypatch):
    f = VOCABULARY[name]
    operands = [ng.tensor(x, requires_grad=True) for x in (A, B)]
    first = f(*operands)
    steps = []
    for module in (calls, protocols):
        monkeypatch.setattr(module, "replay", lambda *given: steps.append(1) or replay(*given))
    again = f(*operands)
    assert steps
    assert prims(again) == prims(first)
    results = []
    for y in (first, again):
        y.sum().backward()
        results.append([y.detach().numpy(), *(x.grad.numpy() for x in operands)])
        for x in operands:
            x.grad = None
    for found, wanted in zip(results[1], results[0], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_an_operand_given_twice_is_a_recipe_of_its_own():
    a, b = ng.tensor(B), ng.tensor(B + 1.0)
    for f in (np.outer, np.matmul, np.multiply.outer, lambda x, y: x @ y):
        for left, right in ((a, a), (a, b), (a, a), (b, a)):
            expected = f(left.numpy(), right.numpy())
            np.testing.assert_array_equal(f(left, right).numpy(), expected)


def test_assignment_is_replayed_with_another_value():
    x, y = ng.tensor(np.zeros((3, 4))), np.zeros((3, 4))
    indices = [(1, 2), (1, 2), 0, slice(None, None, 2), (slice(1), -1), (1, 2), Ellipsis]
    for k, index in enumerate([*indices, *indices]):
        for value in (float(k), k, np.float32(k), np.array(k), True):
            x[index], y[index] = value, value
            np.testing.assert_array_equal(x.numpy(), y)
    for row in (x[0], x[1]):
        x[2], y[2] = row, row.numpy()
        np.testing.assert_array_equal(x.numpy(), y)
    with pytest.raises(IndexError):
        x[3] = 1.0
    with pytest.raises(ValueError, match="broadcast"):
        x[0] = np.ones(3)
    w = ng.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        z = ng.zeros(2)
        z[1] = w[0] * 3.0
        z[0] = w[1] * z[1]
        z.sum().backward()
        np.testing.assert_array_equal(w.grad.numpy(), [9.0, 3.0])
        w.grad = None


def test_what_depends_on_values_is_not_replayed():
    weights = np.array([1.0, -1.0, 0.0, 0.0])
    x = ng.tensor(B)
    assert np.average(x, weights=ng.tensor([1.0, 2.0, 3.0, 4.0])).shape == ()
    with pytest.raises(ZeroDivisionError):
        np.average(x, weights=ng.tensor(weights))
    assert np.trim_zeros(ng.tensor([0.0, 1.0, 2.0])).shape == (2,)
    assert np.trim_zeros(ng.tensor([1.0, 1.0, 2.0])).shape == (3,)
    assert np.quantile(x, ng.tensor(0.5)).shape == ()
    with pytest.raises(ValueError, match="range"):
        np.quantile(x, ng.tensor(1.5))


def test_large_constants_are_not_kept():
    def kept(size):
        calls._recipes.clear()
        assert np.tril(ng.tensor(np.ones((size, size))), 1).sum().item() > 0
        return [recipe.nbytes for recipe in calls._recipes.values()]

    assert max(kept(3)) > 0
    assert max(kept(200), default=0) <= Recipes.MAX_BYTES


def test_tuples_are_equal_only_with_items_of_the_same_types():
    below, matrix = ng.tensor(-1.0 - A), ng.tensor(A)
    for zero in (0, -0.0, 0.0, False):
        found = below.max(axis=0, initial=(zero,) * 4).numpy()
        np.testing.assert_array_equal(np.signbit(found), np.signbit(np.float64(zero)))
    for _ in range(2):
        assert matrix.transpose((1, 0)).shape == (4, 3)
        with pytest.raises(TypeError):
            matrix.transpose((1, 0.0))


@pytest.mark.parametrize("f", [np.cov, np.corrcoef])
def test_warnings_come_every_time(f):
    x = ng.tensor([[1.0], [2.0]])
    for _ in range(3):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            f(x)
        assert "Degrees of freedom" in str(found[0].message)


def test_calls_with_long_lists_are_not_kept():
    x, many = ng.tensor(B), [ng.tensor(float(k)) for k in range(300)]
    before = len(calls._recipes)
    for _ in range(2):
        assert np.take(x, [0, 1] * 200).shape == (400,)
        np.testing.assert_array_equal(np.stack(many).numpy(), np.arange(300.0))
    assert len(calls._recipes) == before


@pytest.mark.parametrize(
    "f",
    [
        lambda k: np.bincount(ng.tensor([0, 1, 1]), minlength=k),
        lambda k: np.linalg.diagonal(ng.tensor(A), offset=k),
        lambda k: np.linalg.trace(ng.tensor(A), offset=-k),
    ],
    ids=["bincount", "diagonal", "trace"],
)
def test_a_float_that_is_refused_leaves_the_integer_usable(f):
    with pytest.raises(TypeError):
        f(2.0).numpy()
    assert f(2).numpy() is not None


def test_lines_are_the_users_whether_replayed_or_not():
    x = ng.tensor(B, requires_grad=True)
    with ng.autograd.detect_anomaly():
        for _ in range(2):
            assert __file__ in np.ptp(x * 1.5)._node.line


OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.lt, np.arctan2]


@pytest.mark.parametrize("f", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128, np.int64])
def test_a_number_of_numpy_is_recorded_as_one_of_python_where_that_is_the_same(
    f: Any, dtype: Any
) -> None:
    if f in (operator.lt, np.arctan2) and dtype is np.complex128:
        return
    array, number = np.array([1, 2, 3], dtype), np.float64(1e300)
    for first in (True, False):
        for _ in range(2):  # what a first call has found out, too
            x = ng.tensor(array)
            y = f(x, number) if first else f(number, x)
            with np.errstate(all="ignore"):
                expected = f(array, number) if first else f(number, array)
            assert y.dtype == expected.dtype
            np.testing.assert_array_equal(y.numpy(), expected)
    y = f(ng.tensor(array), number)
    assert any(a.__class__ is float for a in y._node.inputs) == (dtype is np.float64)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 1, 2), (1, 3), (5, 0)])
def test_what_is_known_of_one_row_serves_for_others(shape: Any) -> None:
    array = np.arange(float(np.prod(shape))).reshape(shape)
    x = ng.tensor(array, requires_grad=True)
    for _ in range(2):
        for k in range(-len(array), len(array)):
            row, direct = x[k], ng.getitem(x, k)
            assert row._node.sig is direct._node.sig
            assert row._node.inputs[0].sig is direct._node.inputs[0].sig
            np.testing.assert_array_equal(row.detach().numpy(), array[k])
    for k in (len(array), -len(array) - 1):
        with pytest.raises(IndexError):
            x[k]
    y, copy = ng.tensor(array), array.copy()
    for k in range(len(array)):
        row, theirs = y[k], copy[k : k + 1]
        row += k
        if array.ndim > 1:  # a scalar is none of a view
            theirs += k
    np.testing.assert_array_equal(y.numpy(), copy)
    if array.size:
        x[len(array) - 1].sum().backward()
        assert x.grad is not None
        np.testing.assert_array_equal(
            x.grad.numpy(),
            np.arange(len(array)).reshape(-1, *[1] * (array.ndim - 1))
            == len(array) - 1 + 0 * array,
        )
