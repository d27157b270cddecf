"""Windows of padded values: the interior of a loop is without tests, also of windows at its ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nbgrad as ng

SHAPES = [(9, 12), (2, 3), (1, 8), (5, 1), (70, 40)]


def pads(x: Any, widths: list[int], ends: list[bool], m: Any) -> Any:
    """Sums of parts of *x* put at the ends of zeros; for NumPy, and for nbgrad."""
    total = x * 0.5
    for width, end in zip(widths, ends, strict=True):
        for axis in (0, 1):
            n = min(width, x.shape[axis])
            part = x[(slice(None),) * axis + (slice(0, n),)]
            gap = [(0, 0), (0, 0)]
            gap[axis] = (x.shape[axis] - n, 0) if end else (0, x.shape[axis] - n)
            total = total + m.pad(part, gap) * 2.0
    return total


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_padded_parts_are_numpys_to_the_bit(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=shape) * np.where(rng.random(shape) < 0.2, -0.0, 1.0)
    for widths, ends in [
        ([1, 1], [False, True]),
        ([1, 2, 5], [True, True, False]),
        ([3], [False]),
    ]:
        found = ng.jit(lambda u, w=widths, e=ends: pads(u, w, e, ng.numpy))(x)
        wanted = pads(x, widths, ends, np)
        assert_array_equal(found, wanted)
        assert_array_equal(np.signbit(found), np.signbit(wanted))
        rows = ng.jit(lambda u, w=widths, e=ends: pads(u, w, e, ng.numpy).sum(1))(x)
        np.testing.assert_allclose(rows, wanted.sum(1), rtol=1e-12)
        columns = ng.jit(lambda u, w=widths, e=ends: pads(u, w, e, ng.numpy).sum(0))(x)
        np.testing.assert_allclose(columns, wanted.sum(0), rtol=1e-12)


def test_the_interior_reads_nothing_of_windows_at_the_ends() -> None:
    x = np.ones((50, 60))
    f = ng.jit(lambda u: pads(u, [1, 1], [False, True], ng.numpy))
    f(x)
    inside, edges = f.source(x).split("for edge in range(2):")
    interior = inside[inside.rindex("for j in range(a, b):") :]
    assert edges.count("if g") == 4 and interior.count("= x") == 1
