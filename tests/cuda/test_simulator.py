"""The kernel text under the CUDA header, run by Numba's simulator: indexing, never types.

Runs in a process of its own: ``NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda``.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from emulator import Address, namespace, run
from golden_programs import GOLDEN, arguments, expected, program
from numba import cuda
from numpy.testing import assert_allclose

from nbgrad.program.cuda_text import cuda_source
from nbgrad.program.text import Emitted

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("NUMBA_ENABLE_CUDASIM") != "1", reason="needs NUMBA_ENABLE_CUDASIM=1"
    ),
    # Scalars of NumPy warn where a processor stays silent.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
THREADS = 32


def launch(step: Emitted, values: list[Any], blocks: int, chunk: int) -> None:
    """Compile both functions of a kernel for the simulator and launch the kernel once."""
    text = cuda_source(step)
    names = {**namespace(), "cuda": cuda}
    exec(text.device, names)
    names[text.device_name] = cuda.jit(device=True)(names[text.device_name])
    exec(text.kernel, names)
    kernel = cuda.jit(names[text.kernel_name])
    kernel[blocks, THREADS](step.tasks, chunk, *values)


@pytest.mark.parametrize(("blocks", "chunk"), [(1, 1), (1, 7), (2, 16)])
@pytest.mark.parametrize("name", list(GOLDEN))
def test_golden_program(name: str, blocks: int, chunk: int) -> None:
    args = arguments(name)
    found = run(program(name), args, lambda step, values: launch(step, values, blocks, chunk))
    for out, wanted in zip(found, expected(name), strict=True):
        assert (out.shape, out.dtype) == (wanted.shape, wanted.dtype)
        tolerance = 1e-12 if out.dtype == np.float64 else 1e-5
        assert_allclose(out, wanted, rtol=tolerance, atol=tolerance)
    for before, after in zip(arguments(name), args, strict=True):
        assert np.array_equal(before, after), "a kernel wrote to an input"


def test_an_access_outside_of_a_buffer_is_seen() -> None:
    with pytest.raises(IndexError, match="element 3 of a buffer of 3"):
        Address(np.zeros(3), 2)[1]
