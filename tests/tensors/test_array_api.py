"""nbgrad.numpy against array-api-strict, the standard's own reference: names, dtypes, values.

The conformance suite itself is not on PyPI; docs/array_api.md says how to run it and what fails.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.array_api import make_strategies_namespace

import nbgrad as ng
import nbgrad.numpy as xp

strict = pytest.importorskip("array_api_strict")
VERSION = "2024.12"
xps = make_strategies_namespace(xp, api_version=VERSION)

UNARY = [
    "abs",
    "negative",
    "positive",
    "sign",
    "square",
    "conj",
    "real",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
]
UNARY += [
    "exp",
    "expm1",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "atan",
    "sqrt",
    "log",
    "log1p",
    "log2",
    "log10",
]
REAL = ["floor", "ceil", "trunc", "round", "signbit", "reciprocal"]
BINARY = ["add", "subtract", "multiply", "equal", "not_equal"]
ORDERED = [
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "maximum",
    "minimum",
    "copysign",
    "hypot",
    "atan2",
]
REDUCTIONS = [
    "sum",
    "prod",
    "max",
    "min",
    "mean",
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
]
INTEGERS = ["bitwise_and", "bitwise_or", "bitwise_xor"]

shapes = xps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
some = settings(max_examples=8, deadline=None)


@pytest.fixture(autouse=True)
def reference_tier() -> Any:
    """The dtypes and shapes here are many, and every kernel would be compiled for few numbers."""
    with ng.configure(tier="reference"):
        yield


def theirs(x: ng.Tensor) -> Any:
    return strict.asarray(np.array(x.numpy()))


def compare(found: Any, wanted: Any) -> None:
    expected = np.from_dlpack(wanted)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.kind in "fc":
        rtol = 16 * np.finfo(expected.dtype).eps
        np.testing.assert_allclose(found.numpy(), expected, rtol=rtol, atol=0)
    else:
        np.testing.assert_array_equal(found.numpy(), expected)


def check(name: str, *xs: ng.Tensor, **kwargs: Any) -> None:
    with np.errstate(all="ignore"):
        wanted = getattr(strict, name)(*map(theirs, xs), **kwargs)
    compare(getattr(xp, name)(*xs, **kwargs), wanted)


def names(namespace: Any) -> list[str]:
    return [n for n in dir(namespace) if not n.startswith("_") and n not in ("fft", "linalg")]


@pytest.mark.parametrize("part", ["", "linalg", "fft"])
def test_every_name_and_argument_of_the_standard_is_there(part: str) -> None:
    theirs, ours = (getattr(m, part) if part else m for m in (strict, xp))
    for name in getattr(theirs, "__all__", names(theirs)):
        if name.startswith("_") or "flags" in name.lower() or name == "Device":
            continue
        assert hasattr(ours, name), name
        given_, wanted = getattr(ours, name), getattr(theirs, name)
        if inspect.isfunction(wanted) and name not in LACKING:
            check_arguments(name, given_, wanted)


# NumPy's own signatures lack these: see docs/array_api.md.
LACKING = {"sort", "argsort", "clip"}


def check_arguments(name: str, ours: Any, theirs: Any) -> None:
    try:
        found = inspect.signature(ours).parameters
    except ValueError:
        return
    for parameter in inspect.signature(theirs).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.name in found, f"{name}({parameter.name}=)"


@pytest.mark.parametrize("name", UNARY)
@some
@given(x=xps.arrays(st.sampled_from([xp.float32, xp.float64, xp.complex128]), shapes))
def test_unary(name: str, x: Any) -> None:
    if x.dtype.kind == "c" and name in ("isfinite", "expm1", "log1p", "tanh", "tan", "sign"):
        return
    if x.dtype.kind != "c" and name in ("real", "imag", "conj"):
        return
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(x.numpy())  # strict's is NumPy's, on fewer dtypes
    compare(getattr(xp, name)(x), strict.asarray(wanted))


@pytest.mark.parametrize("name", REAL)
@some
@given(x=xps.arrays(st.sampled_from([xp.float32, xp.float64]), shapes))
def test_unary_of_real_numbers(name: str, x: Any) -> None:
    check(name, x)


@pytest.mark.parametrize("name", BINARY + ORDERED)
@some
@given(data=st.data())
def test_binary(name: str, data: Any) -> None:
    dtype = data.draw(st.sampled_from([xp.float32, xp.float64]))
    pair = data.draw(xps.mutually_broadcastable_shapes(2, max_dims=3, max_side=3))
    check(name, *(data.draw(xps.arrays(dtype, shape)) for shape in pair.input_shapes))


@pytest.mark.parametrize("name", INTEGERS)
@some
@given(data=st.data())
def test_bits(name: str, data: Any) -> None:
    dtype = data.draw(st.sampled_from([xp.bool, xp.int8, xp.uint16, xp.int64]))
    x, y = (data.draw(xps.arrays(dtype, (2, 3))) for _ in "xy")
    check(name, x, y)


@pytest.mark.parametrize("name", REDUCTIONS)
@some
@given(data=st.data())
def test_reductions(name: str, data: Any) -> None:
    dtype = data.draw(st.sampled_from([xp.float64, xp.int32]))
    shape = data.draw(xps.array_shapes(min_dims=1, max_dims=3, max_side=4))
    elements = {"min_value": -9, "max_value": 9}
    x = data.draw(xps.arrays(dtype, shape, elements=elements))
    if name == "mean" and x.dtype.kind == "i":
        return
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    check(name, x, axis=axis, keepdims=data.draw(st.booleans()))


@some
@given(data=st.data())
def test_indexing(data: Any) -> None:
    x = data.draw(xps.arrays(xp.int64, xps.array_shapes(max_dims=3, max_side=4)))
    key = data.draw(xps.indices(x.shape))
    np.testing.assert_array_equal(x[key].numpy(), x.numpy()[key])


@pytest.mark.skipif(not hasattr(np, "__array_namespace_info__"), reason="NumPy 2.0 has none")
def test_the_namespace_says_what_it_is() -> None:
    assert xp.__array_api_version__ == VERSION
    info = xp.__array_namespace_info__()
    assert info.capabilities()["boolean indexing"] and info.default_device() == "cpu"
    assert info.dtypes(kind="integral").keys() >= {"int8", "uint64"}
    assert xp.asarray(1.0).__array_namespace__(api_version=VERSION) is xp
