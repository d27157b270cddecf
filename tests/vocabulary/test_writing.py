"""NumPy's functions that write into an array, on tensors: results, gradients and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

RNG = np.random.default_rng(3)
MATRIX = RNG.normal(size=(3, 4))
MASK = RNG.random((3, 4)) > 0.5
# Function, shape of the array, the arguments after it, and which of those holds new values.
CALLS: list[tuple[Any, tuple[int, ...], tuple[Any, ...], int]] = [
    (np.put, (3, 4), ([0, -1, 5], np.array([1.0, 2.0, 3.0])), 1),
    (np.put, (3, 4), ([0, 1, 2, 1], np.array([1.0, 2.0])), 1),
    (np.put, (3,), ([4, -7], np.array([1.0, 2.0]), "wrap"), 1),
    (np.put, (3,), (np.array([4, -7]), np.array([1.0, 2.0]), "clip"), 1),
    (np.place, (3, 4), (MASK, np.array([1.0, 2.0, 3.0])), 1),
    (np.putmask, (3, 4), (MASK, np.array([1.0, 2.0, 3.0])), 1),
    (np.putmask, (3, 4), (MASK, RNG.normal(size=(3, 4))), 1),
    (np.copyto, (3, 4), (np.array([1.0, 2.0, 3.0, 4.0]),), 0),
    (
        np.put_along_axis,
        (3, 4),
        (np.array([[1], [3], [-1]]), np.array([[5.0], [6.0], [7.0]]), 1),
        1,
    ),
    (np.put_along_axis, (3, 4), (np.array([[1, 0, 2, 2]]), np.array(5.0), 0), 1),
    (np.put_along_axis, (3,), (np.array([1, 2]), np.array([5.0, 6.0]), None), 1),
    (np.fill_diagonal, (3, 4), (np.array(2.0),), 0),
    (np.fill_diagonal, (7, 3), (np.array([2.0, 3.0]), True), 0),
    (np.fill_diagonal, (7, 3), (np.array([2.0, 3.0]),), 0),
    (np.fill_diagonal, (2, 2, 2), (np.array(2.0),), 0),
]


@pytest.mark.parametrize(
    ("f", "shape", "args", "place"), CALLS, ids=lambda x: getattr(x, "__name__", None)
)
@pytest.mark.parametrize("namespace", ["numpy", "nbgrad.numpy"])
def test_like_numpy_with_gradients(
    f: Any, shape: tuple[int, ...], args: tuple[Any, ...], place: int, namespace: str
) -> None:
    x = np.resize(MATRIX, shape)
    wanted = x.copy()
    f(wanted, *args)
    leaf = ng.tensor(x, requires_grad=True)
    new = ng.tensor(args[place], requires_grad=True)
    given = [*args[:place], new, *args[place + 1 :]]
    t = leaf * 1.0
    ours = f if namespace == "numpy" else getattr(ng.numpy, f.__name__)
    assert ours(t, *given) is None
    assert_array_equal(t.detach(), wanted)
    weights = RNG.normal(size=shape)
    (t * weights).sum().backward()
    check_by_differences(f, x, args, place, weights, leaf.grad, new.grad)


def check_by_differences(
    f: Any, x: Any, args: Any, place: int, weights: Any, of_x: Any, of_new: Any
) -> None:
    """The calls are linear in both, so one difference along a direction is exact."""

    def total(array: Any, new: Any) -> float:
        out = array.copy()
        f(out, *args[:place], new, *args[place + 1 :])
        return float((out * weights).sum())

    v, u = RNG.normal(size=x.shape), RNG.normal(size=np.shape(args[place]))
    before = total(x, args[place])
    assert_allclose(total(x + v, args[place]) - before, float((of_x * v).sum()), atol=1e-12)
    assert_allclose(total(x, args[place] + u) - before, float((of_new * u).sum()), atol=1e-12)


def test_copyto_by_condition_and_casting() -> None:
    t = ng.tensor([1.0, 2.0, 3.0])
    np.copyto(t, 7, where=np.array([True, False, True]))
    assert_array_equal(t.numpy(), [7.0, 2.0, 7.0])
    whole = ng.tensor([1, 2])
    with pytest.raises(TypeError, match="casting='unsafe'"):
        np.copyto(whole, ng.tensor([0.5, 1.5]))
    np.copyto(whole, ng.tensor([0.5, 1.5]), casting="unsafe")
    assert_array_equal(whole.numpy(), [0, 1])


def test_a_leaf_or_an_array_cannot_be_written() -> None:
    leaf = ng.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        np.put(leaf, [0], 3.0)
    with pytest.raises(TypeError, match="would cut the gradient"):
        np.copyto(np.zeros(2), leaf)
    with ng.no_grad():
        np.put(leaf, [0], 3.0)
    assert leaf.is_leaf and leaf.requires_grad
    assert_array_equal(leaf.detach(), [3.0, 2.0])


def test_method() -> None:
    t = ng.tensor([1.0, 2.0, 3.0])
    assert t.put([0, 2], [5.0, 6.0]) is None
    assert_array_equal(t.numpy(), [5.0, 2.0, 6.0])


@pytest.mark.parametrize(
    ("f", "args", "error"),
    [
        (np.put, ([3], 1.0), IndexError),
        (np.put, (np.array([0.5]), 1.0), TypeError),
        (np.place, ([True], 1.0), ValueError),
        (np.place, ([True, False, True], []), ValueError),
        (np.fill_diagonal, (1.0,), ValueError),
        (np.put_along_axis, (np.array([[0]]), 1.0, 0), ValueError),
    ],
)
def test_errors(f: Any, args: Any, error: type) -> None:
    with pytest.raises(error):
        f(np.ones(3), *args)
    with pytest.raises(error, match=f.__name__ + "|indices"):
        f(ng.tensor(np.ones(3)), *args)


INDICES = [1, slice(None, None, 2), [0, 2, 2, 0, 2], np.array([[3, 1], [1, 0]]), ..., (0,)]


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "minimum", "power"])
def test_updates_out_of_place(name: str, index: Any) -> None:
    ufunc = getattr(np, name)
    x = RNG.uniform(0.5, 2.0, 4)
    values = RNG.uniform(0.5, 2.0, np.shape(x[index]))

    def updated(array: Any, new: Any) -> Any:
        out = array.copy()
        ufunc.at(out, index, new)
        return out

    leaf, new = ng.tensor(x, requires_grad=True), ng.tensor(values, requires_grad=True)
    found = getattr(leaf.at[index], {"minimum": "min"}.get(name, name))(new)
    assert_allclose(found.detach(), updated(x, values), rtol=1e-15)
    assert_array_equal(leaf.detach(), x)
    weights, h = RNG.normal(size=4), 1e-6
    (found * weights).sum().backward()
    for k, (start, gradient) in enumerate([(x, leaf.grad), (values, new.grad)]):
        v = RNG.normal(size=start.shape)
        ends = [(x + s * v, values) if k == 0 else (x, values + s * v) for s in (h, -h)]
        slope = sum(s * (updated(*e) * weights).sum() for s, e in zip((1, -1), ends, strict=True))
        assert_allclose(slope / (2 * h), float((gradient * v).sum()), rtol=1e-6, atol=1e-8)


def test_updates_set_get_and_apply() -> None:
    x = ng.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x.at[1].set(x[0] * 5.0).at[-1].apply(lambda e: e * e)
    assert_array_equal(y.detach(), [1.0, 5.0, 9.0])
    y.sum().backward()
    assert_array_equal(x.grad, [6.0, 0.0, 6.0])
    assert_array_equal(x.at[[0, 2]].get().detach(), [1.0, 3.0])
    traced = ng.jit(lambda t, i: t.at[i].add(1.0))(np.zeros(3), np.array([2, 2]))
    assert_array_equal(traced, [0.0, 0.0, 2.0])


def test_the_target_is_found_by_its_name():
    for _ in range(2):
        a, b = ng.tensor([1.0, 2.0]), ng.tensor([3.0, 4.0])
        np.copyto(src=b, dst=a)
        np.put(v=[9.0], ind=[0], a=b)
        assert a.tolist() == [3.0, 4.0] and b.tolist() == [9.0, 4.0]


# -------------------------------------------------------------------------- into NumPy's own arrays


def _added(x: Any) -> Any:
    a = b = np.ones(3)
    a += x
    a *= x
    return b


def _copied(x: Any) -> Any:
    a = np.ones(3)
    np.copyto(a, x)
    return a


def _placed(x: Any) -> Any:
    a = np.zeros(3)
    np.put(a, [0, 2], x)
    np.place(a, a > 2.0, x)
    return a


def _given(x: Any) -> Any:
    a = np.ones(3)
    np.multiply(x, 2.0, out=a, where=[True, False, True])
    np.add.at(a, [0, 0], x[0])
    return a


def _parted(x: Any) -> Any:
    a = np.zeros((2, 3))
    np.divmod(x, 2.0, out=(a[0], a[1]))
    np.add.accumulate(x, out=a[0])
    return a


@pytest.mark.parametrize("write", [_added, _copied, _placed, _given, _parted])
def test_an_array_takes_what_an_untracked_tensor_has(write: Any) -> None:
    values = np.array([1.0, 2.0, 3.0])
    assert_array_equal(write(ng.tensor(values)), write(values))
    tracked = ng.tensor(values, requires_grad=True)
    with pytest.raises((TypeError, RuntimeError), match="cut the gradient"):
        write(tracked)
    with ng.no_grad():
        assert_array_equal(write(tracked), write(values))
    for differentiated in (ng.grad, ng.jit):
        with pytest.raises((TypeError, RuntimeError)):
            differentiated(lambda x: ng.sum(write(x)))(values)


OUT: dict[str, Any] = {
    "sum": lambda x, out: np.sum(x, axis=0, out=out[0]),
    "mean": lambda x, out: np.mean(x, axis=1, out=out[:, 1]),
    "max": lambda x, out: np.max(x, axis=0, out=out.T[1]),
    "cumsum": lambda x, out: np.cumsum(x, axis=1, out=out),
    "clip": lambda x, out: np.clip(x, -0.1, 0.2, out=out),
    "dot": lambda x, out: np.dot(x, x, out=out),
    "einsum": lambda x, out: np.einsum("ij,kj->ik", x, x, out=out),
    "concatenate": lambda x, out: np.concatenate([x[:1], x[1:] * 2], out=out),
    "take": lambda x, out: np.take(x, [1, 0, 2], axis=0, out=out),
    "round": lambda x, out: np.round(x, 1, out=out),
    "median": lambda x, out: np.median(x, axis=0, out=out[2]),
    "trace": lambda x, out: np.trace(x, out=out[1:2, 1].reshape(())),
}


@pytest.mark.parametrize("name", OUT)
def test_functions_that_are_no_ufuncs_write_to_out(name: str) -> None:
    x, f = np.arange(9.0).reshape(3, 3) / 7 - 0.4, OUT[name]

    def total(x: Any) -> Any:
        out = np.ones_like(x)
        f(x, out)
        return (out * out * np.arange(1.0, 10.0).reshape(3, 3)).sum()

    steps = 1e-6 * np.eye(9).reshape(9, 3, 3)
    wanted = [(total(x + step) - total(x - step)) / 2e-6 for step in steps]
    for transformed in (ng.grad(total), ng.jit(ng.grad(total)), ng.grad(ng.jit(total))):
        assert_allclose(transformed(x), np.reshape(wanted, (3, 3)), atol=1e-6)
    out, array = ng.ones((3, 3)), np.ones((3, 3))
    f(ng.tensor(x), out)
    f(x, array)
    assert_allclose(out.numpy(), array)


def test_what_does_not_fit_out_is_refused() -> None:
    x = ng.tensor([[1.5, 2.0]], requires_grad=True)
    whole, rows, leaf = ng.zeros(2, dtype=int), ng.zeros(3), ng.zeros(2, requires_grad=True)
    for out, match in ((whole, "cannot cast"), (rows, "shape"), (leaf, "leaf"), (3, "tensor")):
        with pytest.raises((TypeError, ValueError, RuntimeError), match=match):
            np.sum(x, axis=0, out=out)  # type: ignore[call-overload]
    array = np.zeros(2)
    with pytest.raises(TypeError, match="cut the gradient"):
        np.sum(x, axis=0, out=array)
    np.sum(x.detach(), axis=0, out=array)
    assert array.tolist() == [1.5, 2.0]
