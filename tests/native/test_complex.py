"""Complex numbers in functions compiled by Numba: gradients as everywhere, by both parts of a number."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numba
import numpy as np
import pytest

import nbgrad as ng

Z = np.array([0.3 + 0.7j, -1.1 + 0.2j, 0.5 - 0.9j])
M = np.array([[2.0 + 1j, 0.3, 0.1j], [0.2j, 1.5, 0.4], [0.3, -0.5j, 1.0 - 1j]])


@numba.njit
def numbers(z: Any, x: Any) -> Any:
    w = z * z.conjugate() + 1j * x - z / (1.0 + x * z)
    w += np.exp(w) + np.sqrt(z) ** 3 + z**x + cmath.log(z, 3.0) * np.tanh(z)
    r, phi = cmath.polar(w)
    return abs(w) + w.real * phi - np.angle(z), w, cmath.rect(r, x)


@numba.njit
def arrays(z: Any, x: Any) -> Any:
    w = np.zeros(3, np.complex128)
    w[:2] = z[:2] * x
    w += np.exp(1j * z.real)
    v = w.imag
    v[1] = x * x  # a part is where the array has it
    return np.abs(w), w.conj(), np.vdot(z, w)


@numba.njit
def systems(m: Any, z: Any) -> Any:
    return np.dot(np.linalg.solve(m, z), z), m[0, 0]


def weighed(results: Any, module: Any) -> Any:
    total = 0.0
    for k, y in enumerate(results):
        total = total + module.sum(module.real(y) * (k + 1.0) + module.imag(y) * (0.5 - k))
    return total


@pytest.mark.parametrize(
    ("f", "args"), [(numbers, (0.3 + 0.7j, 1.3)), (arrays, (Z, 0.4)), (systems, (M, Z))]
)
def test_gradients_and_tangents_are_those_of_differences(f: Any, args: Any) -> None:
    rng = np.random.default_rng(1)
    draw = lambda a: rng.normal(size=np.shape(a)) + 1j * rng.normal(size=np.shape(a))
    ds = tuple((draw(a) if np.iscomplexobj(a) else draw(a).real)[()] for a in args)
    compiled = ng.njit(f)
    phi = lambda *xs: weighed(compiled(*xs), ng)
    along = lambda t: weighed(f(*(a + t * d for a, d in zip(args, ds, strict=True))), np)
    weights, h = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}, 1e-3
    first = sum(w * (along(k * h) - along(-k * h)) for k, w in weights.items()) / h
    curves = {0: -205 / 144, 1: 8 / 5, 2: -1 / 5, 3: 8 / 315, 4: -1 / 560}
    second = sum(w * (along(k * h) + along(-k * h)) for k, w in curves.items()) / h**2
    gradient = ng.grad(phi, argnums=(0, 1))
    inner = lambda xs: sum(
        np.sum(np.real(np.conj(d) * np.asarray(x))) for d, x in zip(ds, xs, strict=True)
    )
    assert math.isclose(inner(gradient(*args)), first, rel_tol=1e-10)
    if f is numbers:  # each order takes seconds to compile, and arrays hold numbers
        forward, backward = ng.jvp(lambda *xs: (phi(*xs), gradient(*xs)), args, ds)[1]
        assert math.isclose(float(forward), first, rel_tol=1e-10)
        assert math.isclose(inner(backward), second, rel_tol=1e-7)


def test_the_absolute_value_has_a_gradient_of_zero_at_zero() -> None:
    f = ng.njit(lambda z: abs(z) + z.real)
    assert ng.grad(f)(0j) == 1.0
    assert ng.grad(ng.njit(lambda z: abs(z) ** 2))(3 + 4j) == 6 + 8j


def test_an_order_of_complex_numbers_is_refused() -> None:
    f = ng.njit(lambda z: np.sign(z).real)
    with pytest.raises(TypeError, match="njit"):
        ng.grad(f)(0.3 + 0.1j)


def test_a_variable_may_be_an_argument_first_and_then_what_depends_on_others() -> None:
    @ng.njit
    def iterated(a: Any, v: Any, c: Any) -> Any:
        for _ in range(3):
            v = a @ v + c[0]
        return np.sum(v)

    a, v, c = np.array([[0.5, 1.0], [0.2, 0.3]]), np.array([1.0, 2.0]), np.zeros(1)
    power = np.linalg.matrix_power
    expected = sum(np.outer(power(a.T, 2 - k) @ np.ones(2), power(a, k) @ v) for k in range(3))
    np.testing.assert_allclose(ng.grad(iterated)(a, v, c), expected)


def test_functions_of_scalars_that_only_active_numbers_have() -> None:
    @ng.njit
    def f(x: Any) -> Any:
        mantissa, exponent = math.frexp(x)
        return math.gamma(x + 1.0) * round(x) + math.ldexp(mantissa, exponent + 1)

    h = 1e-4
    assert np.isclose(ng.grad(f)(1.7), (f(1.7 + h) - f(1.7 - h)) / (2 * h), rtol=1e-6)
