"""Complex numbers, and numbers stored in 16 bits, in kernels of our own, in the simulator."""

from __future__ import annotations

import cmath
from typing import Any

import numpy as np
import pytest
from cuda_device import agree, marks, planned
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.machine.scalar_complex import COMPLEX
from nbgrad.program.text import CudaKernel

pytestmark = marks
RNG = np.random.default_rng(8)


def compiled(f: Any, *arrays: Any) -> None:
    """*f* agrees, and is kernels from end to end."""
    agree(f, *arrays)
    program, _ = planned(f, arrays)
    assert all(isinstance(step, CudaKernel) for step in program.steps), program.source()


def numbers(shape: tuple[int, ...], dtype: str) -> Any:
    found = RNG.uniform(0.4, 1.6, shape) * RNG.choice([-1, 1], shape)
    if dtype.startswith("c"):
        found = found + 1j * RNG.uniform(-1.5, 1.5, shape)
    return found.astype(dtype)


def arithmetic(x: Any, y: Any) -> list[Any]:
    return [x + y, x - y, x * y, x / y, -x, x * x, x**3, ng.where(x == y, x, y * 2.5), x != y]


def parts(x: Any, y: Any) -> list[Any]:
    return [x.real + y.imag, abs(x), x.conj() * y, (x.real > 0) & (y.imag < 1), x.imag * x]


def moves(x: Any, y: Any) -> list[Any]:
    padded = ng.pad(x, 1)
    return [x.T + y.T, x[::-1, 1:] * y[:, :-1], padded[1:-1, 1:-1] * y, ng.concatenate([x, y * x])]


def sums(x: Any, y: Any) -> list[Any]:
    return [(x * y).sum(axis=k) for k in (None, 0, 1)] + [x.mean(axis=0), x.prod(axis=1)]


def rows(x: Any, y: Any) -> list[Any]:
    i = np.array([1, 0, -1, 1])
    return [x[i] * y[i], ng.where(abs(x) > 1, x, 0.0)]


COMPLEX_PROGRAMS = [arithmetic, parts, moves, sums, rows]


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
@pytest.mark.parametrize("shape", [(3, 5), (2, 70)], ids=str)
@pytest.mark.parametrize("f", COMPLEX_PROGRAMS)
def test_complex_programs_are_kernels(f: Any, shape: tuple[int, ...], dtype: str) -> None:
    compiled(f, numbers(shape, dtype), numbers(shape, dtype))


def test_complex_gradients_of_both_orders() -> None:
    def loss(x: Any, y: Any) -> Any:
        z = ng.exp(x * 0.3j) / (y + 2.5) + ng.sqrt(x + 3.0) * y.conj()
        return (abs(z) ** 2).sum() + (z * x).real.sum()

    x, y = numbers((3, 4), "complex128"), numbers((3, 4), "complex128")
    compiled(lambda *xs: list(ng.grad(loss, argnums=(0, 1))(*xs)), x, y)

    def slope(x: Any, y: Any) -> Any:
        return (abs(ng.grad(loss)(x, y)) ** 2).sum()

    agree(lambda *xs: list(ng.grad(slope, argnums=(0, 1))(*xs)), x, y)


def test_complex_with_real_numbers_and_none() -> None:
    x, y = numbers((4,), "complex128"), numbers((4,), "float64")
    compiled(
        lambda x, y: [x * y, y / x, x + 1.5, 2 * x, x - (0.5 - 1j), ng.where(y > 0, x, y)], x, y
    )
    compiled(lambda x: [x * 2j, x.sum()], np.zeros(0, complex))
    compiled(lambda x: [x * x, abs(x)], np.array(1 - 2j))


FUNCTIONS = ["exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh"]
POINTS = [
    complex(a, b)
    for a in (-2.5, -1e-3, -0.0, 0.0, 0.7, 30.0)
    for b in (-2.0, -0.0, 0.0, 1e-3, 1.0)
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_complex_numbers(name: str) -> None:
    f, wanted = COMPLEX[f"{name}_z16"], getattr(cmath, name)
    for z in POINTS:
        if name == "log" and z == 0:
            continue
        found = complex(f(np.complex128(z)))
        assert_allclose(found, wanted(z), rtol=1e-13, atol=1e-15, err_msg=str(z))
        assert np.signbit(found.imag) == np.signbit(wanted(z).imag) or name in ("tan", "tanh")
    x = np.array(POINTS).reshape(5, 6) + 0.01
    compiled(getattr(ng, name), x)
    compiled(getattr(ng, name), x.astype(np.complex64))


@pytest.mark.parametrize("name", ["exp", "sqrt", "log", "sin", "sinh", "tanh"])
def test_functions_of_what_is_not_finite(name: str) -> None:
    """As NumPy has them, where it says what they are."""
    f, numpys = COMPLEX[f"{name}_z16"], getattr(np, name)
    for x in (-np.inf, np.inf, np.nan, 1.0):
        for y in (0.0, 1.0, np.inf, -np.inf):
            with np.errstate(all="ignore"):
                found, wanted = complex(f(np.complex128(complex(x, y)))), numpys(complex(x, y))
            if not np.isnan(wanted) and not np.isinf(x) and not np.isinf(y):
                assert found == pytest.approx(wanted), (x, y)
            assert np.isfinite(found) == np.isfinite(wanted), (name, x, y, found, wanted)


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_division_of_complex_numbers_is_numpys(dtype: str) -> None:
    parts = [0.0, -0.0, 1.0, -2.5, np.inf, np.nan]
    z = np.array([complex(a, b) for a in parts for b in parts], dtype)
    x, y = (a.ravel() for a in np.meshgrid(z, z))
    with np.errstate(all="ignore"):
        agree(lambda x, y: x / y, x, y)
        agree(lambda x: [x**-1, x**-2, x**3], x[np.isfinite(x)])
        (mean,) = agree(lambda x: x.mean(axis=0), np.zeros((0, 2), dtype))
    assert np.isnan(mean).all()


def half_programs(x: Any, y: Any) -> list[Any]:
    return [
        x + y * 0.1,
        ng.exp(x) / (1 + ng.exp(y)),
        ng.where(x > y, x, -y),
        (x * y).sum(axis=0),
        x.sum(),
        x.mean(axis=1),
        x.max(axis=0),
        x[::-1].T * 2,
        ng.maximum(x, 0.3),
        x.astype("float64") * 3,
        (x > 0.5) & (y < 0.9),
    ]


@pytest.mark.parametrize("shape", [(3, 4), (1, 7), (2, 40)], ids=str)
def test_numbers_of_16_bits(shape: tuple[int, ...]) -> None:
    x, y = numbers(shape, "float16"), numbers(shape, "float16")
    compiled(half_programs, x, y)
    compiled(
        lambda x, y: list(ng.grad(lambda x, y: (ng.tanh(x * y) ** 2).sum(), (0, 1))(x, y)), x, y
    )


def test_16_bits_are_rounded_after_each_operation_as_numpy_does() -> None:
    x = np.linspace(0.1, 9.0, 50).astype(np.float16)
    (found,) = agree(lambda x: x * x + x / 3 - 1.0, x)
    assert np.array_equal(found, x * x + x / np.float16(3) - np.float16(1))


def test_rows_and_loops_of_16_bits() -> None:
    x = numbers((6, 20), "float16")
    softmax = lambda x: ng.exp(x - x.max(axis=1, keepdims=True)) / ng.exp(x).sum(1, keepdims=True)
    compiled(softmax, x)
    compiled(lambda x: x[np.array([0, -1, 3])] + 1, x)
    agree(lambda x: ng.grad(lambda x: (x[np.array([0, 0, 3])] * 2.5).sum())(x), x)
    agree(lambda x: [ng.cumsum(x, axis=1), x.argmax(axis=0)], x)
    agree(lambda x: ng.scan(lambda c, _: (c * 0.5 + 1, c), x, length=4), x)
