"""Equations of matrices, and functions of them, as ``scipy.linalg`` spells them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.kinds.cotangents import conjugate
from nbgrad.ops.linalg import sylvester
from nbgrad.ops.linalg.matrices import adjoint, identity, square_operand
from nbgrad.vocabulary.arrays.joining import block
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.complex_parts import imag, real
from nbgrad.vocabulary.linalg.products import kron
from nbgrad.vocabulary.linalg.spectra import expm
from nbgrad.vocabulary.linalg.systems import solve
from nbgrad.vocabulary.shapes import as_node, reshape
from nbgrad.vocabulary.subscript import getitem


def _square(name: str, *given: Any) -> list[Node]:
    """Square matrices, one each: no batches."""
    nodes = [square_operand(name, as_node(x)) for x in given]
    for node in nodes:
        if node.ndim != 2:
            raise ValueError(f"{name}: takes single matrices, and one is of shape {node.shape}")
    return nodes


_WIDE = np.ones(1)  # SciPy gives float64 with the digits of float32: not asked in tests


@function(
    "linalg",
    "scipy.linalg.solve_sylvester",
    cases=lambda d: [call(d.spd(3, 3), d.spd(2, 2), d(3, 2))],
    complex=True,
)
def solve_sylvester(a: Any, b: Any, q: Any) -> Node:
    """Solution X of ``a @ X + X @ b = q``; derivatives solve such equations of the same matrices."""
    left, right = _square("solve_sylvester", a, b)
    made = as_node(q)
    if made.shape != (left.shape[0], right.shape[0]):
        raise ValueError(
            f"solve_sylvester: q of shape {made.shape} does not fit a of {left.shape} and b of "
            f"{right.shape}: it needs {(left.shape[0], right.shape[0])}"
        )
    return sylvester.solve_sylvester(left, right, made)


@function(
    "linalg",
    "scipy.linalg.solve_continuous_lyapunov",
    aliases=("solve_lyapunov",),
    cases=lambda d: [call(d.spd(3, 3), d(3, 3))],
    complex=True,
)
def solve_continuous_lyapunov(a: Any, q: Any) -> Node:
    """Solution X of ``a @ X + X @ a.T = q``, with the adjoint of a complex a."""
    left, made = _square("solve_continuous_lyapunov", a, q)
    return solve_sylvester(left, adjoint(left), made)


@function(
    "linalg",
    "scipy.linalg.solve_discrete_lyapunov",
    cases=lambda d: [
        call(0.3 * _WIDE * d(2, 2), d(2, 2)),
        call(0.3 * _WIDE * d(2, 2), d(2, 2), method="bilinear"),
    ],
    complex=True,
)
def solve_discrete_lyapunov(a: Any, q: Any, method: str | None = None) -> Node:
    """Solution X of ``a @ X @ a.T - X + q = 0``, with the adjoint of a complex a.

    ``"direct"`` solves a system of n * n numbers, which is the way below n = 10; ``"bilinear"`` a continuous one.
    """
    left, made = _square("solve_discrete_lyapunov", a, q)
    n = left.shape[0]
    if method not in (None, "direct", "bilinear"):
        raise ValueError(
            f'solve_discrete_lyapunov: method is "direct" or "bilinear", not {method!r}'
        )
    if method == "direct" or (method is None and n < 10):
        system = identity(n * n, left) - kron(left, conjugate(left))
        return reshape(solve(system, reshape(made, (-1,))), (n, n))
    one = identity(n, left)
    scaled = solve(left + one, adjoint(solve(left + one, made))) * 2.0
    return solve_continuous_lyapunov(solve(left + one, left - one), -adjoint(scaled))


@function("linalg", "scipy.linalg.cosm", cases=lambda d: [call(d.square(2, 2))], complex=True)
def cosm(A: Any) -> Node:
    """Cosine of a square matrix."""
    node = as_node(A)
    turned = expm(node * 1j)
    return (turned + expm(node * -1j)) * 0.5 if node.dtype.kind == "c" else real(turned)


@function("linalg", "scipy.linalg.sinm", cases=lambda d: [call(d.square(2, 2))], complex=True)
def sinm(A: Any) -> Node:
    """Sine of a square matrix."""
    node = as_node(A)
    turned = expm(node * 1j)
    return (turned - expm(node * -1j)) * -0.5j if node.dtype.kind == "c" else imag(turned)


@function(
    "linalg",
    "scipy.linalg.expm_frechet",
    cases=lambda d: [call(_WIDE * d.square(2, 2), _WIDE * d(2, 2))],
    complex=True,
)
def expm_frechet(
    A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: bool = True
) -> Any:
    """Exponential of a square matrix and its derivative in the direction *E*, or that alone."""
    node, along = _square("expm_frechet", A, E)
    if node.shape != along.shape:
        raise ValueError(f"expm_frechet: A and E are of shapes {node.shape} and {along.shape}")
    n = node.shape[0]
    whole = expm(block([[node, along], [node * 0.0, node]]))
    slope = getitem(whole, (slice(n), slice(n, None)))
    return (getitem(whole, (slice(n), slice(n))), slope) if compute_expm else slope
