"""Random subscripts against NumPy: values, errors, gradients and assignments, in any combination."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import nbgrad as ng

Index = tuple[Any, ...]


@st.composite
def slices(draw: Any, n: int) -> slice:
    bound = st.none() | st.integers(-n - 1, n + 1)
    return slice(draw(bound), draw(bound), draw(st.none() | st.sampled_from([-2, -1, 1, 2])))


@st.composite
def shapes_and_indices(draw: Any) -> tuple[tuple[int, ...], Any]:
    """A shape and an index of it: integers, slices, None, Ellipsis, index arrays and masks."""
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    common = tuple(draw(st.lists(st.integers(1, 2), max_size=2)))  # shape of the index arrays
    items: list[Any] = []
    axis = 0
    while axis < len(shape):
        n = shape[axis]
        kind = draw(st.sampled_from(["slice", "slice", "int", "array", "mask", "none", "stop"]))
        if kind == "stop":
            break
        if kind == "none":
            items.append(None)
            continue
        if kind == "mask":
            width = draw(st.integers(1, len(shape) - axis))
            extents = shape[axis : axis + width]
            size = int(np.prod(extents))
            bits = draw(st.lists(st.booleans(), min_size=size, max_size=size))
            items.append(np.array(bits, bool).reshape(extents))
            axis += width
            continue
        if kind == "slice" or n == 0:
            items.append(draw(slices(n)))
        elif kind == "int":
            items.append(draw(st.integers(-n, n - 1)))
        else:
            size = int(np.prod(common))
            numbers = draw(st.lists(st.integers(-n, n - 1), min_size=size, max_size=size))
            items.append(np.array(numbers, int).reshape(common))
        axis += 1
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), Ellipsis)
    items = [draw(st.sampled_from([item, listed(item)])) for item in items]
    return shape, items[0] if len(items) == 1 and draw(st.booleans()) else tuple(items)


def listed(item: Any) -> Any:
    """An index array as nested lists, where NumPy reads both alike."""
    return item.tolist() if isinstance(item, np.ndarray) and item.ndim and item.size else item


def as_tensors(index: Any) -> Any:
    """The index with tensors for its arrays."""
    if isinstance(index, tuple):
        return tuple(as_tensors(item) for item in index)
    return ng.tensor(index) if isinstance(index, np.ndarray) else index


def numbers(shape: tuple[int, ...]) -> Any:
    return np.arange(float(np.prod(shape))).reshape(shape)


def outcome(f: Any) -> Any:
    """The result of a call, or the type of its error."""
    try:
        return f()
    except (IndexError, TypeError, ValueError) as error:
        return type(error)


@settings(max_examples=200, deadline=None)
@given(shapes_and_indices())
def test_reading(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = numbers(shape)
    wanted = outcome(lambda: x[index])
    for given_index in (index, as_tensors(index)):
        t = ng.tensor(x, requires_grad=True)
        found = outcome(lambda t=t, i=given_index: t[i])
        if isinstance(wanted, type):
            assert found is wanted, (shape, index)
            continue
        assert found.shape == np.shape(wanted), (shape, index)
        assert_array_equal(found.detach(), wanted)
        weights = np.arange(1.0, np.size(wanted) + 1).reshape(np.shape(wanted))
        (found * weights).sum().backward()
        gradient = np.zeros(shape)
        np.add.at(gradient, index, weights)
        assert_array_equal(t.grad, gradient)


@settings(max_examples=200, deadline=None)
@given(shapes_and_indices(), st.sampled_from(["full", "number", "row", "extra"]))
def test_assigning(case: tuple[tuple[int, ...], Any], kind: str) -> None:
    shape, index = case
    x = numbers(shape)
    picked = outcome(lambda: x[index])
    if isinstance(picked, type):
        return
    value: Any = -1.0 - numbers(np.shape(picked))
    if kind == "number":
        value = -1.0
    elif kind == "row" and value.ndim:
        value = value[..., :1]
    elif kind == "extra" and value.ndim:  # for one element, NumPy's answer depends on its version
        value = value[None]

    def assigned() -> Any:
        copy = x.copy()
        copy[index] = value
        return copy

    wanted = outcome(assigned)
    if wanted is TypeError:
        return  # NumPy takes no 2-d value for a lone mask; ours drops leading extents of 1 always
    leaf, new = ng.tensor(x, requires_grad=True), ng.tensor(value, requires_grad=True)
    t = leaf * 1.0

    def found() -> Any:
        t[as_tensors(index)] = new
        return t

    result = outcome(found)
    if isinstance(wanted, type):
        assert result is wanted, (shape, index, np.shape(value))
        return
    assert not isinstance(result, type), (result, shape, index, np.shape(value))
    assert_array_equal(t.detach(), wanted)
    t.sum().backward()
    kept = np.ones(shape)
    kept[index] = 0.0
    assert_array_equal(leaf.grad, kept)
    assert float(new.grad.sum()) == kept.size - kept.sum()  # each place was written once


@pytest.mark.parametrize(
    "index", [(0, 0, 0), 5, (0, -4), [[True, False]], np.array([True]), 1.0, (..., ...), "a"]
)
def test_wrong_indices_raise_what_numpy_raises(index: Any) -> None:
    x = np.ones((2, 3))
    with pytest.raises(IndexError):
        x[index]
    with pytest.raises(IndexError):
        ng.tensor(x)[index]
    with pytest.raises(IndexError):
        ng.tensor(x)[index] = 1.0


@pytest.mark.parametrize("ndim", [1, 2])
def test_a_traced_mask_takes_a_number(ndim: int) -> None:
    """No shape depends on the mask, so there is nothing that tracing could not know."""
    x = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, 0.5]])

    def f(x: Any, v: Any) -> Any:
        y = x * 2
        y[(y if ndim == 2 else y[:, 0]) > 0] = v
        return (y**3).sum() + (x.at[x > 1].set(v) ** 2).sum()

    both = ng.grad(f, argnums=(0, 1))
    for found, wanted in zip(ng.jit(both)(x, 0.5), both(x, 0.5), strict=True):
        assert_array_equal(found, wanted)


def test_a_traced_mask_takes_no_array() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        y[x > 0] = x[:1]
        return y

    with pytest.raises(IndexError, match=r"Write nbgrad\.where"):
        ng.jit(f)(np.array([1.0, -1.0]))


@pytest.mark.parametrize(
    ("dtype", "value", "error"),
    [
        (float, 1j, TypeError),
        (float, np.array(1 + 2j), TypeError),
        (int, np.nan, ValueError),
        (np.uint8, -1, OverflowError),
    ],
)
def test_what_an_element_cannot_hold_is_not_written(dtype: Any, value: Any, error: Any) -> None:
    """The imaginary part was dropped, and NaN became an integer, in silence."""
    for index in (0, slice(1), [0, 1]):
        x = ng.tensor(np.ones(2, dtype))
        with pytest.raises(error):
            x[index] = value
        assert_array_equal(x.numpy(), np.ones(2))
