"""Python integers among the arguments of a traced function: settings, or numbers of the trace.

An integer is a setting at first: it may be a length or an axis. One that has taken some values, of
a structure that is the same otherwise, is traced as a number, unless the function needs its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nbgrad.api.arguments import as_input
from nbgrad.api.short import MAX_WHOLE
from nbgrad.api.tracing import Compiled
from nbgrad.core.memory import host
from nbgrad.core.tape import Equation, Literal, Tape, Var
from nbgrad.core.values import value_of
from nbgrad.ops.kinds import ranges
from nbgrad.ops.kinds.ranges import Range
from nbgrad.tensors.tensor import Tensor

EXACT = 1 << 53  # what is computed of integers stays below: NumPy's wrap around, Python's do not
PATIENCE = 3  # values that are settings
MAX_STRUCTURES = 1024


class Integers:
    """What was seen of the integers among the arguments of one function, by structure."""

    def __init__(self) -> None:
        self.values: dict[Any, dict[int, set[int]]] = {}
        self.needed: dict[Any, set[int]] = {}

    def free(
        self, structure: Any, leaves: Sequence[Any], places: Sequence[int]
    ) -> tuple[int, ...]:
        """Which of the integers at *places* are to be traced as numbers."""
        values = self.values.get(structure)
        if values is None:
            if len(self.values) >= MAX_STRUCTURES:
                self.values.clear()
                self.needed.clear()
            values = self.values.setdefault(structure, {k: set() for k in places})
        needed = self.needed.get(structure, ())
        found = []
        for k in places:
            seen = values[k]
            if len(seen) <= PATIENCE:
                seen.add(leaves[k])
            if len(seen) > PATIENCE and k not in needed and -MAX_WHOLE < leaves[k] < MAX_WHOLE:
                found.append(k)
        return tuple(found)

    def need(self, structure: Any, places: Sequence[int]) -> None:
        """Take the integers at *places* for settings from now on."""
        self.needed.setdefault(structure, set()).update(places)


def traced_alike(
    places: tuple[int, ...],
    attempt: Callable[[tuple[int, ...]], Compiled],
    fixed: Compiled,
    leaves: Sequence[Any],
) -> tuple[Compiled | None, tuple[int, ...]]:
    """Trace with the integers at *places* as numbers; return also those whose value is needed.

    ``attempt(places)`` traces; *fixed* is the trace for the values of now, with which the new one
    must agree: a function may treat what is no ``int`` in another way without asking its value.
    """

    def agreed(free: tuple[int, ...]) -> Compiled | None:
        try:
            entry = attempt(free)
        except Exception:
            return None  # with its values, if anything, the function fails the same way
        return entry if _exact(entry.tape, free, leaves) and _agree(entry, fixed, leaves) else None

    entry = agreed(places)
    if entry is not None or len(places) == 1:
        return entry, () if entry is not None else places
    kept = tuple(k for k in places if agreed((k,)) is not None)
    entry = agreed(kept) if kept else None
    return entry, places if entry is None else tuple(k for k in places if k not in kept)


def _exact(tape: Tape, free: tuple[int, ...], leaves: Sequence[Any]) -> bool:
    """Whether what the tape computes of the integers is right for all below the limit.

    They may enter the arithmetic of real numbers, and that of integers which says where its results
    lie: Python's numbers have to stay exact, while NumPy's arrays wrap around in any case.
    """
    dynamic = [k for k, x in enumerate(leaves) if x.__class__ is not int or k in free]
    found: dict[Any, Range] = {
        var: (-MAX_WHOLE, MAX_WHOLE)
        for k, var in zip(dynamic, tape.inputs, strict=False)
        if leaves[k].__class__ is int
    }
    for eqn in tape.eqns:
        if not any(isinstance(a, Var) and a in found for a in eqn.inputs):
            continue
        if len(eqn.outs) > 1 or not (eqn.prim.kind == "elementwise" or eqn.prim.structural):
            return False  # an index: nobody would look whether it is in bounds
        given = [_range(a, found) for a in eqn.inputs]
        if not _fit(given, eqn):
            return False
        if eqn.out.aval.dtype.kind in "iu":
            bounds = _bounds(eqn, given)
            if bounds is None:
                return False
            found[eqn.out] = bounds
    return True


def _bounds(eqn: Equation, given: Sequence[Range]) -> Range | None:
    """Where an integer result lies; None if that is not known, or the result not exact."""
    declared = ranges.same if eqn.prim.structural else eqn.prim.bounds
    bounds = None if declared is None else declared(*given, **eqn.sig.params)
    aval = eqn.out.aval
    limits = (1 - EXACT, EXACT - 1) if aval.weak else _limits(aval.dtype)
    if bounds is None or limits[0] <= bounds[0] <= bounds[1] <= limits[1]:
        return bounds
    return None if aval.weak or eqn.prim.structural else limits


def _fit(given: Sequence[Range], eqn: Equation) -> bool:
    """Whether the Python integers among the operands are numbers of the loop's dtypes."""
    limits = [_limits(dtype) for dtype in eqn.sig.loop if dtype.kind in "iu"]
    return all(
        least <= lo <= hi <= most
        for (lo, hi), atom in zip(given, eqn.inputs, strict=True)
        for least, most in limits
        if isinstance(atom, Literal) or atom.aval.weak
    )


def _limits(dtype: np.dtype[Any]) -> Range:
    if dtype.kind not in "iu":
        return 0, 1
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _range(atom: Any, found: Mapping[Any, Range]) -> Range:
    if isinstance(atom, Literal):  # of real numbers nobody asks
        value: Any = atom.value if atom.value.__class__ in (int, bool) else 0
        return int(value), int(value)
    return found.get(atom) or _limits(atom.aval.dtype)


def _agree(entry: Compiled, fixed: Compiled, leaves: Sequence[Any]) -> bool:
    """Whether two traces have the same results for *leaves*, but for rounding."""
    found, wanted = (_results(each, each.pick(leaves)) for each in (entry, fixed))
    names = list(range(len(wanted)))
    if len(found) != len(wanted) or entry.rebuild(names[:]) != fixed.rebuild(names[:]):
        return False
    return all(
        a.shape == b.shape and a.dtype == b.dtype and np.allclose(a, b, 1e-4, equal_nan=True)
        for a, b in zip(found, wanted, strict=True)
    )


def _results(entry: Compiled, leaves: Sequence[Any]) -> list[Any]:
    """What a trace computes of *leaves*, by NumPy."""
    inputs = zip(leaves, entry.tape.inputs, strict=False)
    args = [value_of(x._node) if isinstance(x, Tensor) else as_input(x, var) for x, var in inputs]
    return [host(y) for y in entry.exe.reference.run([*args, *entry.exe.constants])]
