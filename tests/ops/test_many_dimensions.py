"""Arrays of 33 to 64 dimensions, which NumPy has since 2.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nbgrad as ng

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: np.sin(x) * 2 + x,
    "sum": lambda x: (x * x).sum(axis=(0, -1)),
    "transpose": lambda x: x.T * 2,
    "slices": lambda x: x[0] * x[1, ..., :1],
    "reshape": lambda x: x.reshape(-1) * 2,
    "broadcast": lambda x: x + np.ones(2),
    "gather": lambda x: x[np.array([1, 0, 1])],
    "maximum": lambda x: x.max(axis=1),
    "argmax": lambda x: np.argmax(x, axis=1),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "concatenate": lambda x: np.concatenate([x, x], axis=1),
    "where": lambda x: np.where(x > 0.5, x, 0.0),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1) * 1,
}


@pytest.mark.parametrize("ndim", [33, 64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_many_dimensions(name: str, ndim: int) -> None:
    f = FUNCTIONS[name]
    flat = np.random.default_rng(ndim).permutation(12).reshape(2, 3, 2) / 12
    a = flat.reshape((2, 3) + (1,) * (ndim - 3) + (2,))
    for tier in ("reference", "block", "fused"):
        with ng.configure(tier=tier):
            wanted = f(a)
            np.testing.assert_allclose(f(ng.tensor(a)).numpy(), wanted, rtol=1e-14)
            np.testing.assert_allclose(ng.jit(f)(a), wanted, rtol=1e-14)
            if wanted.dtype.kind == "f":
                found = ng.jit(ng.grad(lambda x: (f(x) ** 2).sum()))(a)
                few = ng.grad(lambda x: (f(x.reshape(a.shape)) ** 2).sum())(flat)
                np.testing.assert_array_equal(found.reshape(flat.shape), few)


def test_shapes_that_do_not_fit_in_many_dimensions() -> None:
    x = ng.ones(*(2, 3, *(1,) * 40))
    with pytest.raises(ValueError, match="could not be broadcast"):
        x + np.ones((2,) + (1,) * 40)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sort(x, axis=1),
        lambda x: np.argsort(x, axis=1),
        lambda x: np.sort(np.partition(x, 1, axis=1), axis=1),
    ],
    ids=["sort", "argsort", "partition"],
)
def test_sorting_many_dimensions_of_which_numpy_sorts_32(f: Any) -> None:
    flat = np.random.default_rng(5).permutation(12).reshape(2, 3, 2) / 12
    a = flat.reshape((2, 3) + (1,) * 40 + (2,))
    for tier in ("reference", "fused"):
        with ng.configure(tier=tier):
            np.testing.assert_array_equal(ng.jit(f)(a).reshape(flat.shape), f(flat))
