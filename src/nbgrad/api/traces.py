"""What a compiled function was traced as: one entry a structure of its arguments, and which may be used."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.api.arguments import describe, leaves_of, settled
from nbgrad.api.outside import Reader
from nbgrad.api.sameness import Sources
from nbgrad.api.tracing import Compiled, OpenFunction, trace
from nbgrad.api.whole import Integers, traced_alike
from nbgrad.config import NAN_POLICIES, TIMED, Config, settings
from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import modes
from nbgrad.core.standing import turn
from nbgrad.core.telling import about
from nbgrad.core.tree import statics
from nbgrad.errors import DRAWN_IN_TRACE, REBOUND_IN_TRACE, ConcretizationError

if TYPE_CHECKING:
    from nbgrad.api.fixed import Fixed

retracing = LazyModule("nbgrad.api.retracing")

Func = Callable[..., Any]
Entries = dict[Any, tuple[Compiled | None, ...]]
MAX_TRACES = 1024  # of one function: values of its static arguments may have no end
MAX_STATES = 4  # of what it reads from outside, for which a structure's traces are kept


class Traces:
    """What one function was traced as, for each structure of arguments and policy for NaN."""

    def __init__(self, f: Func, static: Fixed | None = None, soon: bool = True) -> None:
        self.f = f
        self.soon = soon  # whether what is traced is compiled at once
        self.static = static
        self.by_policy: dict[str, Entries] = {policy: {} for policy in NAN_POLICIES}
        self.timed: Entries = {}  # those that were traced with lines, for nbgrad.profile
        self.integers = Integers()
        self.count = 0  # of traces, until the warning
        self.history: Any = None

    def find(
        self, config: Config, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Sequence[Any], Compiled | None]:
        """The arrays among the arguments, and the structure, traced if it is new.

        None instead of it if no program can stand for the function.
        """
        compiled = self.by_policy[config.nan_policy] if config.tier != TIMED else self.timed
        if not kwargs:
            # Arrays only: by a key of their shapes and dtypes.
            arrays = tuple([(a.shape, a.dtype) for a in args if a.__class__ is np.ndarray])
            entry = _valid(compiled.get(arrays, ())) if len(arrays) == len(args) else None
            if entry is not None and entry.plain:
                return args, entry
        leaves, structure = leaves_of(self.f, args, kwargs, self.static)
        key: Any = tuple([describe(a) for a in leaves])
        if kwargs or any(a.__class__ is not np.ndarray for a in args):
            key = (structure, key)
        places = [k for k, a in enumerate(leaves) if a.__class__ is int]
        if not places:
            entry = self._found(compiled, key, leaves, structure, ())
        else:
            entry = self._found_of_integers(compiled, key, leaves, structure, places)
        return leaves if entry is None else entry.pick(leaves), entry

    def settled(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
        """The arrays among the arguments, and the structure, integers being settings."""
        return settled(*leaves_of(self.f, args, kwargs, self.static))

    def _found(
        self,
        compiled: Entries,
        key: Any,
        leaves: Sequence[Any],
        structure: Any,
        free: Sequence[int],
    ) -> Compiled | None:
        """The entry of *key*, traced if it is new: of integers those at *free* are its inputs."""
        known = compiled.get(key, ())
        if None in known:
            return None
        entry = _valid(known)
        if entry is None:
            with about(f"jit of {getattr(self.f, '__name__', 'a function')}"):
                entry = self._traced(leaves, structure, free)
            if len(compiled) >= MAX_TRACES:
                compiled.clear()
            compiled[key] = (entry, *known[: MAX_STATES - 1])
            if entry is not None and self.history is not False:
                before = known[0].reader if known and known[0] is not None else None
                self._note((leaves, structure, free), before)
        return entry

    def _note(self, traced: Any, before: Reader | None) -> None:
        """Note a trace, and warn once of so many."""
        self.count += 1
        config = settings.current
        limit = config.retraces if config.tier != TIMED else 0
        if self.count == 1 or not limit:
            return
        self.history = history = self.history or retracing.History()
        if history.note(self.f, traced, limit):
            self.history = False
            history.warn(self.f, before)

    def _found_of_integers(
        self, compiled: Entries, key: Any, leaves: Sequence[Any], structure: Any, places: list[int]
    ) -> Compiled | None:
        free = self.integers.free(key, leaves, places)
        values = {k: leaves[k] for k in places}
        entry = _valid(compiled.get((key, *_split(values, free)), ())) if free else None
        if entry is not None:
            return entry
        fixed = self._found(compiled, (key, *_split(values, ())), leaves, structure, ())
        if not free or fixed is None:
            return fixed
        attempt: Any = functools.partial(self._traced, leaves, structure)
        entry, needed = traced_alike(free, attempt, fixed, leaves)
        if needed:
            self.integers.need(key, needed)
        if entry is None:
            return fixed
        compiled[key, *_split(values, [k for k in free if k not in needed])] = (entry,)
        return entry

    def _traced(
        self, leaves: Sequence[Any], structure: Any, free: Sequence[int]
    ) -> Compiled | None:
        held = leaves, structure, free
        roots = [self.f, *statics(structure)]
        try:
            outside = Reader(roots, tracking=True)
            if not outside.tracked:
                return self._traced_of(outside, *held)
            with turn() as reached:
                if not reached:
                    raise OpenFunction
                try:
                    return self._traced_of(Reader(roots, tracking=True), *held)
                except ConcretizationError as error:
                    concretized = error
            try:  # a number read of a tensor from outside holds as long as that does
                return self._traced_of(Reader(roots), *held)
            except TypeError:
                raise concretized from None
        except OpenFunction:
            return None

    def _traced_of(
        self, outside: Reader, leaves: Sequence[Any], structure: Any, free: Sequence[int]
    ) -> Compiled:
        """Trace, for the state that is read from *outside*."""
        if outside.full:
            raise OpenFunction
        held: Any = leaves, structure, free
        grad, tensors = modes.grad, [t for t, _ in outside.tracked.values()]
        entry = self._undrawn(outside, lambda: trace(self.f, *settled(*held), tensors, self.soon))
        for now, before in zip(outside.tracked_now()(), tensors, strict=True):
            if now is not before:
                raise TypeError(REBOUND_IN_TRACE.format(aval=before._node.aval))
        if entry.outside:
            outside.test_recording(grad)
            entry.read = outside.tracked_now(entry.outside)
        entry.guard = outside.guard()
        if entry.guard is not None:
            entry.reader = outside
        inputs = len(entry.tape.inputs) - len(entry.constants) - len(entry.outside)
        if inputs < len(leaves):
            read = [k for k, a in enumerate(leaves) if a.__class__ is not int or k in free]
            entry.picked = tuple(read)
        return entry

    def _undrawn(self, outside: Reader, run: Callable[[], Compiled]) -> Compiled:
        """What *run* traces, if that draws no random numbers.

        What nobody named, another thread may have drawn from meanwhile: then it is run again; and if it
        loaded NumPy's own source.
        """
        for again in (True, False):
            sources = Sources(outside.sources)
            entry = run()
            if again and sources.more():
                continue
            drawn = sources.drawn()
            alone = threading.active_count() == 1 or "random" in outside.names
            if any(drawn if alone or not again else drawn[: len(sources.given)]):
                raise ConcretizationError(DRAWN_IN_TRACE)
            if not any(drawn):
                break
        return entry


def _split(values: dict[int, int], free: Collection[int]) -> tuple[Any, Any]:
    """Which integers are numbers, and the values of those that are settings."""
    return tuple(free), tuple([x for k, x in values.items() if k not in free])


def _valid(entries: Sequence[Compiled | None]) -> Compiled | None:
    """The one of *entries* that was traced of a state outside as it is now."""
    for entry in entries:
        if entry is not None and (entry.guard is None or entry.guard()):
            return entry
    return None
