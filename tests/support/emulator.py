"""Programs run without a compiler: kernel text as Python, every access checked against its buffer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.tape import Var
from nbgrad.machine.intrinsics import CASTS, plain_namespace
from nbgrad.machine.scalar import HELPERS
from nbgrad.program.loops import Loop
from nbgrad.program.program import Program
from nbgrad.program.text import Emitted, Pointer

Array = np.ndarray[Any, Any]
Launch = Callable[[Emitted, list[Any]], None]


class Address:
    """A typed pointer into a buffer: an index counts elements from *offset*, below zero too.

    An access outside of the buffer raises, as no processor would.
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


def namespace() -> dict[str, Any]:
    """What kernel text may name."""
    return {**plain_namespace(), **HELPERS}


def in_tasks(length: int) -> Launch:
    """Run a kernel in tasks of *length*, the last first: their order must not matter."""

    def launch(step: Emitted, values: list[Any]) -> None:
        names = namespace()
        exec(step.source, names)
        for lo in reversed(range(0, step.tasks, length)):
            names[step.name](lo, min(lo + length, step.tasks), *values)

    return launch


def run(planned: Program, args: Sequence[Array], launch: Launch) -> list[Array]:
    """All steps in order: kernels by *launch*, library calls by their references."""
    buffers: dict[Var, Array] = dict(zip(planned.tape.inputs, args, strict=True))
    producers = {eqn.out: eqn for eqn in planned.tape.eqns}

    def value(atom: Any) -> Any:
        """The value of an operand, which may be a view of what is in memory."""
        if not isinstance(atom, Var):
            return atom.value
        if atom in buffers:
            return buffers[atom]
        eqn = producers[atom]
        return np.asarray(eqn.prim.evaluate(*map(value, eqn.inputs), **eqn.params))

    def argument(arg: Any) -> Any:
        if not isinstance(arg, Pointer):
            return CASTS[arg.code](arg.value)
        aval = arg.buffer.aval
        if arg.buffer not in buffers:
            # Memory that was never written holds anything.
            buffers[arg.buffer] = np.full(aval.shape, 77, aval.dtype)
        return Address(buffers[arg.buffer], arg.offset // aval.dtype.itemsize)

    for step in planned.steps:
        kernel = step.kernel if isinstance(step, Loop) else step
        if isinstance(kernel, Emitted):
            launch(kernel, [argument(arg) for arg in kernel.args])
        else:
            out = step.eqn.prim.evaluate(*map(value, step.eqn.inputs), **step.eqn.params)
            buffers[step.eqn.out] = np.array(out, step.eqn.out.aval.dtype, order="C")
    return [np.asarray(value(out)) for out in planned.tape.outputs]
