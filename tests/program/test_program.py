"""Compiled programs against the reference: dtypes, special values, outputs, and what text holds."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from differential import Array, Function, agree, evaluate, plan_of, positive, with_gradient

import nbgrad as ng
from nbgrad.backends.cpu.program import compile_price, kernel_of
from nbgrad.program.program import Program
from nbgrad.program.text import Emitted

INTEGERS = [np.dtype(code) for code in ("i1", "i4", "i8", "u1", "u2", "u8")]
every_integer = pytest.mark.parametrize("dtype", INTEGERS, ids=str)


def by_name(table: dict[str, Function]) -> Any:
    return pytest.mark.parametrize("f", list(table.values()), ids=list(table))


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def compiled(f: Function, *arrays: Any) -> list[Array]:
    """Results of *f* under ``jit``, where Python numbers are literals of the tape."""
    found = ng.jit(f)(*arrays)
    return [np.asarray(y) for y in (found if isinstance(found, tuple) else (found,))]


def agree_compiled(f: Function, *arrays: Any, rtol: float = 1e-11) -> None:
    for found, exact in zip(
        compiled(f, *arrays), evaluate("reference", f, arrays, 0), strict=True
    ):
        assert (found.dtype, found.shape) == (exact.dtype, exact.shape)
        np.testing.assert_allclose(found, exact, rtol=rtol)


# ----------------------------------------------------------------------------------------- dtypes


@every_integer
def test_integers(dtype: np.dtype[Any]) -> None:
    x = np.arange(1, 12, dtype=dtype)
    y = np.arange(11, 0, -1, dtype=dtype)

    def f(x, y):
        return (
            x * y + x, x - y, x / y, x // y, x % y, x**2, x**3, -x if dtype.kind == "i" else x,
            x < y, x == y, ng.where(x < y, x, y), ng.maximum(x, y), ng.minimum(x, y),
            x * 0.5 + y.astype(np.float32), x.sum(), x.prod(), x.mean(), x.max(), x.min(),
        )  # fmt: skip

    agree(f, x, y, order=0)


@every_integer
def test_integers_wrap_around(dtype: np.dtype[Any]) -> None:
    largest = np.full(3, np.iinfo(dtype).max, dtype)

    def f(x):
        return (x + 1) > 0, ng.add(1, x) > 0, (x + x) / 2, (x * x) / 3, (x + 1) * 0.5, x + 1 - 1

    agree(f, largest, order=0)
    agree_compiled(f, largest)


@every_integer
def test_extreme_literals(dtype: np.dtype[Any]) -> None:
    info = np.iinfo(dtype)
    agree_compiled(lambda x: (x * 0 + info.max, x * 0 + info.min), np.arange(3, dtype=dtype))


def test_booleans() -> None:
    rng = np.random.default_rng(0)

    def f(x, y):
        return (
            x & y, x | y, x ^ y, ~x, x == y, x != y, x < y, x.any(), y.all(), x.any(axis=0),
            y.all(axis=1), x.sum(), x.mean(), x.astype(float) * 2, x * 2, x + y, x * 2.5,
            ng.where(x, y, True), ng.where(x, 1.5, 2),
        )  # fmt: skip

    agree(f, rng.random((3, 4)) > 0.5, rng.random((3, 4)) > 0.5, order=0)
    agree_compiled(f, rng.random((3, 4)) > 0.5, rng.random((3, 4)) > 0.5)


MIXED: dict[str, Function] = {
    "numbers keep float32": lambda x, y, k: x * 2.5 + 1,
    "float32 with float64": lambda x, y, k: (x * y).exp() + x,
    "with integers": lambda x, y, k: x * k + y / k,
    "casts": lambda x, y, k: (
        x.astype(np.int32), y.astype(np.float32), x.astype(bool), k.astype(np.int8) * x,
        (10 * y).astype(np.int64) * 2,
    ),
    "sums": lambda x, y, k: (x.sum(), (x * y).sum(axis=0), k.sum(axis=0), x.mean()),
    "0-d": lambda x, y, k: x[0] * y + k.sum() * x,
}  # fmt: skip


@by_name(MIXED)
def test_mixed_dtypes(f: Function) -> None:
    k = np.arange(1, 8, dtype=np.int32)
    agree(f, positive(7, dtype=np.float32), positive(7, seed=1), k, rtol=1e-5)


@pytest.mark.parametrize("number", [1e300, -1e300, 1e-300, 1e-42, np.inf, -np.inf, np.nan, -0.0])
def test_numbers_out_of_the_range_of_float32(number: float) -> None:
    x = positive(3, dtype=np.float32)
    agree(lambda x: x * number, x, order=0)
    agree_compiled(lambda x: (x * number, number - x), x)


def test_dtypes_without_kernels() -> None:
    z = positive(5) + 1j * positive(5, seed=1)
    agree(lambda z, x: (z * x, abs(z), (z * z).sum(), x + 1), z, positive(5), order=0)
    agree(lambda x: (x * 2 + x, x.sum()), positive(5).astype(np.float16), order=0, rtol=1e-2)


def test_float32_sums_are_as_good_as_pairwise() -> None:
    x = np.random.default_rng(3).random(1_000_000).astype(np.float32)
    exact = x.astype(np.float64).sum()
    (found,) = evaluate("fused", lambda x: x.sum(), [x], 0)
    assert abs(float(found) - exact) <= 2e-6 * exact


# --------------------------------------------------------------------------------- special values

SPECIAL = np.array([1.0, np.nan, -np.inf, np.inf, 0.0, -0.0, 2.0, -3.0])
OTHER = np.array([np.nan, 1.0, 1.0, -np.inf, -0.0, 0.0, np.inf, -3.0])
PROPAGATE: dict[str, Function] = {
    "extrema": lambda x, y: (ng.maximum(x, y), ng.minimum(y, x), ng.clip(x, -1.0, 1.0)),
    "selection": lambda x, y: (ng.where(x > y, x, y), ng.relu(x), ng.sign(x), abs(x)),
    "reductions": lambda x, y: (x.max(), x.min(), x.sum(), x.mean(), (x * y).prod()),
    "tests": lambda x, y: (ng.isnan(x), ng.isfinite(x), ng.isinf(x), x == y, x <= y),
    "arithmetic": lambda x, y: (x + y, x * y, x / y, 1 / x, x**2, x**-1, ng.sqrt(x)),
    "functions": lambda x, y: (ng.exp(x), ng.log(x), ng.sin(x), ng.tanh(x), ng.sigmoid(x)),
    "softplus and power": lambda x, y: (ng.softplus(x), ng.power(x, y), ng.log1p(x)),
}


@by_name(PROPAGATE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_special_values(f: Function, dtype: Any) -> None:
    agree(f, SPECIAL.astype(dtype), OTHER.astype(dtype))


def test_nan_wins_in_every_layout_of_a_reduction() -> None:
    x = positive(50, 900)
    x[3, 4] = np.nan
    x[7] = np.inf
    agree(lambda x: (x.max(axis=0), x.min(axis=1), x.max(), x.min(), x.sum(axis=0)), x, order=0)
    agree(lambda x: (x.max(), x.min()), np.full(40_000, -np.inf), order=0)


def test_a_dead_branch_leaks_nothing() -> None:
    def f(x):
        return ng.where(x > 0, ng.log(x), 0.0) + ng.where(x > 0, ng.sqrt(x), x * x)

    x = np.array([0.0, -1.0, 2.0])
    agree(f, x)
    for tier in ("fused", "block"):
        assert np.isfinite(evaluate(tier, f, [x], 1)[1]).all()


# -------------------------------------------------------------------------------- inputs, outputs


@pytest.mark.parametrize(
    "array",
    [
        positive(10)[::2],
        positive(10)[::-1],
        positive(4, 10).T,
        positive(6, 8)[1:5:2, ::-3],
        np.asfortranarray(positive(3, 4)),
        np.broadcast_to(positive(3), (4, 3)),
        positive(5).astype(">f8"),
        np.frombuffer(b"\0" + positive(5).tobytes(), np.uint8)[1:].view(np.float64),
        np.array(3.0),
        positive(0, 3),
    ],
    ids=["strided", "reversed", "transposed", "window", "Fortran", "broadcast", "big-endian",
         "unaligned", "0-d", "empty"],
)  # fmt: skip
def test_inputs_of_any_layout(array: Array) -> None:
    before = array.copy()

    def f(x):
        return x * 2 + x.sum(), x.exp().sum(axis=0) if x.ndim else x

    agree(f, array)
    for found, exact in zip(
        compiled(f, array), evaluate("reference", f, [before], 0), strict=True
    ):
        np.testing.assert_allclose(found, exact, rtol=1e-12)
    np.testing.assert_array_equal(array, before)


def test_numbers_as_arguments() -> None:
    f = ng.jit(lambda x, a: x * a + a)
    for a in (2.5, np.float64(2.5), np.array(2.5)):
        np.testing.assert_array_equal(f(np.ones(3), a), np.full(3, 5.0))


def test_outputs_that_are_inputs_or_repeat() -> None:
    x = positive(3, 4)

    def f(x):
        y = x * 2
        return x, y, x, y, x.T, y.T, x[1:, ::-1], x.reshape(-1), ng.ones((2, 2)) * 3, x.sum()

    agree_compiled(f, x)
    found = compiled(f, x)
    for a, b in itertools.combinations([*found, x], 2):
        assert not np.shares_memory(a, b)
    for out in found:
        assert out.flags.c_contiguous and out.flags.writeable


def test_each_run_returns_fresh_memory() -> None:
    f = ng.jit(lambda x: (x * 2, x.sum()))
    first = f(np.ones(3))
    second = f(np.full(3, 5.0))
    np.testing.assert_array_equal(first[0], [2.0, 2.0, 2.0])
    assert (first[1], second[1]) == (3.0, 15.0)


def test_derivatives_inside_jit_are_those_outside() -> None:
    def cubes(x):
        return (x**3).sum()

    def penalty(x):
        return ng.grad(lambda z: (ng.grad(cubes)(z) ** 2).sum())(x)

    x = np.array([1.0, 2.0])
    for f in (ng.grad(cubes), penalty, ng.hessian(cubes), ng.jacobian(ng.grad(cubes))):
        np.testing.assert_allclose(ng.jit(f)(x), f(x), rtol=1e-12)
    np.testing.assert_allclose(penalty(x), 36 * x**3)


# ------------------------------------------------------------------------------- what text holds


def kernels(program: Program) -> list[Emitted]:
    return [step for step in program.steps if isinstance(step, Emitted)]


SHAPELESS: dict[str, tuple[Function, list[tuple[int, ...]]]] = {
    "elementwise": (lambda x: x.exp() * 2.5 + x, [(5,), (70_000,), (3, 4), (2, 3, 4)]),
    "sums of rows": (lambda x: x.sum(axis=1), [(3, 4), (100, 7), (65, 900)]),
    "sums of columns": (lambda x: x.sum(axis=0), [(3, 40), (100, 70), (5, 900)]),
    "whole sums": (lambda x: (x * x).sum(), [(3,), (30_000,)]),
    "whole sums in blocks": (lambda x: (x * x).sum(), [(40_000,), (10**6,), (10**7,)]),
    "stencil": (lambda x: x[1:] * x[:-1], [(3,), (900,), (10**5,)]),
    "gradient of a stencil": (
        with_gradient(lambda x: ((x[1:] - x[:-1] ** 2) ** 2).sum()), [(50,), (900,), (30_000,)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(SHAPELESS))
def test_another_shape_is_the_same_text(name: str) -> None:
    f, shapes = SHAPELESS[name]
    first, *others = (plan_of(f, shape) for shape in shapes)
    for other in others:
        assert other.source() == first.source()
        assert [k.signature for k in kernels(other)] == [k.signature for k in kernels(first)]


def test_another_shape_or_number_compiles_nothing() -> None:
    def model(rate: float) -> Function:
        return lambda x: (x * rate - rate / 7).sum(axis=0)

    held = [kernel_of(step) for step in kernels(plan_of(model(0.37), (30, 40)))]
    other = plan_of(model(0.73), (50, 60))
    assert compile_price(other) == 0
    found = [kernel_of(step) for step in kernels(other)]
    assert {kernel.origin for kernel in found} == {"memory"}
    assert [k.address for k in found] == [k.address for k in held]
    assert compile_price(plan_of(lambda x: (x * 0.1 - x / 7).sum(axis=0), (30, 40))) > 0


def test_numbers_are_arguments() -> None:
    def model(rate: float) -> Function:
        return lambda x: x * rate + x / (rate + 1)

    text = plan_of(model(0.37), (5,)).source()
    assert text == plan_of(model(0.73), (5,)).source()
    assert "0.37" not in text and "1.37" not in text


def test_every_name_says_what_the_kernel_does() -> None:
    (kernel,) = kernels(plan_of(lambda x: ng.exp(ng.sin(x) * 3.0), (5,)))
    assert kernel.name == "fused_sin_multiply_exp_3"


def test_source_names_library_calls() -> None:
    text = plan_of(lambda x, w: (x @ w) * 2.0, (2, 3), (3, 4)).source()
    assert "# library kernel: matmul -> float64[2,4]" in text


def test_reading_the_source_compiles_nothing() -> None:
    plan = plan_of(lambda x: ng.exp(x) * x - ng.tanh(x + 0.123) * ng.log(x), (5,))
    assert plan.source() == plan.source() and compile_price(plan) > 0
