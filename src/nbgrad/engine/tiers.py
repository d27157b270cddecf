"""Executable: a tape with its constants, run on the tier its configuration and history ask for."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nbgrad.backends.base import LONG, Ends, Entry, Runnable, Unsaid, Work, Writing
from nbgrad.backends.devices import HOME, AtHome, backend_of, definition, device_of, prepare
from nbgrad.config import TIMED, settings
from nbgrad.core.collector import paused
from nbgrad.core.forks import ThreadLock
from nbgrad.core.lazy import LazyModule
from nbgrad.core.memory import host
from nbgrad.core.tape import Tape
from nbgrad.core.telling import step

if TYPE_CHECKING:
    from nbgrad.program.program import Program

background = LazyModule("nbgrad.machine.background")
hot = LazyModule("nbgrad.twins.hot")
timing = LazyModule("nbgrad.backends.timing")

# Beyond this many equations a structure stays interpreted unless its tier is "fused".
MAX_COMPILED = 4000
# Rough seconds of one equation and of one element on the reference tier; of one in a flat tape.
EQUATION, ELEMENT, FLAT_EQUATION = 5e-6, 1.5e-9, 3e-8
# Rough seconds that planning takes for each equation.
PLANNING = 5e-4
# Equations that are planned in less than a tenth of a second or two.
PLANNED_HERE = 300
# A structure is planned, and then compiled, once it has spent this part of what that will take.
PATIENCE = 0.1
# Equations recorded, in one loop or by repeating it, for which recording by machine code is loaded.
RECORDED = 5000
# Longest compilation, in seconds, that jit makes its first call wait for.
JIT_WAIT = 4.0
# Longest one that it makes it wait for where other processes compile, and NumPy answers in a part of the time.
STALL, QUICK = 0.3, 0.25
# What loading the compiler takes in a process, and compiling what runs programs.
LOADING = 0.27
# The same as JIT_WAIT where a run may take any time until then.
ENDLESS_WAIT = 20.0
# Bytes of intermediate results with which a structure rather waits for blocks than runs in NumPy.
MUCH = 1 << 28


def _loading() -> float:
    """Seconds until this process can compile."""
    return 0.0 if background.loaded() else LOADING


class Executable:
    """A tape made runnable: by the backend of the device that its operands are on.

    Parameters
    ----------
    tape : Tape
        Its inputs are the arguments of ``run`` followed by *constants*.
    constants : sequence of ndarray
    given : frozenset of int
        The inputs that a run may overwrite: it returns results in their place.
    """

    def __init__(
        self, tape: Tape, constants: Sequence[Any] = (), given: frozenset[int] = frozenset()
    ) -> None:
        self.tape = tape
        self.constants = list(constants)
        # Numbers that are complex here, whatever the user wrote: log(-1) depends on it.
        self.complex = [
            k for k, v in enumerate(tape.inputs) if v.weak and v.aval.dtype.kind == "c"
        ]
        self.runs = 0
        self.work = work = Work(tape, given)
        device = device_of(tape)
        self.backend, self.away = backend_of(device), device != HOME
        self.reference = AtHome(work) if self.away else definition.prepare(work, "reference")
        self.compiled: Runnable | None = None
        self.timing: Any = None  # what runs on the tier "timed"
        self.interpreted: Runnable | None = None
        self.moved: dict[str, Runnable] = {}
        self.lock = ThreadLock()
        self.impatient = self.entering = self.asked = False
        self.hurried = False  # whether no loop is worth a wait of more than a few seconds
        self.wishes: dict[str, Any] = {}
        self._price: dict[bool, float] = {}
        self._planner: threading.Thread | None = None
        self.elements, self.flat, n = work.elements, work.flat, work.equations
        self.looping = n >= LONG > len(tape.eqns)
        self.cost = FLAT_EQUATION * n if self.flat else EQUATION * n + ELEMENT * self.elements

    def run(self, args: list[Any]) -> list[Any]:
        """Return one fresh array for each output of the tape."""
        if self.constants:
            args = args + self.constants
        if self.complex:
            args = [complex(a) if k in self.complex else a for k, a in enumerate(args)]
        tier = settings.current.tier
        try:
            if self.away:
                return self._there(tier).run(args)
            if tier == "auto":
                return (self.compiled or self._choose()).run(args)
            if tier == "reference":
                return self.reference.run(args)
            if tier == TIMED:
                return self._timed(args)
            return (self.blocks() if tier == "block" else self.compile()).run(args)
        except Unsaid as error:
            raise self._said(error, args) from None

    def run_into(self, args: list[Any], outs: list[Any]) -> None:
        """Run, and write each output of the tape to its array among *outs*.

        They are contiguous, of the outputs' shapes and dtypes, and nothing that is read. Compiled
        kernels write to them: that is not waited for where it would take more than a few seconds.
        """
        tier = settings.current.tier
        if self.compiled is None and tier in ("auto", "fused") and not self.away:
            self.compile_soon()
        compiled = self.compiled if tier in ("auto", "fused") else None
        given = [*args, *self.constants]
        if isinstance(compiled, Writing) and not self.complex:
            try:
                found = compiled.run(given, outs)
            except Unsaid as error:
                raise self._said(error, given) from None
        else:
            found = self.run(args)
        for out, y in zip(outs, found, strict=True):
            if out is not y:
                out[...] = host(y)

    def _said(self, error: Exception, args: list[Any]) -> Exception:
        """What a failed step raises where the reference runs it; *error* if nothing."""
        try:
            self.reference.run(args)
        except Exception as said:
            return said
        return error

    def _there(self, tier: str) -> Runnable:
        """What runs on another device: compiled at once, as there is nothing quicker to start with."""
        tier = "fused" if tier in ("auto", TIMED) else tier
        found = self.moved.get(tier)
        return found or self.moved.setdefault(tier, prepare(self.work, self.backend, tier))

    def _timed(self, args: list[Any]) -> list[Any]:
        """Run, and tell how long each step took; all of it, where compiling would take too long."""
        if self.timing is None:
            small = not self.flat and len(self.tape) <= MAX_COMPILED and self.price() <= JIT_WAIT
            self.timing = self._made(TIMED) if small else timing.Whole(self._choose, self.tape)
        found: list[Any] = self.timing.run(args)
        return found

    def _choose(self) -> Runnable:
        """The tier of the next run, by what was spent so far, which depends on counts alone.

        A structure starts in NumPy, or on blocks if it is large. It is compiled when what it has
        spent there, by estimate, is a fair part of what compiling it will take. The machine code is
        made elsewhere meanwhile; with ``deterministic`` it is waited for, so that a script repeats
        its bits.
        """
        self.runs += 1
        spent = self.runs * self.cost
        if self.asked:
            if spent >= self.price() or not elsewhere():
                return self.compile()
            self.compiled = self._ready("fused")
            return self.compiled or self.reference
        current = settings.current
        large = self.impatient or self.flat or self.looping
        large = large or self.elements >= current.hot_elements
        planned = spent >= PATIENCE * PLANNING * len(self.tape)
        if not (self.impatient or self.flat) and (
            not planned or (self.runs < current.hot_runs and not large)
        ):
            return self.reference
        waiting = current.deterministic or not background.available()
        if self.looping and self.cost >= self.price() + _loading():
            hot.ask(waiting)
            return self.compile()  # sooner than the loop is through in Python
        if (
            len(self.tape) <= MAX_COMPILED
            and (planned or not self.flat)
            and (waiting or self._planned())
            and spent >= PATIENCE * self.price()
        ):
            if waiting:
                hot.ask(True)  # kernels take microseconds: recording and finding them must, too
                return self.compile()
            hot.ask(False)
            self.compiled = self._ready("fused")
            if self.compiled is not None:
                return self.compiled
        # Blocks of a loop are compiled no sooner than the loop itself, if that takes a few seconds.
        soon = self.looping and self.price() <= JIT_WAIT
        return self._interpreted(waiting) if large and not soon else self.reference

    def _planned(self) -> bool:
        """Whether there is a plan; that of a long tape is made by a thread, beside the runs."""
        if not self.work.planned and len(self.tape) > PLANNED_HERE:
            if self._planner is None:
                self._planner = threading.Thread(target=self.program, daemon=True)
                self._planner.start()
            # A child of fork has no such thread, and makes the plan when it needs it.
            return not self._planner.is_alive()
        return True

    def _interpreted(self, waiting: bool) -> Runnable:
        if self.flat:
            expect_recording(self.runs * len(self.tape))
        if self.interpreted is None and not waiting and 8 * self.elements < MUCH:
            self.interpreted = self._ready("block")
            return self.interpreted or self.reference
        return self.blocks()

    def _wish(self, name: str, make: Callable[[], Any]) -> Any:
        wish = self.wishes.get(name)
        return wish or self.wishes.setdefault(name, background.Wish(make))

    def _ready(self, tier: str) -> Any:
        """The program of a tier if its machine code is there; it is compiled elsewhere if not."""
        return self._wish(tier, lambda: self._made(tier)).get()

    def _made(self, tier: str) -> Runnable:
        if not self.backend.accepts(self.work):
            return self.reference
        with paused():
            return self.backend.prepare(self.work, tier)

    def price(self) -> float:
        """Estimated seconds that compiling will take; 0 if every kernel is in the cache.

        Where a script is to repeat its bits, the first run of it, which fills the cache, must
        choose its tiers as the second does: the price is then that of an empty cache.
        """
        fresh = settings.current.deterministic
        if fresh not in self._price:
            self._price[fresh] = self.backend.price(self.work, fresh)
        return self._price[fresh]

    def compile_soon(self) -> None:
        """For jit: compile now if that is a matter of seconds, else run on blocks meanwhile.

        Where machine code is made by other processes, small runs go through NumPy until it is there.
        """
        if self.asked or self.away or settings.current.tier in ("reference", "block", TIMED):
            return  # the kernels would not be used, or are made by the first run
        wait = ENDLESS_WAIT if self.work.endless and not self.hurried else JIT_WAIT
        if self.flat or len(self.tape) > MAX_COMPILED or self.price() > wait:
            self.impatient = True
        elif self._worth_asking():
            self.asked = True
            self.compile_elsewhere()
        else:
            self.compile()

    def _worth_asking(self) -> bool:
        """Whether others are to compile while NumPy answers: it is quick, and a compiler here is not."""
        price = self.price()
        if not price or self.work.endless or not elsewhere():
            return False
        stall = price + _loading()
        return stall > STALL and self.cost <= QUICK * stall

    def compile(self) -> Runnable:
        """Compile the kernels now, instead of when the structure turns hot."""
        if self.away:
            return self._there("fused")
        if self.compiled is None:
            with self.lock.held:
                if self.compiled is None:
                    make = functools.partial(self._made, "fused")
                    with step("compiling", self.work.told):
                        self.compiled = background.soon(make) if background else make()
        return self.compiled

    def compile_elsewhere(self) -> None:
        """Let the machine code be there by the time that this, or another like it, is to run."""
        if self.compiled is None and elsewhere():
            self.compiled = self._ready("fused")

    def entry(self, ends: Ends, now: bool = False) -> Entry | None:
        """Machine code for a run on exactly fitting arrays, if the program is compiled and plain.

        None, and ``entering``, while it is being made, unless somebody waits for it *now*.
        """
        compiled = self.compiled
        if compiled is None:
            return None
        if now or settings.current.deterministic or not background.available():
            return compiled.entry(self.constants, ends)
        wish = self._wish("entry", lambda: compiled.entry(self.constants, ends))
        found: Entry | None = wish.get()
        self.entering = not wish.done
        return found

    def blocks(self) -> Runnable:
        """Return the program of the block tier, made on first use."""
        if self.interpreted is None:
            with self.lock.held:
                if self.interpreted is None:
                    with step("compiling", self.work.told):
                        self.interpreted = self._made("block")
        return self.interpreted

    def program(self) -> Program:
        """Return the planned program: its source and statistics can be read without compiling."""
        return self.work.program()


def elsewhere() -> bool:
    """Whether machine code is made by other processes, while the program goes on."""
    current = settings.current
    usual = current.tier == "auto" and not current.deterministic
    return usual and bool(background.available())


def expect_recording(recorded: int) -> None:
    """Install machine code for recording, which is most of what a call takes that recorded so much."""
    if recorded >= RECORDED:
        hot.ask(settings.current.deterministic or not background.available())
