"""Sweeps: products of a Jacobian with several seeds at once, of which entries are picked.

A sweep is one program. It reads the arguments, a stack of seeds and which entries of the products are
wanted, and gives these in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, leaf_node, placeholder
from nbgrad.core.tape import Tape, Var
from nbgrad.core.values import value_of
from nbgrad.engine.programs import executable
from nbgrad.engine.tiers import Executable
from nbgrad.ops.arrays.indexing import take
from nbgrad.ops.basis import cast, concatenate, reshape, slice_
from nbgrad.ops.kinds.batching import stacked
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.sparse.tapes import Recorded, sizes_of
from nbgrad.transforms.jvp import jvp
from nbgrad.transforms.vjp import vjp
from nbgrad.transforms.vmap import batched

Array = np.ndarray[Any, Any]
INDEX = np.dtype(np.int64)


class Program:
    """A tape and its constants; it is made runnable when it first runs, and pickled without that."""

    def __init__(self, tape: Tape, constants: Sequence[Any]) -> None:
        self.tape, self.constants = tape, list(constants)

    def __reduce__(self) -> Any:
        return Program, (self.tape, self.constants)

    @cached_property
    def exe(self) -> Executable:
        """What runs it, compiled at once if that is a matter of seconds."""
        found = executable(self.tape, [leaf_node(a) for a in self.constants])
        found.hurried = (
            True  # loops are those of one evaluation, which was made to find the pattern
        )
        found.compile_soon()
        return found

    def __call__(self, *args: Any) -> list[Any]:
        found: list[Any] = self.exe.run(list(args))
        return found

    def into(self, args: Sequence[Any], outs: Sequence[Array]) -> None:
        """Run, and write the results to *outs*."""
        self.exe.run_into(list(args), list(outs))


def program_of(outs: Sequence[Any], inputs: Sequence[Node], given: Sequence[Var]) -> Program:
    """The program of recorded nodes, whose first inputs stand for *given*."""
    tape, constants = linearize(outs, inputs)
    for mine, theirs in zip(tape.inputs, given, strict=False):
        mine.weak = theirs.weak
    return Program(tape, [value_of(node) for node in constants])


def sweep(of: Recorded, forward: bool, width: int, count: int, dtype: Any) -> Program:
    """The program of *width* products, with the Jacobian or its transpose, and *count* entries of them.

    Its inputs are the arguments, seeds of shape (width, columns or rows), and the places of entries.
    """
    before, modes.grad = modes.grad, False
    try:
        if forward:
            both, constants = jvp(of.tape, of.wrt, closed=of.closed)
            one = Tape(both.inputs, both.eqns, both.outputs[len(of.tape.outputs) :])
            seeded: Sequence[Any] = of.wrt
            like: Sequence[Any] = of.tape.outputs
        else:
            one, constants = vjp(of.tape, list(of.wrt), blocked=of.closed)
            seeded = [a for a in of.tape.outputs if isinstance(a, Var)]
            like = of.wrt
        return _recorded(of, one, constants, seeded, like, width, count, dtype)
    finally:
        modes.grad = before


def _recorded(
    of: Recorded,
    one: Tape,
    constants: Sequence[Node],
    seeded: Sequence[Any],
    like: Sequence[Any],
    width: int,
    count: int,
    dtype: Any,
) -> Program:
    args = [placeholder(v.aval) for v in of.tape.inputs[: of.given]]
    held = [leaf_node(a) for a in of.constants]
    seeds = placeholder(make_aval((width, sum(v.aval.size for v in seeded)), np.dtype(float)))
    places = placeholder(make_aval((count,), INDEX))
    stacks, first = [], 0
    for var in seeded:
        part = slice_(seeds, starts=(0, first), sizes=(width, var.aval.size), steps=(1, 1))
        first += var.aval.size
        part = reshape(part, shape=(width, *var.aval.shape))
        stacks.append(part if part.dtype == var.aval.dtype else cast(part, dtype=var.aval.dtype))
    given = [*args, *held, *stacks, *constants]
    known = len(args) + len(held)
    flags = [False] * known + [True] * len(stacks) + [False] * len(constants)
    outs, are = batched(one, given, width, flags)
    rows = []
    for out, is_stack, atom in zip(outs, are, like, strict=True):
        full = out if is_stack else stacked(materialize(out, atom.aval), width)
        flat = reshape(full, shape=(width, atom.aval.size))
        rows.append(flat if flat.dtype == dtype else cast(flat, dtype=dtype))
    whole = rows[0] if len(rows) == 1 else concatenate(*rows, axis=1)
    picked = take(reshape(whole, shape=(whole.size,)), places)
    return program_of([picked], [*args, seeds, places], of.tape.inputs)


class Compressed:
    """Values of entries by products with seeds, each of which stands for a colour.

    Parameters
    ----------
    program : Program
    colors : ndarray
        Of each column, or row if the products are with the transpose.
    chunks : sequence of (ndarray, ndarray)
        For each run of the program, the entries that it gives and their places among its products.
    width : int
        Colours of a run.
    """

    def __init__(
        self, program: Program, colors: Array, chunks: Sequence[tuple[Array, Array]], width: int
    ) -> None:
        self.program, self.colors, self.chunks, self.width = program, colors, chunks, width
        self.alone = len(chunks) == 1 and len(chunks[0][0]) == 0

    def __reduce__(self) -> Any:
        return Compressed, (self.program, self.colors, self.chunks, self.width)

    @cached_property
    def seeds(self) -> list[Array]:
        """The seeds of each run: 1 in the columns of a colour."""
        found = []
        for k in range(len(self.chunks)):
            which = np.arange(k * self.width, (k + 1) * self.width)
            found.append((self.colors == which[:, None]).astype(float))
        return found

    def fill(self, args: Sequence[Any], data: Array) -> None:
        """Write the values at *args* to *data*."""
        if self.alone:
            self.program.into([*args, self.seeds[0], self.chunks[0][1]], [data])
            return
        for (entries, places), seeds in zip(self.chunks, self.seeds, strict=True):
            (found,) = self.program(*args, seeds, places)
            data[entries] = found[: len(entries)]


def _filled(places: Array, count: int) -> Array:
    """*places*, and then so many zeros that there are *count*."""
    return np.pad(places, (0, count - len(places))) if len(places) < count else places


MAX_BYTES = 1 << 28  # of the products of a run


def compressed(
    of: Recorded,
    forward: bool,
    colors: Array,
    count: int,
    along: Array,
    across: Array,
    dtype: Any,
    entries: Array | None = None,
) -> Compressed:
    """How entries are computed, of which *along* has the coloured index and *across* the other.

    They are those of all, or *entries* among them; *count* is the number of colours.
    """
    sizes = sum(sizes_of(of.wrt)), sum(sizes_of(of.tape.outputs))
    length = sizes[1] if forward else sizes[0]
    work = 8 * sum(out.aval.size for eqn in of.tape.eqns for out in eqn.outs) + 8 * sum(sizes)
    width = max(1, min(count, MAX_BYTES // max(work, 1)))
    if entries is not None:
        along, across = along[entries], across[entries]
    color = colors[along]
    if width >= count and entries is None:
        places = color * length + across
        chunks = [(np.zeros(0, np.int64), places.astype(INDEX))]
        most = len(along)
    else:
        chunks = []
        numbers = np.arange(len(along)) if entries is None else entries
        for first in range(0, count, width):
            mine = (color >= first) & (color < first + width)
            places = (color[mine] - first) * length + across[mine]
            chunks.append((numbers[mine], places.astype(INDEX)))
        most = max(len(mine) for mine, _ in chunks)
        chunks = [(mine, _filled(places, most)) for mine, places in chunks]
    return Compressed(sweep(of, forward, width, most, dtype), colors, chunks, width)
