"""Flat programs: a long tape of small arrays as one kernel an equation, planned once a signature.

Fusing looks at how equations lie together, which takes some 100 µs for each. A loop written in
Python repeats few signatures thousands of times, on arrays so small that memory traffic is nothing:
here each signature is planned alone, by the ordinary planner, and an equation is the number of its
pattern and the places of its operands. What is done for every equation is a look-up and some
integers; the rest is array operations in the backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nbgrad.core.aval import make_aval
from nbgrad.core.primitive import Signature
from nbgrad.core.tape import Equation, Literal, Tape, Var
from nbgrad.ops.lowerings import View
from nbgrad.program import index
from nbgrad.program.kernel import Load
from nbgrad.program.nests import Call
from nbgrad.program.program import Program, make_program

# A place in memory is one integer: the number of its base, and bytes from there, which may be
# negative where a kernel has a window of what it reads.
SHIFT = 40
MIDDLE = 1 << SHIFT - 1
MAX_PATTERNS = 1024

Integers = npt.NDArray[np.int64]


def place(base: int, offset: int = 0) -> int:
    """The place *offset* bytes from a base."""
    return (base << SHIFT) + MIDDLE + offset


def base_and_offset(places: Any) -> tuple[Any, Any]:
    """Undo ``place``, for an integer or an array of them."""
    return places >> SHIFT, (places & 2 * MIDDLE - 1) - MIDDLE


@dataclass(frozen=True, eq=False)
class Pattern:
    """How every equation of one signature runs.

    Attributes
    ----------
    program : Program
        That of the equation alone: its inputs are the operands.
    host : bool
        Whether it is a call of its NumPy reference.
    """

    program: Program
    host: bool

    @property
    def alias(self) -> int | None:
        """Bytes from the operand to the result, if the equation only copies consecutive elements."""
        program = self.program
        if self.host or len(program.items) != 1:
            return None
        nest = getattr(program.items[0], "nest", None)
        if nest is None or len(nest.body) != 1 or not isinstance(nest.body[0], Load):
            return None
        (load,), (store,) = nest.body, nest.stores
        same = load.strides == store.strides and not load.guards and load.dtype == store.dtype
        return load.offset * load.dtype.itemsize if same else None


_patterns: dict[Signature, Pattern] = {}


def pattern_of(sig: Signature) -> Pattern:
    """Plan one equation of *sig*, or remember its plan."""
    found = _patterns.get(sig)
    if found is None:
        if len(_patterns) >= MAX_PATTERNS:
            _patterns.clear()
        found = _patterns[sig] = _pattern(sig)
    return found


def _pattern(sig: Signature) -> Pattern:
    avals = [
        make_aval((), sig.loop[k]) if isinstance(given, type) else given
        for k, given in enumerate(sig.operands)
    ]
    operands = tuple([Var(aval) for aval in avals])
    out = Var(sig.aval)
    program = make_program(Tape(operands, (Equation(sig, operands, out),), (out,)))
    host = any(isinstance(step, Call) for step in program.steps)
    return Pattern(program, host)


def _alias(eqn: Equation) -> int | None:
    """Where the result lies in the operand's memory, in bytes, if it has its elements in a row.

    For reshapes and slices, whose signatures may be many, it is worked out here.
    """
    lower = eqn.sig.prim.lower
    x = eqn.inputs[0] if eqn.inputs else None
    if not isinstance(lower, View) or not isinstance(x, Var) or not x.aval.size:
        return None
    if lower.name == "reshape":
        return 0
    if lower.name != "slice":
        return None if lower.name in ("pad", "full") else pattern_of(eqn.sig).alias
    params, wanted = eqn.sig.params, eqn.out.aval.shape
    part = False  # whether a dimension further out has more than one element
    for n, m, step in zip(x.aval.shape, wanted, params["steps"], strict=True):
        if m == 0 or (m != n and part) or (step != 1 and m != 1):
            return None
        part = part or m != 1
    steps = index.strides_of(x.aval.shape)
    start = sum(s * k for s, k in zip(steps, params["starts"], strict=True))
    return int(start) * x.aval.dtype.itemsize


class Flat:
    """The plan of a flat program.

    Values are numbered; each is part of a *root*, which has memory of its own.

    Attributes
    ----------
    patterns : list of Pattern
    which : ndarray of int64
        The pattern of each equation, -1 where the result lies in its operand's memory.
    reads, first : ndarray of int64
        Values that the equations read, one after another, and where those of each begin.
    outs : ndarray of int64
        The value that each equation defines.
    places : ndarray of int64
        Where each value is.
    literals : list of (number, dtype)
        Numbers at the start of the arena, eight bytes each.
    arena_bytes : int
    """

    def __init__(self, tape: Tape, bases: dict[Var, int], weak: Sequence[Var]) -> None:
        self.tape = tape
        self.patterns: list[Pattern] = []
        self.literals: list[tuple[Any, np.dtype[Any]]] = []
        self._number: dict[Any, int] = {}  # of a Var, or of a literal
        self._roots: list[int] = []  # the root of each value
        self._shifts: list[int] = []  # and how far from its start
        self._home: list[int] = []  # the place of each root; -1: in the arena, by its lifetime
        self._bytes: list[int] = []
        self.n_bases = 1 + max(bases.values(), default=-1)
        for var in tape.inputs:
            if var in bases:
                self._root(var, place(bases[var]), 0)
        for k, var in enumerate(weak):
            self._root(var, place(self.n_bases + 1, 8 * k), 0)
        self._walk(bases)
        self._allocate()

    def _root(self, key: Any, home: int, size: int) -> int:
        number = self._number[key] = len(self._roots)
        self._roots.append(len(self._home))
        self._shifts.append(0)
        self._home.append(home)
        self._bytes.append(size)
        return number

    def _literal(self, value: Any, dtype: np.dtype[Any]) -> int:
        key = (type(value), repr(value), dtype)
        if key not in self._number:
            self._root(key, place(self.n_bases, 8 * len(self.literals)), 0)
            self.literals.append((value, dtype))
        return self._number[key]

    def _walk(self, bases: dict[Var, int]) -> None:
        """Number patterns and values."""
        number, roots, shifts = self._number, self._roots, self._shifts
        homes, sizes = self._home, self._bytes
        patterns: dict[Signature, int] = {}
        aliases: dict[Signature, int | None] = {}
        which: list[int] = []
        reads: list[int] = []
        first, outs = [0], []
        for eqn in self.tape.eqns:
            sig, out = eqn.sig, eqn.out
            outs.append(len(roots))
            k = patterns.get(sig)
            if k is None and out not in bases:
                alias = aliases[sig] if sig in aliases else aliases.setdefault(sig, _alias(eqn))
                if alias is not None:
                    which.append(-1)
                    first.append(len(reads))
                    source = number[eqn.inputs[0]]
                    number[out] = len(roots)
                    roots.append(roots[source])
                    shifts.append(shifts[source] + alias)
                    continue
            if k is None:
                k = len(self.patterns)
                self.patterns.append(pattern_of(sig))
                if aliases.get(sig) is None:
                    patterns[sig] = k
            which.append(k)
            for position, a in enumerate(eqn.inputs):
                if a.__class__ is Literal:
                    reads.append(self._literal(a.value, sig.loop[position]))
                else:
                    reads.append(number[a])
            first.append(len(reads))
            number[out] = len(roots)  # not before: a literal may be new
            outs[-1] = len(roots)
            roots.append(len(homes))
            shifts.append(0)
            homes.append(place(bases[out]) if out in bases else -1)
            sizes.append(out.aval.nbytes)
        self.which, self.reads, self.first, self.outs = map(_integers, (which, reads, first, outs))

    def _allocate(self) -> None:
        """Give each root in the arena a place; one is free again after its last reader."""
        roots, home = np.array(self._roots, np.int64), np.array(self._home, np.int64)
        last = np.zeros(len(home), np.int64)
        defined = np.full(len(home), -1, np.int64)
        own = roots[self.outs]
        fresh = self.which >= 0
        defined[own[fresh]] = np.nonzero(fresh)[0]
        counts = np.diff(self.first)
        last[:] = defined
        # Of several values given to one element the last stays, and readers are in order.
        last[roots[self.reads]] = np.repeat(np.arange(len(counts)), counts)
        mine = np.nonzero(home < 0)[0]
        places, end = _places(
            defined[mine].tolist(), last[mine].tolist(), [self._bytes[k] for k in mine.tolist()],
            -(-8 * len(self.literals) // 64) * 64,
        )  # fmt: skip
        home[mine] = np.array(places, np.int64) + place(self.n_bases)
        self.places = home[roots] + np.array(self._shifts, np.int64)
        self.arena_bytes = end
        del self._roots, self._shifts, self._home, self._bytes, self._number


def _integers(values: list[int]) -> Integers:
    return np.array(values, np.int64)


def _places(
    defined: list[int], last: list[int], sizes: list[int], start: int
) -> tuple[list[int], int]:
    """Offsets of buffers by lifetime, in the order in which they are defined; and their end.

    Each size has a list of what is free, so this takes the same time for each. A buffer is never
    free within the step that reads it last: kernels promise not to write what they read.
    """
    free: dict[int, list[int]] = {}
    dying = sorted(range(len(last)), key=last.__getitem__)
    places: list[int] = []
    gone, end = 0, start
    rounded = [-(-max(1, n) // 64) * 64 if n > 32 else -(-max(1, n) // 8) * 8 for n in sizes]
    for step, size in zip(defined, rounded, strict=True):
        while last[dying[gone]] < step:
            k = dying[gone]
            free.setdefault(rounded[k], []).append(places[k])
            gone += 1
        spare = free.get(size)
        if spare:
            places.append(spare.pop())
        else:
            places.append(end)
            end += size
    return places, end
