"""Complex numbers through sums, products, indexing and shapes, and the edges to real numbers.

Each case is a function of complex (``z``, ``w``) and real (``x``) arrays. Its gradient is compared
with finite differences of NumPy's result, by PyTorch's convention: ``g = dL/dRe + i dL/dIm`` of the
real loss, and the gradient of a real array is real.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

Array = np.ndarray[Any, Any]
Function = Callable[[Any, Any, Any, Any], Any]

ROWS = np.array([0, 2, 2])
MASK = np.array([[True, False], [False, True], [True, True]])

# xp is nbgrad.numpy (on tensors) or numpy; z is (3, 2), w (2, 3), x (3, 2) and real.
CASES: dict[str, Function] = {
    "sum": lambda xp, z, w, x: xp.sum(z, axis=0),
    "sum of a product with real": lambda xp, z, w, x: xp.sum(z * x, axis=1),
    "mean": lambda xp, z, w, x: xp.mean(z, axis=1, keepdims=True),
    "prod": lambda xp, z, w, x: xp.prod(z, axis=0),
    "prod of all": lambda xp, z, w, x: xp.prod(w * w),
    "var": lambda xp, z, w, x: xp.var(z, axis=0),
    "std": lambda xp, z, w, x: xp.std(z),
    "norm": lambda xp, z, w, x: xp.linalg.norm(z),
    "norm of rows": lambda xp, z, w, x: xp.linalg.norm(z, axis=1),
    "norm of order 1": lambda xp, z, w, x: xp.linalg.norm(z, 1, axis=0),
    "norm of order 3": lambda xp, z, w, x: xp.linalg.norm(z, 3, axis=0),
    "largest norm": lambda xp, z, w, x: xp.linalg.norm(z, np.inf, axis=0),
    "where": lambda xp, z, w, x: xp.where(MASK, z, x),
    "where, a number": lambda xp, z, w, x: xp.where(MASK, 2.0, z),
    "concatenate": lambda xp, z, w, x: xp.concatenate([z, x, w.T], axis=0),
    "stack": lambda xp, z, w, x: xp.stack([x, z], axis=1),
    "slice": lambda xp, z, w, x: z[::-1, 1:] * x[:, :1],
    "integer index": lambda xp, z, w, x: z[ROWS] * w.T,
    "mask": lambda xp, z, w, x: z[MASK],
    "element": lambda xp, z, w, x: z[1, 0] * w,
    "reshape": lambda xp, z, w, x: xp.reshape(z, (2, 3)) * w,
    "transpose": lambda xp, z, w, x: xp.transpose(z) + w,
    "broadcast": lambda xp, z, w, x: xp.broadcast_to(z[:, :1], (3, 2)) * x,
    "matrix product": lambda xp, z, w, x: z @ w,
    "product with real": lambda xp, z, w, x: w @ x,
    "real times complex": lambda xp, z, w, x: x @ w,
    "vector": lambda xp, z, w, x: z[:, 0] @ x[:, 1],
    "adjoint": lambda xp, z, w, x: xp.conj(z).T @ z,
    "batch": lambda xp, z, w, x: xp.stack([z, 2j * z]) @ w,
    "transposed product": lambda xp, z, w, x: z.T @ x,
    "einsum": lambda xp, z, w, x: xp.einsum("ij,jk,ik->k", z, w[:, :2], x),
    "vdot": lambda xp, z, w, x: xp.vdot(z, x),
    "tensordot": lambda xp, z, w, x: xp.tensordot(x, z, axes=((0,), (0,))),
    "convolve": lambda xp, z, w, x: xp.convolve(z[0], x[:, 0]),
    "correlate": lambda xp, z, w, x: xp.correlate(x[:, 0], z[:, 1], "full"),
    "fft of real": lambda xp, z, w, x: xp.fft.fft(x, axis=0) * z,
    "irfft": lambda xp, z, w, x: xp.fft.irfft(z, axis=0) * 2.0,
    "irfft of real": lambda xp, z, w, x: xp.fft.irfft(x, 3, axis=0),
    "real part": lambda xp, z, w, x: xp.real(z) * x,
    "imaginary part": lambda xp, z, w, x: xp.imag(z @ w),
    "to complex": lambda xp, z, w, x: x.astype(complex) * z,
    "modulus": lambda xp, z, w, x: abs(z) ** 2 + x,
    "power of a spectrum": lambda xp, z, w, x: abs(xp.fft.rfft(x, axis=0)) ** 2,
}


def inputs() -> list[Array]:
    rng = np.random.default_rng(11)
    z, w = (rng.normal(size=s) + 1j * rng.normal(size=s) for s in ((3, 2), (2, 3)))
    return [z, w, rng.normal(size=(3, 2))]


def loss(y: Any, weights: Any, xp: Any) -> Any:
    """A real function of the result that sees its real and imaginary parts apart."""
    return xp.sum(xp.real(np.conj(weights) * y)) + xp.sum(xp.real(y * xp.conj(y)))


def weights_of(y: Any) -> Any:
    rng = np.random.default_rng(5)
    return rng.normal(size=np.shape(y)) + 1j * rng.normal(size=np.shape(y))


class Namespace:
    """nbgrad.numpy with NumPy's sub-modules under its names."""

    linalg, fft = ng.linalg, ng.fft

    def __getattr__(self, name: str) -> Any:
        return getattr(ng.numpy, name)


OURS: Any = Namespace()


def gradients(f: Function, arrays: list[Array]) -> tuple[Any, list[Any]]:
    ts = [ng.tensor(a, requires_grad=True) for a in arrays]
    y = f(OURS, *ts)
    value = loss(y, weights_of(y.detach().numpy()), OURS)
    options: Any = {"create_graph": True, "allow_unused": True}
    return ts, list(ng.autograd.grad(value, ts, **options))


def slope(f: Function, arrays: list[Array], along: list[Array]) -> float:
    """Directional derivative of the loss of NumPy's result, to the fourth order."""
    fixed = weights_of(f(np, *arrays))

    def at(h: float) -> float:
        moved = [a + h * v for a, v in zip(arrays, along, strict=True)]
        return float(loss(f(np, *moved), fixed, np))

    h = 1e-3
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def directions() -> list[Array]:
    rng = np.random.default_rng(3)
    return [
        rng.normal(size=a.shape) + (1j * rng.normal(size=a.shape) if a.dtype.kind == "c" else 0)
        for a in inputs()
    ]


def inner(grads: Any, along: list[Array]) -> Any:
    total: Any = 0.0
    for g, v in zip(grads, along, strict=True):
        if g is not None:
            total = total + OURS.sum(OURS.real(OURS.conj(g) * v))
    return total


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients(name: str) -> None:
    f, arrays, v = CASES[name], inputs(), directions()
    found = f(OURS, *map(ng.tensor, arrays))
    wanted = np.asarray(f(np, *arrays))
    assert found.dtype == wanted.dtype
    assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)
    ts, grads = gradients(f, arrays)
    for t, g in zip(ts, grads, strict=True):
        assert g is None or (g.dtype, g.shape) == (t.dtype, t.shape)
    assert_allclose(inner(grads, v).item(), slope(f, arrays, v), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(name: str) -> None:
    f, arrays, v = CASES[name], inputs(), directions()
    u = [a[::-1].copy() for a in directions()]
    ts, grads = gradients(f, arrays)
    second = ng.autograd.grad(inner(grads, v), ts, allow_unused=True)

    def first(h: float) -> float:
        moved = [a + h * d for a, d in zip(arrays, u, strict=True)]
        return float(inner(gradients(f, moved)[1], v).item())  # which the test above compares

    h = 1e-3
    wanted = (8 * (first(h) - first(-h)) - (first(2 * h) - first(-2 * h))) / (12 * h)
    found = inner(second, u)
    assert_allclose(float(found.item()), wanted, rtol=1e-5, atol=1e-5 * (1 + abs(wanted)))


@pytest.mark.parametrize("name", ["put", "scatter", "update"])
def test_written_elements(name: str) -> None:
    """In-place writes: the cotangent of what is overwritten is zero, of a real value real."""
    z, _, x = inputs()
    t, s = ng.tensor(z, requires_grad=True), ng.tensor(x, requires_grad=True)
    y, wanted = t * 1, z.copy()
    index: Any = {"put": np.array([2, 0]), "scatter": np.array([1]), "update": slice(0, 2)}[name]
    rows = len(wanted[index])
    y[index] = s[:rows]
    wanted[index] = x[:rows]
    assert_allclose(y.detach().numpy(), wanted)
    g = weights_of(z)
    OURS.sum(OURS.real(np.conj(g) * y)).backward()
    kept = g.copy()
    kept[index] = 0
    assert_allclose(t.grad.numpy(), kept)
    of_s = np.zeros_like(x)
    of_s[:rows] = g[index].real
    assert s.grad.dtype == np.float64
    assert_allclose(s.grad.numpy(), of_s)
