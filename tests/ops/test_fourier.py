"""Fourier transforms in their odd forms: precision, sizes, repeated axes, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

X = np.random.default_rng(0).normal(size=(3, 4))

AGREE: dict[str, Callable[[Any], Any]] = {
    "half precision": lambda m: m.fft(X.astype(np.float16)),
    "integers": lambda m: m.fft(np.arange(5)),
    "booleans": lambda m: m.rfft(X > 0),
    "no elements elsewhere": lambda m: m.fft(np.ones((0, 3))),
    "no axes": lambda m: m.fftn(X, axes=()),
    "repeated axes": lambda m: m.fftn(X, s=(5, 3), axes=(0, 0)),
    "sizes that stay": lambda m: m.fftn(X, s=(-1, 2), axes=(0, 1)),
    "sizes that stay, back": lambda m: m.irfftn(X, s=(-1, -1), axes=(0, 1)),
    "one axis halved": lambda m: m.rfftn(X, s=(3,), axes=(1,)),
    "back to two axes": lambda m: m.irfft2(X),
    "complex spectrum": lambda m: m.hfft(1j * X),
}


@pytest.mark.parametrize("name", AGREE)
def test_transforms_are_those_of_numpy(name: str) -> None:
    found, wanted = AGREE[name](ng.fft), AGREE[name](np.fft)
    assert found.dtype == wanted.dtype
    tolerance = 1e-6 if wanted.dtype.itemsize <= 8 and wanted.dtype.kind == "c" else 1e-12
    assert_allclose(found.numpy(), wanted, rtol=tolerance, atol=tolerance)


WRONG: dict[str, tuple[Callable[[Any], Any], Any, str]] = {
    "no elements": (lambda m: m.fft(X, 0), ValueError, "Invalid number of FFT data points"),
    "none back": (lambda m: m.irfft(np.ones(1)), ValueError, "Invalid number of FFT data points"),
    "no such axis": (lambda m: m.fft(X, axis=2), IndexError, "out of (range|bounds)"),
    "a number": (lambda m: m.fft(2.0), IndexError, "out of (range|bounds)"),
    "no such norm": (lambda m: m.fft(X, norm="half"), ValueError, "Invalid norm value half"),
    "sizes": (lambda m: m.fftn(X, s=(2, 2), axes=(0,)), ValueError, "different lengths"),
    "no axes": (lambda m: m.rfftn(X, axes=()), IndexError, "out of range|at least one axis"),
    "complex": (lambda m: m.rfft(1j * X), TypeError, "not supported|takes real numbers"),
    "complex, back": (lambda m: m.ihfft(1j * X), TypeError, "not supported|takes real numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_of_the_types_of_numpy(name: str) -> None:
    wrong, error, message = WRONG[name]
    for module in (np.fft, ng.fft):
        with pytest.raises(error, match=message):
            wrong(module)


def test_out_is_written() -> None:
    out = np.zeros((3, 4), complex)
    ng.fft.fft(X, out=out)
    assert_allclose(out, np.fft.fft(X), atol=1e-12)


def test_numpy_functions_of_tensors_are_ours() -> None:
    t = ng.tensor(X, requires_grad=True)
    (abs(np.fft.rfft(t)) ** 2).sum().backward()
    doubled = np.array([1.0, 2.0, 1.0])  # Parseval: the middle frequency stands for two
    spectrum = np.fft.rfft(X)
    assert_allclose(t.grad.numpy(), 2 * 4 * np.fft.irfft(spectrum / doubled, 4), atol=1e-12)


def test_frequencies_follow_the_spacing() -> None:
    d = ng.tensor(0.5, requires_grad=True)
    ng.fft.rfftfreq(4, d)[1].backward()
    assert_allclose(d.grad.item(), -1.0)  # of 1 / (4 d)
    assert_allclose(ng.fft.fftfreq(5, 0.1).numpy(), np.fft.fftfreq(5, 0.1))


def test_a_compiled_program_calls_the_transform_between_kernels() -> None:
    @ng.jit
    def energy(x: Any) -> Any:
        return ng.sum(ng.square(ng.fft.irfft(ng.fft.rfft(ng.sin(x)) * 0.5, 4)))

    assert_allclose(float(energy(X)), float(np.sum((0.5 * np.sin(X)) ** 2)))
