"""Spectra and matrix functions, with the results of numpy.linalg and scipy.linalg."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.values import value_of
from nbgrad.errors import ConcretizationError
from nbgrad.ops.linalg import matrix_functions, spectra
from nbgrad.ops.linalg.matrices import matrix_operand, real_part, square_operand
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.linalg.factors import symmetrized
from nbgrad.vocabulary.shapes import as_node


class EigResult(NamedTuple):
    """Eigenvalues, and right eigenvectors in columns."""

    eigenvalues: Node
    eigenvectors: Node


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors in columns."""

    eigenvalues: Node
    eigenvectors: Node


class SVDResult(NamedTuple):
    """Left singular vectors, singular values in descending order, adjoint right vectors."""

    U: Node
    S: Node
    Vh: Node


def _projectors(v: Any) -> Any:
    """``v v^H`` for each column: what of vectors does not depend on their phase."""
    return np.expand_dims(v, -2) * np.conj(np.expand_dims(v, -3))


def _triangle(uplo: str) -> bool:
    if uplo.upper() not in ("L", "U"):
        raise ValueError(f"UPLO argument must be 'L' or 'U', not {uplo!r}")
    return uplo.upper() == "L"


@function(
    "linalg",
    np.linalg.eigh,
    cases=lambda d: [call(d.spd(3, 3)), call(d.spd(2, 2, 2), UPLO="U")],
    complex=True,
    restrict=symmetrized,
    observe=lambda found: (found[0], _projectors(found[1])),
)
def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """Eigenvalues and vectors of Hermitian matrices, of which one triangle is read.

    The gradient is Hermitian. Where eigenvalues repeat, derivatives that would mix their vectors
    are taken as 0, with a RuntimeWarning if anything depends on them.
    """
    node = square_operand("eigh", as_node(a))
    return EighResult(*spectra.eigh(node, lower=_triangle(UPLO)))


@function(
    "linalg",
    np.linalg.eigvalsh,
    cases=lambda d: [call(d.spd(3, 3)), call(d.spd(2, 2, 2), "U")],
    complex=True,
    restrict=symmetrized,
)
def eigvalsh(a: Any, UPLO: str = "L") -> Node:
    """Eigenvalues of Hermitian matrices, in ascending order."""
    return spectra.eigvalsh(as_node(a), lower=_triangle(UPLO))


def _turning(d: Any, *shape: int) -> Any:
    """Well-conditioned real matrices with a pair of complex eigenvalues."""
    a = d.spd(*shape)
    a[..., 0, 1] += 3.0
    a[..., 1, 0] -= 3.0
    return a


@function(
    "linalg",
    np.linalg.eig,
    cases=lambda d: [call(_turning(d, 3, 3)), call(_turning(d, 2, 2, 2))],
    complex=True,
    observe=lambda found: (found[0], _projectors(found[1])),
)
def eig(a: Any) -> EigResult:
    """Eigenvalues and right eigenvectors of square matrices.

    As in NumPy they are real if all imaginary parts are 0, which takes a look at the values; while
    a function is traced they are always complex.
    """
    node = square_operand("eig", as_node(a))
    values, vectors = matrix_functions.eig(node)
    if node.dtype.kind != "c" and _is_real(values):
        values, vectors = real_part(values), real_part(vectors)
    return EigResult(values, vectors)


@function(
    "linalg",
    np.linalg.eigvals,
    cases=lambda d: [call(_turning(d, 3, 3)), call(_turning(d, 2, 2, 2))],
    complex=True,
)
def eigvals(a: Any) -> Node:
    """Eigenvalues of square matrices; see :func:`eig` for when they are real."""
    node = square_operand("eigvals", as_node(a))
    values = matrix_functions.eigvals(node)
    return real_part(values) if node.dtype.kind != "c" and _is_real(values) else values


def _is_real(values: Node) -> bool:
    try:
        return not value_of(values).imag.any()
    except ConcretizationError:
        return False


def _svd_observed(found: Any) -> Any:
    """Each triple's product, the projectors, and those on what completes the bases."""
    if not isinstance(found, tuple):
        return found
    u, s, vh = found
    k = s.shape[-1]
    v = np.conj(np.swapaxes(vh, -1, -2))
    both = np.expand_dims(u[..., :k], -2) * np.conj(np.expand_dims(v[..., :k], -3))
    rest = [x @ np.conj(np.swapaxes(x, -1, -2)) for x in (u[..., k:], v[..., k:])]
    return both, s, _projectors(u[..., :k]), _projectors(v[..., :k]), *rest


@function(
    "linalg",
    np.linalg.svd,
    cases=lambda d: [
        call(d.square(2, 2, 2)),
        call(d(3, 2)),
        call(d(2, 3), full_matrices=False),
        call(d(3, 2), compute_uv=False),
    ],
    complex=True,
    observe=_svd_observed,
)
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Singular value decomposition ``U @ diag(S) @ Vh``.

    Derivatives of the vectors are exact for what does not depend on their phases, and of those
    that ``full_matrices`` adds, on their choice within their span. ``hermitian`` changes nothing.
    """
    node = matrix_operand("svd", as_node(a))
    if not compute_uv:
        return spectra.svdvals(node)
    full = bool(full_matrices) and node.shape[-1] != node.shape[-2]
    return SVDResult(*spectra.svd(node, full=full))


@function(
    "linalg", np.linalg.svdvals, cases=lambda d: [call(d(3, 2)), call(d(2, 2, 3))], complex=True
)
def svdvals(x: Any, /) -> Node:
    """Singular values in descending order; the derivative of one that is 0 is 0."""
    return spectra.svdvals(as_node(x))


# ---------------------------------------------------------------------------------- matrix functions


@function("linalg", "scipy.linalg.expm", cases=lambda d: [call(d.square(2, 2, 2))], complex=True)
def expm(A: Any) -> Node:
    """Matrix exponential."""
    return matrix_functions.expm(as_node(A))


@function(
    "linalg",
    "nbgrad.ops.linalg.matrix_functions.logarithm",
    cases=lambda d: [call(d.spd(3, 3))],
    complex=True,
)
def logm(A: Any) -> Node:
    """Principal logarithm of matrices without eigenvalues on the closed negative real axis."""
    return matrix_functions.logm(as_node(A))


@function("linalg", "scipy.linalg.sqrtm", cases=lambda d: [call(d.spd(3, 3))], complex=True)
def sqrtm(A: Any) -> Node:
    """Principal square root of matrices without eigenvalues on the closed negative real axis."""
    return matrix_functions.sqrtm(as_node(A))
