"""Whether a long tape runs as the loops that were found in it.

A flat tape, of small arrays, is planned in microseconds an equation and runs by ready-made machine
code; as a loop it has to be compiled, once for all lengths of the loop that are met in any process
that shares the cache. So what compiling would take decides. Where arrays are large, a chain of
elementwise operations is one kernel, which passes over memory once, and stays so while it can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from nbgrad.backends.base import Work
from nbgrad.core.lazy import LazyModule
from nbgrad.core.linearize import Capture
from nbgrad.core.node import Node, placeholder
from nbgrad.core.tape import Tape, Var
from nbgrad.engine.programs import executable
from nbgrad.engine.tiers import MAX_COMPILED, Executable
from nbgrad.ops.kinds.forms import Repeat

if TYPE_CHECKING:
    from nbgrad.transforms.stacking import Rerolled

rerolling = LazyModule("nbgrad.transforms.reroll")
stacking = LazyModule("nbgrad.transforms.stacking")
MIN_EQUATIONS: Final = 256  # of a tape that is looked at for steps of a loop
FLAT_PLANNING: Final = 1.4e-5  # rough seconds for each equation that was recorded

# Makes of a tape, which may have loops in it, what is to run, and its constants.
Make = Callable[[Tape], tuple[Tape, list[Node]]]


def loops_in(tape: Tape, *given: Any, **named: Any) -> Rerolled | None:
    """What ``with_loops`` finds in *tape*, if there may be something."""
    if len(tape) >= MIN_EQUATIONS or _repeats(tape):
        found: Rerolled | None = rerolling.with_loops(tape, *given, **named)
        return found
    return None


def _repeats(tape: Tape) -> bool:
    """Whether there are loops in *tape*, written or folded so."""
    return any(isinstance(eqn.prim.lower, Repeat) for eqn in tape.eqns)


def runnable(
    tape: Tape, make: Make, *given: Any, **named: Any
) -> tuple[Executable, Rerolled | None]:
    """What ``make(tape)`` runs as, and how its arguments are stacked if that is with loops.

    What else is given is what ``reroll`` is to know of the tape.
    """
    loops = loops_in(tape, tape.inputs, *given, **named)
    if loops is not None and _worthy(tape, loops):
        exe = executable(*make(loops.tape))
        if _repeats(tape) or not Work(tape).flat or exe.price() <= FLAT_PLANNING * len(tape):
            return exe, loops
    return executable(*make(tape)), None


def traced(
    tape: Tape,
    constants: Sequence[Node],
    patience: float,
    places: frozenset[int] = frozenset(),
) -> Executable:
    """What a traced tape runs as, whose last inputs are *constants*.

    With loops, where compiling these takes no longer than *patience*, in seconds: a function that is
    to be compiled is called often. The inputs at *places* may be overwritten, if it has none.
    """
    n = len(tape.inputs) - len(constants)
    known = [v for v, c in zip(tape.inputs[n:], constants, strict=True) if c.value is not None]
    loops = loops_in(tape, known)
    if loops is not None and _worthy(tape, loops):
        given = loops.nodes([*[placeholder(v.aval) for v in tape.inputs[:n]], *constants])
        exe = executable(loops.tape, given[n:])
        if exe.price() <= patience:
            return exe
    return executable(tape, constants, places)


def _worthy(tape: Tape, loops: Rerolled) -> bool:
    return _repeats(tape) or Work(tape).flat or len(tape) > MAX_COMPILED or _gathers(loops.tape)


def _gathers(tape: Tape) -> bool:
    """Whether a loop has more than elementwise operations in it, which no kernel does in one go."""
    bodies = [e.params["body"].tape for e in tape.eqns if isinstance(e.prim.lower, Repeat)]
    return any(eqn.prim.kind != "elementwise" for body in bodies for eqn in body.eqns)


def numbers_in(tape: Tape, cap: Capture, alike: bool) -> Mapping[Var, Any] | None:
    """The values that the inputs of *tape*, which is that of *cap*, have now.

    None unless numbers that are the same in all steps of a loop may be taken to be always *alike*.
    """
    return dict(zip(tape.inputs, cap.values + cap.scalars, strict=True)) if alike else None


def arguments(loops: Rerolled | None, args: list[Any]) -> list[Any] | None:
    """The arguments of what runs, for those of the tape as it was recorded.

    None if it was made for numbers that are alike, and they are not.
    """
    if loops is None:
        return args
    try:
        return loops.given(args)
    except stacking.Differ:
        return None
