"""A program that any thread may call by pointer: what differs from run to run lies on the stack, or in a pool.

``int64 run(int64 *image, void **values)`` evaluates it once, reading and writing where *values* point, and
returns 0, or what failed. The image is a table that is only read: words that a run starts from, which of them
are addresses in its own memory, which are those of values, and the kernels to call. What a program needs
beside its values is a few hundred bytes for a small one, which are taken from the stack; more is taken
from a pool, by an atomic exchange, and kept. So there is no lock, and no limit to threads or recursion.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nbgrad.backends.cpu import blas, image_text, lapack, launch, library, services
from nbgrad.backends.cpu.executor import loop_code
from nbgrad.backends.cpu.image_memory import POOL, STACK, layout_of, never, run_code, table_of
from nbgrad.backends.cpu.pointed import framed
from nbgrad.errors import NbgradError
from nbgrad.machine import bounds
from nbgrad.machine.cache import hasher
from nbgrad.machine.called import NO_MEMORY, OTHER, OUTSIDE, SINGULAR
from nbgrad.machine.compile import Code, Kernel
from nbgrad.program.loops import Chosen, Loop, Whole
from nbgrad.program.text import Service


class NotNative(NbgradError, TypeError):
    """A program that machine code cannot run without Python."""


class Image:
    """A compiled program as a table that is only read, with the function that runs it.

    Parameters
    ----------
    runner : CpuProgram
    constants : sequence of ndarray
        Its last inputs.

    Attributes
    ----------
    address : int
        Of the table.
    run : int
        Of the function.
    size : int
        Bytes of memory that a run needs.
    inputs, outputs : int
        How many values are read, and written; one more points to memory of the caller's, or nowhere.

    Raises
    ------
    NotNative
        If it is more than one frame of kernels.
    """

    def __init__(self, runner: Any, constants: Sequence[Any]) -> None:
        if not framed(runner):
            raise NotNative(refusal(runner))
        self.runner = runner
        self.constants = [np.require(x, None, ["C", "A"]) for x in constants]
        self.inputs = len(runner.tape.inputs) - len(self.constants)
        self.outputs = len(runner.tape.outputs)
        self.layout = layout = layout_of(runner, self.constants, self.inputs)
        self.size = layout.size
        self.small = layout.size <= 8 * STACK
        self.table = table_of(layout, self.inputs + self.outputs, self.constants)
        bounds.register(self.table)
        self.code = run_code("nbgrad_small" if self.small else "nbgrad_large")
        self.address, self.run = self.table.ctypes.data, self.code.address

    def constant_at(self, address: int) -> int | None:
        """Which constant is there."""
        found = [k for k, x in enumerate(self.constants) if x.ctypes.data == address]
        return found[0] if found else None

    def digest(self, more: str = "") -> str:
        """What it computes and how, and *more*, as a hash that is the same in each process."""
        layout, known = self.layout, blas.routine_names | services_by_address()
        known |= {code.address: code.symbol for code in codes(self.runner)}
        words: list[Any] = list(layout.words)
        for word in layout.outside:
            words[word] = known.get(words[word], words[word])  # else of this process alone
        for word, k, offset in layout.fixed:
            words[word] = ("constant", k, offset)
        calls = [(known[kernel], *rest) for kernel, *rest in layout.calls]
        copies = [(k, source, n) for k, source, _, n in layout.copies]
        rows = (
            more,
            words,
            layout.size,
            layout.inside,
            layout.given,
            layout.numbers,
            calls,
            copies,
        )
        found = hasher(repr(rows).encode())
        for array in (*self.constants, *layout.literals):
            found.update(f"{array.dtype} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).view(np.uint8).data)
        return found.hexdigest()

    def written_out(self) -> int:
        """Where the function is that runs this image alone, faster; or that of all, for a large one."""
        if self.small and len(self.layout.words) <= image_text.WORDS:
            self.code = image_text.written_out(self.layout, self.table)
            self.run = self.code.address
        return self.run

    @property
    def fault(self) -> int:
        """In which way a run may fail, if there is one."""
        kinds = {_fault(step) for step in self.runner.program.steps} - {None}
        return kinds.pop() or OTHER if len(kinds) == 1 else OTHER

    def failure(self, status: int) -> BaseException:
        """What a status other than 0 stands for."""
        if status == NO_MEMORY:
            return MemoryError(f"there are no {self.size} bytes for a run of a compiled function")
        return library.failure(status, self.runner.program.steps, self.runner.tier)

    # A default outlives the names of this module, which Python empties when it ends.
    def __del__(self, free: Any = ctypes.pythonapi.PyMem_RawFree) -> None:
        table = self.__dict__.get("table")
        if table is not None:
            start = int(table[POOL])
            for k in range(start, len(table), 8):
                if table[k + 2]:
                    free(ctypes.c_void_p(int(table[k + 2])))


def _fault(step: Any) -> int | None:
    if isinstance(step, (Chosen, Loop, Whole)) or getattr(step, "kernel", None) == "native":
        return OTHER
    kernel = getattr(step, "kernel", None)
    if kernel in lapack.ERRORS:
        return SINGULAR
    return OUTSIDE if kernel in ("take", "put", "scatter_add") else None


def kernels(runner: Any) -> Iterator[Kernel]:
    """The kernels that a program calls, those of inner programs included."""
    for segment in runner.segments:
        for call in segment:
            yield call.kernel
            yield from _kernels(call.args)


def _kernels(args: Sequence[Any]) -> Iterator[Kernel]:
    for arg in args:
        if isinstance(arg, launch.Row):
            yield from _kernels(arg.args)
        elif isinstance(arg, launch.Inner):
            yield from kernels(arg.program)
        elif isinstance(arg, launch.Code):
            yield arg.kernel


def codes(runner: Any) -> Iterator[Any]:
    """All machine code of a program that is found by its symbol, with the loop that runs programs within."""
    yield from kernels(runner)
    yield from _compiled(runner.program.steps)
    yield loop_code()


def _compiled(steps: Sequence[Any]) -> Iterator[Code]:
    """The code of functions that were compiled by Numba, where it was made of their source."""
    for step in steps:
        for program in getattr(step, "programs", ()):
            yield from _compiled(program.steps)
        if getattr(step, "kernel", None) == "native":
            params = step.eqn.params
            made = params["function"].code_of(params)
            if isinstance(made.keepalive, Code):
                yield made.keepalive


def services_by_address() -> dict[int, str]:
    """The names of functions that kernels call, as a library in C has them."""
    named = {
        "copy": "memmove",
        "grow": "nbgrad_grow",
        "release": "free",
        "raised": "nbgrad_raised",
    }
    found = {services.address(Service(k)): name for k, name in named.items()}
    return found | {never().address: "nbgrad_never"}


def refusal(runner: Any) -> str:
    """Why a program is none that machine code runs alone."""
    calls = [
        step.call.eqn.prim.name
        for segment in getattr(runner, "segments", ())
        if not isinstance(segment, list)
        for step in (segment,)
        if hasattr(step, "call")
    ]
    names = ", ".join(sorted(set(calls))) or "what stands for it here"
    return (
        f"this program calls Python for {names}: machine code cannot run it alone. Call it from Python by "
        "nbgrad.jit, or write that part of operations that nbgrad compiles"
    )
