"""Instructions of library kernels: what a kernel is called with and how its work is split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nbgrad.core.frozen import Frozen, Value
from nbgrad.machine import bounds
from nbgrad.machine.compile import Kernel, compile_kernel, remembered
from nbgrad.program.text import Number, Pointer, Service, Status
from nbgrad.program.values import CODES
from nbgrad.program.views import Operand


class BlasThreads(Value):
    """Argument: the number of threads that BLAS had before the run."""


class Scratch(Value):
    """Argument: an address in memory that nothing else uses during the call, aligned to 64 bytes.

    ``start`` and ``size`` are in bytes, from the same place for every argument of a call.
    """

    start: int
    size: int
    code: str

    @property
    def end(self) -> int:
        return self.start + self.size


class Row(Value):
    """Argument: the address of a row of further argument words."""

    args: tuple[Any, ...]


class Code(Value):
    """Argument: the address of a kernel."""

    kernel: Kernel


class Inner(Frozen):
    """Argument: the address of the frame of another program, which has memory of its own."""

    program: Any


class Addresses:
    """Which argument words of a frame are addresses, for who copies the frame to another place."""

    def __init__(self) -> None:
        self.status: list[int] = []
        self.rows: list[tuple[int, int]] = []  # of rows: where these start
        self.own: list[tuple[int, int, int]] = []  # of its memory: base and offset
        self.frames: list[int] = []  # of the frames of *inner*
        self.inner: list[Any] = []
        self.outside: list[int] = []  # of functions


Argument = Pointer | Number | Status | Service | BlasThreads | Scratch | Row | Inner
Arguments = tuple[Argument, ...]


class Launch(Value):
    """One instruction: a kernel, what its arguments are, and how it is split into tasks."""

    kernel: Kernel
    args: Arguments
    tasks: int
    grain: int


@remembered
def static_kernel(text: str, name: str, signature: tuple[str, ...]) -> Kernel:
    """Compile *text*, or fetch it from the cache."""
    return compile_kernel(text, name, signature, noalias=True)


def launch(text: str, name: str, args: Arguments, tasks: int, grain: int = 0) -> Launch:
    """Compile *text* for the arguments it is called with."""
    signature = tuple(_code(arg) for arg in args)
    return Launch(static_kernel(text, name, signature), args, tasks, grain)


def _code(arg: Argument) -> str:
    if isinstance(arg, Pointer):
        return CODES[arg.buffer.aval.dtype] + "*"
    if isinstance(arg, Number):
        return arg.code
    if isinstance(arg, Scratch):
        return arg.code + "*"
    return "i8*" if isinstance(arg, (Status, Service, Row, Inner)) else "i8"


def extended(args: Sequence[Any]) -> Sequence[Any]:
    """*args*, in the build that tests each access followed by the bounds of those that are pointers.

    Bounds are in bytes from where an argument points to; 0 and 0 where they are not known.
    """
    if not bounds.ON:
        return args
    found = [b for arg in args if (b := _bounds(arg)) is not None]
    return (*args, *(Number(end) for both in found for end in both))


def _bounds(arg: Any) -> tuple[int, int] | None:
    """Where the memory that *arg* points into starts and ends; None for a number."""
    if isinstance(arg, Pointer):
        return -arg.offset, arg.buffer.aval.nbytes - arg.offset
    if isinstance(arg, Scratch):
        return 0, arg.size
    if isinstance(arg, Row):
        return 0, 8 * len(extended(arg.args))
    if isinstance(arg, Status):
        return 0, 8
    known = isinstance(arg, (Code, Inner, Service)) or (
        isinstance(arg, Number) and arg.code.endswith("*")
    )
    return (0, 0) if known else None


def flattened(args: Sequence[Any]) -> Iterator[Any]:
    """*args*, with those of the rows they refer to in the place of these."""
    for arg in args:
        yield from flattened(arg.args) if isinstance(arg, Row) else (arg,)


def pointer(x: Operand) -> Pointer:
    return Pointer(x.buffer, x.offset * x.buffer.aval.dtype.itemsize)


def address(value: int) -> Number:
    return Number(value, "i8*")


def integers(*values: int) -> tuple[Number, ...]:
    return tuple(Number(v) for v in values)
