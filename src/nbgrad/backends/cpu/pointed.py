"""A program that machine code calls by pointer, again and again: it reads and writes where it was told to.

``int64 run(int64 *frame, int64 *frame)`` evaluates it once and returns 0, or what failed. What is not one
frame of kernels, or is no program at all, is a function of Python's behind such a pointer.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from nbgrad.backends.cpu import library, services
from nbgrad.backends.cpu.executor import Frame, loop_address
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.backends.cpu.runner import Instance
from nbgrad.core.tape import Var
from nbgrad.machine import bounds
from nbgrad.machine.compile import Code, native, remembered
from nbgrad.program.text import Service

# Runs a frame, then copies results that it does not compute: the loop, its frame, the copies and their rows.
_COPYING: Final = """
def nbgrad_copying(frame, values):
    inner = load_pointer(frame, 1)
    found = call_loop(load_pointer(frame, 0), inner, inner)
    row = offset_words(frame, 4)
    for _ in range(frame[2]):
        call_copy(load_pointer(frame, 3), load_pointer(row, 0), load_pointer(row, 1), row[2])
        row = offset_words(row, 3)
    return found
"""
_FUNCTION: Final = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


@remembered
def _copying() -> Code:
    return native(_COPYING, "nbgrad_copying", ("i8*", "i8*"), result="i8")[0]


def _whole(x: Any) -> Any:
    """*x* as a frame reads it, which looks at nothing but addresses."""
    if x.__class__ is np.ndarray and not x.flags.carray:
        x = np.require(x, None, ["C", "A"])
    return x


class Framed:
    """A compiled program with memory of its own, for one thread at a time.

    Parameters
    ----------
    runner : CpuProgram
    constants : sequence of ndarray
        Its last inputs.
    moving : dict of int to int
        Where inputs lie that differ from call to call, by their places.
    results : sequence of int
        Where each output of the tape goes.
    """

    def __init__(
        self, runner: CpuProgram, constants: Sequence[Any], moving: dict[int, int], results: Sequence[int]
    ) -> None:  # fmt: skip
        self.runner, self.constants = runner, list(constants)
        self.instance = Instance(runner)
        # There is none if all it does is to copy.
        self.of = frame = self.instance.frame or Frame(0, (), (), (), ())
        frame.take_bases()
        self.moving = moving
        self.keep: Sequence[Any] = ()
        inputs = runner.tape.inputs
        self.at = {var: moving[k] for k, var in enumerate(inputs) if k in moving}
        for var, address in self.at.items():
            frame.bases[runner.base_of[var]] = address
        copies, given = [], set()
        for atom, address in zip(runner.tape.outputs, results, strict=True):
            if isinstance(atom, Var) and atom not in inputs and atom not in given:
                frame.bases[runner.base_of[atom]] = address
                given.add(atom)
                self.at[atom] = address
            else:
                copies.append((atom, address))
        self.run, self.frame = loop_address(), frame.address
        self.copies = copies
        self.table: Any = None
        if copies:
            self._copy(copies)

    def _copy(self, copies: Sequence[tuple[Any, int]]) -> None:
        self.literals = []
        rows: list[int] = []
        for atom, address in copies:
            source = self.at.get(atom, 0) if isinstance(atom, Var) else 0
            if not isinstance(atom, Var):
                self.literals.append(np.full(atom.aval.shape, atom.value, atom.aval.dtype))
                source = self.literals[-1].ctypes.data
            rows += [address, source, atom.aval.nbytes]
        copy = services.address(Service("copy"))
        self.table = np.array([self.run, self.frame, len(copies), copy, *rows], np.int64)
        bounds.register(self.table)
        self.run, self.frame = _copying().address, self.table.ctypes.data

    def bind(self, values: Sequence[Any]) -> None:
        """The inputs that do not move; those at other places are ignored."""
        runner, frame = self.runner, self.of
        values = [_whole(x) for x in (*values, *self.constants)]
        if runner.weak:
            first, last = runner.weak_range
            runner._pack_rounded(self.instance, values[first:last])
        for k, (var, value) in enumerate(zip(runner.tape.inputs, values, strict=True)):
            if k not in self.moving and not var.weak:
                frame.bases[runner.base_of[var]] = value.ctypes.data
                self.at[var] = value.ctypes.data
        if self.table is not None:
            for row, (atom, _) in enumerate(self.copies):
                if isinstance(atom, Var):
                    self.table[4 + 3 * row + 1] = self.at[atom]
        self.keep = values

    @contextmanager
    def ready(self) -> Iterator[None]:
        """While it is called: BLAS is told how many threads to go back to."""
        words = self.instance.blas_words
        if not words:
            yield
            return
        with library.blas_thread_count() as count:
            for frame, word in words:
                frame.args[word] = count
            yield

    @property
    def plain(self) -> bool:
        """Whether ``ready`` does nothing."""
        return not self.instance.blas_words

    def failure(self, status: int) -> BaseException:
        """What a status other than 0 stands for."""
        return library.failure(status, self.runner.program.steps, self.runner.tier)


class Hosted:
    """A function of Python's that is called by pointer; what it raises ends the loop that calls it."""

    plain = False  # it needs Python's lock

    def __init__(self, call: Callable[[Sequence[Any]], None]) -> None:
        self.call = call
        self.values: Sequence[Any] = ()
        self.raised: BaseException | None = None
        self.function = _FUNCTION(self._called)
        self.run = ctypes.cast(self.function, ctypes.c_void_p).value or 0
        self.frame = 0

    def _called(self, frame: int, values: int) -> int:
        try:
            self.call(self.values)
        except BaseException as error:  # KeyboardInterrupt, too: raised where the loop was called
            self.raised = error
            return -1
        return 0

    def bind(self, values: Sequence[Any]) -> None:
        """What the function is called with."""
        self.values = values

    @contextmanager
    def ready(self) -> Iterator[None]:
        """While it is called."""
        self.raised = None
        yield

    def failure(self, status: int) -> BaseException:
        """What the function raised."""
        assert self.raised is not None
        return self.raised


def framed(runner: Any) -> bool:
    """Whether a program is one frame of kernels."""
    if not isinstance(runner, CpuProgram) or len(runner.segments) > 1:
        return False
    found = all(isinstance(segment, list) for segment in runner.segments)
    return found and all(runner.packable)
