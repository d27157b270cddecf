"""Executable: a tape with its constants, run on the tier its configuration and history ask for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nbgrad.config import settings
from nbgrad.core.tape import Tape, Var
from nbgrad.lazy import LazyModule
from nbgrad.program.reference import ReferenceProgram

if TYPE_CHECKING:
    from nbgrad.backends.cpu import CpuProgram
    from nbgrad.program.program import Program

cpu = LazyModule("nbgrad.backends.cpu")
planning = LazyModule("nbgrad.program.program")

# Beyond this many equations a structure stays interpreted unless it is compiled on request: the
# compiler needs about 3 ms a statement (docs/performance.md).
MAX_COMPILED = 4000
# Element-operations in one run for which compiling first (0.1 to 1 s) is quicker than blocks.
HUGE = 100_000_000


class Runnable(Protocol):
    """What every tier offers."""

    def run(self, args: list[Any]) -> list[Any]: ...


class Executable:
    """A tape made runnable.

    Parameters
    ----------
    tape : Tape
        Its inputs are the arguments of ``run`` followed by *constants*.
    constants : sequence of ndarray
    """

    def __init__(self, tape: Tape, constants: Sequence[Any] = ()) -> None:
        self.tape = tape
        self.constants = list(constants)
        self.runs = 0
        self.reference = ReferenceProgram(tape)
        self.compiled: CpuProgram | None = None
        self.interpreted: CpuProgram | None = None
        self.lock = threading.Lock()
        self.elements = sum(eqn.out.aval.size for eqn in tape.eqns)

    def run(self, args: list[Any]) -> list[Any]:
        """Return one fresh array for each output of the tape."""
        if self.constants:
            args = args + self.constants
        compiled = self.compiled
        tier = settings.current.tier
        if tier == "auto":
            return (compiled or self._choose()).run(args)
        if tier == "reference":
            return self.reference.run(args)
        return (self.blocks() if tier == "block" else self.compile()).run(args)

    def _choose(self) -> Runnable:
        """The tier of the next run: it depends on counts only, so that a script repeats its bits.

        A structure starts in NumPy, or on blocks if it is large; once hot it is compiled, unless
        it is so long that compiling would take longer than it could save.
        """
        self.runs += 1
        current = settings.current
        hot, large = self.runs >= current.hot_runs, self.elements >= current.hot_elements
        if not hot and not large:
            return self.reference
        if len(self.tape) > MAX_COMPILED:
            return self.blocks()
        if hot or self.elements >= HUGE or cpu.all_cached(self.program()):
            return self.compile()
        return self.blocks()

    def compile(self) -> CpuProgram:
        """Compile the kernels now, instead of when the structure turns hot."""
        if self.compiled is None:
            with self.lock:
                if self.compiled is None:
                    self.compiled = cpu.CpuProgram(self.program())
        return self.compiled

    def blocks(self) -> CpuProgram:
        """Return the program of the block tier, made on first use."""
        if self.interpreted is None:
            with self.lock:
                if self.interpreted is None:
                    self.interpreted = cpu.CpuProgram(self.program(), "block")
        return self.interpreted

    def program(self) -> Program:
        """Return the planned program: its source and statistics can be read without compiling."""
        return self.compiled.program if self.compiled else planning.make_program(self.tape)


def as_input(value: Any, var: Var) -> Any:
    """Return *value* as what a program reads: contiguous, aligned, of the input's dtype."""
    return np.require(value, var.aval.dtype, ["C", "A"])
