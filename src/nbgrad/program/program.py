"""Program: the ordered whole of a tape's kernels and library calls, with its buffer plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from textwrap import indent
from typing import Any

from nbgrad.core.frozen import Value
from nbgrad.core.lazy import LazyModule
from nbgrad.core.tape import Tape, Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.bands import Band, in_bands, units
from nbgrad.program.blocked import blocked
from nbgrad.program.factored import factored
from nbgrad.program.joined import joined
from nbgrad.program.loops import (
    Chosen,
    Fork,
    Loop,
    Round,
    Trip,
    Whole,
    framed,
    with_own_outputs,
    without_kept,
)
from nbgrad.program.nests import Call, Item, build, in_blocks
from nbgrad.program.plan import Plan, plan
from nbgrad.program.pushed import pushed
from nbgrad.program.rolled import rolled
from nbgrad.program.rows import Rows, by_rows
from nbgrad.program.selected import selected
from nbgrad.program.steps import define
from nbgrad.program.taken import NOWHERE, dying, in_outputs, placed, taken
from nbgrad.program.text import CudaKernel, Emitted
from nbgrad.program.traffic import totals
from nbgrad.program.trips import whole
from nbgrad.program.unrolled import emit
from nbgrad.program.upright import upright
from nbgrad.program.values import has_code, planning
from nbgrad.program.views import LibraryCall, Stage

cuda = LazyModule("nbgrad.program.cuda_rows")
cuda_serial = LazyModule("nbgrad.program.cuda_serial")
cuda_library = LazyModule("nbgrad.program.cuda_library")
cuda_loops = LazyModule("nbgrad.program.cuda_loops")
cuda_stages = LazyModule("nbgrad.program.cuda_stages")
halves = LazyModule("nbgrad.program.halves")

Step = Emitted | CudaKernel | Call | LibraryCall | Loop | Whole | Chosen


class Program(Value):
    """A planned tape: frozen, neutral to where it runs.

    Attributes
    ----------
    tape : Tape
    steps : tuple
        Emitted kernels and library calls, in order.
    plan : Plan
    shared : dict of Var to Var
        Values whose memory is that of an output: the output is another shape of them.
    taken : dict of Var to Var
        Outputs whose memory is that of an input, which the caller gives away.
    bands : tuple of Band
        Steps that are run together, some rows at a time.
    """

    tape: Tape
    items: tuple[Item, ...]
    steps: tuple[Step, ...]
    plan: Plan
    shared: dict[Var, Var]
    taken: Mapping[Var, Var] = NOWHERE
    bands: tuple[Band, ...] = ()

    def source(self) -> str:
        """The Python source of every kernel, and a comment for every library call."""
        parts = []
        for step in self.steps:
            if isinstance(step, (Emitted, CudaKernel)):
                parts.append(step.source)
            elif isinstance(step, (Loop, Whole, Chosen)):
                times = f", {step.rounds.count} times" if isinstance(step, Loop) else ""
                what = "choice" if isinstance(step, Chosen) else "loop"
                head = f"# {what}: {step.eqn.prim.name}{times}\n"
                inner = step.kernel or "\n".join([each.source() for each in step.programs])
                parts.append(
                    head + (indent(inner, "# ") if isinstance(inner, str) else inner.source)
                )
            else:
                how = "library kernel" if isinstance(step, LibraryCall) else "NumPy call"
                parts.append(f"# {how}: {step.eqn.prim.name} -> {step.eqn.sig.aval!r}\n")
        return "\n".join(parts)

    @property
    def kernels(self) -> int:
        """How many kernels it has, without those inside loops."""
        return sum(isinstance(s, (Emitted, CudaKernel)) for s in self.steps)

    def stats(self) -> dict[str, Any]:
        """Numbers of equations, kernels and library calls, bytes of each kind of buffer, and costs.

        ``bytes_moved`` and ``flops`` are counted, see traffic.py; ``peak_bytes`` is what inputs,
        results and what lies between them take together.
        """
        outs = {a for a in self.tape.outputs if isinstance(a, Var)}
        given = sum(v.aval.nbytes for v in self.tape.inputs)
        made = sum(v.aval.nbytes for v in outs)
        return {
            "equations": len(self.tape),
            "kernels": self.kernels,
            "loops": sum(isinstance(s, (Loop, Whole)) for s in self.steps),
            "library_calls": sum(isinstance(s, LibraryCall) for s in self.steps),
            "host_calls": sum(isinstance(s, Call) for s in self.steps),
            "arena_bytes": self.plan.arena_bytes,
            "input_bytes": given,
            "output_bytes": made,
            "peak_bytes": given + made + self.plan.arena_bytes,
            **totals(self),
        }


def make_program(
    tape: Tape, repeated: bool = False, target: str = "cpu", given: frozenset[int] = frozenset()
) -> Program:
    """Fuse, arrange, emit and plan *tape*, which may be a step of a loop.

    The inputs numbered *given* may be overwritten: results are written in their place where that can be.
    """
    with planning(target):
        tape, there = joined(selected(tape)), target == "cuda"
        tape = halves.widened(tape) if there else upright(pushed(factored(tape)))
        tape = tape if there or repeated else with_own_outputs(blocked(tape), _copied)
        built, shared = build(tape)
        outside = {*shared, *(a for a in tape.outputs if isinstance(a, Var))}
        cut = [*in_blocks(by_rows(built, outside, cuda.fits) if there else built, there)]
        free = [tape.inputs[k] for k in sorted(given)]
        cut, bands = (cut, []) if there or repeated else in_bands(cut)
        onto = taken(tape, cut, free, shared, bands)
        over = {} if there or repeated else dying(tape, cut, shared, onto, bands)
        items = tuple(cuda_stages.in_stages(cut) if there else placed(cut, onto, shared, over))
        shared = in_outputs(tape, over, shared)
        again = partial(make_program, repeated=True, target=target)
        steps = tuple([_step(item, repeated, again, target) for item in items])
        planned = plan(tape, items, shared, over, units(items, bands))
        return Program(tape, items, steps, planned, shared, onto, tuple(bands))


def _copied(out: Var) -> bool:
    """Whether an output that is an input, or is there twice, is a copy by a kernel.

    It is written where its operand is read anyway, by as many threads; who runs the program would read it again.
    """
    return not out.weak and has_code(out.aval.dtype)


def _step(item: Item, repeated: bool, again: Callable[[Tape], Program], target: str) -> Step:
    if target == "cuda" and (found := _kernel(item, again)):
        return found
    assert not isinstance(item, (Rows, Stage)), "only one target goes by rows"
    if isinstance(item, Arranged):
        return emit(item, repeated)
    if isinstance(item, Round):
        tape, kept = without_kept(item)
        return _framed(Loop(item.eqn, item.rounds, partial(again, tape), rolled(item), kept), item)
    if isinstance(item, Trip):
        step = Whole(item.eqn, whole(item, define), again)
        possible = step.kernel is not None or framed(item.eqn)
        return _framed(step, item) if possible else Call(item.eqn, (), item.reads)
    return _framed(Chosen(item.eqn, again), item) if isinstance(item, Fork) else item


def _kernel(item: Item, again: Callable[[Tape], Program]) -> CudaKernel | None:
    """The kernel for CUDA that *item* is, if it is one."""
    found: CudaKernel | None = None
    if isinstance(item, Stage):
        found = item.kernel
    elif isinstance(item, (Arranged, Rows)):
        found = cuda.cuda_kernel(item)
    elif isinstance(item, LibraryCall):
        found = cuda_library.cuda_call(item)
    elif isinstance(item, Round):
        found = cuda_loops.cuda_loop(item, again)
    if found is None and isinstance(item, (Round, Trip)):
        serial = rolled(item) if isinstance(item, Round) else whole(item, define)
        found = cuda_serial.cuda_serial(serial) if serial else None
    return found


def _framed(step: Loop | Whole | Chosen, item: Round | Trip | Fork) -> Step:
    """*step*, or a call of NumPy's if it runs programs that have such: no frame holds one."""
    if step.kernel is None and any(isinstance(s, Call) for p in step.programs for s in p.steps):
        return Call(item.eqn, (), item.reads)
    return step
