"""Dtypes of results are NumPy 2's, for every pair of dtypes and every kind of operand."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

DTYPES = ["bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"]
DTYPES += ["float16", "float32", "float64"]
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "power": operator.pow,
    "less": operator.lt,
    "equal": operator.eq,
}


def outcome(f: Callable[..., Any], *operands: Any) -> Any:
    """Dtype and values of a result, or the kind of error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = f(*operands)
        except (TypeError, OverflowError, ValueError) as error:
            return "OverflowError" if isinstance(error, OverflowError) else "refused"
    array = np.asarray(result)
    return array.dtype.name, array.tolist()


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_two_arrays(name: str, left: str) -> None:
    f, a = BINARY[name], np.array([1, 3], dtype=left)
    for right in DTYPES:
        b = np.array([2, 1], dtype=right)
        expected = outcome(f, a, b)
        assert outcome(f, ng.tensor(a), ng.tensor(b)) == expected, right
        assert outcome(f, ng.tensor(a), b) == expected, f"{right} from NumPy"
        assert outcome(f, a, ng.tensor(b)) == expected, f"{right}, left from NumPy"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_array_and_python_number(name: str, dtype: str) -> None:
    f, a = BINARY[name], np.array([1, 3], dtype=dtype)
    for number in (True, 2, 2.5, 300):
        assert outcome(f, ng.tensor(a), number) == outcome(f, a, number), number
        assert outcome(f, number, ng.tensor(a)) == outcome(f, number, a), f"{number} on the left"


SINGLE = np.array([1.5, 2.5], dtype=np.float32)
ROWS: list[tuple[str, Callable[[], Any], str]] = [
    ("f32 array + Python float", lambda: ng.tensor(SINGLE) + 1.0, "float32"),
    ("f32 scalar + Python float", lambda: ng.tensor(np.float32(1.5)) + 1.0, "float32"),
    ("f32 array + f64 scalar", lambda: ng.tensor(SINGLE) + np.float64(1.0), "float64"),
    ("f32 array + 0-d f64", lambda: ng.tensor(SINGLE) + ng.tensor(np.float64(1.0)), "float64"),
    ("i64 array + f32 scalar", lambda: ng.arange(2) + np.float32(1.0), "float64"),
    ("i32 / 2", lambda: ng.tensor(np.array([1, 2], np.int32)) / 2, "float64"),
    (
        "f16 + i32",
        lambda: ng.tensor(np.ones(2, np.float16)) + ng.tensor(np.ones(2, np.int32)),
        "float64",
    ),
    ("floats by default", lambda: ng.tensor([1.0, 2.0]), "float64"),
    ("ints by default", lambda: ng.tensor([1, 2]), "int64"),
    ("bools by default", lambda: ng.tensor([True, False]), "bool"),
    ("NumPy dtype is kept", lambda: ng.tensor(SINGLE), "float32"),
    ("as_tensor keeps the dtype", lambda: ng.as_tensor(SINGLE), "float32"),
    ("dtype=", lambda: ng.tensor([1, 2], dtype=np.float32), "float32"),
    ("zeros", lambda: ng.zeros(2), "float64"),
    ("ones, dtype=", lambda: ng.ones(2, dtype=np.int32), "int32"),
    ("full of a float", lambda: ng.full((2,), 3.0), "float64"),
    ("full of an int", lambda: ng.full((2,), 3), "int64"),
    ("arange of ints", lambda: ng.arange(4), "int64"),
    ("arange of floats", lambda: ng.arange(0.0, 1.0, 0.25), "float64"),
    ("linspace", lambda: ng.linspace(0, 1, 3), "float64"),
    ("eye", lambda: ng.eye(3), "float64"),
    ("zeros_like", lambda: ng.zeros_like(ng.tensor(SINGLE)), "float32"),
    ("ones_like, dtype=", lambda: ng.ones_like(ng.tensor(SINGLE), dtype=np.int64), "int64"),
    ("randn, dtype=", lambda: ng.randn(3, dtype=np.float32), "float32"),
    ("to", lambda: ng.tensor([1.7]).to(np.int32), "int32"),
    ("astype", lambda: ng.tensor([1.7]).astype("float32"), "float32"),
    ("float", lambda: ng.tensor([1.7]).float(), "float32"),
    ("double", lambda: ng.tensor(SINGLE).double(), "float64"),
    ("argmax", lambda: ng.tensor(SINGLE).argmax(), "int64"),
    ("where of a tensor and a number", lambda: ng.where(ng.tensor(SINGLE) > 2, SINGLE, 0.0), "float32"),
    ("clip by numbers", lambda: ng.clip(ng.tensor(SINGLE), 0.0, 2.0), "float32"),
    ("maximum with a number", lambda: ng.maximum(ng.tensor(SINGLE), 2.0), "float32"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "dtype"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_dtype_of(make: Callable[[], Any], dtype: str) -> None:
    result = make()
    assert result.dtype == np.dtype(dtype)
    assert np.asarray(result).dtype == np.dtype(dtype)


UNARY = ["negative", "abs", "sign", "exp", "log", "log1p", "expm1", "sqrt", "square", "sin", "cos"]
UNARY += ["tan", "tanh", "sinh", "cosh", "arcsin", "arccos", "arctan", "isnan", "isfinite"]
UNARY += ["logical_not"]


@pytest.mark.parametrize("name", UNARY)
def test_function_of_one_array(name: str) -> None:
    reference = getattr(np, name)
    for dtype in DTYPES:
        a = np.array([0, 1], dtype=dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = reference(a)
            except TypeError:
                with pytest.raises(TypeError):
                    getattr(ng, name)(ng.tensor(a)).numpy()
                continue
            found = getattr(ng, name)(ng.tensor(a)).numpy()
        assert found.dtype == expected.dtype, dtype
        tolerance = 4 * np.finfo(expected.dtype).eps if expected.dtype.kind == "f" else 0
        assert_allclose(found.astype(float), expected.astype(float), rtol=tolerance)


REDUCTIONS = ["sum", "prod", "mean", "max", "min", "var", "std", "any", "all", "argmax"]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction(name: str) -> None:
    for dtype in DTYPES:
        a = np.array([[1, 0, 1], [1, 1, 0]], dtype=dtype)
        for axis in (None, 0, -1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    expected = getattr(np, name)(a, axis=axis)
                except TypeError:
                    continue
            found = getattr(ng, name)(ng.tensor(a), axis=axis).numpy()
            assert found.dtype == expected.dtype, (dtype, axis)
            eps = np.finfo(expected.dtype).eps if expected.dtype.kind == "f" else 0
            assert_allclose(found.astype(float), expected.astype(float), rtol=4 * eps)


def test_integer_out_of_range_of_a_small_dtype_is_refused() -> None:
    with pytest.raises(OverflowError):
        ng.tensor(np.uint8(5)) + 300
    with pytest.raises(OverflowError):
        ng.tensor(np.array([5], np.uint8)) * -1


def test_integer_arithmetic_wraps_around() -> None:
    a = np.array([200, 100], dtype=np.uint8)
    assert (ng.tensor(a) + ng.tensor(a)).tolist() == (a + a).tolist() == [144, 200]


def test_gradient_of_a_single_precision_operand_is_cast_back() -> None:
    x = ng.tensor(SINGLE, requires_grad=True)
    y = x * np.float64(1 / 3)
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32
    assert_allclose(x.grad.numpy(), np.full(2, np.float32(1 / 3)), rtol=1e-7)


def test_single_precision_overflow_is_infinite_and_backward_is_silent() -> None:
    x = ng.tensor(np.float32(1e38), requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = x * 1e3
        assert y.dtype == np.float32 and y.item() == np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y.backward()
    assert x.grad.item() == 1e3


def test_single_precision_stays_single_through_a_whole_program() -> None:
    x = ng.tensor(SINGLE, requires_grad=True)
    y = (2 * x.sin() + x**2 / 3 - 1).exp().mean()
    assert y.dtype == np.float32
    y.backward()
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
@pytest.mark.parametrize(
    "name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
)
def test_integers_with_a_sign_and_without_are_compared_to_the_last_bit(
    name: str, tier: str
) -> None:
    # What holds both is a float64, and that says that 2**53 and 2**53 + 1 are equal.
    x = np.array([2**53 + 1, 2**53, 2**63 + 1, 2**64 - 1, 5, 5, 0, 3], np.uint64)
    y = np.array([2**53, 2**53 + 1, 2**63 - 1, -1, -3, 5, -(2**63), 4], np.int64)
    compare = getattr(np, name)
    with ng.configure(tier=tier):
        for a, b in ((x, y), (y, x), (x, y.astype(np.int8)), (y, x.astype(np.uint32))):
            assert np.array_equal(ng.jit(lambda a, b: compare(a, b))(a, b), compare(a, b))
            assert np.array_equal(compare(ng.tensor(a), b), compare(a, b))


def test_integers_that_an_operation_takes_as_such_are_looked_at_each_time() -> None:
    """Of a float with an integer only the first call was looked at: 2**32 was an exponent of 0."""
    x = ng.tensor([1.5, 2.0])
    for function in (np.ldexp, ng.numpy.ldexp):
        assert function(x, 3).tolist() == [12.0, 16.0]
        with pytest.raises(OverflowError, match="out of bounds for int32"):
            function(x, 2**32)
