"""Complex numbers and numbers of 16 bits on the device, on the emulator: as at home, and in kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.backends.cuda.runtime import runtime

RNG = np.random.default_rng(2)


@pytest.fixture(autouse=True)
def _emulated() -> Iterator[None]:
    with ng.configure(cuda="emulator"):
        yield


def complexes(x: Any, w: Any) -> Any:
    z = x * 2j + w * (1.5 - 0.5j)
    return (abs(ng.exp(z * 0.2)) ** 2).sum() + (z.conj() * x).real.mean()


def halves(x: Any, w: Any) -> Any:
    return (np.exp(x * w * 0.1) + np.maximum(x, w) / 3).sum()


@pytest.mark.parametrize(
    ("f", "dtype", "near"),
    [(complexes, "complex128", 1e-12), (complexes, "complex64", 1e-5), (halves, "float16", 2e-3)],
)
def test_values_and_gradients_are_those_of_home(f: Any, dtype: str, near: float) -> None:
    given = [RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4)) for _ in range(2)]
    arrays = [(a if dtype.startswith("c") else a.real).astype(dtype) for a in given]
    found = []
    for device in ("cpu", "cuda"):
        xs = [ng.tensor(a, device=device, requires_grad=True) for a in arrays]
        before = runtime.store().counts["launches"]  # type: ignore[attr-defined]
        y = f(*xs)
        y.backward()
        grads = [x.grad for x in xs]
        assert all(g.dtype == dtype and g.device == device for g in grads)
        found.append([y.numpy(force=True), *[g.numpy() for g in grads]])
        launched = runtime.store().counts["launches"] - before  # type: ignore[attr-defined]
        assert bool(launched) == (device == "cuda")
    for theirs, ours in zip(*found, strict=True):
        assert_allclose(ours, theirs, rtol=near, atol=near)


def test_numbers_change_from_run_to_run() -> None:
    f = ng.jit(lambda x, c: x * c + 1j, device="cuda")
    x = RNG.normal(size=3) + 1j
    for c in (2.0, 1.5j, -1 + 0.5j, 3):
        assert_allclose(f(x, c), x * c + 1j)
