"""Results in memory that somebody owns: buffers of the caller's, and donated arguments.

A result takes the place of a donated array where the program reads that nowhere else: see
program/taken.py. So a loop ``x = step(x)`` stays in one array.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy import may_share_memory
from numpy.lib.array_utils import byte_bounds

from nbgrad.api.arguments import as_input
from nbgrad.api.tracing import Compiled
from nbgrad.config import settings
from nbgrad.core.aval import Aval
from nbgrad.core.modes import lines
from nbgrad.core.tree import LEAF
from nbgrad.core.values import value_of
from nbgrad.engine import rolling
from nbgrad.engine.tiers import JIT_WAIT, Executable
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.trace import leaves_of_results

Array = np.ndarray[Any, Any]
DONATED_BEFORE = (
    "jit: an argument was donated by an earlier call (donate_argnums, donate_argnames): its memory is "
    "that of a result now. Use what the call returned, or pass a copy"
)
DONATED_TWICE = (
    "jit: a donated argument shares memory with another argument, which would change with a "
    "result: pass a copy of one of them"
)
INTO_GRAD = (
    "jit: the results require grad, and an array has no history: call into() inside "
    "nbgrad.no_grad(), or with x.detach()"
)
INTO_NESTED = (
    "jit: out must be nested as the results are, with an array for each of them: {wanted}"
)
FEW = 64  # pairs of arrays that are looked at one by one
MAX_WORK = 1000  # to find out whether arrays that lie in the same stretch of memory share elements


def write_into(entry: Compiled, leaves: Sequence[Any], out: Any) -> None:
    """Write the results of *entry*, called with *leaves*, to the arrays of *out*, if they fit.

    Raises
    ------
    TypeError, ValueError
        If they do not; then nothing was written.
    """
    outs = _listed(entry, out)
    if entry.recorded:
        raise TypeError(INTO_GRAD)
    values = leaves
    if not entry.plain:
        values = [value_of(a._node) if isinstance(a, Tensor) else a for a in leaves]
    read = [a for a in (*values, *entry.exe.constants) if a.__class__ is np.ndarray]
    for k, (y, atom) in enumerate(zip(outs, entry.outputs, strict=True)):
        aval = atom.aval
        fits = y.__class__ is np.ndarray and y.dtype == aval.dtype and y.shape == aval.shape
        if not fits or not y.flags.carray:
            _refuse_unfit(y, aval, _name(entry, k))
    for j, k in touching(read, outs):
        if j < len(read) and overlap(read[j], outs[k]):
            raise ValueError(
                f"jit: {_name(entry, k)} shares memory with what the function reads, which "
                "would change while it is read. Pass an array of its own, np.empty_like(...)"
            )
        if j >= len(read) and overlap(outs[j - len(read)], outs[k]):
            raise ValueError(f"jit: {_name(entry, k)} shares memory with another result in out")
    entry.write(values, outs)


def _listed(entry: Compiled, out: Any) -> list[Any]:
    """The arrays of *out*, which is nested as the results of *entry* are."""
    made = entry.made
    if made == LEAF:
        outs, nested = [out], LEAF
    elif entry.rebuild is tuple and out.__class__ is tuple and len(out) == len(made[2]):
        return list(out)
    else:
        outs, nested = leaves_of_results(out)
    if nested != made:
        wanted = entry.rebuild([_Shown(a.aval) for a in entry.outputs])
        raise TypeError(INTO_NESTED.format(wanted=wanted))
    return outs


def _name(entry: Compiled, k: int) -> str:
    return "out" if entry.made == LEAF else f"result {k} in out"


class _Shown:
    """A result as an error shows it."""

    def __init__(self, aval: Aval) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"{self.aval}"


def _refuse_unfit(y: Any, aval: Aval, name: str) -> None:
    if y.__class__ is not np.ndarray:
        raise TypeError(f"jit: {name} must be a NumPy array of {aval}, not {type(y).__qualname__}")
    if y.dtype != aval.dtype:
        raise TypeError(
            f"jit: {name} is of dtype {y.dtype} and the result of {aval.dtype}: results are not "
            "cast. Make it np.empty(shape, dtype), or cast inside the function"
        )
    if y.shape != aval.shape:
        raise ValueError(f"jit: {name} has shape {y.shape} and the result {aval.shape}")
    if not y.flags.writeable:
        raise ValueError(f"jit: {name} is read-only")
    if not y.flags.carray:
        raise ValueError(
            f"jit: {name} must be C-contiguous and aligned, as np.empty makes it; write to such an "
            "array and copy it to the view"
        )


def overlap(x: Array, y: Array) -> bool:
    """Whether two arrays share an element; in doubt, they do."""
    if not may_share_memory(x, y):
        return False
    limit: Any = MAX_WORK
    try:
        return np.shares_memory(x, y, max_work=limit)
    except np.exceptions.TooHardError:
        return True


def touching(read: Sequence[Array], written: Sequence[Array]) -> Iterator[tuple[int, int]]:
    """Pairs that may lie in the same stretch of memory: one of both lists in a row, one of *written*.

    Many arrays are gone through in the order of their addresses, so as not to look at all pairs.
    """
    both = [*read, *written]
    first = len(read)
    if len(both) * len(written) <= FEW:
        yield from ((j, k) for k in range(len(written)) for j in range(first + k))
        return
    places = sorted((*_stretch(a), j) for j, a in enumerate(both))
    open_: list[tuple[int, int]] = []  # ends, and whose
    for low, high, j in places:
        open_ = [(end, i) for end, i in open_ if end > low]
        for _, i in open_:
            if max(i, j) >= first:
                yield min(i, j), max(i, j) - first
        open_.append((high, j))


def _stretch(a: Array) -> tuple[int, int]:
    """The addresses of the first byte of an array, and of the one after the last."""
    if not a.flags.c_contiguous:
        return byte_bounds(a)
    start = a.__array_interface__["data"][0]
    return start, start + a.nbytes


class Place:
    """The memory of a donated array, as that of the array which is handed on: not a view of the first."""

    def __init__(self, x: Array) -> None:
        base: Any = x.base
        self.owner: Any = base.owner if isinstance(base, Place) else x
        self.__array_interface__ = x.__array_interface__


class Given:
    """Where the arrays lie that were donated to a function, for as long as somebody holds them."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[weakref.ref[Array], set[tuple[int, int]]]] = {}

    def run(self, entry: Compiled, leaves: Sequence[Any], donated: Sequence[Any]) -> Any:
        """Run *entry* on arrays and numbers, and let results take the place of *donated* ones.

        Raises
        ------
        ValueError
            If an argument was donated before, or if a donated one is part of another: then nothing
            has been run.
        """
        if any(self._gone(a) for a in leaves if a.__class__ is np.ndarray):
            raise ValueError(DONATED_BEFORE)
        specs = {(atom.aval.shape, atom.aval.dtype) for atom in entry.outputs}
        ids = {id(a) for a in donated if a.flags.carray and (a.shape, a.dtype) in specs}
        places = frozenset([k for k, a in enumerate(leaves) if id(a) in ids])
        exe = _giving(entry, places)
        read = [a for a in (*leaves, *exe.constants) if a.__class__ is np.ndarray]
        given = [leaves[k] for k in places]
        met = [k for j, k in touching(read, given) if j < len(read) and overlap(read[j], given[k])]
        if len(met) > len(given):  # each meets itself
            raise ValueError(DONATED_TWICE)
        values = [
            np.asarray(Place(a)) if k in places else as_input(a, v)
            for k, (a, v) in enumerate(zip(leaves, entry.tape.inputs, strict=False))
        ]
        out = entry.finish(exe.run(values))  # what raises has written nothing
        for a in given:
            self._give(a)
        return out

    def _gone(self, x: Array) -> bool:
        found = self.held.get(id(_root(x)))
        if found is None:
            return False
        low, high = _stretch(x)
        return any(low < end and start < high for start, end in found[1])

    def _give(self, x: Array) -> None:
        root = _root(x)
        key = id(root)
        dropped = weakref.ref(root, lambda _: self.held.pop(key, None))
        self.held.setdefault(key, (dropped, set()))[1].add(_stretch(x))


def _root(x: Array) -> Any:
    """What *x* is a view of, or itself."""
    base: Any = x.base
    return x if base is None or isinstance(base, Place) else base


def run_alone(jitted: Any, *args: Any) -> Any:
    """Call *jitted* on arrays and numbers, where nobody else holds the arrays that are donated.

    That is not looked at: see optim/buckets.py.
    """
    leaves, entry = jitted.traces.find(settings.current, args, {})
    if not may_give(entry) or lines.on or settings.device is not None:
        return jitted(*args)
    donated = {id(a) for k in jitted.donated.places for a in arrays_in(args[k])}
    places = frozenset([k for k, a in enumerate(leaves) if id(a) in donated])
    pairs = zip(leaves, entry.tape.inputs, strict=False)
    values = [a if a.__class__ is np.ndarray else as_input(a, v) for a, v in pairs]
    return entry.finish(_giving(entry, places).run(values))


def _giving(entry: Compiled, places: frozenset[int]) -> Executable:
    """The program that may write results in the place of the inputs numbered *places*."""
    found = entry.giving.get(places)
    if found is None:
        found = rolling.traced(entry.tape, entry.constants, JIT_WAIT, places)
        found = entry.giving.setdefault(places, found)
        found.compile_soon()
    return found


def may_give(entry: Compiled | None) -> bool:
    """Whether a call is a run that writes its results, and nothing else is made of them."""
    return entry is not None and not (entry.recorded or entry.checked)


def arrays_in(x: Any) -> list[Any]:
    """The arrays of nested tuples, lists and dicts."""
    return [a for a in leaves_of_results(x)[0] if a.__class__ is np.ndarray]
