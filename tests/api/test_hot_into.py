"""Calls that machine code serves: into arrays of the caller, and results that are NumPy's scalars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.api.short import HOT_CALLS

X = np.linspace(0.1, 1.0, 10)


def hot(f: Any, *args: Any, out: Any) -> Any:
    """*f* compiled, once machine code serves its calls into *out*."""
    with ng.configure(deterministic=True):
        compiled = ng.jit(f)
        for _ in range(HOT_CALLS + 2):
            compiled.into(*args, out=out)
    assert compiled.hot is not None and compiled.quick_into[6] is not None
    return compiled


def value_and_square(x: Any, y: Any) -> Any:
    return (x * y).sum(), x * x


@pytest.fixture
def deterministic() -> Any:
    with ng.configure(deterministic=True):
        yield


@pytest.mark.usefixtures("deterministic")
class TestInto:
    def test_writes_to_the_arrays(self) -> None:
        value, square = np.zeros(()), np.zeros(10)
        f = hot(value_and_square, X, X, out=(value, square))
        for k in range(3):
            assert f.into(X + k, X, out=(value, square))[1] is square
            np.testing.assert_array_equal(square, (X + k) ** 2)
            np.testing.assert_allclose(value, ((X + k) * X).sum(), rtol=1e-15)

    def test_one_result(self) -> None:
        out = np.zeros(10)
        f = hot(lambda x: x * 3.0, X, out=out)
        assert f.into(X, out=out) is out
        np.testing.assert_array_equal(out, X * 3.0)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x, v, s: (x, v, s[:9]), "has shape"),
            (lambda x, v, s: (x, v, s.astype("f4")), "dtype"),
            (lambda x, v, s: (x, v, np.zeros(20)[::2]), "contiguous"),
            (lambda x, v, s: (x, v, list(s)), "must be a NumPy array"),
            (lambda x, v, s: (x, v, x), "shares memory"),
            (lambda x, v, s: (s[:], v, s), "shares memory"),
            (lambda x, v, s: (x, s[4:5].reshape(()), s), "shares memory"),
        ],
        ids=["shape", "dtype", "strides", "list", "argument", "view", "each other"],
    )
    def test_refuses_what_does_not_fit(self, change: Any, message: str) -> None:
        value, square = np.zeros(()), np.zeros(10)
        f = hot(value_and_square, X, X, out=(value, square))
        x, v, s = change(X.copy(), value, square)
        before = [np.array(a) for a in (x, v, s)]
        with pytest.raises((TypeError, ValueError), match=message):
            f.into(x, X, out=(v, s))
        for a, b in zip((x, v, s), before, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_refuses_what_is_read_only(self) -> None:
        value, square = np.zeros(()), np.zeros(10)
        f = hot(value_and_square, X, X, out=(value, square))
        square.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            f.into(X, X, out=(value, square))

    def test_refuses_constants_of_the_function(self) -> None:
        held, out = np.linspace(0.0, 1.0, 10), np.zeros(10)
        held.flags.writeable = False  # read once, so it is a constant
        f = hot(lambda x: x * held, X, out=out)
        base = held.view()
        with pytest.raises(ValueError, match=r"read-only|shares memory"):
            f.into(X, out=base)
        np.testing.assert_array_equal(f.into(X, out=out), X * held)

    def test_neighbours_in_memory_are_apart(self) -> None:
        both, value = np.zeros(20), np.zeros(())
        f = hot(value_and_square, X, X, out=(value, np.zeros(10)))
        both[:10] = X
        f.into(both[:10], X, out=(value, both[10:]))
        np.testing.assert_array_equal(both[10:], X * X)

    def test_sees_what_the_function_reads_from_outside(self) -> None:
        scale = {"by": 2.0}
        out = np.zeros(10)
        f = hot(lambda x: x * scale["by"], X, out=out)
        scale["by"] = 5.0
        np.testing.assert_array_equal(f.into(X, out=out), X * 5.0)

    def test_other_arguments_go_the_long_way(self) -> None:
        value, square = np.zeros(()), np.zeros(10)
        f = hot(value_and_square, X, X, out=(value, square))
        f.into(X[::-1], y=X, out=(value, square))
        np.testing.assert_array_equal(square, X[::-1] ** 2)
        f.into(ng.tensor(X), X, out=(value, square))
        np.testing.assert_array_equal(square, X**2)

    def test_is_refused_while_another_function_is_traced(self) -> None:
        out = np.zeros(10)
        f = hot(lambda x: x * 3.0, X, out=out)
        with pytest.raises(TypeError, match="into"):
            ng.jit(lambda x: f.into(X, out=out) + x)(X)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", "c8", "i8", "i4", "b1"])
def test_results_without_axes_are_numpys_scalars(dtype: str) -> None:
    x = (X * 10).astype(dtype)
    f = ng.jit(lambda x: (x[0], x[1:], {"last": x[-1]}))
    cold = f(x)
    for _ in range(HOT_CALLS + 2):
        first, rest, nested = f(x)
    assert type(first) is type(cold[0]) is x.dtype.type
    assert type(nested["last"]) is type(cold[2]["last"]) is x.dtype.type
    assert first == x[0] and nested["last"] == x[-1]
    np.testing.assert_array_equal(rest, x[1:])


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("number", [1.5, np.float64(1.5)], ids=["float", "float64"])
def test_numbers_are_read_as_they_come(number: Any) -> None:
    f = ng.jit(lambda x, a: (x * a, a * a))
    for k in range(HOT_CALLS + 3):
        product, square = f(X, number + k)
        assert square == (number + k) ** 2 and type(square) is np.float64
        np.testing.assert_array_equal(product, X * (number + k))
    np.testing.assert_array_equal(f(X, 2)[0], X * 2)  # another structure
    np.testing.assert_array_equal(f(X, np.array(2.5))[0], X * 2.5)
