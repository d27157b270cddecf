"""Sums over any axes, of lengths around the numbers of threads and of blocks, in the simulator."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from cuda_device import agree, marks

import nbgrad as ng
from nbgrad.program import arrange

pytestmark = marks
RNG = np.random.default_rng(5)
SHAPES = [(1,), (3,), (33,), (300,), (40, 5), (5, 40), (2, 9, 11), (9, 1, 17)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_over_any_axes(shape: tuple[int, ...]) -> None:
    x = RNG.uniform(0.5, 1.5, shape)
    axes = [a for n in range(1, len(shape) + 1) for a in combinations(range(len(shape)), n)]
    agree(lambda x: [(x * x).sum(axis=axis) for axis in axes], x)
    agree(lambda x: [ng.log(x).mean(axis=axis) for axis in axes], x.astype(np.float32))
    agree(lambda x: [f(axis=axis) for axis in axes for f in (x.max, x.min, x.prod)], x)


@pytest.mark.parametrize("shape", [(300,), (130, 2), (2, 130), (40, 9), (9, 40)], ids=str)
def test_long_sums_are_cut_in_blocks(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrange, "BLOCK", 64)
    x = RNG.uniform(0.5, 1.5, shape)
    agree(lambda x: [(x * 2.0).sum(axis=k) for k in range(x.ndim)], x)
    agree(lambda x: (x * 2.0).sum(), x.astype(np.float32))


def test_sums_of_windows_of_views_and_of_nothing() -> None:
    x = RNG.uniform(0.5, 1.5, (20, 30))
    agree(lambda x: [(x[1:, ::2] * x[:-1, ::2]).sum(axis=k) for k in (0, 1)], x)
    agree(ng.value_and_grad(lambda x: ((x[1:, 1:] - x[:-1, :-1]) ** 2).sum()), x)
    agree(lambda x: [x.sum(axis=0), x.sum(axis=1)], np.zeros((0, 3)))
    agree(lambda x: [(x > 1).sum(axis=0), (x > 1).any(axis=1), (x > 0).all()], x)


def test_any_number_of_blocks_gives_the_same_bits() -> None:
    x = RNG.normal(size=(7, 700)).astype(np.float32)
    found = [
        agree(lambda x: [ng.exp(x).sum(), x.sum(axis=0), x.mean(axis=1)], x, blocks=n)
        for n in (1, 5)
    ]
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a, b)
