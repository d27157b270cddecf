"""What each step of a program moves and computes, by count: bytes, operations, and the user's line.

Nothing is measured. Bytes are those of the elements that a step reads and writes, each once, as if
the caches held what it meets again; operations are those of the text, a call such as ``exp`` being one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nbgrad.core.aval import Aval
from nbgrad.core.frozen import Value
from nbgrad.core.lazy import pattern
from nbgrad.core.tape import Equation, Var
from nbgrad.ops.kinds.forms import Library
from nbgrad.program.arrange import Arranged
from nbgrad.program.loops import Chosen, Loop, Whole
from nbgrad.program.nest import Compute, Load, Nest, Reduce, Store
from nbgrad.program.rows import Rows
from nbgrad.program.text import CudaKernel
from nbgrad.program.views import LibraryCall, Stage

if TYPE_CHECKING:
    from nbgrad.program.program import Program

# One operation each: a call by name, or an operator between two operands.
_OPERATION = pattern(r"\w+(?:\.\w+)*(?:\{c\})?\(|\*\*|//|<<|>>|[<>=!]=|[-+*/%&|^<>]")
MAX_NAMES = 3


class Traffic(Value):
    """Of one step: what it is, what it computes, and what it moves.

    Attributes
    ----------
    kind : {"kernel", "library", "host", "loop"}
        A loop is that of its whole body, all rounds.
    name : str
        The operations, ``multiply+sum``.
    read, written : int
        Bytes.
    flops : int
        0 where nobody has declared how many there are.
    line : str or None
        Where the user called what the step ends with.
    """

    kind: str
    name: str
    read: int
    written: int
    flops: int
    line: str | None

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


def traffic(program: Program) -> list[Traffic]:
    """What the steps of *program* move and compute, in order."""
    lines = {out: eqn.line for eqn in program.tape.eqns for out in eqn.outs}
    return list(_steps(program, lines))


def _steps(program: Program, lines: dict[Var, str | None]) -> Iterator[Traffic]:
    for item, step in zip(program.items, program.steps, strict=True):
        if isinstance(step, Loop):
            yield _repeated(step)
        elif isinstance(step, (Whole, Chosen)):
            yield of_equation(step.eqn, "loop" if isinstance(step, Whole) else "library")
        elif isinstance(item, Arranged):
            yield _of_nest(item.nest, lines)
        elif isinstance(item, Rows):
            yield _of_rows(item, lines)
        elif isinstance(item, Stage):
            read, written = (sum([v.aval.nbytes for v in vs]) for vs in (item.reads, item.writes))
            yield Traffic("library", item.kernel.name, read, written, 0, item.eqn.line)
        else:
            kind = "library" if isinstance(step, LibraryCall | CudaKernel) else "host"
            yield of_equation(item.eqn, kind)


def _repeated(step: Loop) -> Traffic:
    """Each round moves what its steps do; one kernel that holds the loop only what it is given."""
    inner, whole, n = traffic(step.inner), of_equation(step.eqn, "loop"), step.rounds.count
    flops = n * sum(each.flops for each in inner)
    read, written = whole.read, whole.written
    if step.kernel is None:
        read, written = (n * sum(getattr(x, word) for x in inner) for word in ("read", "written"))
    return Traffic("loop", whole.name, read, written, flops, whole.line)


def of_equation(eqn: Equation, kind: str) -> Traffic:
    """The same of an operation that is a step by itself."""
    operands = dict.fromkeys(a for a in eqn.inputs if isinstance(a, Var))
    form = eqn.prim.lower
    flops = 0
    if isinstance(form, Library) and form.flops is not None:
        avals: list[Aval] = [a.aval for a in eqn.inputs if isinstance(a, Var)]
        flops = round(form.flops(eqn.params, *avals))
    read, written = (sum(v.aval.nbytes for v in vs) for vs in (operands, eqn.outs))
    return Traffic(kind, eqn.prim.name, read, written, flops, eqn.line)


def _of_nest(nest: Nest, lines: dict[Var, str | None]) -> Traffic:
    loads: dict[Var, int] = {}
    for load in nest.body:
        if isinstance(load, Load):
            n = _distinct(nest, load.strides) * load.dtype.itemsize
            loads[load.buffer] = loads.get(load.buffer, 0) + n
    stores: dict[Var, int] = {}
    made: list[Store | Reduce] = [*nest.stores, *nest.reductions]
    for store in made:
        kept = [k for k in range(len(nest.extents)) if k not in nest.reduced]
        loops = kept if isinstance(store, Reduce) else range(len(nest.extents))
        n = math.prod([nest.extents[k] for k in loops]) * store.dtype.itemsize
        stores[store.buffer] = stores.get(store.buffer, 0) + n
    read, written = (
        sum([min(n, max(1, v.aval.nbytes)) for v, n in held.items()]) for held in (loads, stores)
    )
    computed = [v for v in nest.body if isinstance(v, Compute)]
    flops = sum([operations(v.text) * (1 if v.uniform else nest.size) for v in computed])
    flops += len(nest.reductions) * nest.size
    line = next((found for v in reversed(stores) if (found := lines.get(v))), None)
    return Traffic("kernel", _name(computed, nest), read, written, flops, line)


def _of_rows(rows: Rows, lines: dict[Var, str | None]) -> Traffic:
    """What is not kept is not moved, and what is read is read once."""
    phases = [_of_nest(phase.nest, lines) for phase in rows.phases]
    read, written = (sum([max(1, v.aval.nbytes) for v in vs]) for vs in (rows.reads, rows.writes))
    name = "+".join(dict.fromkeys(word for p in phases for word in p.name.split("+")))
    return Traffic("kernel", name, read, written, sum(p.flops for p in phases), phases[-1].line)


def _distinct(nest: Nest, strides: tuple[int, ...]) -> int:
    """How many elements these strides meet."""
    return math.prod([n for n, s in zip(nest.extents, strides, strict=True) if s])


@lru_cache(maxsize=4096)
def operations(text: str) -> int:
    """How many operations an expression has.

    Examples
    --------
    >>> operations("{x} * {y}"), operations("exp_{c}(-{x}) + 1")
    (1, 3)
    """
    return max(1, len(_OPERATION.findall(text)))


def _name(computed: list[Compute], nest: Nest) -> str:
    names = [v.name for v in computed] + [r.name for r in nest.reductions]
    several = list(dict.fromkeys(names)) or ["copy"]
    more = f"+{len(several) - MAX_NAMES}" if len(several) > MAX_NAMES + 1 else ""
    shown = several if not more else [*several[: MAX_NAMES - 1], "...", several[-1]]
    return "+".join(shown)


def totals(program: Program) -> dict[str, Any]:
    """The sums over all steps, by the words of :meth:`Program.stats`."""
    found = traffic(program)
    return {
        "bytes_moved": sum(step.moved for step in found),
        "flops": sum(step.flops for step in found),
    }
