"""The contract of a backend: what it is given, what it says of it, and what it gives back.

``engine.tiers`` finds the backend of a device (``devices``) and asks it these questions; it knows none of
them by name. The reference is one, the CPU another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from nbgrad.core.collector import paused
from nbgrad.core.lazy import LazyModule
from nbgrad.core.tape import Tape
from nbgrad.core.telling import step, subject
from nbgrad.ops.kinds.forms import Iterate, Repeat

if TYPE_CHECKING:
    from nbgrad.program.program import Program

planning = LazyModule("nbgrad.program.program")

Array = np.ndarray[Any, Any]
Entry = tuple[Callable[..., Any], Callable[..., Any], Array]

# From this many equations on, of so few elements on average, a tape is flat: one kernel an equation
# takes little more to plan than to run once in NumPy.
LONG, SMALL = 1000, 256


class Work:
    """A tape that is to be run, and its Program, planned once somebody asks for it.

    Attributes
    ----------
    tape : Tape
    equations, elements : int
        Those that are run, and the elements of their results: of a loop, those of all its steps.
    endless : bool
        Whether how long a run takes is not known: a loop in it runs while a condition holds.
    flat : bool
        Whether it is long and its arrays are small, as a loop in Python records them.
    name : str
        What it was made for, to be told of: "jit of loss".
    given : frozenset of int
        The inputs whose memory the caller gives away: a backend may write results there.
    """

    __slots__ = ("_program", "elements", "endless", "equations", "flat", "given", "name", "tape")

    def __init__(self, tape: Tape, given: frozenset[int] = frozenset()) -> None:
        self.tape = tape
        self.given, self.name = given, subject() or f"a structure of {len(tape.eqns)} operations"
        self.equations, self.elements = _extent(tape)
        self.endless = _endless(tape)
        self.flat = len(tape.eqns) >= LONG and self.elements <= SMALL * len(tape.eqns)
        self._program: Program | None = None

    @property
    def planned(self) -> bool:
        """Whether somebody has asked for the Program."""
        return self._program is not None

    def program(self) -> Program:
        """The planned program: its source and statistics can be read without compiling."""
        if self._program is None:
            with paused(), step("planning", lambda: self.name):
                self._program = planning.make_program(self.tape, given=self.given)
        return self._program

    def told(self) -> str:
        """What is compiled, in words: its kernels, if they are planned."""
        kernels = f"{self._program.kernels} kernels for " if self._program is not None else ""
        return f"{kernels}{self.name}"


def _endless(tape: Tape) -> bool:
    return any(
        isinstance(eqn.prim.lower, Iterate)
        or (isinstance(eqn.prim.lower, Repeat) and _endless(eqn.params["body"].tape))
        for eqn in tape.eqns
    )


def _extent(tape: Tape) -> tuple[int, int]:
    """How many equations a run of *tape* runs, and the elements of their results."""
    equations = len(tape.eqns)
    elements = sum([out.aval.size for eqn in tape.eqns for out in eqn.outs])
    for eqn in tape.eqns:
        if isinstance(eqn.prim.lower, Repeat):
            inner = _extent(eqn.params["body"].tape)
            count = eqn.prim.lower.layout(eqn.params).count
            equations, elements = equations + count * inner[0], elements + count * inner[1]
    return equations, elements


class Ends(NamedTuple):
    """What is at both ends of a call by machine code.

    Attributes
    ----------
    numbers : mapping of int to type
        The classes, float or NumPy's, of the arguments that are numbers, by their places.
    scalars : collection of int
        The places of 0-d results that become NumPy's scalars.
    made : sequence of int
        How results are put together: -1 takes the next, 2 n makes a tuple of the last n, 2 n + 1 a list.
    tests : sequence of tuple
        What must be as it was: a cell and None, or a dict and a key; what is there; and the class of
        what may be there instead if it is equal, or None.
    """

    numbers: Mapping[int, type]
    scalars: Collection[int]
    made: Sequence[int]
    tests: Sequence[tuple[Any, Any, Any, Any]]


class Unsaid(RuntimeError):
    """A compiled step failed, and what it raised is known when the reference runs it."""


class Runnable(Protocol):
    """A tape made runnable by a backend."""

    def run(self, args: list[Any], /) -> list[Any]:
        """Return a fresh buffer for each output of the tape.

        *args* lie where the inputs' avals say, contiguous and of their dtypes, and the results where
        those of the outputs do; weak inputs are Python numbers. Several threads may run it at a time.
        """

    def entry(self, constants: Sequence[Any], ends: Ends, /) -> Entry | None:
        """A faster ``run`` of the arguments before *constants*; None if there is none.

        The second takes the arguments and the arrays to write results to, and answers True. Both answer
        None to what does not fit exactly: the caller then calls ``run``. The third are their words, for
        machine code that calls them.
        """


class Writing(ABC):
    """A runnable that can be given the buffers to write to: one for each output of the tape."""

    @abstractmethod
    def run(self, args: list[Any], buffers: list[Any] | None = None, /) -> list[Any]:
        """As :meth:`Runnable.run`; what is not written to its buffer is fresh."""


@runtime_checkable
class Backend(Protocol):
    """What runs tapes on the buffers of one device. A module or an object can be one."""

    @property
    def name(self) -> str: ...

    def accepts(self, work: Work, /) -> bool:
        """Whether :meth:`prepare` serves *work*. What it does not, the reference runs."""

    def prepare(self, work: Work, tier: str, /) -> Runnable:
        """Make *work* runnable, compiled whole ("fused") or of ready-made kernels ("block").

        At home also "timed": it is compiled whole, and tells ``clocks``. On other devices also
        "reference": without a compiler.

        It may be called by ``machine.compile.attempt``: it makes code, and does not run any.
        """

    def price(self, work: Work, fresh: bool, /) -> float:
        """Rough seconds that ``prepare(work, "fused")`` takes; if *fresh*, with an empty cache."""

    def to_host(self, buffer: Any, /) -> Array:
        """The elements of *buffer* as an array of NumPy's."""

    def from_host(self, array: Array, /) -> Any:
        """A buffer of the elements of *array*: at home an array, elsewhere a ``core.memory.Buffer``."""
