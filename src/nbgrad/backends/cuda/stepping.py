"""A tape run on the card one equation at a time, by NumPy's functions on arrays of the card's library.

It serves whatever has no kernel. What the library does not know, or might answer otherwise than NumPy,
runs at home on copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.backends.base import Ends, Entry
from nbgrad.backends.cuda.memory import NAME, CudaBuffer, Store
from nbgrad.backends.reference import owned
from nbgrad.core.aval import Aval, placed
from nbgrad.core.interpret import bind_results, last_uses, read
from nbgrad.core.memory import host, place
from nbgrad.core.primitive import Primitive
from nbgrad.core.tape import Equation, Tape, Var

# Kinds whose references are NumPy's functions, indices and arithmetic: they mean the same everywhere.
# Those of others check values (an index out of bounds is none to CuPy) or are written for NumPy alone.
KINDS = frozenset({"elementwise", "linear", "reduction", "bilinear"})
_at_home: set[Primitive] = set()  # what the library of the card turned out not to know


class Stepping:
    """Runs a tape whose variables lie on the card or at home, as their avals say."""

    def __init__(self, tape: Tape, store: Store) -> None:
        self.tape, self.store = tape, store
        self.dead: list[list[Var]] | None = None

    def run(self, args: Sequence[Any]) -> list[Any]:
        """Return the outputs, each where its aval says."""
        store = self.store
        env: dict[Var, Any] = dict(zip(self.tape.inputs, args, strict=True))
        if self.dead is None:
            self.dead = last_uses(self.tape)
        with np.errstate(all="ignore"):
            for eqn, dead in zip(self.tape.eqns, self.dead, strict=True):
                xs = [read(env, a) for a in eqn.inputs]
                bind_results(env, eqn, step(eqn, xs, store))
                for var in dead:
                    del env[var]
        seen = {id(a) for a in args}
        return [_fresh(read(env, a), a, seen) for a in self.tape.outputs]

    def entry(self, constants: Sequence[Any], ends: Ends) -> Entry | None:
        """None: there is no faster way."""
        return None


def step(eqn: Equation, xs: list[Any], store: Store, there: bool = False) -> Any:
    """The result of *eqn*, or its several, where the avals say, or on the card."""
    avals = [placed(out.aval, NAME) if there else out.aval for out in eqn.outs]
    prim = eqn.prim
    if avals[0].device == NAME and store.computes and prim.kind in KINDS and prim not in _at_home:
        try:
            return _on_card(eqn, xs, store, avals[0])
        except (TypeError, AttributeError, NotImplementedError):
            found = _home(eqn, xs, avals)  # if that raises, it is the user's error
            _at_home.add(prim)
            return found
    return _home(eqn, xs, avals)


def _on_card(eqn: Equation, xs: list[Any], store: Store, aval: Aval) -> CudaBuffer:
    there = [moved_in(x, store) if isinstance(x, (CudaBuffer, np.ndarray)) else x for x in xs]
    held = [x.read() if isinstance(x, CudaBuffer) else x for x in there]
    found = eqn.prim.evaluate(*held, **eqn.params)
    if isinstance(found, (np.ndarray, np.generic)):  # made of numbers alone
        found = store.copied_in(np.asarray(found, dtype=aval.dtype))
    made = store.dense(found, aval.dtype)
    for x, one in zip(there, held, strict=True):
        if one is made:
            return x
    return CudaBuffer(store, made, aval.shape, aval.dtype)


def moved_in(x: Any, store: Store) -> CudaBuffer:
    """*x*, an array or a buffer, in *store*."""
    if isinstance(x, CudaBuffer) and x.store is store:
        return x
    array = np.ascontiguousarray(host(x)).reshape(x.shape)
    return CudaBuffer(store, store.copied_in(array), array.shape, array.dtype)


def at_home(x: Any) -> Any:
    """*x*, a buffer or an array, as an array."""
    return host(x)


def _home(eqn: Equation, xs: list[Any], avals: list[Aval]) -> Any:
    found = eqn.prim.evaluate(*[host(x) for x in xs], **eqn.params)
    if len(avals) == 1:
        return _put(found, avals[0])
    return tuple([_put(one, aval) for one, aval in zip(found, avals, strict=True)])


def _put(found: Any, aval: Aval) -> Any:
    return place(np.asarray(found, dtype=aval.dtype), aval.device)


def _fresh(value: Any, atom: Any, seen: set[int]) -> Any:
    """*value* as nobody else has it: buffers are never written to, and may be shared."""
    if isinstance(atom, Var) and not isinstance(value, CudaBuffer):
        return owned(value, atom.aval.dtype, seen)
    return value
