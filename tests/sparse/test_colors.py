"""Counts of colours against published ones, of matrices that a few lines make; most are known to be the least."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import nbgrad as ng


def band(n: int, below: int, above: int) -> Any:
    offsets = list(range(-below, above + 1))
    return sp.diags_array([np.ones(n - abs(k)) for k in offsets], offsets=offsets).tocsr()


def stencil(shape: tuple[int, ...], steps: Any, around: bool = False) -> Any:
    """Each point of a grid depends on those that are *steps* away; *around* the border, or not beyond it."""
    places = np.indices(shape).reshape(len(shape), -1)
    found = []
    for step in steps:
        other = places + np.array(step)[:, None]
        inside = [(x >= 0) & (x < n) for x, n in zip(other, shape, strict=True)]
        held = np.ones(places.shape[1], bool) if around else np.all(inside, axis=0)
        pair = places[:, held], other[:, held] % np.array(shape)[:, None]
        found.append([np.ravel_multi_index(tuple(p), shape) for p in pair])
    rows, columns = np.concatenate(found, axis=1)
    return sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(places.shape[1],) * 2)


def ball(dimensions: int, radius: int) -> list[tuple[int, ...]]:
    every = itertools.product(range(-radius, radius + 1), repeat=dimensions)
    return [step for step in every if sum(map(abs, step)) <= radius]


def box(dimensions: int) -> list[tuple[int, ...]]:
    return list(itertools.product((-1, 0, 1), repeat=dimensions))


ARROW = np.eye(40)
ARROW[0], ARROW[:, 0] = 1, 1
PLANE = stencil((14, 17), ball(2, 1))
# Curtis, Powell and Reid (1974) for bands; Goldfarb and Toint (1984) for stencils: as many as a row has.
COLUMNS = {
    "tridiagonal": (band(60, 1, 1), 3),
    "band": (band(60, 3, 1), 5),
    "5 points": (PLANE, 5),
    "5 points, other sizes": (stencil((20, 15), ball(2, 1)), 5),
    "9 points": (stencil((13, 16), box(2)), 9),
    "13 points": (stencil((16, 15), ball(2, 2)), 13),
    "7 points": (stencil((7, 8, 9), ball(3, 1)), 7),
    "27 points": (stencil((6, 7, 8), box(3)), 27),
}
# Coleman and Moré (1984) for bands; Fertin, Raspaud and Reed (2004): 5 for grids; a star has two.
STAR = {
    "tridiagonal": (band(60, 1, 1), 3),
    "band": (band(60, 4, 4), 9),
    "5 points": (PLANE, 5),
    "arrow": (ARROW, 2),
}
# Coleman and Cai (1986) for bands; a forest has two.
ACYCLIC = {
    "tridiagonal": (band(60, 1, 1), 2),
    "band": (band(60, 4, 4), 5),
    "arrow": (ARROW, 2),
}
TABLES = {"columns": COLUMNS, "star": STAR, "acyclic": ACYCLIC}
CASES = [(kind, name) for kind, table in TABLES.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_counts_are_those_that_are_published(kind: str, name: str) -> None:
    pattern, least = TABLES[kind][name]
    assert ng.sparse.color(pattern, kind)[1] == least


def test_rows_are_the_columns_of_the_transpose() -> None:
    pattern = stencil((7, 8, 9), ball(3, 1))
    assert ng.sparse.color(pattern, "rows")[1] == 7


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize(
    ("shape", "steps"),
    [((9, 11), ball(2, 1)), ((12, 10), ball(2, 2)), ((5, 6, 7), ball(3, 1)), ((80,), ball(1, 3))],
)
def test_columns_of_a_colour_share_no_row(shape: Any, steps: Any, around: bool) -> None:
    """Also of grids whose ends meet, which no simple sum of places colours."""
    rng = np.random.default_rng(len(steps))
    pattern = stencil(shape, steps, around)
    for matrix in (
        pattern,
        pattern[rng.permutation(pattern.shape[0])],
        pattern[::2],
        pattern[:, 3:],
    ):
        colors, count = ng.sparse.color(matrix)
        taken = sp.csr_array(matrix) @ sp.csr_array(np.eye(count)[colors])
        assert taken.max() == 1 and colors.max() + 1 <= count
    colors, count = ng.sparse.color(pattern, "star")
    coo = pattern.tocoo()
    assert all(colors[i] != colors[j] for i, j in zip(coo.row, coo.col, strict=True) if i != j)


def test_hessians_by_fewer_colours_are_exact() -> None:
    def energy(u: Any) -> Any:
        v = u.reshape(5, 6, 7)
        parts = [np.diff(v, axis=k) for k in range(3)]
        return sum((np.sin(p) ** 2 + p**4).sum() for p in parts)

    u = np.random.default_rng(0).normal(size=210)
    plan = ng.sparse.hessian(energy, u, method="star")
    assert plan.colors == 7
    np.testing.assert_allclose(plan(u).toarray(), ng.hessian(energy)(u), atol=1e-12)
