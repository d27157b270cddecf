"""Linear algebra beyond the tables: degenerate spectra, singular matrices, errors, large batches.

``test_functions.py`` and ``test_primitives.py`` compare every function of ``nbgrad.linalg`` with
finite differences at orders 1 and 2, real and complex.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import check
from draws import Draw
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.autograd import grad

TIERS = pytest.mark.parametrize("tier", ["reference", "fused"])


def gradient(f: Callable[[Any], Any], a: Any) -> Any:
    x = ng.tensor(a, requires_grad=True)
    (found,) = grad(f(x), [x])
    return found.numpy()


def second(f: Callable[[Any], Any], a: Any, v: Any) -> Any:
    """Derivative of the gradient along v."""
    x = ng.tensor(a, requires_grad=True)
    (first,) = grad(f(x), [x], create_graph=True)
    (found,) = grad((first * v).sum(), [x])
    return found.numpy()


def third(f: Callable[[Any], Any], a: Any, v: Any, u: Any) -> Any:
    x = ng.tensor(a, requires_grad=True)
    (first,) = grad(f(x), [x], create_graph=True)
    (along,) = grad((first * v).sum(), [x], create_graph=True)
    (found,) = grad((along * u).sum(), [x])
    return found.numpy()


def slope(f: Callable[[Any], Any], a: Any, v: Any, h: float = 1e-3) -> float:
    """Central difference of fourth order."""
    near, far = (float(f(a + k * v) - f(a - k * v)) for k in (h, 2 * h))
    return (8 * near - far) / (12 * h)


def symmetric(*shape: int) -> Any:
    v = np.random.default_rng(sum(shape)).normal(size=shape)
    return v + np.swapaxes(v, -1, -2)


# -------------------------------------------------------------------------- well-conditioned batches

WEIGHTS = np.random.default_rng(1).normal(size=(4, 6, 6))
BATCHES: list[tuple[str, Callable[[Any], Any], str]] = [
    ("inv", lambda a: (np.linalg.inv(a) * WEIGHTS).sum(), "square"),
    ("solve", lambda a: (np.linalg.solve(a, a @ a + WEIGHTS) * WEIGHTS).sum(), "square"),
    ("det", lambda a: np.linalg.det(a).sum(), "square"),
    ("slogdet", lambda a: np.linalg.slogdet(a)[1].sum(), "square"),
    ("cholesky", lambda a: (np.linalg.cholesky(a) * WEIGHTS).sum(), "spd"),
    ("qr", lambda a: (np.linalg.qr(a)[0] * WEIGHTS).sum(), "square"),
    ("eigh", lambda a: (np.linalg.eigh(a)[1] ** 2 * WEIGHTS).sum(), "spd"),
    ("eigvalsh", lambda a: (np.linalg.eigvalsh(a) * WEIGHTS[..., 0]).sum(), "spd"),
    ("svd", lambda a: (np.linalg.svd(a)[0] ** 2 * WEIGHTS).sum(), "square"),
    ("pinv", lambda a: (np.linalg.pinv(a[..., :4]) ** 2).sum(), "square"),
]


@pytest.mark.parametrize(("name", "f", "kind"), BATCHES, ids=[b[0] for b in BATCHES])
def test_batches_of_larger_matrices(name: str, f: Callable[[Any], Any], kind: str) -> None:
    a = getattr(Draw(name), kind)(4, 6, 6)
    v = symmetric(4, 6, 6) / 10
    assert_allclose((gradient(f, a) * v).sum(), slope(f, a, v), rtol=1e-7)


# ------------------------------------------------------------------------------------ repeated values


def test_eigenvalues_that_repeat_have_finite_gradients_without_a_warning() -> None:
    a = np.diag([1.0, 1.0, 2.0])
    assert_allclose(gradient(lambda x: np.linalg.eigh(x)[0].sum(), a), np.eye(3), atol=1e-15)
    assert_allclose(gradient(lambda x: np.linalg.eigvalsh(x)[2], a), np.diag([0, 0, 1.0]))
    assert_allclose(gradient(lambda x: np.linalg.svd(x)[1].sum(), a), np.eye(3), atol=1e-15)
    assert np.isfinite(second(lambda x: (np.linalg.eigvalsh(x) ** 2).sum(), a, np.eye(3))).all()


def test_the_span_of_repeated_eigenvectors_has_an_exact_gradient() -> None:
    """A projector does not depend on the choice of vectors within the span, so nothing warns."""
    a, v, w = np.diag([1.0, 1.0, 2.0, 3.0]), symmetric(4, 4) / 10, symmetric(4, 4)

    def f(x: Any) -> Any:
        vectors = np.linalg.eigh(x)[1][:, :2]
        return (vectors @ vectors.T * w).sum()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose((gradient(f, a) * v).sum(), slope(f, a, v), rtol=1e-7)


@pytest.mark.parametrize(
    "vectors",
    [lambda x: np.linalg.eigh(x)[1], lambda x: np.linalg.svd(x)[0], lambda x: np.linalg.svd(x)[2]],
    ids=["eigh", "svd U", "svd Vh"],
)
def test_vectors_of_repeated_values_warn_and_stay_finite(vectors: Callable[[Any], Any]) -> None:
    w = np.arange(9.0).reshape(3, 3)
    with pytest.warns(RuntimeWarning, match="repeated eigenvalues or singular values"):
        found = gradient(lambda x: (vectors(x) * w).sum(), np.diag([1.0, 1.0, 2.0]))
    assert np.isfinite(found).all()


def test_repeated_eigenvalues_of_eig_warn() -> None:
    with pytest.warns(RuntimeWarning, match="repeated eigenvalues"):
        found = gradient(lambda x: np.linalg.eig(x)[1][0, 1], np.eye(2))
    assert np.isfinite(found).all()


def test_singular_values_that_are_zero() -> None:
    a = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert_allclose(gradient(lambda x: np.linalg.svdvals(x).sum(), a), a, atol=1e-15)
    assert np.isfinite(gradient(lambda x: (np.linalg.svd(x)[0] ** 2)[0].sum(), a)).all()
    zero = np.zeros((2, 2))
    for ord in ("fro", "nuc", 2, 1, np.inf):
        assert (gradient(lambda x, ord=ord: np.linalg.norm(x, ord), zero) == 0).all(), ord


# --------------------------------------------------------------------------- singular determinants


def cofactors(a: Any) -> Any:
    n = a.shape[0]
    minors = [
        [np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(n)] for i in range(n)
    ]
    return np.array(minors) * (-1.0) ** np.add.outer(np.arange(n), np.arange(n))


@pytest.mark.parametrize("rank", [4, 3, 2, 1, 0])
def test_determinant_of_any_rank(rank: int) -> None:
    rng = np.random.default_rng(rank)
    a = rng.normal(size=(4, rank)) @ rng.normal(size=(rank, 4))
    v, u = rng.normal(size=(2, 4, 4))
    assert_allclose(gradient(np.linalg.det, a), cofactors(a), atol=1e-12)
    wanted = slope(lambda x: (cofactors(x) * v).sum(), a, u)
    assert_allclose((second(np.linalg.det, a, v) * u).sum(), wanted, rtol=1e-9, atol=1e-9)


def test_a_matrix_that_is_not_finite_spoils_its_own_gradient_alone() -> None:
    """SVD, of which the derivative is made, refuses it: the determinant itself is NaN."""
    a = np.random.default_rng(0).normal(size=(3, 2, 2))
    wanted = np.linalg.det(a)[:, None, None] * np.linalg.inv(a).swapaxes(1, 2)
    a[1, 0, 0] = np.nan
    found = ng.grad(lambda a: np.linalg.det(a).sum())(a)
    assert np.isnan(found[1]).all()
    assert_allclose(found[::2], wanted[::2])
    masked = ng.grad(lambda a: np.where([True, False, True], np.linalg.slogdet(a)[1], 0).sum())(a)
    assert_allclose(masked[1], np.zeros((2, 2)))


def test_third_derivative_of_a_determinant() -> None:
    rng = np.random.default_rng(0)
    a, v, u, w = rng.normal(size=(4, 3, 3))
    # The determinant is cubic: its third derivative is 3! times that of the polarised form.
    signs = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    wanted = sum(
        (-1) ** (3 - i - j - k) * np.linalg.det(a + i * v + j * u + k * w) for i, j, k in signs
    )
    assert_allclose((third(np.linalg.det, a, v, u) * w).sum(), wanted, rtol=1e-9)


def test_gradient_of_cholesky_is_symmetric() -> None:
    a = Draw("symmetric").spd(3, 3)
    found = gradient(lambda x: np.linalg.cholesky(x)[2, 0], a)
    assert_allclose(found, found.T, rtol=1e-15)
    v = symmetric(3, 3)
    wanted = slope(lambda x: np.linalg.cholesky(x)[2, 0], a, v)
    assert_allclose((found * v).sum(), wanted, rtol=1e-7)


# ------------------------------------------------------------------------------ results and dispatch


def test_results_are_named_as_in_numpy() -> None:
    a = ng.tensor(Draw("names").spd(3, 3))
    assert np.linalg.eigh(a)._fields == ("eigenvalues", "eigenvectors")
    assert np.linalg.eig(a)._fields == ("eigenvalues", "eigenvectors")
    assert np.linalg.qr(a)._fields == ("Q", "R")
    assert np.linalg.svd(a)._fields == ("U", "S", "Vh")
    assert np.linalg.slogdet(a)._fields == ("sign", "logabsdet")


def test_eigenvalues_are_real_where_numpy_has_them_real() -> None:
    a = ng.tensor([[2.0, 1.0], [0.0, 3.0]])
    assert np.linalg.eigvals(a).dtype == np.linalg.eig(a)[1].dtype == np.float64
    assert np.linalg.eigvals(ng.tensor([[0.0, -1.0], [1.0, 0.0]])).dtype == np.complex128
    found = gradient(lambda x: np.linalg.eigvals(x)[0], a.numpy())
    assert_allclose(found, [[1.0, 0.0], [-1.0, 0.0]], atol=1e-15)


def test_least_squares_of_a_matrix_without_full_rank() -> None:
    a, b = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]), np.array([1.0, 2.0, 3.0])
    found, wanted = np.linalg.lstsq(ng.tensor(a), b), np.linalg.lstsq(a, b)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == np.shape(theirs)
        assert_allclose(ours.numpy(), theirs, atol=1e-12)


# -------------------------------------------------------------------------------------------- errors


@TIERS
def test_failures_say_which_matrix(tier: str) -> None:
    good, bad = np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]])
    batch = np.stack([good, bad, bad])
    with ng.configure(tier=tier):
        with pytest.raises(np.linalg.LinAlgError, match=r"not positive definite"):
            np.linalg.cholesky(ng.tensor(bad)).numpy()
        with pytest.raises(
            np.linalg.LinAlgError, match=r"definite \(matrix \(1,\) of the batch\)"
        ):
            np.linalg.cholesky(ng.tensor(batch)).numpy()
        singular = np.stack([good, np.diag([1.0, 0.0])])[None]
        with pytest.raises(np.linalg.LinAlgError, match=r"[Ss]ingular matrix.*\(0, 1\)"):
            ng.linalg.solve_triangular(ng.tensor(singular), np.ones((1, 2, 2, 1))).numpy()
        for function in (np.linalg.inv, lambda x: np.linalg.solve(x, x)):
            with pytest.raises(np.linalg.LinAlgError, match=r"Singular matrix.*\(0, 1\)"):
                function(ng.tensor(singular)).numpy()


def test_operands_that_do_not_fit_fail_at_the_call() -> None:
    wide = ng.tensor(np.ones((2, 3)))
    for function in (np.linalg.inv, np.linalg.det, np.linalg.cholesky, np.linalg.eigh):
        with pytest.raises(np.linalg.LinAlgError, match="must be square"):
            function(wide)
    with pytest.raises(np.linalg.LinAlgError, match="at least two-dimensional"):
        np.linalg.svd(ng.tensor(np.ones(3)))
    with pytest.raises(ValueError, match="2 equations for 3 unknowns"):
        np.linalg.solve(ng.tensor(np.eye(3)), np.ones(2))
    with pytest.raises(TypeError, match="float16 is unsupported in linalg"):
        np.linalg.inv(ng.tensor(np.eye(2, dtype=np.float16)))
    with pytest.raises(ValueError, match="UPLO"):
        np.linalg.eigh(ng.tensor(np.eye(2)), "X")
    with pytest.raises(ValueError, match="mode 'raw'"):
        np.linalg.qr(wide, mode="raw")
    with pytest.raises(ValueError, match="invalid norm order 'x' for matrices"):
        np.linalg.norm(wide, "x")


def test_logarithm_that_is_not_real() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="negative eigenvalues has a complex result"):
        ng.linalg.logm(ng.tensor([[-1.0, 0.0], [0.0, -2.0]])).numpy()


# --------------------------------------------------------------------- LAPACK between compiled kernels


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cholesky_and_triangular_solves_run_in_the_frame(dtype: Any) -> None:
    rtol = 1e-12 if dtype is np.float64 else 1e-5
    source = Draw("frame", dtype)
    a, b = source.spd(2, 3, 5, 5), source(2, 3, 5, 4)
    check(np.linalg.cholesky, a, rtol=rtol)
    check(lambda a: np.linalg.cholesky(a, upper=True), a, rtol=rtol)
    solve = ng.linalg.solve_triangular
    for trans in (0, 1):
        for lower in (False, True):
            options = {"trans": trans, "lower": lower, "unit_diagonal": trans == 0}
            check(lambda a, b, o=options: solve(a, b, **o), a, b, rtol=rtol)
            check(lambda a, b, o=options: solve(a, b, **o), a, b[..., :1].copy(), rtol=rtol)
            check(lambda a, b, o=options: solve(np.swapaxes(a, -1, -2), b, **o), a, b, rtol=rtol)
    check(lambda a, b: solve(a, b[..., ::2]), a, b, rtol=rtol)
    check(np.linalg.cholesky, source.spd(0, 3, 3), rtol=rtol)
    check(solve, a[0, 0], b[0, 0, :, :0], rtol=rtol)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_solves_and_hermitian_spectra_run_in_the_frame(dtype: Any) -> None:
    rtol = 1e-12 if dtype is np.float64 else 1e-4
    source = Draw("scratch", dtype)
    a, b, c = source.spd(2, 3, 5, 5), source(2, 3, 5, 4), source.spd(7, 7)
    check(np.linalg.solve, a, b, rtol=rtol)
    check(lambda a, b: np.linalg.solve(np.swapaxes(a, -1, -2), b[..., ::2]), a, b, rtol=rtol)

    def eigh(a: Any, triangle: str) -> Any:  # the signs of the vectors are the library's choice
        values, vectors = np.linalg.eigh(a, triangle)
        return values, vectors * vectors, (vectors * values[..., None, :]) @ vectors.mT

    check(lambda a: eigh(a, "U"), a, rtol=rtol)
    check(lambda a: eigh(np.tril(a), "L"), a, rtol=rtol)
    check(lambda a: np.linalg.eigvalsh(np.triu(a), "U"), a, rtol=rtol)
    # One scratch memory serves calls of different sizes.
    both = check(lambda a, c, b: (np.linalg.solve(a, b), np.linalg.eigh(c)[0]), a, c, b, rtol=rtol)
    assert both.compiled.arena_bytes > 7 * 7 * 3 * dtype().itemsize
    check(np.linalg.solve, source.spd(0, 2, 2), source(0, 2, 1), rtol=rtol)


def test_gaussian_process_likelihood_calls_no_numpy() -> None:
    gaps = np.subtract.outer(np.linspace(0, 3, 8), np.linspace(0, 3, 8))
    y = np.sin(np.arange(8.0))

    def likelihood(logs: Any) -> Any:
        near = gaps / np.exp(logs[0])
        factor = np.linalg.cholesky(np.exp(-0.5 * near * near) + np.exp(logs[1]) * np.eye(8))
        white = ng.linalg.solve_triangular(factor, y, lower=True)
        return 0.5 * (white * white).sum() + np.log(np.linalg.diagonal(factor)).sum()

    logs, v = np.array([0.1, -1.0]), np.array([0.3, 0.7])
    derive = ng.jit(ng.value_and_grad(likelihood))
    value, found = derive(logs)

    def exact(logs: Any) -> float:
        near = gaps / np.exp(logs[0])
        a = np.exp(-0.5 * near * near) + np.exp(logs[1]) * np.eye(8)
        return float(0.5 * y @ np.linalg.solve(a, y) + 0.5 * np.linalg.slogdet(a)[1])

    assert_allclose(value, exact(logs), rtol=1e-12)
    assert_allclose(found @ v, slope(exact, logs, v), rtol=1e-7)


def test_pinv_takes_its_cutoff_as_a_tensor() -> None:
    a = np.diag([1.0, 0.1])
    found = ng.linalg.pinv(ng.tensor(a), rtol=ng.tensor(0.5))
    np.testing.assert_allclose(found.numpy(), np.linalg.pinv(a, rtol=0.5), atol=1e-14)
