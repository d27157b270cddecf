"""Tensors on a device whose kernels Numba's simulator runs: forward, backward, loops."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from cuda_device import marks
from device_programs import PROGRAMS, W, X
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.backends.cuda.runtime import runtime

pytestmark = marks


@pytest.fixture(autouse=True)
def _simulated() -> Iterator[None]:
    with ng.configure(cuda="simulator"):
        yield


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_are_those_of_home(name: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        xs = [ng.tensor(a, device=device, requires_grad=True) for a in (X, W)]
        y = PROGRAMS[name](*xs)
        y.backward()
        assert y.device == xs[0].grad.device == device  # type: ignore[union-attr]
        found.append([y.numpy(force=True), *[x.grad.numpy() for x in xs]])  # type: ignore[union-attr]
    for theirs, ours in zip(*found, strict=True):
        assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_jit_and_larger_arrays() -> None:
    x = np.linspace(-1.0, 1.0, 2000).reshape(40, 50)
    f = lambda x: ng.special.log_softmax(x * 2.0, axis=1).sum() + np.exp(x).sum(0).max()
    before = runtime.store().counts["launches"]  # type: ignore[attr-defined]
    value, slope = ng.jit(ng.value_and_grad(f), device="cuda")(x)
    assert runtime.store().counts["launches"] > before  # type: ignore[attr-defined]
    expected, wanted = ng.value_and_grad(f)(x)
    assert_allclose(value.numpy(), expected, rtol=1e-12)
    assert_allclose(slope.numpy(), wanted, rtol=1e-11, atol=1e-12)
