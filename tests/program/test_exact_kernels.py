"""Kernels of what NumPy computes exactly: integers, rounding, parts of numbers. Equal to the bit.

Operands are all pairs of edge values of each dtype. All operations of a dtype are one program, so
one kernel or a few hold them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from golden_programs import trace

import nbgrad as ng
from nbgrad.core.node import leaf_node
from nbgrad.core.primitive import Primitive, bind
from nbgrad.core.registry import primitives
from nbgrad.engine.demand import demand
from nbgrad.ops.kinds.elementwise import arity
from nbgrad.program.program import make_program
from nbgrad.program.text import Emitted

SIGNED, UNSIGNED = ("int8", "int16", "int32", "int64"), ("uint8", "uint16", "uint32", "uint64")
FLOATS = ("float64", "float32")
EXACT = {
    "iu": "floor_divide remainder fmod gcd lcm left_shift right_shift bitwise_and bitwise_or "
    "bitwise_xor invert bitwise_count clip fmax fmin maximum minimum floor ceil trunc sign add "
    "subtract multiply negative square absolute equal less where isnan isinf "
    "isfinite logical_and logical_or logical_xor logical_not",
    "b": "bitwise_and bitwise_or bitwise_xor invert logical_and logical_or logical_xor "
    "logical_not equal less where",
    "f": "floor_divide remainder fmod clip fmax fmin maximum minimum floor ceil trunc rint sign "
    "spacing fraction exponent mantissa nextafter signbit copysign heaviside fabs absolute "
    "negative add multiply divide square reciprocal isnan isfinite isinf logical_and "
    "logical_or logical_xor logical_not degrees radians",
}


def edges(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Values at which something may go wrong."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind == "f":
        info = np.finfo(dtype)
        tiny = [
            info.smallest_subnormal,
            info.smallest_normal,
            np.nextafter(info.smallest_normal, 0),
        ]
        plain = [0.0, 0.3, 0.5, 1.0, 1.5, 2.5, 3.0, 7.75, 1e6 + 0.5, 1 / info.eps, 2.5 / info.eps]
        found = [*tiny, *plain, info.max, np.inf, np.nextafter(dtype.type(1), dtype.type(0))]
        return np.array([*found, *(-v for v in found), np.nan], dtype)
    limits = np.iinfo(dtype)
    found = [0, 1, 2, 3, 5, 7, 31, 32, 33, 63, 64, 65, 100, limits.max // 3, limits.max - 1]
    found += [limits.max, limits.min, limits.min + 1]
    found += [-v for v in found]
    return np.array(sorted({v for v in found if limits.min <= v <= limits.max}), dtype)


def operands(prim: Primitive, dtype: np.dtype[Any]) -> list[np.ndarray[Any, Any]]:
    values = edges(dtype)
    if prim.name == "where":
        return [np.resize([True, False], values.size**2), *pairs(values)]
    if arity(prim) == 3:
        return [*pairs(values), np.roll(pairs(values)[1], 3)]
    return pairs(values)[: arity(prim)]


def pairs(values: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    return [v.reshape(-1).copy() for v in np.meshgrid(values, values)]


# Of zeros of both signs either is larger: NumPy's own depends on the place in the array.
EXTREMES = ("clip", "fmax", "fmin", "maximum", "minimum")


def bits(prim: Primitive, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Equal where numbers are, zeros apart by their sign, NaN equal to NaN."""
    if values.dtype.kind != "f":
        return values
    values = values + 0.0 if prim.name in EXTREMES else values
    code = values.view(f"i{values.dtype.itemsize}")
    return np.where(np.isnan(values), np.iinfo(code.dtype).max, code)


def compare(names: list[str], dtype: np.dtype[Any], tier: str, args: Callable[..., Any]) -> None:
    prims = [primitives[name] for name in names]
    given = [args(prim, dtype) for prim in prims]
    with ng.configure(tier=tier):
        nodes = [
            bind(prim, *(leaf_node(x) for x in xs)) for prim, xs in zip(prims, given, strict=True)
        ]
        demand(nodes)
    with np.errstate(all="ignore"):
        wanted = [np.asarray(p.evaluate(*xs)) for p, xs in zip(prims, given, strict=True)]
    for prim, xs, node, expected in zip(prims, given, nodes, wanted, strict=True):
        assert node.value.dtype == expected.dtype, prim.name
        wrong = np.flatnonzero(bits(prim, node.value) != bits(prim, expected))
        shown = [(*(x[k] for x in xs), node.value[k], expected[k]) for k in wrong[:4]]
        assert not wrong.size, f"{prim.name}: operands, found, expected: {shown}"


# A block has a kernel for each operation, of the expression and types that the fused one has: of the
# integers, one of either kind shows that.
BLOCKS = ("int32", "uint16", *FLOATS, "bool")


@pytest.mark.parametrize(
    ("dtype", "tier"),
    [
        *((dtype, "fused") for dtype in (*SIGNED, *UNSIGNED, *FLOATS, "bool")),
        *((dtype, "block") for dtype in BLOCKS),
    ],
)
def test_kernels_have_the_bits_of_numpy(dtype: str, tier: str) -> None:
    kind = np.dtype(dtype)
    names = next(names for kinds, names in EXACT.items() if kind.kind in kinds)
    compare(names.split(), kind, tier, operands)


@pytest.mark.parametrize("tier", ["block", "fused"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("power", ["int32", "int64"])
def test_ldexp_rounds_once(dtype: str, power: str, tier: str) -> None:
    powers = np.array([0, 1, -1, 52, -53, 1023, -1022, 1100, -1074, -1100, 2098, -2200, 10**6])
    powers = np.append(powers, [np.iinfo("int32").max, np.iinfo("int32").min, -149, -126, 128])

    def args(prim: Primitive, kind: np.dtype[Any]) -> list[np.ndarray[Any, Any]]:
        values = np.append(edges(kind), kind.type(1 + 2 * np.finfo(kind).eps))
        return [v.reshape(-1).copy() for v in np.meshgrid(values, powers.astype(power))]

    compare(["ldexp"], np.dtype(dtype), tier, args)


@pytest.mark.parametrize("dtype", [*SIGNED, *UNSIGNED])
def test_powers_of_integers_wrap_around(dtype: str) -> None:
    x = edges(np.dtype(dtype))
    found = ng.jit(lambda x: tuple(x**n for n in (0, 1, 3, 7)))(x)
    for n, y in zip((0, 1, 3, 7), found, strict=True):
        np.testing.assert_array_equal(y, np.power(x, n), strict=True)


def neighbours(x: Any, y: Any) -> Any:
    z = np.clip(x * 2.0, -1.0, 1.0) % y + np.log10(np.hypot(x, y))
    return (z // 0.25 + np.fmax(x, y) * np.degrees(z)) - np.exp2(np.cbrt(x))


def test_what_numpy_calls_one_by_one_is_one_kernel() -> None:
    steps = make_program(trace(neighbours, (30,), (30,))).steps
    assert [type(step) for step in steps] == [Emitted]
    x, y = np.linspace(-2, 2, 30), np.linspace(0.3, 1.7, 30)
    np.testing.assert_allclose(ng.jit(neighbours)(x, y), neighbours(x, y), rtol=1e-13)


def test_its_gradient_is_one_kernel_too() -> None:
    def gradient(x: Any, y: Any) -> Any:
        return ng.grad(lambda x, y: neighbours(x, y).sum(), argnums=(0, 1))(x, y)

    steps = make_program(trace(gradient, (30,), (30,))).steps
    assert [type(step) for step in steps] == [Emitted]


@pytest.mark.parametrize("dtype", FLOATS)
def test_remainders_of_any_quotient_are_exact(dtype: str) -> None:
    """Next to the bound from which on libm is asked, too, and where multiples are exact."""
    rng = np.random.default_rng(1)
    n = 4000
    y = rng.uniform(-2, 2, n) * np.exp2(rng.uniform(-30, 30, n))
    quotient = np.exp2(rng.uniform(-30, 60, n)) * rng.choice([-1, 1], n)
    quotient[::3] = rng.integers(-(2**25), 2**25, quotient[::3].size) / 2
    whole = rng.integers(-(10**9), 10**9, n) * rng.choice([1.0, 0.5, 0.25], n)
    x = np.concatenate([quotient * y, whole]).astype(dtype)
    y = np.concatenate([y, rng.integers(1, 100, n)]).astype(dtype)
    compare(["fmod", "remainder", "floor_divide"], np.dtype(dtype), "fused", lambda *_: [x, y])
