"""The CPU backend: a Program with its kernels compiled, its memory laid out, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nbgrad.backends.cpu import library, loops, services, trips
from nbgrad.backends.cpu.block import BlockNest, Temporaries
from nbgrad.backends.cpu.executor import Frame
from nbgrad.backends.cpu.launch import (
    Addresses,
    BlasThreads,
    Code,
    Inner,
    Launch,
    Row,
    Scratch,
    extended,
    flattened,
    static_kernel,
)
from nbgrad.backends.cpu.runner import Instance, Runner
from nbgrad.core.interpret import bind_results, evaluate, read
from nbgrad.core.tape import Var
from nbgrad.machine.compile import Kernel, compile_kernel, is_cached
from nbgrad.machine.interleaving import calls
from nbgrad.machine.intrinsics import CASTS
from nbgrad.machine.scalar import HELPERS
from nbgrad.program.arrange import Arranged
from nbgrad.program.bands import Band
from nbgrad.program.loops import Chosen, Loop, Whole
from nbgrad.program.nests import Call
from nbgrad.program.program import Program
from nbgrad.program.text import Emitted, Number, Pointer, Service, Status
from nbgrad.program.views import LibraryCall

Array = np.ndarray[Any, Any]


_BANDS = """
def nbgrad_bands(lo, hi, n_steps, steps):
    for band in range(lo, hi):
        step = steps
        for _ in range(n_steps):
            n, total = step[2], step[3]
            start = min(band * n, total)
            call_kernel(load_pointer(step, 0), start, min(start + n, total), load_pointer(step, 1))
            step = offset_words(step, 4)
"""


def kernel_of(step: Emitted) -> Kernel:
    """Compile one emitted kernel, or fetch it from the cache."""
    return compile_kernel(step.source, step.name, step.signature, noalias=True, helpers=HELPERS)


def compile_price(program: Program, fresh: bool = False) -> float:
    """Rough seconds that compiling the kernels not yet cached will take (docs/performance.md).

    If *fresh*, of all kernels: what is cached is another in each run of a script.
    """
    kernels = {s.source: s for s in _kernels(program)}
    return sum(
        price_of(s.source)
        for s in kernels.values()
        if fresh or not is_cached(s.source, s.name, s.signature, noalias=True, helpers=HELPERS)
    )


def _kernels(program: Program) -> Iterator[Emitted]:
    for step in program.steps:
        if isinstance(step, (Loop, Whole, Chosen)):
            if step.kernel is not None:
                yield step.kernel
                continue
            for each in step.programs:
                yield from _kernels(each)
        elif isinstance(step, Emitted):
            yield step


def price_of(source: str) -> float:
    """Rough seconds that compiling one kernel takes.

    It grows with the lines, with the functions that are written out in them, and with the lines times the windows
    they are tested for: each test splits the blocks that LLVM then optimises again and again. Measured: 0.012 s for
    5 lines, 0.07 for 131 without a window, 0.54 for 103 and 9 windows, 2.1 for 883 and 150.
    """
    lines = source.splitlines()
    # Tests of windows and choices, not those by which a loop ends.
    tests = sum([text.count(" if ") for text in lines if "_lo <= " in text or " else " in text])
    called = calls(source)
    return 0.012 + 0.0015 * len(lines) + 0.012 * called + 1e-5 * len(lines) * tests


def _held(kernel: Emitted, number: int) -> Launch:
    """The instruction of a kernel that holds a loop, which fails by the *number* of its step."""
    args = (*kernel.args[:-1], Number(number)) if kernel.faults else kernel.args
    return Launch(kernel_of(kernel), args, kernel.tasks, kernel.grain)


class HostStep:
    """A library call between kernels, on views of the program's buffers."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def run(self, env: dict[Var, Any], places: Sequence[Array]) -> None:
        """Evaluate the views that lead to the operands, then the call, into *places*."""
        for eqn in (*self.call.views, self.call.eqn):
            bind_results(env, eqn, evaluate(eqn, [read(env, a) for a in eqn.inputs]))
        for out, place in zip(self.call.eqn.outs, places, strict=True):
            np.copyto(place, env[out])
            env[out] = place


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
        self.blas: list[int] = []
        self.at = Addresses()

    def add(self, args: Sequence[Any]) -> int:
        """Append *args* in one row, then the rows they refer to; return where the row starts."""
        start, args = len(self.words), extended(args)
        self.words += [0] * len(args)
        for word, arg in enumerate(args, start):
            if isinstance(arg, (Code, Service)) or getattr(arg, "code", "") == "i8*":
                self.at.outside.append(word)
            if isinstance(arg, (Pointer, Scratch)):
                base, offset = self.place(arg)
                if base < self.n_values:
                    self.patches.append((word, base, offset))
                else:
                    self.words[word] = self.bases[base - self.n_values] + offset
                    self.at.own.append((word, base - self.n_values, offset))
            elif isinstance(arg, Row):
                self.at.rows.append((word, self.add(arg.args)))
            elif isinstance(arg, Inner):
                self.at.inner.append(Instance(arg.program))
                self.at.inner[-1].frame.take_bases()
                self.words[word] = self.at.inner[-1].frame.address
                self.at.frames.append(word)
            elif isinstance(arg, Code):
                self.words[word] = arg.kernel.address
            elif isinstance(arg, Service):
                self.words[word] = services.address(arg)
            elif isinstance(arg, Status):
                self.at.status.append(word)
            elif isinstance(arg, BlasThreads):
                self.blas.append(word)
            else:
                self.words[word] = bits(arg)
        return start


def scratch_size(segments: Sequence[Any]) -> int:
    """Bytes of scratch memory that the instruction which needs most of it needs."""
    launches = [x for segment in segments if isinstance(segment, list) for x in segment]
    args = (arg for x in launches for arg in flattened(x.args))
    ends = (arg.end for arg in args if isinstance(arg, Scratch))
    return max(ends, default=0)


class CpuProgram(Runner):
    """A compiled Program.

    Parameters
    ----------
    program : Program
    tier : {"fused", "block"}
        Whether each nest is one compiled kernel, or is interpreted block by block.
    """

    apart = False  # whether each step is a segment of its own

    def __init__(self, program: Program, tier: str = "fused") -> None:
        self.program = program
        self.tier = tier
        self.temporaries = Temporaries() if tier == "block" else None
        super().__init__(program.tape, program.taken)
        self.weak_index = {v: k for k, v in enumerate(self.weak)}
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
        bands = (
            {} if self.apart or self.tier == "block" else {b.start: b for b in self.program.bands}
        )
        inside = {k for b in bands.values() for k in range(b.start + 1, b.stop)}
        for k, step in enumerate(self.program.steps):
            if k in inside:
                continue
            if isinstance(step, LibraryCall) and not library.serves(step):
                step = step.host
            if isinstance(step, Call):
                segments.append(HostStep(step))
                continue
            if self.apart or not segments or isinstance(segments[-1], HostStep):
                segments.append([])
            if isinstance(step, LibraryCall):
                segments[-1] += library.launches(step, k + 1)
            elif isinstance(step, Loop):
                segments[-1] += self._loop(step, k + 1)
            elif isinstance(step, Whole):
                segments[-1] += self._trips(step, k + 1)
            elif isinstance(step, Chosen):
                inner = [CpuProgram(each, self.tier) for each in step.programs]
                segments[-1] += loops.choice(step, k + 1, inner)
            elif self.temporaries is not None:
                item = self.program.items[k]
                assert isinstance(item, Arranged)
                segments[-1] += BlockNest(item, self.temporaries).launches()
            elif k in bands:
                segments[-1].append(self._band(bands[k]))
            else:
                assert isinstance(step, Emitted), "a program for another target"
                segments[-1].append(Launch(kernel_of(step), step.args, step.tasks, step.grain))
        return segments

    def _band(self, band: Band) -> Launch:
        """The instruction that runs the tasks of several kernels by turns."""
        args: list[Any] = []
        steps = [s for s in self.program.steps[band.start : band.stop] if isinstance(s, Emitted)]
        for step, n in zip(steps, band.tasks, strict=True):
            args += [Code(kernel_of(step)), Row(step.args), Number(n), Number(step.tasks)]
        kernel = static_kernel(_BANDS, "nbgrad_bands", ("i8", "i8*"))
        grain = int(any(step.grain for step in steps))
        return Launch(kernel, (Number(len(steps)), Row(tuple(args))), band.count, grain)

    def _loop(self, step: Loop, number: int) -> list[Launch]:
        """The instruction of a loop: its kernel, or that which runs the frame of its steps."""
        kernel = library.held(step, self.tier)
        if kernel is None:
            return loops.launches(step, number, CpuProgram(step.inner, self.tier))
        return [_held(kernel, number)]

    def _trips(self, step: Whole, number: int) -> list[Launch]:
        if step.kernel is not None:
            return [_held(step.kernel, number)]
        inner = {name: CpuProgram(program, self.tier) for name, program in step.inner.items()}
        return trips.launches(step, number, inner)

    def place(self, arg: Pointer | Scratch) -> tuple[int, int]:
        """Base number and byte offset of a buffer, or of scratch memory at the arena's end."""
        if isinstance(arg, Scratch):
            return len(self.base_of), self.scratch + arg.start
        var = self.program.shared.get(arg.buffer, arg.buffer)
        var = self.taken.get(var, var)
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
        frame.args[layout.at.status] = frame.status_address
        frame.addresses = layout.at
        for word, row in layout.at.rows:
            frame.args[word] = frame.args.ctypes.data + 8 * row
        instance.blas_words += [(frame, word) for word in layout.blas]
        for inner in layout.at.inner:
            instance.blas_words += inner.blas_words
        instance.inner += layout.at.inner
        return frame

    def _fail(self, status: int) -> None:
        """Raise what the library call with the number in the low bits of *status* found."""
        raise library.failure(status, self.program.steps, self.tier)

    def _run_segments(
        self, instance: Instance, args: list[Any], outs: list[Array], values: list[Any]
    ) -> None:
        env = self._values(args, outs)
        with np.errstate(all="ignore"):
            for segment in instance.segments:
                if isinstance(segment, HostStep):
                    self._run_host(segment, instance, env)
                elif status := segment.run(values):
                    self._fail(status)

    def _values(self, args: list[Any], outs: list[Array]) -> dict[Var, Any]:
        """The variables that are known before a run: inputs, and the places of outputs."""
        env: dict[Var, Any] = dict(zip(self.tape.inputs, args, strict=True))
        env.update(zip(self.outputs, outs, strict=True))
        env.update({o: env[v] for o, v in self.taken.items()})
        env.update({v: env[o].reshape(v.aval.shape) for v, o in self.program.shared.items()})
        return env

    def _run_host(self, step: HostStep, instance: Instance, env: dict[Var, Any]) -> None:
        offsets, call = self.program.plan.offsets, step.call
        for var in call.reads:
            if var in offsets:
                env[var] = instance.view(var, offsets[var])
        outs = call.eqn.outs
        step.run(env, [instance.view(y, offsets[y]) if y in offsets else env[y] for y in outs])


def bits(arg: Number) -> int:
    """The argument word of a number: an integer, or the bits of a float in the low bytes."""
    if arg.value.__class__ is int and arg.code in ("i8", "i8*"):
        return arg.value
    word: Array = np.zeros(1, np.int64)
    with np.errstate(over="ignore"):
        value: Array = np.array(arg.value).astype(CASTS.get(arg.code, np.int64))
    word.view(np.uint8)[: value.itemsize] = np.frombuffer(value.tobytes(), np.uint8)
    return int(word[0])
