"""Program: the ordered whole of a tape's kernels and library calls, with its buffer plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from textwrap import indent
from typing import Any

from nbgrad.core.tape import Tape, Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.emit import emit
from nbgrad.program.joined import joined
from nbgrad.program.loops import Loop, Round, Trip, Whole, framed
from nbgrad.program.nests import Call, Item, build
from nbgrad.program.plan import Plan, plan
from nbgrad.program.rolled import rolled
from nbgrad.program.selected import selected
from nbgrad.program.steps import define
from nbgrad.program.text import Emitted
from nbgrad.program.traffic import totals
from nbgrad.program.trips import whole
from nbgrad.program.views import LibraryCall

Step = Emitted | Call | LibraryCall | Loop | Whole


@dataclass(frozen=True)
class Program:
    """A planned tape: frozen, neutral to where it runs.

    Attributes
    ----------
    tape : Tape
    steps : tuple
        Emitted kernels and library calls, in order.
    plan : Plan
    shared : dict of Var to Var
        Values whose memory is that of an output: the output is another shape of them.
    """

    tape: Tape
    items: tuple[Item, ...]
    steps: tuple[Step, ...]
    plan: Plan
    shared: dict[Var, Var]

    def source(self) -> str:
        """The Python source of every kernel, and a comment for every library call."""
        parts = []
        for step in self.steps:
            if isinstance(step, Emitted):
                parts.append(step.source)
            elif isinstance(step, Loop):
                head = f"# loop: {step.eqn.prim.name}, {step.rounds.count} times\n"
                text = step.kernel.source if step.kernel else indent(step.inner.source(), "# ")
                parts.append(head + text)
            elif isinstance(step, Whole):
                inner = "\n".join(program.source() for program in step.inner.values())
                text = step.kernel.source if step.kernel else indent(inner, "# ")
                parts.append(f"# loop: {step.eqn.prim.name}\n{text}")
            else:
                how = "library kernel" if isinstance(step, LibraryCall) else "NumPy call"
                parts.append(f"# {how}: {step.eqn.prim.name} -> {step.eqn.sig.aval!r}\n")
        return "\n".join(parts)

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
            "kernels": sum(isinstance(s, Emitted) for s in self.steps),
            "loops": sum(isinstance(s, (Loop, Whole)) for s in self.steps),
            "library_calls": sum(isinstance(s, LibraryCall) for s in self.steps),
            "host_calls": sum(isinstance(s, Call) for s in self.steps),
            "arena_bytes": self.plan.arena_bytes,
            "input_bytes": given,
            "output_bytes": made,
            "peak_bytes": given + made + self.plan.arena_bytes,
            **totals(self),
        }


def make_program(tape: Tape, repeated: bool = False) -> Program:
    """Fuse, arrange, emit and plan *tape*, which may be a step of a loop."""
    tape = joined(selected(tape))
    built, shared = build(tape)
    items = tuple(built)
    steps = tuple([_step(item, repeated) for item in items])
    return Program(tape, items, steps, plan(tape, items, shared), shared)


def _step(item: Item, repeated: bool) -> Step:
    if isinstance(item, Arranged):
        return emit(item, repeated)
    if isinstance(item, Trip):
        return _trip(item)
    if not isinstance(item, Round):
        return item
    loop = Loop(item.eqn, item.rounds, partial(make_program, item.tape, True), rolled(item))
    if loop.kernel is None and any(isinstance(step, Call) for step in loop.inner.steps):
        return Call(item.eqn, (), item.reads)  # no frame holds a call of NumPy's
    return loop


def _trip(item: Trip) -> Step:
    step = Whole(item.eqn, whole(item, define), partial(make_program, repeated=True))
    if step.kernel is not None:
        return step
    host = not framed(item.eqn) or any(
        isinstance(s, Call) for program in step.inner.values() for s in program.steps
    )
    return Call(item.eqn, (), item.reads) if host else step
