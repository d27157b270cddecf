"""Complex derivatives as users ask for them: PyTorch's gradients, and analytic functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

Z = np.array([1.0 + 2.0j, -0.5 + 0.3j])


def test_the_gradient_of_a_real_loss_is_a_direction_of_ascent() -> None:
    z = ng.tensor([3 + 4j, 0j], requires_grad=True)
    (np.abs(z) ** 2).sum().backward()
    assert_array_equal(z.grad.numpy(), [6 + 8j, 0])
    assert_allclose(ng.grad(lambda z: np.abs(z) ** 2)(3 + 4j), 6 + 8j)
    value, gradient = ng.value_and_grad(lambda z: np.real(z * z).sum())(Z)
    assert_allclose(value, np.real(Z * Z).sum())
    assert_allclose(gradient, np.conj(2 * Z))
    assert ng.grad(lambda z: np.abs(z).sum())(Z.astype(np.complex64)).dtype == np.complex64


def test_absolute_and_sign_at_zero() -> None:
    for f in (lambda z: np.abs(z).sum(), lambda z: np.real(np.sign(z)).sum()):
        assert_array_equal(ng.grad(f)(np.array([0j])), [0j])


def test_edges_between_real_and_complex() -> None:
    """The gradient of what is real is real, through numbers and arrays alike."""
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    np.real(x * (2 + 1j)).sum().backward()
    assert x.grad.dtype == np.float64
    assert_array_equal(x.grad.numpy(), [2.0, 2.0])
    assert_array_equal(ng.grad(lambda x: np.real(x * 1j).sum())(np.ones(2)), [0.0, 0.0])
    assert_array_equal(ng.grad(lambda x: np.imag(x * Z).sum())(np.ones(2)), Z.imag)
    g = ng.grad(lambda x, z: np.imag(x * z).sum(), argnums=(0, 1))(np.ones(2), Z)
    assert_array_equal(g[0], Z.imag)
    assert_array_equal(g[1], [1j, 1j])
    seeded = ng.tensor(Z, requires_grad=True)
    (seeded * seeded).backward(np.array([1.0 + 0j, 1j]))
    assert_allclose(seeded.grad.numpy(), np.conj(2 * Z) * [1, 1j])


def test_parts_are_exact_for_infinities() -> None:
    z = np.array([complex(np.inf, 2.0), complex(1.0, -np.inf), complex(np.nan, 0.0)])
    assert_array_equal(np.imag(ng.tensor(z)).numpy(), z.imag)
    assert_array_equal(np.real(ng.tensor(z)).numpy(), z.real)
    t = ng.tensor(Z)
    assert_array_equal(t.real.numpy(), Z.real)
    assert_array_equal(t.imag.numpy(), Z.imag)
    assert_array_equal(t.conj().numpy(), Z.conj())
    assert_array_equal(ng.tensor([1.0, -2.0]).imag.numpy(), [0.0, 0.0])


ANALYTIC: list[tuple[Any, Any, Any]] = [
    (lambda z: z**3, lambda z: 3 * z**2, lambda z: 6 * z),
    (lambda z: np.exp(1j * z), lambda z: 1j * np.exp(1j * z), lambda z: -np.exp(1j * z)),
    (lambda z: 1 / z, lambda z: -1 / z**2, lambda z: 2 / z**3),
    (np.sin, np.cos, lambda z: -np.sin(z)),
]


@pytest.mark.parametrize("k", range(len(ANALYTIC)))
def test_derivatives_of_analytic_functions(k: int) -> None:
    f, first, second = ANALYTIC[k]
    z = Z[0]
    assert_allclose(ng.grad(f, holomorphic=True)(z), first(z), rtol=1e-13)
    value, derivative = ng.value_and_grad(f, holomorphic=True)(z)
    assert_allclose([value, derivative], [f(z), first(z)], rtol=1e-13)
    twice = ng.grad(ng.grad(f, holomorphic=True), holomorphic=True)
    assert_allclose(twice(z), second(z), rtol=1e-13)
    assert_allclose(ng.hessian(f, holomorphic=True)(z), second(z), rtol=1e-13)
    assert_allclose(ng.jit(ng.grad(f, holomorphic=True))(np.array(z)), first(z), rtol=1e-13)
    assert_allclose(ng.jacobian(f, holomorphic=True)(Z), np.diag(first(Z)), rtol=1e-13, atol=1e-15)


def test_the_jacobian_of_an_analytic_function_in_both_modes() -> None:
    a = np.array([[1 + 1j, 2.0, 0.5j]])
    wide, tall = (lambda z: a @ z), (lambda z: a.T @ z)
    assert_allclose(ng.jacobian(wide, holomorphic=True)(np.ones(3, complex)), a)
    assert_allclose(ng.jacobian(tall, holomorphic=True)(np.ones(1, complex)), a.T)


def test_jacobians_between_real_and_complex() -> None:
    a = np.array([[1 + 1j, 2.0, 0.5j]])
    assert_allclose(ng.jacobian(lambda x: a @ x)(np.ones(3)), a)
    rows = ng.jacobian(lambda z: np.real(a @ z))(np.ones(3, complex))
    assert_allclose(rows, np.conj(a))
    found = ng.autograd.functional.jacobian(lambda x: np.exp(1j * x), ng.tensor([0.5]))
    assert_allclose(found.numpy(), [[1j * np.exp(0.5j)]])


def test_what_is_not_defined_says_what_to_write() -> None:
    for make in (ng.grad, ng.value_and_grad):
        with pytest.raises(TypeError, match="holomorphic=True"):
            make(lambda z: z * z)(1j)
    with pytest.raises(TypeError, match="holomorphic=True"):
        ng.jacobian(lambda z: z * z)(Z)
    with pytest.raises(TypeError, match="holomorphic=True"):
        ng.autograd.functional.jacobian(lambda z: z * z, ng.tensor(Z))
    with pytest.raises(TypeError, match="needs complex arguments"):
        ng.grad(lambda x: x * 1j, holomorphic=True)(1.0)
    with pytest.raises(TypeError, match="needs complex outputs"):
        ng.jacobian(np.abs, holomorphic=True)(Z)
    with pytest.raises(RuntimeError, match="only for real scalar outputs"):
        ng.tensor(1j, requires_grad=True).backward()
    for f in (ng.relu, ng.softplus, ng.floor):
        with pytest.raises(TypeError):
            f(ng.tensor(Z))


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
def test_every_tier_and_jit_take_complex_numbers(tier: str) -> None:
    def loss(x: Any, z: Any) -> Any:
        return np.sum(np.abs(np.exp(1j * x) * z - 1.0) ** 2) + np.sum(x * x)

    x = np.array([0.3, -0.7])
    wanted = -2 * np.imag(np.conj(np.exp(1j * x) * Z - 1) * np.exp(1j * x) * Z) + 2 * x
    with ng.configure(tier=tier):
        assert_allclose(ng.grad(loss)(x, Z), wanted, rtol=1e-13)
        assert_allclose(ng.jit(ng.grad(loss))(x, Z), wanted, rtol=1e-13)
        assert_allclose(ng.jit(loss)(x, Z), loss(x, Z), rtol=1e-13)


def test_gradcheck_takes_complex_inputs_and_outputs() -> None:
    z = ng.tensor(Z, requires_grad=True)
    x = ng.tensor([0.5, 2.0], requires_grad=True)
    for f in (
        lambda z, x: np.abs(z) * x,
        lambda z, x: np.exp(z) * x + np.conj(z),
        lambda z, x: np.sign(z) / x,
        lambda z, x: np.real(z * x * 1j),
    ):
        assert ng.autograd.gradcheck(f, (z, x))
        assert ng.autograd.gradgradcheck(f, (z, x))

    class Wrong(ng.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            return z * z

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            return ct * 2 * Z  # not conjugated

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        ng.autograd.gradcheck(Wrong.apply, (z,))


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
@pytest.mark.parametrize("base", [-1, -2.5, 2, 0.5])
def test_a_real_number_to_a_complex_power_has_a_complex_logarithm(tier: str, base: float) -> None:
    z = np.array([0.3 + 0.2j, 1 - 0.4j])
    expected = np.power(complex(base), z) * np.log(complex(base))
    with ng.configure(tier=tier):
        found = ng.jacobian(lambda z: base**z, holomorphic=True)(z)
        assert_allclose(np.diag(found), expected, rtol=1e-12)
        t = ng.tensor(z, requires_grad=True)
        (g,) = ng.autograd.grad(base**t, t, ng.ones(2, dtype=complex))
        assert_allclose(g.numpy(), np.conj(expected), rtol=1e-12)


def test_the_cotangent_of_an_imaginary_part_is_not_rounded() -> None:
    t = ng.tensor(0.7, requires_grad=True)  # the first run is by NumPy, one operation at a time
    ((t * (1 + 2j)).imag * 0.3).backward()
    assert t.grad.item() == 0.6
