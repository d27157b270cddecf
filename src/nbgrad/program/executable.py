"""Executable: a tape with its constants, run on the tier its configuration and history ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.core.tape import Tape
from nbgrad.program.reference import ReferenceProgram


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

    def run(self, args: list[Any]) -> list[Any]:
        """Return one fresh array for each output of the tape."""
        return self.reference.run(args + self.constants)

    def compile(self) -> None:
        """Compile the kernels now, instead of when the structure turns hot."""
