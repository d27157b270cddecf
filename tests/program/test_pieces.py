"""Loops in pieces give what whole ones give, bit by bit; what would gain nothing by it stays whole."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from differential import plan_of, with_gradient
from emulator import in_tasks, run
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.program import pieces, unguarded

N = 2500  # three tiles in float32, five in float64


def long(w: Any, x: Any, y: Any) -> Any:
    """Several calls in a row, some of one operand, and what is read far from where it is computed."""
    u = ng.log(x / y) + 0.5 * w
    v = ng.exp(-u * u) / ng.sqrt(y)
    return ng.sin(v) * ng.special.erf(u * w) + u


def several(w: Any, x: Any, y: Any) -> Any:
    z = long(w, x, y)
    return [z, ng.where(z > 0.5, w, y), x, z.sum(), z.max(), (w * z).sum(), ng.prod(0.01 * w + 1)]


def summed(*xs: Any) -> Any:
    return long(*xs).sum()


def arrays(dtype: Any, n: int = N) -> list[Any]:
    return list(np.random.default_rng(0).uniform(0.5, 2.0, (3, n)).astype(dtype))


def plans(monkeypatch: Any, f: Any, n: int = N, dtype: Any = np.float64) -> list[Any]:
    """The program as a loop, and in pieces."""
    found = []
    for points in (1 << 60, 1):
        monkeypatch.setattr(unguarded, "POINTS", points)
        found.append(plan_of(f, (n,), (n,), (n,), dtype=dtype))
    whole, cut = (plan.source() for plan in found)
    assert "room" not in whole and "room0[j - k] = " in cut
    return found


@pytest.mark.parametrize(
    ("f", "dtype"),
    [(several, np.float32), (several, np.float64), (with_gradient(summed), np.float32)],
)
def test_pieces_give_the_same(monkeypatch: Any, f: Any, dtype: Any) -> None:
    xs = arrays(dtype)
    whole, cut = (run(p, xs, in_tasks(1 << 30)) for p in plans(monkeypatch, f, dtype=dtype))
    for a, b in zip(cut, whole, strict=True):
        if np.ndim(a) or dtype == np.float32:
            assert_array_equal(a, b)
        else:  # a sum of float64 begins anew at each tile
            np.testing.assert_allclose(a, b, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_machine_code_gives_the_same_bits(monkeypatch: Any, dtype: Any) -> None:
    """By two threads, too: each has rooms of its own."""
    xs, found = arrays(dtype, 100_001), []
    for points in (1 << 60, unguarded.POINTS):
        monkeypatch.setattr(unguarded, "POINTS", points)
        with ng.configure(tier="fused"):
            found.append(ng.jit(lambda *a: [long(*a), a[0] * long(*a)])(*xs))
    for a, b in zip(*found, strict=True):
        assert_array_equal(a, b)


def test_calls_of_one_operand_stay_together(monkeypatch: Any) -> None:
    """A sine and a cosine share most of what they do, and the compiler sees it only in one loop."""

    def waves(w: Any, x: Any, y: Any) -> Any:
        return (ng.sin(ng.sin(ng.sin(w) + x) + y) * ng.log(x * y)).sum()

    text = plans(monkeypatch, with_gradient(waves))[1].source().split("if odd")[0]
    loops = [set(re.findall(r"(?:sin|cos)_f8\((\w+)\)", part)) for part in text.split("for j in")]
    assert sum(map(len, loops)) == 3 and len(re.findall(r"(?:sin|cos)_f8\(", text)) == 6
    assert len(set(re.findall(r"room\d", text))) <= pieces.CROSSING


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (lambda x: x * ng.special.erf(x), (N,)),
        (lambda x: long(x, x[::-1], x), (N,)),
        (lambda x: long(*3 * [x[:, :20]]), (N, 30)),
        (lambda x: long(x, x + 1, x).sum(axis=0), (40, 50)),
        (lambda x: long(x[1:], x[:-1], ng.pad(x[2:], (0, 1))), (N,)),
    ],
    ids=["short", "apart", "rows", "columns", "windows"],
)
def test_what_stays_whole(monkeypatch: Any, f: Any, shape: tuple[int, ...]) -> None:
    monkeypatch.setattr(unguarded, "POINTS", 1)
    assert "room" not in plan_of(f, shape).source()
