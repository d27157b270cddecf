"""Accuracy, special values and vectorisation of nbgrad.machine.vecmath."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import mpmath
import numpy as np
import pytest
from llvmlite import binding, ir
from numba import njit

from nbgrad.machine.frontend import far
from nbgrad.machine.numba_forms import BY_PLAIN
from nbgrad.machine.vecmath import SCALAR

OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
DTYPES = {"f8": np.float64, "f4": np.float32}
NUMBA = {"f8": "float64", "f4": "float32"}
mp = mpmath.mp

REFERENCE: dict[str, Callable[..., Any]] = {
    "pow": mpmath.power,
    "log2": lambda x: mp.log(x, 2),
    "exp2": lambda x: mp.mpf(2) ** x,
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "sech2": lambda x: mp.sech(x) ** 2,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
}
REFERENCE = {
    key[:-3]: getattr(mpmath, key[:-3]) for key in SCALAR if hasattr(mpmath, key[:-3])
} | REFERENCE


@cache
def compiled(function: FunctionType) -> Any:
    """Return a function of vecmath, and all it calls, compiled by Numba."""
    if function in BY_PLAIN:
        return BY_PLAIN[function]
    names = {
        name: compiled(value) if isinstance(value, FunctionType) else value
        for name, value in function.__globals__.items()
        if name in function.__code__.co_names
    }
    copy = FunctionType(function.__code__, names | {"__name__": __name__}, function.__name__)
    return njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(copy)


@cache
def loop(key: str) -> Any:
    """Return the compiled loop ``loop(*inputs, out)`` over ``SCALAR[key]``."""
    function = compiled(SCALAR[key])
    array = f"{NUMBA[key[-2:]]}[::1]"

    def unary(x, out):  # type: ignore[no-untyped-def]
        for i in range(x.size):
            out[i] = function(x[i])

    def binary(x, y, out):  # type: ignore[no-untyped-def]
        for i in range(x.size):
            out[i] = function(x[i], y[i])

    arity = SCALAR[key].__code__.co_argcount
    signature = f"void({', '.join([array] * (arity + 1))})"
    return njit(signature, **OPTIONS)(unary if arity == 1 else binary)


def apply(key: str, *inputs: Any) -> Any:
    out = np.empty_like(inputs[0])
    loop(key)(*inputs, out)
    return out


def plain(key: str, *inputs: Any) -> Any:
    """Run the function as the simulator does, on NumPy scalars."""
    with np.errstate(all="ignore"):
        out = [SCALAR[key](*operands) for operands in zip(*inputs, strict=True)]
    assert {type(value) for value in out} == {DTYPES[key[-2:]]}
    return np.array(out)


def sample(key: str, n: int, seed: int = 0) -> tuple[Any, ...]:
    """Inputs dense around the interesting places and spread over all exponents."""
    name, _, code = key.partition("_")
    rng = np.random.default_rng(seed)
    top, low, emin, emax = (
        (709.7, -745.1, -1074, 1023.9) if code == "f8" else (88.7, -103.9, -149, 127.9)
    )

    def wide(a: float, b: float) -> Any:
        return np.exp2(rng.uniform(a, b, n)) * rng.choice([-1, 1], n)

    def between(a: float, b: float) -> Any:
        return rng.uniform(a, b, n)

    angles = [between(-10, 10), between(-1e6, 1e6), wide(emin, emax), between(-0.9, 0.9)]
    angles.append(rng.integers(1, 600_000, n) * (np.pi / 2))
    circle = [between(-1, 1), between(0.82, 0.86), wide(emin, 0), 1 - np.abs(wide(-50, -1))]
    positive = [np.abs(wide(emin, emax)), between(0.4, 2.1), 1 + wide(-40, -2)]
    pieces = {
        "exp": [between(low, top), between(-1, 1)],
        "log1p": [np.abs(wide(emin, emax)), between(-1, 3), np.abs(wide(-50, 0)) - 1],
        "expm1": [between(-45, top), between(-1.5, 1.5)],
        "erf": [between(-6, 6), between(-1.5, 1.5), between(0.94, 1)],
        "tanh": [between(-22, 22), between(-2, 2), between(0.2, 0.3)],
        # Up to where it is subnormal: e**2x overflows there.
        "sech2": [between(-0.49 * top, 0.49 * top), between(-2, 2)],
        "sinh": [between(-top, top), between(-3, 3)],
        "cosh": [between(-top, top), between(-3, 3)],
        "atan": [between(-4, 4), wide(emin, emax), between(0.4, 0.6)],
        "atan2": [between(-4, 4), wide(emin, emax), wide(-3, 3)],
        "exp2": [between(emin, emax), between(-2, 2), np.floor(between(emin, emax))],
        "cbrt": [wide(emin, emax), between(-30, 30), np.floor(between(-99, 99)) ** 3],
        "hypot": [wide(emin, emax), wide(-3, 3), wide(-0.5, 0.5), wide(emin, emin + 60)],
        "asinh": [wide(emin, emax), between(-4, 4), wide(20, 40)],
        "acosh": [np.abs(wide(0, emax)), between(1, 3), 1 + np.abs(wide(-50, 0)), wide(20, 40)],
        "pow": [np.abs(wide(emin, emax)), between(0.5, 2), np.abs(1 + wide(-30, -1))],
        **dict.fromkeys(("sin", "cos", "tan"), angles),
        **dict.fromkeys(("asin", "acos", "atanh"), circle),
        **dict.fromkeys(("log", "log2", "log10"), positive),
    }.get(name, [between(low, top), between(-5, 5)])
    if name not in ("log", "log2", "log10", "acosh", "pow"):
        pieces = [*pieces, wide(emin, 0)]
    x = np.concatenate(pieces).astype(DTYPES[code])
    if name in ("atan2", "hypot"):
        return rng.permutation(x) if name == "atan2" else np.roll(x, 1), x
    if name == "pow":
        log2 = np.log2(x.astype(float))
        log2[log2 == 0] = 1
        y = np.where(
            rng.random(x.size) < 0.4, between(-5, 5)[0], rng.uniform(emin, emax, x.size) / log2
        )
        return x, y.astype(x.dtype)
    return (x,)


def ulps(got: float, exact: Any, code: str) -> float:
    """Return |got - exact| in units of the last place of the exact value."""
    digits, least, most = (53, -1074, 1024) if code == "f8" else (24, -149, 128)
    unit = mp.mpf(2) ** max(mp.frexp(exact)[1] - digits, least)
    if np.isinf(got):
        return 0.0 if abs(exact) >= mp.mpf(2) ** most - unit / 2 else np.inf
    return float(abs(mp.mpf(float(got)) - exact) / unit)


def worst(key: str, inputs: tuple[Any, ...], got: Any) -> tuple[float, Any]:
    name, _, code = key.partition("_")
    errors = [(0.0, None)]
    with mp.workprec(160):
        for result, *operands in zip(got, *inputs, strict=True):
            exact = REFERENCE[name](*(mp.mpf(float(v)) for v in operands))
            if exact != 0 and not isinstance(exact, mpmath.mpc) and mp.isfinite(exact):
                errors.append((ulps(result, exact, code), operands))
    return max(errors, key=lambda e: e[0])


@pytest.mark.parametrize("key", SCALAR)
def test_compiled_is_within_two_ulp(key: str) -> None:
    inputs = sample(key, 500)
    error, where = worst(key, inputs, apply(key, *inputs))
    assert error <= 2.0, f"{key}: {error:.2f} ulp at {where}"


@pytest.mark.parametrize("key", SCALAR)
def test_plain_python_is_within_two_ulp(key: str) -> None:
    inputs = sample(key, 60, seed=1)  # here nothing is fused
    error, where = worst(key, inputs, plain(key, *inputs))
    assert error <= 2.0, f"{key}: {error:.2f} ulp at {where}"


TINY = [0.0, 5e-324, 1e-310, 2.3e-308, 1e-300, 1e-45, 1e-40, 1e-20, 1e-9]
LARGE = [0.5, 1.0, 2.0, 89.4, 104.0, 709.9, 745.2, 1e6, 1.1e6, 1e22, 1e300, 1.79e308, np.inf]
SPECIAL = np.array([*TINY, *LARGE, np.nan, np.nextafter(1, 0), np.nextafter(1, 2), 3.4e38])
ODD = [3.0, 2.5, 4503599627370495.5, 4503599627370497.0, 9007199254740993.0, 8388609.0, 16777215.0]
NUMPY = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "pow": "power"}
NUMPY |= {"asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh"}


def expected(name: str, *inputs: Any) -> Any:
    """What C's mathematics gives, through NumPy in extended precision where there is one."""
    wide = [x.astype(np.longdouble) for x in inputs]
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            value = 1 / (1 + np.exp(-wide[0]))
        elif name == "sech2":
            value = np.where(abs(wide[0]) > 1000, 0.0, 1 / np.cosh(wide[0])) ** 2
        elif name == "softplus":
            value = np.logaddexp(wide[0], 0)
        elif name == "erf":
            value = np.array([float(mp.erf(float(x))) for x in inputs[0]])
            value = np.copysign(value, inputs[0])
        else:
            # Angles and powers are NumPy's float64 ones, whose argument is the given one.
            value = getattr(np, NUMPY.get(name, name))(*inputs)
        return value.astype(inputs[0].dtype)


@pytest.mark.parametrize("run", [apply, plain])
@pytest.mark.parametrize("key", SCALAR)
def test_special_values(key: str, run: Callable[..., Any]) -> None:
    name, _, code = key.partition("_")
    binary = name in ("pow", "atan2", "hypot")
    with np.errstate(over="ignore", under="ignore"):
        x = np.concatenate([SPECIAL, ODD]) if binary else SPECIAL
        x = np.concatenate([x, -x]).astype(DTYPES[code])
    inputs = tuple(v.ravel().copy() for v in np.meshgrid(x, x)) if binary else (x,)
    if binary and run is plain:
        inputs = tuple(v[::3].copy() for v in inputs)
    got, want = run(key, *inputs), expected(name, *inputs)
    with np.errstate(all="ignore"):
        close = (got == want) | (abs(got - want) <= 4 * np.abs(np.spacing(want)))
    right = np.isnan(got) & np.isnan(want) | close & (np.signbit(got) == np.signbit(want))
    wrong = [
        (*operands, g, w)
        for ok, g, w, *operands in zip(right, got, want, *inputs, strict=True)
        if not ok
    ]
    assert not wrong, f"{key}: operands, result, expected: {wrong[:5]}"


def hot_block(machine_code: str) -> str:
    """Return the basic block with most vector instructions: the loop body."""
    blocks = re.split(r"\n(?=\.LBB|\s*\.(?:globl|section)\b)", machine_code)
    return max(blocks, key=lambda block: len(re.findall("[yz]mm", block)))


def assert_vectorised(machine_code: str, suffix: str, least: int = 8) -> None:
    block = hot_block(machine_code)
    # With AVX-512 the float64 inside of a float32 power fills registers twice as wide.
    kinds = f"(?:{suffix}|pd)"
    packed = re.findall(rf"\bv(?:mul|add|sub|fn?m(?:add|sub)\d+){kinds}\s.*%[yz]mm", block)
    assert len(packed) >= least, f"not vectorised:\n{block}"
    called = re.findall(r"movabsq\s+\$([A-Za-z_]\w*)|callq\s+([A-Za-z_]\w*)", block)
    others = {a or b for a, b in called if not (a or b).startswith("nbgrad_")}
    assert not others, f"calls in the loop: {others}"


avx2 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64")
    or not binding.get_host_cpu_features().get("avx2", False),
    reason="counts the vector instructions of x86-64 with AVX2",
)


# Functions of float32 that are float64 arithmetic.
WIDE = ["pow_f4", "log2_f4", "log10_f4", "exp2_f4", "cbrt_f4", "hypot_f4"]
WIDE += ["asinh_f4", "acosh_f4", "atanh_f4"]


@avx2
@pytest.mark.parametrize("key", SCALAR)
def test_loop_is_vectorised(key: str) -> None:
    code = "\n".join(loop(key).inspect_asm().values())
    assert_vectorised(
        code, "pd" if key.endswith("f8") or key in WIDE else "ps", 4 if key == "hypot_f4" else 8
    )
    if key.endswith("f4") and key not in WIDE and not key.startswith(("sin_", "cos_", "tan_")):
        assert not re.search(r"v\w+pd\s.*%ymm", hot_block(code).replace("vbroadcastsd", ""))


@avx2
def test_kernel_of_several_functions_is_vectorised() -> None:
    exp, log, sin = (compiled(SCALAR[f"{name}_f8"]) for name in ("exp", "log", "sin"))

    @njit("void(float64[::1], float64[::1])", **OPTIONS)
    def kernel(x, out):  # type: ignore[no-untyped-def]
        for i in range(x.size):
            out[i] = sin(x[i]) * exp(-x[i]) + log(x[i] * x[i] + 1.0)

    assert_vectorised("\n".join(kernel.inspect_asm().values()), "pd")
    x = np.array([0.5, 1e7, 3.0, -2.0, 4.0, 1e9, 2.5, 30.0, 1.25])
    out = np.empty_like(x)
    kernel(x, out)
    np.testing.assert_allclose(out, np.sin(x) * np.exp(-x) + np.log(x * x + 1), rtol=1e-14)


def test_far_variants_do_not_call_what_they_vectorise() -> None:
    # With SLP vectorisation on, LLVM would turn such calls into an endless recursion.
    module = ir.Module()
    far._define(module, "nbgrad_sin_far_f8", ir.DoubleType(), "sin")
    text = str(module)
    binding.parse_assembly(text).verify()
    assert "nbgrad_sin_far_f8_4" in text
    assert not re.search(r'call [^\n]*@"?nbgrad_sin_far_f8"?\(', text)
