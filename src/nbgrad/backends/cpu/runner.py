"""Running a program on arrays: where its inputs and outputs are, and the memory of each thread."""

from __future__ import annotations

import struct
import weakref
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy import empty

from nbgrad.backends.base import Ends, Entry, Writing
from nbgrad.backends.cpu import entry as call
from nbgrad.backends.cpu import library
from nbgrad.backends.cpu.executor import MISFIT, Frame, object_layout
from nbgrad.backends.cpu.reused import Results, is_large
from nbgrad.core.tape import Body, Tape, Var
from nbgrad.program.values import CODES

Array = np.ndarray[Any, Any]
KEEP_ARENA = 64 << 20  # an arena beyond this goes back to the system, when another such has run
KEEP_ONE = 256 << 20  # one beyond this does so after each run

_large: deque[weakref.ref[Runner]] = deque()  # whose arena, a large one, is kept

_PACK = {"f8": "d", "f4": "f4x", "i8": "q", "i4": "i4x", "i2": "h6x", "i1": "b7x"}
_PACK |= {"u8": "Q", "u4": "I4x", "u2": "H6x", "u1": "B7x", "b1": "?7x"}


class Instance:
    """The memory of one run: arena, scalars and frames. Each thread that runs has its own."""

    def __init__(self, owner: Runner) -> None:
        size = owner.arena_bytes
        raw = np.empty(size + 64, np.uint8)
        start = -raw.ctypes.data % 64
        self.arena = raw[start : start + size]
        self.scalars = bytearray(max(8, 8 * len(owner.weak)))
        self.scalar_view = np.frombuffer(self.scalars, np.uint8)
        self.bases = (self.arena.ctypes.data, self.scalar_view.ctypes.data)
        self.blas_words: list[tuple[Frame, int]] = []
        self.inner: list[Instance] = []  # of loops
        self.segments: list[Any] = [owner.lay_out(segment, self) for segment in owner.segments]
        first = self.segments[0] if len(self.segments) == 1 else None
        self.quick = (
            isinstance(first, Frame)
            and owner.direct
            and not (self.blas_words or first.parallel)
            and size <= KEEP_ARENA
            and object_layout() != (0, 0)
        )
        self.frame: Any = first if isinstance(first, Frame) else None
        if self.frame is not None:
            self.enter = self.frame.enter
        owner.fill(self)

    def view(self, var: Var, offset: int) -> Array:
        """The arena buffer of *var* as an array."""
        raw = self.arena[offset : offset + var.aval.nbytes]
        return raw.view(var.aval.dtype).reshape(var.aval.shape)


class Runner(Writing):
    """What runs a tape on arrays: places of its inputs and outputs, and memory for each thread.

    A subclass sets ``segments`` and ``arena_bytes``.
    """

    segments: list[Any]
    arena_bytes: int

    def __init__(self, tape: Tape, taken: Mapping[Var, Var] = MappingProxyType({})) -> None:
        self.tape = tape
        self.taken = taken  # outputs in the memory of inputs
        self.weak = [v for v in tape.inputs if v.weak]
        self.arrays = [v for v in tape.inputs if not v.weak]
        first = tape.inputs.index(self.weak[0]) if self.weak else len(tape.inputs)
        self.weak_range = (first, first + len(self.weak))
        self.outputs = [v for v in _fresh_outputs(tape) if v not in taken]
        self.places = [tape.outputs.index(v) for v in self.outputs]
        self.specs = [(v.aval.shape, v.aval.dtype) for v in self.outputs]
        self.large = Results(self.specs) if any(map(is_large, self.outputs)) else None
        self.base_of = {v: k for k, v in enumerate((*self.arrays, *self.outputs))}
        formats = [_PACK.get(CODES.get(v.aval.dtype, ""), "8x") for v in self.weak]
        self.packable = [f != "8x" for f in formats]
        runs = [(code, len(list(same))) for code, same in groupby(formats)]
        text = "".join([f"{n}{code}" if len(code) == 1 else code * n for code, n in runs])
        self.pack = struct.Struct("=" + text).pack_into if self.weak else None
        self.direct = all(self.packable) and self.outputs == list(tape.outputs)
        self.pool: list[Instance] = []

    @abstractmethod
    def lay_out(self, segment: Any, instance: Instance) -> Frame | Any:
        """The frame of a segment in the memory of *instance*, or the host call that it is."""

    def fill(self, instance: Instance) -> None:
        """Write what is the same in every run to the memory of *instance*."""

    def run(self, args: list[Any], buffers: list[Array] | None = None, /) -> list[Array]:
        """Run on the tape's inputs; return fresh outputs, or write to *buffers*, one for each.

        Arrays must be C-contiguous and of the inputs' dtypes; weak inputs are Python numbers. What
        the program does not compute, such as an input that is returned, is fresh in any case. What takes
        the place of an input is that array, or a copy of one that has not the layout it must have.
        """
        if buffers is None:
            large = self.large
            outs = large.make() if large else [empty(shape, dtype) for shape, dtype in self.specs]
        else:
            outs = buffers if self.direct else [buffers[k] for k in self.places]
        try:
            instance = self.pool.pop()
        except IndexError:
            instance = Instance(self)
        values = args + outs
        if self.pack is not None:
            first, last = self.weak_range
            scalars = args[first:last]
            values = args[:first] + args[last:] + outs
            try:
                if not self.direct:
                    scalars = [s for s, ok in zip(scalars, self.packable, strict=True) if ok]
                self.pack(instance.scalars, 0, *scalars)
            except (OverflowError, struct.error):  # beyond float32: infinity, as in NumPy
                self._pack_rounded(instance, args[first:last])
        if instance.quick:
            # One frame of serial kernels: nothing else to set up.
            status = instance.enter(values)
            if status == MISFIT:
                status = instance.frame.refit(values)
            self.pool.append(instance)
            if status:
                self._fail(status)
            return outs
        if instance.blas_words:
            with library.blas_thread_count() as count:
                for frame, word in instance.blas_words:
                    frame.args[word] = count
                self._run(instance, args, outs, values)
        else:
            self._run(instance, args, outs, values)
        self._keep(instance)
        return outs if self.direct else self._assemble(args, outs, values)

    def _keep(self, instance: Instance) -> None:
        """Keep the memory of a run for the next; of the large ones, that of the last run alone.

        The system fills what it gives with zeros, which takes as long as to compute with it.
        """
        if self.arena_bytes <= KEEP_ARENA:
            self.pool.append(instance)
        elif self.arena_bytes <= KEEP_ONE:
            _large.append(weakref.ref(self))  # two, while a thread does so, too
            self.pool[:] = [instance]
            while len(_large) > 1:
                before = _large.popleft()()
                if before is not None and before is not self:
                    before.pool.clear()

    def entry(self, constants: Sequence[Array], ends: Ends) -> Entry | None:
        """Machine code from arguments to results, *constants* being the last inputs.

        None if a run takes anything but one frame of serial kernels on arrays: no kernel at all,
        for a function that returns its argument.
        """
        if (
            self.weak
            or self.large
            or self.taken
            or len(self.segments) != 1
            or not call.available()
        ):
            return None
        instance = Instance(self)
        if not instance.quick:
            return None
        frame = instance.frame
        assert frame is not None
        self.pool.clear()  # a run of the usual kind is now rare, and makes its memory anew
        args = self.arrays[: len(self.arrays) - len(constants)]
        for k, array in enumerate(constants, len(args)):
            frame.bases[k] = array.ctypes.data
        avals = [v.aval for v in args], [v.aval for v in self.outputs]
        keep = (self, instance, constants)
        short = is_brief(self.tape, call.BRIEF)
        return call.entry(frame, avals[0], constants, avals[1], ends, short, keep)

    def _pack_rounded(self, instance: Instance, scalars: Sequence[Any]) -> None:
        """Pack numbers after rounding them to the dtypes they are read in."""
        assert self.pack is not None
        rows = zip(self.weak, scalars, self.packable, strict=True)
        with np.errstate(over="ignore"):
            rounded = [np.array(s).astype(v.aval.dtype).item() for v, s, ok in rows if ok]
        self.pack(instance.scalars, 0, *rounded)

    def _run(
        self, instance: Instance, args: list[Any], outs: list[Array], values: list[Any]
    ) -> None:
        if instance.frame is not None:
            if status := instance.frame.run(values):
                self._fail(status)
        else:
            self._run_segments(instance, args, outs, values)

    @abstractmethod
    def _fail(self, status: int) -> None:
        """Raise what the library call with the number in the low bits of *status* found."""

    @abstractmethod
    def _run_segments(
        self, instance: Instance, args: list[Any], outs: list[Array], values: list[Any]
    ) -> None:
        """Run frames and host calls in turn."""

    def _assemble(self, args: list[Any], outs: list[Array], values: list[Any]) -> list[Any]:
        """Outputs that are inputs, numbers or repeated are copies."""
        found: dict[Any, Any] = dict(zip(self.tape.inputs, args, strict=True))
        given = dict(zip(self.outputs, outs, strict=True))
        given.update({out: values[self.base_of[var]] for out, var in self.taken.items()})
        results: list[Any] = []
        for atom in self.tape.outputs:
            if isinstance(atom, Var):
                value = given.pop(atom, None)
                if value is None:
                    source = found.get(atom, atom)
                    value = np.array(source, atom.aval.dtype, order="C", copy=True)
                found[atom] = value
                results.append(value)
            else:
                results.append(atom.value)
        return results


def is_brief(tape: Tape, elements: int) -> bool:
    """Whether a run reads and computes at most so many *elements*; not if there is a loop in it."""
    held = [v.aval.size for v in tape.inputs]
    held += [out.aval.size for eqn in tape.eqns for out in eqn.outs]
    inner = any(value.__class__ is Body for eqn in tape.eqns for value in eqn.params.values())
    return sum(held) <= elements and not inner


def _fresh_outputs(tape: Tape) -> list[Var]:
    """Outputs that the program computes, each once."""
    inputs = set(tape.inputs)
    found = [a for a in tape.outputs if isinstance(a, Var) and a not in inputs]
    return list(dict.fromkeys(found))
