"""Matrices of a kind and equations of matrices: what is refused, what is never read, and their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.tensors.elsewhere import by_name

la, ones = ng.linalg, np.ones
ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "toeplitz": (lambda: la.toeplitz(ones((2, 2))), "takes vectors"),
    "block_diag": (lambda: la.block_diag(ones((1, 2, 2))), "takes matrices"),
    "solve_toeplitz": (lambda: la.solve_toeplitz(ones(3), ones(2)), "do not fit"),
    "solve_toeplitz of three": (lambda: la.solve_toeplitz((1, 2, 3), ones(1)), "first row"),
    "solve_circulant": (lambda: la.solve_circulant(ones(3), ones(2)), "do not fit"),
    "rows": (lambda: la.solve_banded((1, 1), ones((2, 3)), ones(3)), "3 rows"),
    "columns": (lambda: la.solve_banded((1, 1), ones((3, 3)), ones(2)), "do not fit"),
    "singular": (lambda: la.solve_banded((0, 0), [[0.0]], [1.0]).numpy(), "singular"),
    "sylvester": (
        lambda: la.solve_sylvester(ones((2, 2)), ones((1, 1)), ones((1, 2))),
        "it needs",
    ),
    "batch": (lambda: la.solve_sylvester(ones((1, 2, 2)), [[1.0]], ones((2, 1))), "single"),
    "method": (lambda: la.solve_discrete_lyapunov([[1.0]], [[1.0]], "fast"), "'fast'"),
    "expm_frechet": (lambda: la.expm_frechet(ones((2, 2)), [[1.0]]), "shapes"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_does_not_fit_is_refused(case: str) -> None:
    run, text = ERRORS[case]
    with ng.configure(tier="reference"), pytest.raises(ValueError, match=text):
        run()


@pytest.mark.parametrize("bands", [(0, 0), (3, 2), (1, 4), (2, 0)])
def test_bands_that_reach_beyond_the_matrix_are_read_nowhere(bands: tuple[int, int]) -> None:
    table = np.full((sum(bands) + 1, 3), 0.3)
    table[bands[1]] = 4.0
    corners = [(bands[1] + i - j, j) for i in range(-6, 9) for j in range(3) if not 0 <= i < 3]
    for row, column in [c for c in corners if 0 <= c[0] < len(table)]:
        table[row, column] = np.nan
    leaf, b = ng.tensor(table, requires_grad=True), np.array([1.0, 2.0, -1.0])
    with ng.configure(tier="reference"):
        x = la.solve_banded(bands, leaf, b)
        (x * x).sum().backward()
    dense = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            if -bands[0] <= j - i <= bands[1]:
                dense[i, j] = table[bands[1] + i - j, j]
    assert_allclose(x.detach().numpy(), np.linalg.solve(dense, b), rtol=1e-13)
    found = -np.outer(np.linalg.solve(dense.T, 2 * x.detach().numpy()), x.detach().numpy())
    wanted = np.zeros_like(table)
    for i, j in zip(*np.nonzero(dense), strict=True):
        wanted[bands[1] + i - j, j] = found[i, j]
    assert_allclose(leaf.grad.numpy(), wanted, rtol=1e-12, atol=1e-14)


def test_they_are_mapped_and_their_names_are_known() -> None:
    a, q = np.stack([np.eye(2), 2 * np.eye(2)]), ones((2, 2))
    with ng.configure(tier="reference"):
        found = ng.vmap(lambda m: la.solve_sylvester(m, m, q))(a)
    assert_allclose(found, np.stack([q / 2, q / 4]))
    for name in ("toeplitz", "solve_banded", "solve_sylvester", "block_diag", "sqrtm"):
        assert by_name(f"scipy.linalg.{name}") == f"nbgrad.linalg.{name}"
    assert by_name("scipy.linalg.solveh_banded") == "nbgrad.linalg.solve_banded"
    with pytest.raises(ng.errors.AutogradError, match=r"nbgrad\.linalg\.eigh"):
        scipy.linalg.eigh_tridiagonal(ng.tensor(ones(3), requires_grad=True), ones(2))
