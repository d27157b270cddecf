"""The CPU backend: a Program with its kernels compiled, its memory laid out, ready to run."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy import empty

from nbgrad.backends import call, executor, library
from nbgrad.backends.block import BlockNest, Code, Row, Temporaries
from nbgrad.backends.compile import Kernel, compile_kernel, is_cached
from nbgrad.backends.executor import MISFIT, Frame, object_layout
from nbgrad.backends.intrinsics import CASTS
from nbgrad.backends.launch import BlasThreads, Launch, Scratch, Status
from nbgrad.backends.scalar import HELPERS
from nbgrad.core.interpret import read
from nbgrad.core.tape import Tape, Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.lower import CODES
from nbgrad.program.nests import Call
from nbgrad.program.parts import Emitted, Number, Pointer
from nbgrad.program.program import Program
from nbgrad.program.views import LibraryCall

Array = np.ndarray[Any, Any]
KEEP_ARENA = 64 << 20  # an arena beyond this goes back to the system after each run

_PACK = {"f8": "d", "f4": "f4x", "i8": "q", "i4": "i4x", "i2": "h6x", "i1": "b7x"}
_PACK |= {"u8": "Q", "u4": "I4x", "u2": "H6x", "u1": "B7x", "b1": "?7x"}


def kernel_of(step: Emitted) -> Kernel:
    """Compile one emitted kernel, or fetch it from the cache."""
    return compile_kernel(step.source, step.name, step.signature, noalias=True, helpers=HELPERS)


def ready(make: Callable[[], Runner]) -> Runner:
    """Return what *make* makes, with all machine code that its runs will ask for."""
    executor.prepare()
    return make()


def compile_price(program: Program) -> float:
    """Rough seconds that compiling the kernels not yet cached will take (docs/performance.md)."""
    kernels = {s.source: s for s in program.steps if isinstance(s, Emitted)}
    return sum(
        0.04 + 0.004 * s.source.count("\n")
        for s in kernels.values()
        if not is_cached(s.source, s.name, s.signature, noalias=True, helpers=HELPERS)
    )


class HostStep:
    """A library call between kernels, on views of the program's buffers."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def run(self, env: dict[Var, Any], out: Array) -> None:
        """Evaluate the views that lead to the operands, then the call, into *out*."""
        for eqn in (*self.call.views, self.call.eqn):
            xs = [read(env, a) for a in eqn.inputs]
            env[eqn.out] = eqn.prim.evaluate(*xs, **eqn.params)
        np.copyto(out, env[self.call.eqn.out])
        env[self.call.eqn.out] = out


class Layout:
    """Argument words of a frame, and which of them are filled in for each frame or run."""

    def __init__(
        self,
        place: Callable[[Pointer | Scratch], tuple[int, int]],
        n_values: int,
        bases: Sequence[int],
    ) -> None:
        self.place = place
        self.n_values = n_values  # bases from here on stay where they are
        self.bases = bases
        self.words: list[int] = []
        self.patches: list[tuple[int, int, int]] = []
        self.status: list[int] = []
        self.blas: list[int] = []
        self.rows: list[tuple[int, int]] = []

    def add(self, args: Sequence[Any]) -> int:
        """Append *args* in one row, then the rows they refer to; return where the row starts."""
        start = len(self.words)
        self.words += [0] * len(args)
        for word, arg in enumerate(args, start):
            if isinstance(arg, (Pointer, Scratch)):
                base, offset = self.place(arg)
                if base < self.n_values:
                    self.patches.append((word, base, offset))
                else:
                    self.words[word] = self.bases[base - self.n_values] + offset
            elif isinstance(arg, Row):
                self.rows.append((word, self.add(arg.args)))
            elif isinstance(arg, Code):
                self.words[word] = arg.kernel.address
            elif isinstance(arg, Status):
                self.status.append(word)
            elif isinstance(arg, BlasThreads):
                self.blas.append(word)
            else:
                self.words[word] = bits(arg)
        return start


def scratch_size(segments: Sequence[Any]) -> int:
    """Bytes of scratch memory that the instruction which needs most of it needs."""
    launches = [x for segment in segments if isinstance(segment, list) for x in segment]
    ends = (arg.end for x in launches for arg in x.args if isinstance(arg, Scratch))
    return max(ends, default=0)


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
        self.frame: Frame | None = None
        self.segments: list[Any] = [owner.lay_out(segment, self) for segment in owner.segments]
        first = self.segments[0] if len(self.segments) == 1 else None
        self.quick = (
            isinstance(first, Frame)
            and owner.direct
            and not (self.blas_words or first.parallel)
            and size <= KEEP_ARENA
            and object_layout() != (0, 0)
        )
        if isinstance(first, Frame):
            self.frame, self.enter = first, first.enter
        owner.fill(self)

    def view(self, var: Var, offset: int) -> Array:
        """The arena buffer of *var* as an array."""
        raw = self.arena[offset : offset + var.aval.nbytes]
        return raw.view(var.aval.dtype).reshape(var.aval.shape)


class Runner:
    """What runs a tape on arrays: places of its inputs and outputs, and memory for each thread.

    A subclass sets ``segments`` and ``arena_bytes``.
    """

    segments: list[Any]
    arena_bytes: int

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.weak = [v for v in tape.inputs if v.weak]
        self.arrays = [v for v in tape.inputs if not v.weak]
        first = tape.inputs.index(self.weak[0]) if self.weak else len(tape.inputs)
        self.weak_range = (first, first + len(self.weak))
        self.outputs = _fresh_outputs(tape)
        self.specs = [(v.aval.shape, v.aval.dtype) for v in self.outputs]
        self.base_of = {v: k for k, v in enumerate((*self.arrays, *self.outputs))}
        formats = [_PACK.get(CODES.get(v.aval.dtype, ""), "8x") for v in self.weak]
        self.packable = [f != "8x" for f in formats]
        self.weak_index = {v: k for k, v in enumerate(self.weak)}
        self.pack = struct.Struct("=" + "".join(formats)).pack_into if self.weak else None
        self.direct = all(self.packable) and self.outputs == list(tape.outputs)
        self.pool: list[Instance] = []

    def lay_out(self, segment: Any, instance: Instance) -> Frame | Any:
        """The frame of a segment in the memory of *instance*, or the host call that it is."""
        raise NotImplementedError

    def fill(self, instance: Instance) -> None:
        """Write what is the same in every run to the memory of *instance*."""

    def run(self, args: list[Any]) -> list[Array]:
        """Run on the tape's inputs; return fresh outputs.

        Arrays must be C-contiguous and of the inputs' dtypes; weak inputs are Python numbers.
        """
        outs = [empty(shape, dtype) for shape, dtype in self.specs]
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
            except OverflowError:  # a number beyond float32: infinity, as in NumPy
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
        if self.arena_bytes <= KEEP_ARENA:
            self.pool.append(instance)
        return outs if self.direct else self._assemble(args, outs)

    def entry(self, constants: Sequence[Array], numbers: Mapping[int, type]) -> call.Enter | None:
        """Machine code from arguments to results, *constants* being the last inputs.

        *numbers* are the classes, float or NumPy's, of the arguments that were numbers when the
        function was traced, by their places.

        None if a run takes anything but one frame of serial kernels on arrays: no kernel at all,
        for a function that returns its argument.
        """
        if self.weak or len(self.segments) != 1 or not call.available():
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
        return call.entry(frame, avals[0], len(constants), avals[1], numbers, keep)

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

    def _fail(self, status: int) -> None:
        """Raise what the library call with the number in the low bits of *status* found."""
        raise NotImplementedError

    def _run_segments(
        self, instance: Instance, args: list[Any], outs: list[Array], values: list[Any]
    ) -> None:
        """Run frames and host calls in turn."""
        raise NotImplementedError

    def _assemble(self, args: list[Any], outs: list[Array]) -> list[Any]:
        """Outputs that are inputs, numbers or repeated are copies."""
        found: dict[Any, Any] = dict(zip(self.tape.inputs, args, strict=True))
        given = dict(zip(self.outputs, outs, strict=True))
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


class CpuProgram(Runner):
    """A compiled Program.

    Parameters
    ----------
    program : Program
    tier : {"fused", "block"}
        Whether each nest is one compiled kernel, or is interpreted block by block.
    """

    def __init__(self, program: Program, tier: str = "fused") -> None:
        self.program = program
        self.temporaries = Temporaries() if tier == "block" else None
        super().__init__(program.tape)
        self.segments = self._segments()
        self.offsets = dict(program.plan.offsets)
        self.arena_bytes = program.plan.arena_bytes
        for var in self.temporaries.slots if self.temporaries else ():
            self.offsets[var] = self.arena_bytes
            self.arena_bytes += var.aval.nbytes
        self.scratch = -(-self.arena_bytes // 64) * 64
        if size := scratch_size(self.segments):
            self.arena_bytes = self.scratch + size

    def _segments(self) -> list[Any]:
        """Runs of instructions, each of which one frame executes, and host calls between them."""
        segments: list[Any] = []
        for k, step in enumerate(self.program.steps):
            if isinstance(step, Call):
                segments.append(HostStep(step))
                continue
            if not segments or isinstance(segments[-1], HostStep):
                segments.append([])
            if isinstance(step, LibraryCall):
                segments[-1] += library.launches(step, k + 1)
            elif self.temporaries is not None:
                item = self.program.items[k]
                assert isinstance(item, Arranged)
                segments[-1] += BlockNest(item, self.temporaries).launches()
            else:
                segments[-1].append(Launch(kernel_of(step), step.args, step.tasks, step.grain))
        return segments

    def place(self, arg: Pointer | Scratch) -> tuple[int, int]:
        """Base number and byte offset of a buffer, or of scratch memory at the arena's end."""
        if isinstance(arg, Scratch):
            return len(self.base_of), self.scratch + arg.start
        var = self.program.shared.get(arg.buffer, arg.buffer)
        if var in self.base_of:
            return self.base_of[var], arg.offset
        if var.weak:
            return len(self.base_of) + 1, 8 * self.weak_index[var] + arg.offset
        return len(self.base_of), self.offsets[var] + arg.offset

    def lay_out(self, segment: list[Launch] | HostStep, instance: Instance) -> Frame | HostStep:
        """Lay out arguments, patches and instructions of the launches of a segment."""
        if isinstance(segment, HostStep):
            return segment
        layout = Layout(self.place, len(self.base_of), instance.bases)
        instructions = [(n.kernel.address, n.tasks, n.grain, layout.add(n.args)) for n in segment]
        words = layout.words
        avals = [var.aval for var in self.base_of]
        frame = Frame(len(avals), instance.bases, layout.patches, instructions, words, avals)
        frame.args[layout.status] = frame.status_address
        for word, row in layout.rows:
            frame.args[word] = frame.args.ctypes.data + 8 * row
        instance.blas_words += [(frame, word) for word in layout.blas]
        return frame

    def _fail(self, status: int) -> None:
        """Raise what the library call with the number in the low bits of *status* found."""
        raise library.failure(status, self.program.steps)

    def _run_segments(
        self, instance: Instance, args: list[Any], outs: list[Array], values: list[Any]
    ) -> None:
        env: dict[Var, Any] = dict(zip(self.tape.inputs, args, strict=True))
        env.update(zip(self.outputs, outs, strict=True))
        env.update({v: env[o].reshape(v.aval.shape) for v, o in self.program.shared.items()})
        offsets = self.program.plan.offsets
        with np.errstate(all="ignore"):
            for segment in instance.segments:
                if isinstance(segment, Frame):
                    if status := segment.run(values):
                        self._fail(status)
                    continue
                call = segment.call
                for var in call.reads:
                    if var in offsets:
                        env[var] = instance.view(var, offsets[var])
                out = call.eqn.out
                place = instance.view(out, offsets[out]) if out in offsets else env[out]
                segment.run(env, place)


def _fresh_outputs(tape: Tape) -> list[Var]:
    """Outputs that the program computes, each once."""
    inputs = set(tape.inputs)
    found = [a for a in tape.outputs if isinstance(a, Var) and a not in inputs]
    return list(dict.fromkeys(found))


def bits(arg: Number) -> int:
    """The argument word of a number: an integer, or the bits of a float in the low bytes."""
    if arg.value.__class__ is int and arg.code in ("i8", "i8*"):
        return arg.value
    word: Array = np.zeros(1, np.int64)
    with np.errstate(over="ignore"):
        value: Array = np.array(arg.value).astype(CASTS.get(arg.code, np.int64))
    word.view(np.uint8)[: value.itemsize] = np.frombuffer(value.tobytes(), np.uint8)
    return int(word[0])
