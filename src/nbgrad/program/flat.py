"""Flat programs: a long tape of small arrays as one kernel an equation, planned once a signature.

Fusing looks at how equations lie together, which takes some 100 µs for each. A loop written in
Python repeats few signatures thousands of times, on arrays so small that memory traffic is nothing:
here each signature is planned alone, by the ordinary planner, and an equation is the number of its
pattern and the places of its operands. What is done for every equation is a look-up and some
integers; the rest is array operations in the backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import avals_of, make_aval
from nbgrad.core.frozen import Frozen
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Equation, Literal, Tape, Var
from nbgrad.ops.kinds.forms import View
from nbgrad.program import index
from nbgrad.program.loops import Chosen, Loop, Whole
from nbgrad.program.nest import Load
from nbgrad.program.nests import Call
from nbgrad.program.program import Program, make_program

# A place in memory is one integer: the number of its base, and bytes from there, which may be
# negative where a kernel has a window of what it reads.
SHIFT = 40
MIDDLE = 1 << SHIFT - 1
MAX_PATTERNS = 1024

Integers = np.ndarray[Any, np.dtype[np.int64]]


def place(base: int, offset: int = 0) -> int:
    """The place *offset* bytes from a base."""
    return (base << SHIFT) + MIDDLE + offset


def base_and_offset(places: Any) -> tuple[Any, Any]:
    """Undo ``place``, for an integer or an array of them."""
    return places >> SHIFT, (places & 2 * MIDDLE - 1) - MIDDLE


class Pattern(Frozen):
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
    outs = tuple([Var(aval) for aval in avals_of(sig.aval)])
    program = make_program(Tape(operands, (Equation(sig, operands, outs),), outs))
    host = any(isinstance(step, (Call, Loop, Whole, Chosen)) for step in program.steps)
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
    which : ndarray of int32
        The pattern of each equation, -1 where the result lies in its operand's memory.
    reads, first : ndarray of int32
        Values that the equations read, one after another, and where those of each begin.
    outs : ndarray of int32
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
        self.n_bases = 1 + max(bases.values(), default=-1)
        homes = {var: place(bases[var]) for var in tape.inputs if var in bases}
        homes |= {var: place(self.n_bases + 1, 8 * k) for k, var in enumerate(weak)}
        self._homes = list(homes.values())  # -1: in the arena, by its lifetime
        self._number = {var: k for k, var in enumerate(homes)}
        self._walk({out: base for out, base in bases.items() if out not in homes})
        self._allocate()

    def _walk(self, bases: dict[Var, int]) -> None:
        """Number patterns and values: those given, those defined, numbers."""
        eqns, number, homes = self.tape.eqns, self._number, self._homes
        start, sigs = len(homes), [eqn.sig for eqn in eqns]
        outs = [out for eqn in eqns for out in eqn.outs]
        number.update(zip(outs, range(start, start + len(outs)), strict=True))
        homes += [-1] * len(outs)
        examples = dict(zip(sigs, eqns, strict=True))
        numbers = dict(zip(examples, range(len(examples)), strict=True))
        kind = _integers([numbers[sig] for sig in sigs])
        results = _integers([len(eqn.outs) for eqn in examples.values()])[kind]
        self.outs = start + np.cumsum(results) - results
        self._makers = np.repeat(np.arange(len(eqns)), results)
        aliases = [_alias(eqn) for eqn in examples.values()]
        found = zip(examples, aliases, strict=True)
        which = [self._pattern(sig) if alias is None else -1 for sig, alias in found]
        self.which = _integers(which)[kind]
        for out in bases:
            if (k := number.get(out, -1) - start) >= 0:
                homes[start + k] = place(bases[out])
                if self.which[maker := self._makers[k]] < 0:
                    self.which[maker] = self._pattern(sigs[maker])
        reads: list[Any] = [number.get(a) for eqn in eqns for a in eqn.inputs]  # type: ignore[arg-type]
        if None in reads:
            self._number_literals(reads)
        self.reads = _integers(reads)
        counts = _integers([len(eqn.inputs) for eqn in examples.values()])[kind]
        self.first = np.concatenate([_integers([0]), np.cumsum(counts)])
        self._bytes = _of_each([[v.aval.nbytes for v in e.outs] for e in examples.values()], kind)
        roots, shifts = list(range(len(homes))), [0] * len(homes)
        for k in np.nonzero(self.which < 0)[0].tolist():
            source, shift = reads[self.first[k]], aliases[kind[k]]
            assert shift is not None
            roots[self.outs[k]], shifts[self.outs[k]] = roots[source], shifts[source] + shift
        self._roots, self._shifts = _integers(roots), _integers(shifts)

    def _pattern(self, sig: Signature) -> int:
        self.patterns.append(pattern_of(sig))
        return len(self.patterns) - 1

    def _number_literals(self, reads: list[Any]) -> None:
        """Give each number that the equations read, in each dtype, a place of its own."""
        number: dict[Any, int] = {}
        at = 0
        for eqn in self.tape.eqns:
            for k, atom in enumerate(eqn.inputs):
                if atom.__class__ is Literal:
                    key = atom.key, eqn.sig.loop[k]
                    if key not in number:
                        number[key] = len(self._homes)
                        self._homes.append(place(self.n_bases, 8 * len(self.literals)))
                        self.literals.append((atom.value, eqn.sig.loop[k]))
                    reads[at] = number[key]
                at += 1

    def _allocate(self) -> None:
        """Give each root in the arena a place; one is free again after its last reader."""
        roots, home = self._roots, _integers(self._homes)
        first = self.outs[0]
        own = first + np.nonzero(self.which[self._makers] >= 0)[0]
        defined = np.full(len(home), -1, np.int64)
        defined[own] = self._makers[own - first]
        last = defined.copy()
        counts = np.diff(self.first)
        # Of several values given to one element the last stays, and readers are in order.
        last[roots[self.reads]] = np.repeat(np.arange(len(counts)), counts)
        mine = own[home[own] < 0]
        sizes = self._bytes[mine - first]
        start = -(-8 * len(self.literals) // 64) * 64
        places, end = _places(defined[mine].tolist(), last[mine], sizes, start)
        home[mine] = _integers(places) + place(self.n_bases)
        self.places = home[roots] + self._shifts
        self.arena_bytes = end
        for name in ("which", "reads", "first", "outs"):  # which are kept as long as the program
            setattr(self, name, getattr(self, name).astype(np.int32))
        del self._roots, self._shifts, self._homes, self._bytes, self._number, self._makers


def _of_each(rows: Sequence[Sequence[int]], kind: Integers) -> Integers:
    """The row of each kind in *kind*, one after another; they may have different lengths."""
    table = np.zeros((len(rows), max(map(len, rows))), np.int64)
    given = np.zeros(table.shape, bool)
    for k, row in enumerate(rows):
        table[k, : len(row)], given[k, : len(row)] = row, True
    return table[kind][given[kind]]


def _integers(values: Sequence[int] | Integers) -> Integers:
    return np.array(values, np.int64)


def _places(
    defined: Sequence[int],
    last: Sequence[int] | Integers,
    sizes: Sequence[int] | Integers,
    start: int,
) -> tuple[list[int], int]:
    """Offsets of buffers by lifetime, in the order in which they are defined; and their end.

    Each size has a list of what is free, so this takes the same time for each. A buffer is never
    free within the step that reads it last: kernels promise not to write what they read.
    """
    each = np.maximum(1, _integers(sizes))
    unit = np.where(each > 32, 64, 8)
    rounded: list[int] = (-(-each // unit) * unit).tolist()
    free: dict[int, list[int]] = {size: [] for size in set(rounded)}
    order = np.argsort(_integers(last), kind="stable")
    dying, ends = order.tolist(), _integers(last)[order].tolist()
    places: list[int] = []
    gone, end = 0, start
    for step, size in zip(defined, rounded, strict=True):
        while ends[gone] < step:
            k = dying[gone]
            free[rounded[k]].append(places[k])
            gone += 1
        spare = free[size]
        if spare:
            places.append(spare.pop())
        else:
            places.append(end)
            end += size
    return places, end
