"""A Program on the card: its kernels compiled, its memory laid out, ready to run.

What a kernel reads besides memory is in a table there, of 64-bit words: numbers, addresses, and first the
numbers that the tape is given. It is written when a run finds it changed, as where a result lies changes it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.backends.base import Entry
from nbgrad.backends.cuda.memory import CudaBuffer, Store
from nbgrad.backends.cuda.stepping import at_home, moved_in, step
from nbgrad.core.interpret import bind_results, read
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.program.cuda_text import words
from nbgrad.program.nests import Call
from nbgrad.program.program import make_program
from nbgrad.program.text import CudaKernel
from nbgrad.program.values import CODES
from nbgrad.program.views import LibraryCall

BYTES = np.dtype(np.uint8)
programs: weakref.WeakSet[CudaProgram] = weakref.WeakSet()


def release() -> int:
    """Give back the memory that no run is using now; return how many runs' it was."""
    return sum([made.idle() for made in list(programs)])


@dataclass(frozen=True)
class Launch:
    """A kernel, how many blocks of how many threads, its words from *at* on, and the views it takes."""

    kernel: Callable[..., None]
    blocks: int
    threads: int
    at: int
    args: tuple[Any, ...]
    views: tuple[str, ...]


@dataclass(frozen=True)
class Outside:
    """What runs on the library of the card, or at home, between kernels."""

    eqns: tuple[Equation, ...]
    reads: tuple[Var, ...]


class Segment:
    """Launches with nothing between them, and the part of the table that they read."""

    def __init__(self, start: int) -> None:
        self.start = self.stop = start
        self.launches: list[Launch] = []


class CudaProgram:
    """A compiled Program: several threads may run it, each in memory of its own."""

    def __init__(self, tape: Tape, store: Store) -> None:
        self.tape, self.store = tape, store
        self.program = make_program(tape, target="cuda")
        self.numbers = {v: k for k, v in enumerate(v for v in tape.inputs if _is_number(v))}
        self.faults: dict[
            int, tuple[int, ...]
        ] = {}  # words that say it, and how many rows there are
        self.segments = self._segments()
        outside = [
            y for s in self.segments if isinstance(s, Outside) for e in s.eqns for y in e.outs
        ]
        self.loose = {self._whole(y) for y in outside}
        inputs = set(tape.inputs)
        outs = dict.fromkeys(a for a in tape.outputs if isinstance(a, Var) and a not in inputs)
        self.outputs = [y for y in outs if y not in self.loose]
        self.pool: list[Instance] = []
        programs.add(self)

    def idle(self) -> int:
        """Give back the memory of runs that are over."""
        count = 0
        with suppress(IndexError):
            while True:
                self.pool.pop()
                count += 1
        return count

    def _whole(self, var: Var) -> Var:
        """The variable in whose memory *var* is."""
        return self.program.shared.get(var, var)

    def _segments(self) -> list[Segment | Outside]:
        found: list[Segment | Outside] = []
        place = len(self.numbers)
        for item, kernel in zip(self.program.items, self.program.steps, strict=True):
            if not isinstance(kernel, CudaKernel):
                found.append(_outside(item))
                continue
            if not found or isinstance(found[-1], Outside):
                first = not any(isinstance(s, Segment) for s in found)
                found.append(
                    Segment(0 if first else place)
                )  # the tape's numbers go with the first
            segment: Any = found[-1]
            made = self.store.kernel(kernel.source, kernel.name)
            segment.launches.append(
                Launch(made, kernel.blocks, kernel.threads, place, kernel.args, kernel.views)
            )
            segment.stop = place = place + len(kernel.args)
            if kernel.sizes:
                self.faults[place - 1] = kernel.sizes
        self.words = max(place, 1)
        return found

    def run(self, args: list[Any]) -> list[Any]:
        """Return the outputs, each where its aval says."""
        try:
            instance = self.pool.pop()
        except IndexError:
            instance = Instance(self)
        try:
            env: dict[Var, Any] = {
                v: a if v in self.numbers else moved_in(a, self.store)
                for v, a in zip(self.tape.inputs, args, strict=True)
            }
            for y in self.outputs:
                env[y] = _empty(self.store, y)
            instance.run(env)
        finally:
            self.pool.append(instance)
        return [self._given(read(env, a), a) for a in self.tape.outputs]

    def _given(self, value: Any, atom: Any) -> Any:
        if not isinstance(atom, Var):
            return value
        if not isinstance(value, CudaBuffer):  # a number of the tape's
            value = np.array(value, atom.aval.dtype)
        if atom.aval.device is None:
            return at_home(value)
        return moved_in(value, self.store)

    def entry(self, constants: Sequence[Any], weak: Mapping[int, type]) -> Entry | None:
        """None: there is no faster way."""
        return None


def _is_number(var: Var) -> bool:
    """Whether an input goes to the card as a word of the table: a number, or an array of one at home."""
    aval = var.aval
    return var.weak or (aval.device is None and not aval.ndim and aval.dtype in CODES)


def _outside(item: Any) -> Outside:
    call = item.host if isinstance(item, LibraryCall) else item
    views = call.views if isinstance(call, Call) else ()
    return Outside((*views, call.eqn), tuple(call.reads))


def _empty(store: Store, var: Var) -> CudaBuffer:
    shape, dtype = var.aval.shape, var.aval.dtype
    return CudaBuffer(store, store.empty(shape, dtype), shape, dtype)


class Instance:
    """The memory of one run at a time: an arena, and the table of words."""

    def __init__(self, made: CudaProgram) -> None:
        self.made, self.store = made, made.store
        store, plan = made.store, made.program.plan
        self.arena = store.empty((max(plan.arena_bytes, 1),), BYTES)
        self.table = store.empty((8 * made.words,), BYTES)
        self.views = store.views(self.table)
        # What kernels take for an address counts from the table on where the card can count so.
        self.origin = store.address(self.table) if store.relative else 0
        self.start = store.address(self.table) - self.origin
        self.words = np.zeros(made.words, np.int64)
        self.there: dict[int, np.ndarray[Any, Any]] = {}  # what the card has of them, by segment
        self.fixed: dict[Var, int] = {}
        first = store.address(self.arena) - self.origin
        for var, offset in plan.offsets.items():
            if var not in made.loose:
                self.fixed[var] = first + offset
        self.fixed.update((v, self.start + 8 * k) for v, k in made.numbers.items())

    def run(self, env: dict[Var, Any]) -> None:
        """Compute what *env*, which has the inputs and the places of outputs, lacks."""
        for var, k in self.made.numbers.items():
            if var.aval.dtype not in CODES:
                continue  # a complex number, which no kernel reads
            slot = self.words[k : k + 1].view(np.uint8)
            value = np.array(env[var]).astype(var.aval.dtype)
            slot[: value.itemsize] = np.frombuffer(value.tobytes(), np.uint8)
        for segment in self.made.segments:
            if isinstance(segment, Outside):
                self._outside(segment, env)
            else:
                self._launch(segment, env)
        for place, sizes in self.made.faults.items():
            self._raise(place, sizes)

    def _raise(self, place: int, sizes: tuple[int, ...]) -> None:
        """Raise the fault that a kernel has left in the word at *place*, if any."""
        held = self.store.part(self.table, 8 * place, (1,), self.words.dtype)
        fault = int(self.store.copied_out(held, (1,))[0])
        if fault:
            self.store.written(self.table, 8 * place, np.zeros(8, np.uint8))
            size = sizes[(fault & 0xFF) - 1]
            raise IndexError(f"index {fault >> 8} is out of bounds for axis 0 with size {size}")

    def _launch(self, segment: Segment, env: dict[Var, Any]) -> None:
        addresses: dict[Var, int] = {}

        def address(var: Var) -> int:
            var = self.made._whole(var)
            found = self.fixed.get(var)
            if found is None and (found := addresses.get(var)) is None:
                found = addresses[var] = self.store.address(env[var].held) - self.origin
            return found

        for launch in segment.launches:
            at, args = launch.at, launch.args
            self.words[at : at + len(args)] = words(args, address)
        self._write(segment.start, segment.stop)
        base = self.start // 8
        for launch in segment.launches:
            views = [self.views[v] for v in launch.views]
            launch.kernel(launch.blocks, launch.threads, base + launch.at, *views)

    def _write(self, start: int, stop: int) -> None:
        """Let the card have the words from *start* to *stop*."""
        part, before = self.words[start:stop], self.there.get(start)
        if before is None or not np.array_equal(part, before):
            self.store.written(self.table, 8 * start, part.view(np.uint8))
            self.there[start] = part.copy()

    def _outside(self, segment: Outside, env: dict[Var, Any]) -> None:
        found = {v: self._buffer(v, env) for v in segment.reads}
        for eqn in segment.eqns:
            xs = [read(found, a) for a in eqn.inputs]
            bind_results(found, eqn, step(eqn, xs, self.store, there=True))
        for eqn in segment.eqns:
            for y in eqn.outs:
                whole = self.made._whole(y)
                env[whole] = found[y].shaped(whole.aval.shape)

    def _buffer(self, var: Var, env: dict[Var, Any]) -> Any:
        """The elements of *var*, or the number that it is."""
        whole = self.made._whole(var)
        if whole in env:
            value = env[whole]
            return value.shaped(var.aval.shape) if isinstance(value, CudaBuffer) else value
        shape, dtype = var.aval.shape, var.aval.dtype
        offset = self.made.program.plan.offsets[var]
        return CudaBuffer(
            self.store, self.store.part(self.arena, offset, shape, dtype), shape, dtype
        )
