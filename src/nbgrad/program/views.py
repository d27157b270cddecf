"""Operands of library kernels: a chain of views of a buffer as one offset and a few strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, repeat
from typing import TYPE_CHECKING

from nbgrad.core.frozen import Value
from nbgrad.core.tape import Atom, Equation, Var
from nbgrad.ops.kinds.forms import Library
from nbgrad.program import index
from nbgrad.program.fuse import Fusion, HostCall
from nbgrad.program.nest import Load
from nbgrad.program.values import Body, MustMaterialize, has_code, on_card

if TYPE_CHECKING:
    from nbgrad.program.nests import Call
    from nbgrad.program.text import CudaKernel


class Operand(Value):
    """Part of a buffer as a kernel walks it; offset and strides in elements."""

    buffer: Var
    offset: int
    extents: tuple[int, ...]
    strides: tuple[int, ...]


class LibraryCall(Value):
    """A call of the library kernel ``kernel``, which writes the whole of each of ``eqn.outs``.

    ``host`` is the same by the reference, for a backend that lacks the kernel.
    """

    kernel: str
    eqn: Equation
    operands: tuple[Operand, ...]
    host: Call

    @property
    def reads(self) -> tuple[Var, ...]:
        return tuple(dict.fromkeys(x.buffer for x in self.operands))


class Stage(Value):
    """One of the kernels that a call is on a card, and what it reads and writes."""

    call: LibraryCall
    kernel: CudaKernel
    reads: tuple[Var, ...]
    writes: tuple[Var, ...]

    @property
    def eqn(self) -> Equation:
        return self.call.eqn


def library_call(host: Call, fusion: Fusion) -> LibraryCall | None:
    """The call that the equation of *host* becomes, or None if no library kernel serves it.

    Raises
    ------
    MustMaterialize
        If an operand has to be copied first.
    """
    eqn = host.eqn
    splits = _splits(eqn)
    if splits is None:
        return None
    operands = tuple(
        _operand(atom, split, eqn, fusion) for atom, split in zip(eqn.inputs, splits, strict=True)
    )
    return LibraryCall(eqn.prim.lower.kernel, eqn, operands, host)


def unreadable(fusion: Fusion) -> set[Var]:
    """Views that library kernels cannot read in place and no other step has in memory."""
    found = set()
    for step in fusion.steps:
        if not isinstance(step, HostCall):
            continue
        splits = _splits(step.eqn)
        for atom, split in zip(step.eqn.inputs, splits, strict=True) if splits else ():
            try:
                _operand(atom, split, step.eqn, fusion)
            except MustMaterialize as missing:
                found.add(missing.var)
    return found


def _splits(eqn: Equation) -> Sequence[tuple[int, ...]] | None:
    lower = eqn.prim.lower
    if (
        not isinstance(lower, Library)
        or (lower.on_card and not on_card())
        or any(not has_code(x.aval.dtype) for x in eqn.outs)
    ):
        return None
    avals = []
    every = isinstance(lower.dtypes, str)
    for atom, kinds in zip(
        eqn.inputs, repeat(lower.dtypes) if every else lower.dtypes, strict=not every
    ):
        if not isinstance(atom, Var) or atom.weak:
            return None
        if not has_code(atom.aval.dtype) or atom.aval.dtype.kind not in kinds:
            return None
        avals.append(atom.aval)
    return lower.splits(eqn.params, *avals)


def _operand(atom: Atom, split: tuple[int, ...], eqn: Equation, fusion: Fusion) -> Operand:
    assert isinstance(atom, Var)
    shape = atom.aval.shape
    body = Body(len(shape), fusion.producers, fusion.stored, shape)
    number = body.pull(atom, index.identity(len(shape)), (), atom.aval.dtype)
    found = body.values[number]
    if not isinstance(found, Load) or found.guards or found.dtype != atom.aval.dtype:
        raise MustMaterialize(atom)
    extents = [shape[first:last] for first, last in pairwise(split)]
    sizes = tuple(math.prod(group) for group in extents)
    if 0 in sizes:
        return Operand(found.buffer, 0, sizes, (0,) * len(sizes))
    strides = tuple(
        index.merged_stride(shape[first:last], found.strides[first:last])
        for first, last in pairwise(split)
    )
    if None in strides or not eqn.prim.lower.in_place(sizes, strides):
        raise MustMaterialize(atom)
    return Operand(found.buffer, found.offset, sizes, strides)  # type: ignore[arg-type]
