"""Patterns of functions that are written with NumPy, compared with their dense derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nbgrad as ng

RNG = np.random.default_rng(5)
MATRIX = RNG.normal(size=(4, 6))
PLACES = np.array([5, 0, 0, 3])
N = 12

# Functions of twelve numbers, by what spreads dependence in them.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: np.sin(x) * x + 2.0,
    "slices": lambda x: x[1:] * x[:-1] - x[::-1][1:],
    "strides": lambda x: x[::3] * 2 + x[1::3],
    "reshaped": lambda x: x.reshape(3, 4).T * x.reshape(4, 3),
    "gather": lambda x: x[PLACES] * x[PLACES[::-1]],
    "sum": lambda x: x.reshape(3, 4).sum(axis=0) * x[:4],
    "mean": lambda x: x.reshape(2, 6) - x.reshape(2, 6).mean(axis=1, keepdims=True),
    "maximum": lambda x: x.reshape(3, 4).max(axis=1),
    "prod": lambda x: x.reshape(3, 4).prod(axis=1),
    "matmul": lambda x: MATRIX @ x.reshape(6, 2),
    "both": lambda x: x.reshape(3, 4) @ x.reshape(4, 3),
    "dot": lambda x: MATRIX @ x[:6],
    "concatenate": lambda x: np.concatenate([x[3:], np.zeros(2), x[:3] ** 2]),
    "stack": lambda x: np.stack([x[:4], x[4:8] * x[8:]], axis=1),
    "pad": lambda x: np.pad(x[:5], 2) * 3,
    "wrap": lambda x: np.pad(x, 1, mode="wrap"),
    "roll": lambda x: x - np.roll(x, 2),
    "broadcast": lambda x: x[:3, None] * x[3:7],
    "where": lambda x: np.where(x > 0, x**2, np.roll(x, 1)),
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "cumsum": lambda x: np.cumsum(x[:5]),
    "cumprod": lambda x: np.cumprod(x.reshape(3, 4), axis=1),
    "convolve": lambda x: np.convolve(x, [1.0, 2.0, 3.0]),
    "kernel": lambda x: np.convolve(x[:8], x[8:], mode="valid"),
    "diff": lambda x: np.diff(x, n=2),
    "sort": lambda x: np.sort(x.reshape(3, 4), axis=1),
    "solve": lambda x: np.linalg.solve(
        np.eye(2) * 5 + x[:8].reshape(2, 2, 2), x[8:].reshape(2, 2, 1)
    ),
    "inverse": lambda x: np.linalg.inv(np.eye(2) * 5 + x.reshape(3, 2, 2)),
    "spectrum": lambda x: np.linalg.eigvalsh(
        x[:8].reshape(2, 2, 2) + x[:8].reshape(2, 2, 2).swapaxes(1, 2)
    ),
    "fourier": lambda x: np.abs(np.fft.rfft(x.reshape(3, 4), axis=1)) ** 2,
    "einsum": lambda x: np.einsum("ij,jk->ik", x.reshape(3, 4), MATRIX[:, :2]),
    "constant": lambda x: np.concatenate([x[:2], np.ones(3)]),
    "nothing": lambda x: np.floor(x[:4]),
    "scalar": lambda x: (x[0] * x[3]) * np.ones(3),
    "complex": lambda x: (x[:4] + 1j * x[4:8]) * np.exp(1j * x[8:]),
    "scan": lambda x: ng.scan(lambda c, r: (c * 0.5 + r, c * r), x[0], x[1:])[1],
    "fori": lambda x: ng.fori_loop(0, 3, lambda k, c: c[1:].sum() * c, x[:4]),
    "stencil": lambda x: ng.fori_loop(
        0, 2, lambda k, c: c + 0.1 * (np.roll(c, 1) - 2 * c + np.roll(c, -1)), x
    ),
    "while": lambda x: ng.while_loop(
        lambda c: c.sum() < 50, lambda c: c * c[0] + 1 + c * c, x[:3]
    ),
    "cond": lambda x: ng.cond(x[0] > 0, lambda v: v[:4] * 2, lambda v: v[4:8] * v[8:], x),
    "switch": lambda x: np.choose(np.arange(4) % 2, [x[:4], x[4:8]]),
    "put": lambda x: ng.as_tensor(x).at[PLACES[:2]].set(x[:2] * 3),
    "added": lambda x: ng.as_tensor(x).at[PLACES].add(x[:4] * x[4:8]),
}
POINTS = [RNG.normal(size=N), np.linspace(-2.0, 2.0, N), RNG.normal(size=N) * 3]


@pytest.fixture(autouse=True)
def _uncompiled() -> Iterator[None]:
    """Patterns do not depend on how values are computed."""
    with ng.configure(tier="reference"):
        yield


def dense(f: Callable[[Any], Any], x: Any) -> Any:
    """The Jacobian by one tangent after the other."""
    columns = [ng.jvp(f, (x,), (e,))[1] for e in np.eye(len(x))]
    return np.stack([np.asarray(c).reshape(-1) for c in columns], axis=1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobian_of_each_kind_of_operation(name: str) -> None:
    f = FUNCTIONS[name]
    plan = ng.sparse.jacobian(f, np.zeros(N))
    for x in POINTS:
        assert np.allclose(plan(x).toarray(), dense(f, x), atol=1e-12)


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("complex", "while")])
def test_hessian_of_each_kind_of_operation(name: str) -> None:
    f: Callable[[Any], Any] = lambda x: (np.sin(FUNCTIONS[name](x)) * 1.5).sum()
    plan = ng.sparse.hessian(f, np.zeros(N))
    x = POINTS[0]
    assert np.allclose(plan(x).toarray(), ng.hessian(f)(x), atol=1e-10)


def test_many_runs_of_a_loop_are_gone_through_at_once() -> None:
    rows = np.ones((3000, 2))

    def f(x: Any) -> Any:
        return ng.map(lambda r: np.stack([r[0] * x[0, 1], r[1] ** 2, r[0] * 0.0 + 1.0]), x)

    found = ng.sparse.jacobian_pattern(f, rows)
    expected = ng.sparse.jacobian_pattern(f, rows[:5])
    assert found.nnz == 3000 * 3 - 0 and expected.nnz == 5 * 3
    assert np.array_equal(found[:15, :10].toarray(), expected.toarray())
