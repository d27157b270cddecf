"""The kernel text under the CUDA header, run by Numba's simulator: indexing, never types.

Runs in a process of its own: ``NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from golden_programs import GOLDEN, Array, arguments, expected, program
from numba import cuda
from numpy.testing import assert_allclose

from nbgrad.backends.intrinsics import CASTS, plain_namespace
from nbgrad.backends.scalar import HELPERS
from nbgrad.core.tape import Var
from nbgrad.program.header import cuda_source
from nbgrad.program.parts import Emitted, Pointer
from nbgrad.program.program import Program

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("NUMBA_ENABLE_CUDASIM") != "1", reason="needs NUMBA_ENABLE_CUDASIM=1"
    ),
    # Scalars of NumPy warn where a processor stays silent.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
THREADS = 32


class Address:
    """A typed pointer into a buffer: an index counts elements from *offset*, below zero too.

    An access outside of the buffer raises, as no card would.
    """

    def __init__(self, buffer: Array, offset: int) -> None:
        self.flat = buffer.reshape(-1)
        self.offset = offset
        assert np.shares_memory(self.flat, buffer) or not buffer.size

    def place(self, k: int) -> int:
        at = self.offset + int(k)
        if not 0 <= at < self.flat.size:
            raise IndexError(f"element {at} of a buffer of {self.flat.size}")
        return at

    def __getitem__(self, k: int) -> Any:
        return self.flat[self.place(k)]

    def __setitem__(self, k: int, value: Any) -> None:
        self.flat[self.place(k)] = value


def launcher(step: Emitted) -> Callable[..., Any]:
    """Compile both functions of a kernel for the simulator."""
    text = cuda_source(step)
    names: dict[str, Any] = {**plain_namespace(), **HELPERS, "cuda": cuda}
    exec(text.device, names)
    names[text.device_name] = cuda.jit(device=True)(names[text.device_name])
    exec(text.kernel, names)
    return cuda.jit(names[text.kernel_name])  # type: ignore[no-any-return]


def launch(step: Emitted, buffers: dict[Var, Array], blocks: int, chunk: int) -> None:
    values = []
    for arg in step.args:
        if isinstance(arg, Pointer):
            buffer = buffers[arg.buffer]
            values.append(Address(buffer, arg.offset // buffer.dtype.itemsize))
        else:
            values.append(CASTS[arg.code](arg.value))
    launcher(step)[blocks, THREADS](step.tasks, chunk, *values)


def run(planned: Program, args: list[Array], blocks: int, chunk: int) -> list[Array]:
    """All steps in order: kernels on the simulator, library calls by their references."""
    buffers: dict[Var, Array] = dict(zip(planned.tape.inputs, args, strict=True))
    for step in planned.steps:
        if isinstance(step, Emitted):
            for arg in step.args:
                if isinstance(arg, Pointer) and arg.buffer not in buffers:
                    aval = arg.buffer.aval
                    buffers[arg.buffer] = np.full(aval.shape, 77, aval.dtype)
            launch(step, buffers, blocks, chunk)
        else:
            out = step.eqn.out
            buffers[out] = np.ascontiguousarray(operand_values(planned, step, buffers))
    return [buffers[out] for out in planned.tape.outputs]  # type: ignore[index]


def operand_values(planned: Program, step: Any, buffers: dict[Var, Array]) -> Array:
    """The result of a library call, whose operands may be views of what is in memory."""
    producers = {eqn.out: eqn for eqn in planned.tape.eqns}

    def value(atom: Any) -> Any:
        if not isinstance(atom, Var):
            return atom.value
        if atom in buffers:
            return buffers[atom]
        eqn = producers[atom]
        return eqn.prim.evaluate(*(value(a) for a in eqn.inputs), **eqn.params)

    return np.asarray(
        step.eqn.prim.evaluate(*(value(a) for a in step.eqn.inputs), **step.eqn.params)
    )


@pytest.mark.parametrize(("blocks", "chunk"), [(1, 1), (1, 7), (2, 16)])
@pytest.mark.parametrize("name", list(GOLDEN))
def test_golden_program(name: str, blocks: int, chunk: int) -> None:
    args = arguments(name)
    found = run(program(name), args, blocks, chunk)
    for out, wanted in zip(found, expected(name), strict=True):
        assert (out.shape, out.dtype) == (wanted.shape, wanted.dtype)
        tolerance = 1e-12 if out.dtype == np.float64 else 1e-5
        assert_allclose(out, wanted, rtol=tolerance, atol=tolerance)
    for before, after in zip(arguments(name), args, strict=True):
        assert np.array_equal(before, after), "a kernel wrote to an input"


def test_an_access_outside_of_a_buffer_is_seen() -> None:
    with pytest.raises(IndexError, match="element 3 of a buffer of 3"):
        Address(np.zeros(3), 2)[1]
