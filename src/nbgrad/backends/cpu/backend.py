"""The CPU as a backend: compiled kernels, on arrays of NumPy's."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nbgrad.backends.base import Runnable, Work
from nbgrad.backends.cpu import executor
from nbgrad.backends.cpu.program import CpuProgram, compile_price
from nbgrad.core.lazy import LazyModule

flat = LazyModule("nbgrad.backends.cpu.flat")
timed = LazyModule("nbgrad.backends.cpu.timed")

Array = np.ndarray[Any, Any]

name: Final = "cpu"


def accepts(work: Work) -> bool:
    """Everything: what has no kernel is a call of its NumPy reference."""
    return True


def prepare(work: Work, tier: str) -> Runnable:
    """Compile *work* whole, also to be timed step by step, or put it together of blocks; also what every run asks for."""
    executor.prepare()
    if tier == "block" and work.flat:
        made: Runnable = flat.FlatProgram(work.tape)
        return made
    if tier == "timed":
        timing: Runnable = timed.TimedProgram(work.program())
        return timing
    return CpuProgram(work.program(), tier)


def price(work: Work, fresh: bool) -> float:
    """Rough seconds that compiling the kernels not yet cached will take."""
    return compile_price(work.program(), fresh)


def to_host(buffer: Array) -> Array:
    return buffer


def from_host(array: Array) -> Array:
    return array
