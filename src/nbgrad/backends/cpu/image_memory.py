"""The table that an image is: what a run's memory starts with, and what is written to it.

A program's memory is one block: what failed, the arguments of its kernels, the frames of programs within, numbers,
arenas. It is made of that of an instance, whose frames say which words are addresses, and of what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any, Final

import numpy as np

from nbgrad.backends.cpu import blas, services
from nbgrad.backends.cpu.executor import (
    ARRAY,
    BASES,
    INSTRUCTIONS,
    LOOP,
    N_PATCHES,
    PATCHES,
    STATUS,
    Frame,
)
from nbgrad.backends.cpu.launch import Addresses
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.backends.cpu.runner import Instance
from nbgrad.core.tape import Var
from nbgrad.machine.called import NO_MEMORY
from nbgrad.machine.compile import Code, native, remembered
from nbgrad.program.text import Service

# Words of an image; of the tables, how many rows and where they start.
(
    WORDS, TEMPLATE,  # that a run's memory starts with
    INSIDE_N, INSIDE,  # rows (word, byte offset): addresses in a run's own memory
    GIVEN_N, GIVEN,  # rows (word, value, byte offset): addresses in what is read and written
    NUMBERS_N, NUMBERS,  # rows (byte offset, value, bytes): numbers that are copied to a run's memory
    CALLS_N, CALLS,  # rows (kernel, n, grain, word of its arguments)
    COPIES_N, COPIES,  # rows (value, value that is its source or -1, address of it, bytes)
    COPY, GROW, RELEASE,  # functions of C
    SIZE,  # bytes of a run's memory
    OWN,  # which value is memory of the caller's, or null
    POOL,  # rows of eight words: whether it is taken, its memory, where that was aligned from
    HEADER,
) = range(19)  # fmt: skip
FAILED, READY, FIRST = range(3)  # words of a run's memory: what failed, whose it is, arguments
STACK: Final = 1024  # words of the stack at most
PLACES: Final = 16  # of the pool

_START: Final = f"""
template = offset_words(image, image[{TEMPLATE}])
for k in range(image[{WORDS}]):
    work[k] = template[k]
row = offset_words(image, image[{INSIDE}])
for _ in range(image[{INSIDE_N}]):
    store_pointer(work, row[0], offset_bytes(work, row[1]))
    row = offset_words(row, 2)
"""
_RUN: Final = f"""
work[{FAILED}] = 0
row = offset_words(image, image[{GIVEN}])
for _ in range(image[{GIVEN_N}]):
    store_pointer(work, row[0], offset_bytes(load_pointer(values, row[1]), row[2]))
    row = offset_words(row, 3)
row = offset_words(image, image[{NUMBERS}])
for _ in range(image[{NUMBERS_N}]):
    call_copy(load_pointer(image, {COPY}), offset_bytes(work, row[0]), load_pointer(values, row[1]), row[2])
    row = offset_words(row, 3)
row = offset_words(image, image[{CALLS}])
for _ in range(image[{CALLS_N}]):
    n, grain = row[1], row[2]
    given = offset_words(work, row[3])
    if grain <= 0 or n <= grain:
        call_kernel(load_pointer(row, 0), 0, n, given)
    else:
        # The same boundaries as in parallel: results do not depend on the number of threads.
        for lo in range(0, n, grain):
            call_kernel(load_pointer(row, 0), lo, min(lo + grain, n), given)
    row = offset_words(row, 4)
row = offset_words(image, image[{COPIES}])
for _ in range(image[{COPIES_N}]):
    source = load_pointer(row, 2)
    if row[1] >= 0:
        source = load_pointer(values, row[1])
    call_copy(load_pointer(image, {COPY}), load_pointer(values, row[0]), source, row[3])
    row = offset_words(row, 4)
"""
_SMALL: Final = f"""
def nbgrad_small(image, values):
    work = stack_frame()
{indent(_START + _RUN, "    ")}
    return work[{FAILED}]
"""
# The place of a thread follows from where its stack is. A place that is taken, by a signal's handler or a
# thread that was there before a fork, is passed over.
_LARGE: Final = f"""
def nbgrad_large(image, values):
    work = load_pointer(values, image[{OWN}])
    raw = stack_words()
    place = offset_words(image, image[{POOL}])
    at = (address(raw) >> 16) * 40503
    kept, taken = False, False
    if is_nowhere(work):
        for k in range({PLACES}):
            place = offset_words(image, image[{POOL}] + 8 * ((at + k) % {PLACES}))
            if atomic_swap(place, 1) == 0:
                kept = True
                break
        if kept:
            work = load_pointer(place, 1)
        if is_nowhere(work):
            raw = call_grow(load_pointer(image, {GROW}), work, image[{SIZE}] + 64)
            if is_nowhere(raw):
                if kept:
                    atomic_store(place, 0)
                return {NO_MEMORY}
            work = offset_bytes(raw, 63 & -address(raw))
            work[{READY}] = 0
            taken = True
            if kept:
                store_pointer(place, 1, work)
                store_pointer(place, 2, raw)
    if work[{READY}] != address(image):
{indent(_START, " " * 8)}
        store_pointer(work, {READY}, image)
{indent(_RUN, "    ")}
    found = work[{FAILED}]
    if kept:
        atomic_store(place, 0)
    elif taken:
        call_release(load_pointer(image, {RELEASE}), raw)
    return found
"""


@remembered
def run_code(name: str) -> Code:
    text = {"nbgrad_small": _SMALL, "nbgrad_large": _LARGE}[name]
    return native(text, name, ("i8*", "i8*"), result="i8")[0]


# In the place of the service that lets a loop end at a signal: it takes Python's lock, for which a thread of
# prange would wait for ever, and there is no Python where programs run ahead of time.
_NEVER: Final = """
def nbgrad_never(raised):
    return i8(0)
"""


@remembered
def never() -> Code:
    return native(_NEVER, "nbgrad_never", ("i8*",), result="i8")[0]


@dataclass
class Layout:
    """The memory of a run and what is written to it; addresses of the process are words of it."""

    words: list[int]
    size: int
    inside: list[tuple[int, int]]
    given: list[tuple[int, int, int]]
    numbers: list[tuple[int, int, int]]
    calls: list[tuple[int, int, int, int]]
    copies: list[tuple[int, int, int, int]]
    fixed: list[tuple[int, int, int]] = field(default_factory=list)  # word, constant, byte offset
    outside: list[int] = field(default_factory=list)  # words that are addresses of functions
    literals: list[Any] = field(default_factory=list)


def _serial(instance: Instance) -> None:
    """Leave the number of BLAS's threads alone: other threads may be in there."""
    functions = blas._thread_functions()
    for frame, word in instance.blas_words:
        assert functions is not None
        frame.args[word] = functions[0]()


class _Memory:
    """The memory of a run, made of that of an instance: a status, arguments, frames within, numbers, arenas."""

    def __init__(self, instance: Instance) -> None:
        self.words = [0] * FIRST
        self.inside: list[tuple[int, int]] = []
        self.outside: list[int] = []
        self.size = 0
        self.arenas: list[tuple[int, int, int]] = []  # word, its arena, byte in there
        self.sizes: list[int] = []
        self.frame = instance.frame or Frame(0, (), (), (), ())
        self.numbers = self._add(instance, self.frame, 0)
        self._close()

    def _add(self, instance: Instance, frame: Frame, header: int) -> int:
        """Append a frame, without the first words of it; return the byte where its numbers are."""
        start, skipped = len(self.words), len(frame.words) - len(frame.args)
        if header:
            head = frame.words[:skipped].copy()
            # Which runs from Python look at, and places that nothing refers to.
            head[[ARRAY, LOOP]] = 0
            head[int(head[BASES]) : int(head[PATCHES])] = 0
            rows = range(start + int(head[INSTRUCTIONS]), start + skipped, 4)
            self.outside += rows
            self.words += head.tolist()
        args, status = len(self.words), start + STATUS if header else FAILED
        self.words += frame.args.tolist()
        numbers = 8 * len(self.words)
        self.words += np.frombuffer(bytes(instance.scalars), np.int64).tolist()
        arena = len(self.sizes)
        self.sizes.append(instance.arena.nbytes)
        known = frame.addresses or Addresses()
        self.inside += [(args + word, 8 * status) for word in known.status]
        self.inside += [(args + word, 8 * (args + row)) for word, row in known.rows]
        for word, base, offset in known.own:
            if base:
                self.inside.append((args + word, numbers + offset))
            else:
                self.arenas.append((args + word, arena, offset))
        self.outside += [args + word for word in known.outside]
        for word, inner in zip(known.frames, known.inner, strict=True):
            self.inside.append((args + word, 8 * len(self.words)))
            self._add(inner, inner.frame, 1)
        return numbers

    def _close(self) -> None:
        """Append the arenas."""
        size, starts = 8 * len(self.words), []
        for each in self.sizes:
            starts.append(-(-size // 64) * 64)
            size = starts[-1] + each
        self.inside += [(word, starts[arena] + offset) for word, arena, offset in self.arenas]
        self.size = size
        for word, _ in self.inside:
            self.words[word] = 0
        asked = services.address(Service("asked"))
        for word in self.outside:
            if self.words[word] == asked:
                self.words[word] = never().address


def layout_of(runner: CpuProgram, constants: Sequence[Any], count: int) -> Layout:
    """How a run's memory is made."""
    instance = Instance(runner)
    _serial(instance)
    memory = _Memory(instance)
    layout = Layout(
        memory.words, memory.size, memory.inside, [], [], [], [], outside=memory.outside
    )
    _values(layout, runner, memory, constants, count)
    _calls(layout, memory)
    return layout


def _values(
    layout: Layout, runner: CpuProgram, memory: _Memory, constants: Sequence[Any], count: int
) -> None:
    """Which addresses are those of values, which results are copies, and where numbers go."""
    tape, frame = runner.tape, memory.frame
    place = {var: k for k, var in enumerate(tape.inputs)}
    copies: list[tuple[int, Any]] = []  # inputs, numbers, and what is an output twice
    for k, atom in enumerate(tape.outputs, count):
        if isinstance(atom, Var) and atom not in place:
            place[atom] = k
        else:
            copies.append((k, atom))
    of_base = {base: place[var] for var, base in runner.base_of.items()}
    fixed = {place[var]: k for k, var in enumerate(tape.inputs[count:])}
    inputs = set(tape.inputs[count:])
    known = {base for var, base in runner.base_of.items() if var in inputs}
    at = frame.words[PATCHES]
    start = len(frame.words) - len(frame.args)
    for word, base, offset in frame.words[at : at + 3 * frame.words[N_PATCHES]].reshape(-1, 3):
        word = int(word) - start + FIRST
        if base in known:
            k = fixed[of_base[int(base)]]
            layout.fixed.append((word, k, int(offset)))
            layout.words[word] = constants[k].ctypes.data + int(offset)
        else:
            layout.given.append((word, of_base[int(base)], int(offset)))
    for k, var in enumerate(runner.weak):
        layout.numbers.append((memory.numbers + 8 * k, place[var], var.aval.dtype.itemsize))
    for k, atom in copies:
        source, address = -1, 0
        if not isinstance(atom, Var):
            layout.literals.append(np.full(atom.aval.shape, atom.value, atom.aval.dtype))
            address = layout.literals[-1].ctypes.data
        elif atom in inputs:
            address = constants[fixed[place[atom]]].ctypes.data
        else:
            source = place[atom]
        layout.copies.append((k, source, address, atom.aval.nbytes))


def _calls(layout: Layout, memory: _Memory) -> None:
    frame = memory.frame
    at = int(frame.words[INSTRUCTIONS])
    start = len(frame.words) - len(frame.args)
    for kernel, n, grain, word in frame.words[at:start].reshape(-1, 4).tolist():
        layout.calls.append((kernel, n, grain, word - start + FIRST))


def table_of(layout: Layout, own: int, constants: Sequence[Any]) -> Any:
    head = [0] * HEADER
    body: list[int] = []
    tables: dict[int, list[Any]] = {
        TEMPLATE: [layout.words],
        INSIDE: layout.inside,
        GIVEN: layout.given,
        NUMBERS: layout.numbers,
        CALLS: layout.calls,
        COPIES: layout.copies,
    }
    for word, rows in tables.items():
        head[word - 1] = len(layout.words) if word == TEMPLATE else len(rows)
        head[word] = HEADER + len(body)
        body += [int(x) for row in rows for x in row]
    for word, name in ((COPY, "copy"), (GROW, "grow"), (RELEASE, "release")):
        head[word] = services.address(Service(name))
    head[SIZE], head[OWN] = layout.size, own
    head[POOL] = HEADER + len(body)
    return np.array([*head, *body, *[0] * (8 * PLACES)], np.int64)
