"""Flat programs on the CPU: the kernels of patterns, and frames filled by array operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from nbgrad.backends.cpu import library
from nbgrad.backends.cpu.executor import Frame
from nbgrad.backends.cpu.launch import BlasThreads, Launch, Scratch, extended
from nbgrad.backends.cpu.program import bits, kernel_of
from nbgrad.backends.cpu.runner import Instance, Runner
from nbgrad.core.frozen import Frozen
from nbgrad.core.interpret import evaluate
from nbgrad.core.tape import Equation, Literal, Tape
from nbgrad.machine import layout
from nbgrad.machine.compile import Kernel
from nbgrad.program.flat import Flat, Pattern, base_and_offset, place
from nbgrad.program.program import Program
from nbgrad.program.text import Emitted, Number, Pointer, Status
from nbgrad.program.values import CODES
from nbgrad.program.views import LibraryCall

Array = np.ndarray[Any, Any]
Integers = np.ndarray[Any, np.dtype[np.int64]]


class Template(Frozen):
    """The argument words and instructions of one equation of a pattern.

    ``words`` has what is the same for every equation. To the words ``columns`` the places of
    ``values`` are added: operands by number, then results. ``scratch`` words are
    offsets in memory that a step uses for itself, ``scratch_bytes`` of it. ``kernels`` are kept: code
    goes with the last reference to it.
    """

    words: Integers
    instructions: Integers
    columns: Integers
    values: Integers
    scratch: Integers
    status: Integers
    blas: Integers
    scratch_bytes: int
    kernels: tuple[Kernel, ...]


def template(pattern: Pattern, number: int) -> Template:
    """Compile the kernels of *pattern*; *number* is what its library calls fail by."""
    program = pattern.program
    launches: list[Launch] = []
    for step in program.steps:
        if isinstance(step, LibraryCall):
            launches += library.launches(step, number)
        else:
            assert isinstance(step, Emitted)
            launches.append(Launch(kernel_of(step), step.args, step.tasks, step.grain))
    words = _Words(program)
    rows = []
    for launch in launches:
        rows.append((launch.kernel.address, launch.tasks, launch.grain, len(words.words)))
        for arg in extended(launch.args):
            words.add(arg)
    pairs = _table(words.columns, 2)
    return Template(
        words=_table(words.words, 1).ravel(),
        instructions=_table(rows, 4),
        columns=pairs[:, 0],
        values=pairs[:, 1],
        scratch=_table(words.scratch, 1).ravel(),
        status=_table(words.status, 1).ravel(),
        blas=_table(words.blas, 1).ravel(),
        scratch_bytes=words.size,
        kernels=tuple([launch.kernel for launch in launches]),
    )


class _Words:
    """The argument words of a template, and which of them are what."""

    def __init__(self, program: Program) -> None:
        self.program = program
        tape = program.tape
        # The equation may have been written as several.
        self.values = {var: k for k, var in enumerate((*tape.inputs, *tape.outputs))}
        self.arena = self.size = -(-program.plan.arena_bytes // 64) * 64
        self.words: list[int] = []
        self.columns: list[tuple[int, int]] = []
        self.scratch: list[int] = []
        self.status: list[int] = []
        self.blas: list[int] = []

    def add(self, arg: Any) -> None:
        at, word = len(self.words), 0
        if isinstance(arg, Scratch):
            self.scratch.append(at)
            word = self.arena + arg.start
            self.size = max(self.size, self.arena + arg.end)
        elif isinstance(arg, Status):
            self.status.append(at)
        elif isinstance(arg, BlasThreads):
            self.blas.append(at)
        elif isinstance(arg, Pointer):
            word = arg.offset
            buffer = self.program.shared.get(arg.buffer, arg.buffer)
            if buffer in self.values:
                self.columns.append((at, self.values[buffer]))
            else:
                self.scratch.append(at)
                word += self.program.plan.offsets[buffer]
        else:
            word = bits(arg)
        self.words.append(word)


def _table(rows: Sequence[Any], width: int) -> Integers:
    return np.array(rows, np.int64).reshape(-1, width)


class Laid(Frozen):
    """Equations that one frame runs, with addresses still as places.

    ``pointers`` are the words that hold places, ``status`` and ``blas`` those of other kinds.
    """

    words: Integers
    instructions: Integers
    pointers: Integers
    status: Integers
    blas: Integers


@dataclass(frozen=True, slots=True)
class Stretch:
    """The equations from *start* to *last*, which one frame runs."""

    start: int
    last: int


class HostEquation(Frozen):
    """An equation between frames that its NumPy reference computes."""

    eqn: Equation
    reads: tuple[int, ...]
    outs: tuple[int, ...]


class FlatProgram(Runner):
    """A flat program, ready to run.

    Parameters
    ----------
    tape : Tape
    """

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self.flat = flat = Flat(tape, self.base_of, self.weak)
        self.patterns = flat.patterns
        self.literals = flat.literals
        self.templates = templates = [
            None if _by_host(p) else template(p, k + 1) for k, p in enumerate(flat.patterns)
        ]
        self.scratch = -(-flat.arena_bytes // 64) * 64
        self.arena_bytes = self.scratch + max((t.scratch_bytes for t in templates if t), default=0)
        self.widths = np.array([len(t.words) if t else 0 for t in templates] + [0], np.int64)
        self.counts = np.array(
            [len(t.instructions) if t else 0 for t in templates] + [0], np.int64
        )
        # Once for all stretches: there may be as many as there are arrays.
        self.avals = tuple([var.aval for var in self.base_of])
        self.specification = np.array(layout.specification(self.avals), np.int64)
        host = np.array([t is None for t in templates] + [False])
        self.segments: list[Any] = []
        runs = groupby(range(len(tape)), host[flat.which].tolist().__getitem__)
        for is_host, numbers in runs:
            if is_host:
                self.segments += [_host_equation(flat, k) for k in numbers]
            else:
                equations = list(numbers)
                self.segments.append(Stretch(equations[0], equations[-1]))

    def _laid(self, start: int, last: int) -> Laid:
        """Lay out the equations from *start* to *last*."""
        flat, templates, widths, counts = self.flat, self.templates, self.widths, self.counts
        which = flat.which[start : last + 1]
        ends, row_ends = np.cumsum(widths[which]), np.cumsum(counts[which])
        words = np.zeros(ends[-1], np.int64)
        rows = np.zeros((row_ends[-1], 4), np.int64)
        pointers: list[Integers] = []
        status: list[Integers] = []
        blas: list[Integers] = []
        order = np.argsort(which, kind="stable")
        bounds = np.searchsorted(which[order], np.arange(len(templates) + 1))
        here = place(flat.n_bases, self.scratch)
        for k in np.unique(which[which >= 0]).tolist():
            t = templates[k]
            found = order[bounds[k] : bounds[k + 1]]
            if t is None:
                continue
            at = (ends[found] - len(t.words))[:, None]
            block = np.tile(t.words, (len(found), 1))
            block[:, t.columns] += _operands(flat, found + start, t.values)
            block[:, t.scratch] += here
            words[at + np.arange(len(t.words))] = block
            row = np.tile(t.instructions, (len(found), 1, 1))
            row[:, :, 3] += at
            rows[(row_ends[found] - len(t.instructions))[:, None] + np.arange(counts[k])] = row
            for into, columns in (
                (pointers, t.columns), (pointers, t.scratch), (status, t.status), (blas, t.blas),
            ):  # fmt: skip
                into.append((at + columns).ravel())
        return Laid(words, rows, *(_joined(x) for x in (pointers, status, blas)))

    def lay_out(self, segment: Stretch | HostEquation, instance: Instance) -> Any:
        """The frame of a stretch in the memory of *instance*.

        It is laid out anew for each: most programs have one, and what is read of it is small.
        """
        if isinstance(segment, HostEquation):
            return segment
        laid = self._laid(segment.start, segment.last)
        words = laid.words
        held = words[laid.pointers]
        base, offset = base_and_offset(held)
        given = base < len(self.base_of)
        fixed = np.array(instance.bases, np.int64)
        words[laid.pointers[~given]] = fixed[base[~given] - len(self.base_of)] + offset[~given]
        patches = np.stack([laid.pointers[given], base[given], offset[given]], axis=1)
        avals, spec = self.avals, self.specification
        frame = Frame(len(avals), instance.bases, patches, laid.instructions, words, avals, spec)
        frame.args[laid.status] = frame.status_address
        instance.blas_words += [(frame, word) for word in laid.blas.tolist()]
        return frame

    def fill(self, instance: Instance) -> None:
        """Write the numbers of the tape's structure; those without kernels NumPy takes from it."""
        words = [
            bits(Number(value, CODES[dtype])) if dtype in CODES else 0
            for value, dtype in self.literals
        ]
        instance.arena[: 8 * len(words)] = np.array(words, np.int64).view(np.uint8)

    def _fail(self, status: int) -> None:
        steps = [
            next((s for s in p.program.steps if isinstance(s, LibraryCall)), None)
            for p in self.patterns
        ]
        raise library.failure(status, steps)

    def _run_segments(
        self, instance: Instance, args: list[Any], outs: list[Array], values: list[Any]
    ) -> None:
        memory = [*values, instance.arena]

        def read(atom: Any, where: int) -> Any:
            if isinstance(atom, Literal):
                return atom.value
            base, offset = base_and_offset(where)
            if base == len(memory):
                return args[self.weak_range[0] + offset // 8]
            raw = memory[base].reshape(-1).view(np.uint8)[offset : offset + atom.aval.nbytes]
            return raw.view(atom.aval.dtype).reshape(atom.aval.shape)

        with np.errstate(all="ignore"):
            for segment in instance.segments:
                if isinstance(segment, Frame):
                    if status := segment.run(values):
                        self._fail(status)
                    continue
                eqn = segment.eqn
                xs = [read(a, where) for a, where in zip(eqn.inputs, segment.reads, strict=True)]
                found = evaluate(eqn, xs)
                given = found if len(eqn.outs) > 1 else (found,)
                for out, where, value in zip(eqn.outs, segment.outs, given, strict=True):
                    np.copyto(read(out, where), value)


def _operands(flat: Flat, equations: Integers, values: Integers) -> Integers:
    """Places of the *values* (operands by number, then results) of some equations of a kind."""
    first = flat.first[equations][:, None]
    count = int(flat.first[equations[0] + 1] - flat.first[equations[0]])
    read = (
        flat.reads[np.minimum(first + values, len(flat.reads) - 1)] if len(flat.reads) else first
    )
    outs = flat.outs[equations][:, None] + np.maximum(values - count, 0)
    return flat.places[np.where(values < count, read, outs)]


def _by_host(pattern: Pattern) -> bool:
    """Whether the reference runs it: it has no kernel, or one that this backend lacks."""
    calls = (step for step in pattern.program.steps if isinstance(step, LibraryCall))
    return pattern.host or not all(map(library.serves, calls))


def _host_equation(flat: Flat, k: int) -> HostEquation:
    reads = flat.reads[flat.first[k] : flat.first[k + 1]]
    eqn, out = flat.tape.eqns[k], flat.outs[k]
    outs = flat.places[out : out + len(eqn.outs)]
    return HostEquation(eqn, tuple(flat.places[reads].tolist()), tuple(outs.tolist()))


def _joined(parts: list[Integers]) -> Integers:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
