"""Executable: a tape with its constants, run on the tier its configuration and history ask for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.backends.cpu import CpuProgram
from nbgrad.config import settings
from nbgrad.core.tape import Tape, Var
from nbgrad.program.program import Program, make_program
from nbgrad.program.reference import ReferenceProgram

# Beyond this many equations a structure stays interpreted unless it is compiled on request: the
# compiler needs about 3 ms a statement (docs/performance.md).
MAX_COMPILED = 4000


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
        self.lock = threading.Lock()
        self.elements = sum(eqn.out.aval.size for eqn in tape.eqns)

    def run(self, args: list[Any]) -> list[Any]:
        """Return one fresh array for each output of the tape."""
        if self.constants:
            args = args + self.constants
        tier = settings.current.tier
        if tier == "auto":
            if self.compiled is not None:
                return self.compiled.run(args)
            if not self._hot():
                return self.reference.run(args)
        elif tier == "reference":
            return self.reference.run(args)
        return self.compile().run(args)

    def _hot(self) -> bool:
        self.runs += 1
        current = settings.current
        if self.runs < current.hot_runs and self.elements < current.hot_elements:
            return False
        return len(self.tape) <= MAX_COMPILED

    def compile(self) -> CpuProgram:
        """Compile the kernels now, instead of when the structure turns hot."""
        if self.compiled is None:
            with self.lock:
                if self.compiled is None:
                    self.compiled = CpuProgram(self.program())
        return self.compiled

    def program(self) -> Program:
        """Return the planned program: its source and statistics can be read without compiling."""
        return self.compiled.program if self.compiled else make_program(self.tape)


def as_input(value: Any, var: Var) -> Any:
    """Return *value* as what a program reads: contiguous, aligned, of the input's dtype."""
    return np.require(value, var.aval.dtype, ["C", "A"])
