"""A Program on the card: its kernels compiled, its memory laid out, ready to run.

What a kernel reads besides memory is in a table there: see ``tables``. Its first words are the numbers that
the tape is given.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nbgrad.backends.base import Ends, Entry
from nbgrad.backends.cuda.looping import Run, looped
from nbgrad.backends.cuda.memory import CudaBuffer, Store
from nbgrad.backends.cuda.stepping import at_home, moved_in, step
from nbgrad.backends.cuda.tables import SLOTS, Slots
from nbgrad.core.interpret import bind_results, read
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.program.nests import Call
from nbgrad.program.program import make_program
from nbgrad.program.text import CudaKernel, Pointer
from nbgrad.program.traffic import Traffic, traffic
from nbgrad.program.values import CODES
from nbgrad.program.views import LibraryCall

BYTES = np.dtype(np.uint8)
Clock = Callable[[int, Callable[[], None]], None]  # runs a step, of which it is told the number
programs: weakref.WeakSet[CudaProgram] = weakref.WeakSet()


def release() -> int:
    """Give back the memory that no run is using now; return how many runs' it was."""
    return sum([made.idle() for made in list(programs)])


@dataclass(frozen=True)
class Outside:
    """What runs on the library of the card, or at home, between kernels."""

    step: int
    eqns: tuple[Equation, ...]
    reads: tuple[Var, ...]
    run: Run | None = None


class Segment:
    """Launches with nothing between them: see ``tables.Slots``."""

    def __init__(self, step: int) -> None:
        self.step = step  # the number of the first of them among all steps
        self.launches: list[tuple[int, CudaKernel, Any]] = []
        self.size = 0
        self.faults: list[tuple[int, tuple[int, ...]]] = []  # a word, and how many rows there are

    def add(self, kernel: CudaKernel, made: Any) -> None:
        """One more launch."""
        self.launches.append((self.size, kernel, made))
        self.size += len(kernel.args)
        if kernel.sizes:
            self.faults.append((self.size - 1, kernel.sizes))


class CudaProgram:
    """A compiled Program: several threads may run it, each in memory of its own."""

    def __init__(self, tape: Tape, store: Store, there: bool = False) -> None:
        self.tape, self.store, self.there = tape, store, there
        self.program = make_program(tape, target="cuda")
        # The word where each is; a complex one has two.
        self.numbers = {
            v: 2 * k for k, v in enumerate(v for v in tape.inputs if self._is_number(v))
        }
        self.segments = self._segments()
        self.loose = self._loose()
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

    @cached_property
    def costs(self) -> list[Traffic]:
        """What each step moves and computes."""
        return traffic(self.program)

    def _is_number(self, var: Var) -> bool:
        """Whether an input goes to the card as a word of the table: a number, or an array of one at home."""
        aval = var.aval
        plain = aval.device is None and not aval.ndim and aval.dtype in CODES
        return var.weak or (plain and not self.there)

    def _whole(self, var: Var) -> Var:
        """The variable in whose memory *var* is."""
        return self.program.shared.get(var, var)

    def _loose(self) -> set[Var]:
        """What is made between kernels, and not by one before in the same memory."""
        known, found = {*self.tape.inputs}, set()
        for segment in self.segments:
            if isinstance(segment, Outside):
                made = {self._whole(y) for eqn in segment.eqns for y in eqn.outs} - known
                found |= made
                known |= made
            else:
                args = [arg for _, kernel, _ in segment.launches for arg in kernel.args]
                known.update(self._whole(a.buffer) for a in args if isinstance(a, Pointer))
        return found

    def _segments(self) -> list[Segment | Outside]:
        found: list[Segment | Outside] = []
        steps = zip(self.program.items, self.program.steps, strict=True)
        for number, (item, kernel) in enumerate(steps):
            if not isinstance(kernel, CudaKernel):
                make = lambda tape: CudaProgram(tape, self.store, there=True)
                found.append(_outside(number, item, looped(item, self.store, make)))
                continue
            if not found or isinstance(found[-1], Outside):
                found.append(Segment(number))
            segment: Any = found[-1]
            segment.add(kernel, self.store.kernel(kernel.source, kernel.name, kernel.views))
        return found

    def run(
        self,
        args: list[Any],
        clock: Clock | None = None,
        into: Mapping[Var, CudaBuffer] | None = None,
    ) -> list[Any]:
        """Return the outputs, each where its aval says; a *clock* runs each step and takes its time.

        Those that kernels make are written *into* what is given for them.
        """
        lane = self.store.lanes.current()
        env: dict[Var, Any] = {
            v: a if v in self.numbers else moved_in(a, self.store)
            for v, a in zip(self.tape.inputs, args, strict=True)
        }
        for value in env.values():
            if value.__class__ is CudaBuffer:
                lane.reads(value.root)
        for y in self.outputs:
            env[y] = into[y] if into else _empty(self.store, y)
        try:
            instance = self.pool.pop()
        except IndexError:
            instance = Instance(self)
        instance.enter(lane)
        try:
            faults = instance.run(env, clock)
        finally:
            lane.done += 1
        instance.stamp = lane.done
        for y in self.outputs:  # programs that ran inside of this one have counted before it ended
            env[y].root.stamp = lane.done
        self.pool.append(instance)  # one whose run has failed is not used again
        for fault, sizes in faults:
            size = sizes[(fault & 0xFF) - 1]
            raise IndexError(f"index {fault >> 8} is out of bounds for axis 0 with size {size}")
        return [self._given(read(env, a), a) for a in self.tape.outputs]

    def _given(self, value: Any, atom: Any) -> Any:
        if not isinstance(atom, Var):
            return value
        if not isinstance(value, CudaBuffer):  # a number of the tape's
            value = np.array(value, atom.aval.dtype)
        if atom.aval.device is None and not self.there:
            return at_home(value)
        return moved_in(value, self.store)

    def entry(self, constants: Sequence[Any], ends: Ends) -> Entry | None:
        """None: there is no faster way."""
        return None


def _outside(number: int, item: Any, run: Run | None) -> Outside:
    call = item.host if isinstance(item, LibraryCall) else item
    views = call.views if isinstance(call, Call) else ()
    return Outside(number, (*views, call.eqn), tuple(call.reads), run)


def _empty(store: Store, var: Var) -> CudaBuffer:
    shape, dtype = var.aval.shape, var.aval.dtype
    return CudaBuffer(store, store.empty(shape, dtype), shape, dtype)


class Instance:
    """The memory of one run at a time: an arena, and the table of words."""

    def __init__(self, made: CudaProgram) -> None:
        self.made, self.store = made, made.store
        store, plan = made.store, made.program.plan
        self.lane, self.stamp = store.lanes.current(), 0
        segments = [s for s in made.segments if isinstance(s, Segment)]
        size = 8 * max(2 * len(made.numbers) + SLOTS * sum(s.size for s in segments), 1)
        self.arena, self.table = (
            CudaBuffer(store, store.empty((n,), BYTES), (n,), BYTES)
            for n in (max(plan.arena_bytes, 1), size)
        )
        self.numbers = np.zeros(2 * len(made.numbers), np.int64)
        self.there = b""  # what the card has of them
        origin = store.origin(self.table.held)
        first = store.address(self.arena.held) - origin
        start = store.address(self.table.held) - origin
        fixed = {v: first + k for v, k in plan.offsets.items() if v not in made.loose}
        fixed.update((v, start + 8 * k) for v, k in made.numbers.items())
        self.slots: dict[int, Slots] = {}
        place = len(self.numbers)
        for s in segments:
            self.slots[s.step] = Slots(store, self.table, s.launches, made._whole, fixed, place)
            place += SLOTS * s.size

    def enter(self, lane: Any) -> None:
        """Come after the last run, which may have been another thread's."""
        lane.follow(self.lane, self.stamp)
        self.lane = lane
        lane.reads(self.arena.root)
        lane.reads(self.table.root)

    def run(self, env: dict[Var, Any], clock: Clock | None) -> list[tuple[int, tuple[int, ...]]]:
        """Compute what *env*, which has the inputs and the places of outputs, lacks; return faults."""
        self._numbers(env)
        used: list[tuple[Segment, int]] = []
        for segment in self.made.segments:
            if isinstance(segment, Outside):
                _timed(clock, segment.step, lambda s=segment: self._outside(s, env))  # type: ignore[misc]
                continue
            slots = self.slots[segment.step]
            slot = slots.place(env)
            for k, launch in enumerate(slots.sequences(slot, clock is not None), segment.step):
                _timed(clock, k, launch)
            used.append((segment, slot))
        found = [
            (self.slots[segment.step].fault(slot, word), sizes)
            for segment, slot in used
            for word, sizes in segment.faults
        ]
        return [(fault, sizes) for fault, sizes in found if fault]

    def _numbers(self, env: dict[Var, Any]) -> None:
        """Let the card have the numbers that the tape is given."""
        for var, k in self.made.numbers.items():
            slot = self.numbers[k : k + 2].view(np.uint8)
            value = np.array(env[var]).astype(var.aval.dtype)
            slot[: value.itemsize] = np.frombuffer(value.tobytes(), np.uint8)
        now = self.numbers.tobytes()
        if now != self.there:
            self.there = b""
            self.store.written(self.table.held, 0, self.numbers.view(np.uint8))
            self.there = now

    def _outside(self, segment: Outside, env: dict[Var, Any]) -> None:
        found = {v: self._buffer(v, env) for v in segment.reads}
        for eqn in segment.eqns:
            xs = [read(found, a) for a in eqn.inputs]
            if segment.run is not None:
                found.update(zip(eqn.outs, segment.run(xs), strict=True))
            else:
                bind_results(found, eqn, step(eqn, xs, self.store, there=True))
        for eqn in segment.eqns:
            for y in eqn.outs:
                whole = self.made._whole(y)
                if whole in self.made.loose:
                    env[whole] = found[y].shaped(whole.aval.shape)

    def _buffer(self, var: Var, env: dict[Var, Any]) -> Any:
        """The elements of *var*, or the number that it is."""
        whole = self.made._whole(var)
        if whole in env:
            value = env[whole]
            return value.shaped(var.aval.shape) if isinstance(value, CudaBuffer) else value
        shape, dtype = var.aval.shape, var.aval.dtype
        held = self.store.part(self.arena.held, self.made.program.plan.offsets[var], shape, dtype)
        return CudaBuffer(self.store, held, shape, dtype, self.arena.root)


def _timed(clock: Clock | None, number: int, run: Callable[[], None]) -> None:
    if clock is None:
        run()
    else:
        clock(number, run)
