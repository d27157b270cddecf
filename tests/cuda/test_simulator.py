"""Kernels for CUDA run by Numba's simulator: what they compute and what they touch, never types.

Runs in a process of its own: ``NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda``.
"""

from __future__ import annotations

import numpy as np
import pytest
from cuda_device import Device, marks, run
from golden_programs import GOLDEN, arguments, expected, program
from numpy.testing import assert_allclose

from nbgrad.program.program import make_program

pytestmark = marks


@pytest.mark.parametrize("name", list(GOLDEN))
def test_golden_program(name: str) -> None:
    args = arguments(name)
    found, _ = run(make_program(program(name).tape, target="cuda"), args)
    for out, wanted in zip(found, expected(name), strict=True):
        assert (out.shape, out.dtype) == (wanted.shape, wanted.dtype)
        tolerance = 1e-12 if out.dtype == np.float64 else 1e-5
        assert_allclose(out, wanted, rtol=tolerance, atol=tolerance)
    for before, after in zip(arguments(name), args, strict=True):
        assert np.array_equal(before, after), "a kernel wrote to an input"


def test_an_access_outside_of_the_buffers_is_seen() -> None:
    device = Device(1 << 12)
    start = device.put(np.zeros(3)) // 8
    assert device.views["f8"][start + 2] == 0.0
    with pytest.raises(IndexError, match="in no buffer"):
        device.views["f8"][start + 3]
