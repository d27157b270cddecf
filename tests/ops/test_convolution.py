"""Convolutions in their odd forms: integers, large kernels, broadcast axes, borders, errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.signal
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.vocabulary.analysis.convolution import convolve_arrays

rng = np.random.default_rng(0)


def array(*shape: int) -> Any:
    return rng.normal(size=shape)


AGREE: dict[str, Callable[[Any, Any], Any]] = {
    "a number": lambda np_, s: np_.convolve(2.0, np.arange(3.0)),
    "booleans": lambda np_, s: np_.convolve([True, False], [True, True]),
    "integers": lambda np_, s: np_.correlate(np.arange(4), np.arange(3), "full"),
    "integer arrays": lambda np_, s: s.convolve(np.arange(6).reshape(2, 3), np.ones((2, 2), int)),
    "integers by transforms": lambda np_, s: s.convolve(np.arange(4), np.arange(3), method="fft"),
    "numbers": lambda np_, s: s.convolve(2.0, 3.0),
    "no elements": lambda np_, s: s.fftconvolve(np.ones(0), np.ones(2)),
    "single precision": lambda np_, s: s.fftconvolve(
        np.arange(3, dtype="f4"), np.arange(2, dtype="f4")
    ),
    "broadcast": lambda np_, s: s.fftconvolve(np.ones((2, 3)), np.ones((1, 2)), axes=1),
    "one of size one": lambda np_, s: s.fftconvolve(np.ones((2, 3)), np.ones((1, 2)), "same"),
    "same, larger kernel": lambda np_, s: s.fftconvolve(np.arange(3.0), np.arange(4.0), "same"),
    "wrapped far": lambda np_, s: s.convolve2d(
        np.arange(4.0).reshape(2, 2), np.ones((5, 4)), boundary="circular"
    ),
    "mirrored far": lambda np_, s: s.convolve2d(
        np.arange(4.0).reshape(2, 2), np.ones((6, 1)), "same", "symmetric"
    ),
    "integer images": lambda np_, s: s.convolve2d(np.eye(3, dtype=int), np.eye(2, dtype=int)),
}


@pytest.mark.parametrize("name", AGREE)
def test_convolutions_are_those_of_numpy_and_scipy(name: str) -> None:
    found = np.asarray(AGREE[name](ng.numpy, ng.signal))
    wanted = np.asarray(AGREE[name](np, scipy.signal))
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    if wanted.dtype.kind == "f":
        assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    else:
        assert_array_equal(found, wanted)


WRONG: dict[str, Callable[[Any, Any], Any]] = {
    "empty": lambda np_, s: np_.convolve(np.ones(0), np.ones(1)),
    "matrix": lambda np_, s: np_.convolve(np.ones((2, 2)), np.ones(2)),
    "mode": lambda np_, s: np_.correlate(np.ones(2), np.ones(2), "half"),
    "mode of arrays": lambda np_, s: s.convolve(np.ones(2), np.ones(2), "half"),
    "method": lambda np_, s: s.convolve(np.ones(2), np.ones(2), method="magic"),
    "dimensions": lambda np_, s: s.convolve(np.ones((2, 2)), np.ones(2)),
    "empty array": lambda np_, s: s.convolve(np.ones(0), np.ones(1)),
    "neither covers": lambda np_, s: s.convolve(np.ones((2, 3)), np.ones((3, 2)), "valid"),
    "other axes": lambda np_, s: s.fftconvolve(np.ones((2, 3)), np.ones((3, 1)), axes=1),
    "vectors": lambda np_, s: s.convolve2d(np.ones(2), np.ones(2)),
    "boundary": lambda np_, s: s.convolve2d(np.ones((2, 2)), np.ones((2, 2)), boundary="open"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_say_what_is_wrong(name: str) -> None:
    with pytest.raises(ValueError, match=re.compile("^(fft)?(convolve|correlate)(2d)?: ")):
        WRONG[name](ng.numpy, ng.signal)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"\w"):
        WRONG[name](np, scipy.signal)


def test_a_large_kernel_goes_by_transforms() -> None:
    def recorded(m: int, n: int) -> set[str]:
        xs = [placeholder(make_aval((k,), np.dtype(float))) for k in (m, n)]
        tape, _ = linearize([convolve_arrays(*xs)], xs)
        return {eqn.prim.name for eqn in tape.eqns}

    assert "real_fourier" in recorded(5000, 5000)
    assert recorded(5000, 20) == {"convolve_full"}


def test_both_ways_have_the_same_gradients() -> None:
    a, b, w = array(6, 5), array(3, 2), array(6, 5)
    grads = []
    for method in ("direct", "fft"):
        ts = [ng.tensor(x, requires_grad=True) for x in (a, b)]
        (ng.signal.convolve(*ts, "same", method) * w).sum().backward()
        grads.append([t.grad.numpy() for t in ts])
    for direct, transformed in zip(*grads, strict=True):
        assert_allclose(direct, transformed, rtol=1e-12, atol=1e-12)


def test_the_value_beyond_the_border_has_a_gradient() -> None:
    fill = ng.tensor(0.5, requires_grad=True)
    a, b = array(2, 2), array(2, 2)
    ng.signal.convolve2d(a, b, fillvalue=fill).sum().backward()
    inside = b.sum() * 4  # elements of the 4 x 4 bordered image that are within the image
    every = sum(b[i, j] * 9 for i in range(2) for j in range(2))
    assert_allclose(fill.grad.item(), every - inside)
