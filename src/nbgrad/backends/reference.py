"""The reference as a backend: a tape run by its NumPy references, one equation at a time.

It needs no compiler, so it serves the first runs of a structure and whatever another backend has not,
and is the oracle of them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any, Final

import numpy as np

from nbgrad.backends.base import Ends, Entry, Work
from nbgrad.core.aval import avals_of, is_several
from nbgrad.core.interpret import bind_results, evaluate, last_uses, read
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Tape, Var

Array = np.ndarray[Any, Any]

name: Final = "reference"


def accepts(work: Work) -> bool:
    """Everything: each operation has a reference."""
    return True


def prepare(work: Work, tier: str) -> ReferenceProgram:
    """Nothing is compiled on any tier."""
    return ReferenceProgram(work.tape)


def price(work: Work, fresh: bool) -> float:
    return 0.0


def to_host(buffer: Array) -> Array:
    return buffer


def from_host(array: Array) -> Array:
    return array


class ReferenceProgram:
    """Runs a tape with NumPy, dropping each intermediate after its last use."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.dead: list[list[Var]] | None = None  # by equation, once it runs

    def run(self, args: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Return the outputs as fresh, C-contiguous arrays of their avals' dtypes."""
        env: dict[Var, Any] = dict(zip(self.tape.inputs, args, strict=True))
        if self.dead is None:
            self.dead = last_uses(self.tape)
        with np.errstate(all="ignore"):
            for eqn, dead in zip(self.tape.eqns, self.dead, strict=True):
                bind_results(env, eqn, evaluate(eqn, [read(env, a) for a in eqn.inputs]))
                for var in dead:
                    del env[var]
        seen: set[int] = {id(a) for a in args}
        outs = []
        for atom in self.tape.outputs:
            value = read(env, atom)
            if isinstance(atom, Var):
                value = owned(value, atom.aval.dtype, seen)
            outs.append(value)
        return outs

    def entry(self, constants: Sequence[Any], ends: Ends) -> Entry | None:
        """None: there is no faster way."""
        return None


def observed(sig: Signature, xs: Sequence[Any], observe: Callable[[Any, int, int], None]) -> Any:
    """The result of one operation, which nobody else holds; a tuple of several.

    It is shown to ``observe(result, start, end)``, with the nanoseconds at which it began and ended.
    """
    start = perf_counter_ns()
    with np.errstate(all="ignore"):
        found: Any = sig.prim.evaluate(*xs, **sig.params)
    seen = {id(x) for x in xs}
    if is_several(sig.aval):
        pairs = zip(found, avals_of(sig.aval), strict=True)
        found = tuple([owned(value, aval.dtype, seen) for value, aval in pairs])
    else:
        found = owned(found, sig.aval.dtype, seen)
    observe(found, start, perf_counter_ns())
    return found


def owned(value: Any, dtype: np.dtype[Any], seen: set[int]) -> np.ndarray[Any, Any]:
    """Return *value* as an array nobody else holds: copied if it is a view or handed out twice."""
    array = np.asarray(value, dtype=dtype)
    if array.base is not None or not array.flags.c_contiguous or id(array) in seen:
        array = np.array(array, order="C", copy=True)
    seen.add(id(array))
    return array
