"""Entries without products: a tangent as a few terms, each of which reads one element of x.

Of a stencil, say, ``t[i] = sum_k v_k[i] dx[g_k[i]]`` with known places ``g_k``; linear operations act on the
``v_k``, and where they move elements on the places, too. What comes out is the entries themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Final

import numpy as np

from nbgrad.core.frozen import Frozen
from nbgrad.core.interpret import bind_results, read, replay
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, leaf_node, placeholder
from nbgrad.core.primitive import bind
from nbgrad.core.tape import Equation, Literal, Var
from nbgrad.ops.arrays.indexing import take
from nbgrad.ops.basis import broadcast_to, cast, concatenate, full, reshape, slice_
from nbgrad.ops.elements.arithmetic import add, multiply
from nbgrad.ops.kinds.forms import Combine
from nbgrad.ops.kinds.reaching import INDEXED, MOVES, OVER, PRODUCT
from nbgrad.sparse.propagation import Known
from nbgrad.sparse.sweeps import Program, program_of
from nbgrad.sparse.tapes import Linear, Recorded

Array = np.ndarray[Any, Any]
MAX_TERMS: Final = 48  # of one variable
MAX_RECORDED: Final = 1200  # of all: they are compiled


SAMPLE: Final = 256  # elements that are looked at first


class NotDirect(Exception):
    """There would be too many terms, or an operation mixes elements."""


class Term(Frozen):
    """Values, and which element of x each is multiplied with: -1 for none, where the value is 0."""

    value: Node
    places: Array


class Terms:
    """The terms of the variables of a tape of tangents."""

    def __init__(self, of: Recorded, linear: Linear, known: Known) -> None:
        self.known = known
        self.env: dict[Any, Any] = {}
        self.terms: dict[Any, list[Term]] = {}
        self.agreed: dict[Any, Any] = {}
        self.recorded = 0
        inputs = linear.whole.inputs
        k = len(of.tape.inputs)
        self.args = [placeholder(v.aval) for v in inputs[: of.given]]
        held = [leaf_node(a) for a in (*of.constants, *linear.constants)]
        others = (*inputs[:k], *inputs[k + of.leaves :])
        self.env.update(zip(others, [*self.args, *held], strict=True))
        first = 0
        for var in inputs[k : k + of.leaves]:
            shape, n = var.aval.shape, var.aval.size
            places = np.arange(first, first + n, dtype=np.int32).reshape(shape)
            self.terms[var] = [Term(full(1.0, shape=shape, dtype=var.aval.dtype), places)]
            first += n

    def run(self, eqns: Sequence[Equation]) -> None:
        """Go through the equations."""
        for eqn in eqns:
            if self.terms.keys().isdisjoint(eqn.inputs):
                found = replay(eqn, [read(self.env, a) for a in eqn.inputs])
                bind_results(self.env, eqn, found)
                continue
            if len(eqn.outs) > 1 or not eqn.out.aval.inexact:
                raise NotDirect
            terms = self._of(eqn)
            self.recorded += len(terms)
            if len(terms) > MAX_TERMS or self.recorded > MAX_RECORDED:
                raise NotDirect
            self.terms[eqn.out] = terms

    def _of(self, eqn: Equation) -> list[Term]:
        prim, rule = eqn.prim, eqn.prim.rules.reach
        if prim.kind == "elementwise":
            return self._aligned(eqn)
        if rule is MOVES:
            return self._moved(eqn)
        if rule is OVER and isinstance(prim.lower, Combine) and prim.lower.text == "{a} + {b}":
            return self._summed(eqn)
        if rule is PRODUCT:
            return self._multiplied(eqn)
        if rule is INDEXED:
            return self._scattered(eqn)
        raise NotDirect

    def _bound(self, eqn: Equation, xs: Sequence[Any]) -> Node:
        shape, node = eqn.out.aval.shape, bind(eqn.prim, *xs, **eqn.params)
        if node.__class__ is not Node:
            node = full(node, shape=shape, dtype=eqn.out.aval.dtype)
        found: Node = node if node.shape == shape else broadcast_to(node, shape=shape)
        return found

    # -------------------------------------------------------------------------- elementwise

    def _aligned(self, eqn: Equation) -> list[Term]:
        shape = eqn.out.aval.shape
        given = [self.terms.get(a) for a in eqn.inputs]
        left = [list(terms) if terms else [] for terms in given]
        found: list[Term] = []
        for k, terms in enumerate(left):
            while terms:
                one = terms.pop(0)
                xs: list[Any] = [
                    read(self.env, a) if t is None else 0.0
                    for a, t in zip(eqn.inputs, given, strict=True)
                ]
                xs[k], places = one.value, np.broadcast_to(one.places, shape)
                for j in range(k + 1, len(left)):
                    for other in left[j]:
                        both = self._both(places, np.broadcast_to(other.places, shape))
                        if both is not None:
                            xs[j], places = other.value, both
                            left[j].remove(other)
                            break
                found.append(Term(self._bound(eqn, xs), places))
        return self._merged(found) if len(found) > 1 else found

    def _merged(self, terms: list[Term]) -> list[Term]:
        """Terms, those that read the same elements, or read nothing where others do, as one."""
        found: list[Term] = []
        for term in terms:
            for k, other in enumerate(found):
                both = self._both(other.places, term.places)
                if both is not None:
                    found[k] = Term(add(other.value, term.value), both)
                    break
            else:
                found.append(term)
        return found

    def _both(self, a: Array, b: Array) -> Array | None:
        """The places of one term that stands for two; None if they disagree."""
        if a is b:
            return a
        key = (id(a), id(b))
        if key not in self.agreed:
            agree = _agree(a.reshape(-1)[:SAMPLE], b.reshape(-1)[:SAMPLE]) and _agree(a, b)
            self.agreed[key] = np.maximum(a, b) if agree else None, a, b
        found: Array | None = self.agreed[key][0]
        return found

    # -------------------------------------------------------------------------- others

    def _moved(self, eqn: Equation) -> list[Term]:
        given = [self.terms.get(a) for a in eqn.inputs]
        others: list[Any] = []
        for atom, terms in zip(eqn.inputs, given, strict=True):
            if terms is not None or (isinstance(atom, Var) and atom.aval.inexact):
                others.append(None)
            else:
                others.append(self.known.get(atom))
                if others[-1] is None:
                    raise NotDirect
        found = []
        for r in range(max(len(t) for t in given if t is not None)):
            xs, numbers = [], []
            for atom, terms, other in zip(eqn.inputs, given, others, strict=True):
                shape = atom.aval.shape if isinstance(atom, Var) else ()
                if terms is not None and r < len(terms):
                    xs.append(terms[r].value)
                    numbers.append(terms[r].places + 1)
                else:
                    zero = full(0.0, shape=shape, dtype=atom.aval.dtype) if terms else None  # type: ignore[union-attr]
                    xs.append(read(self.env, atom) if zero is None else zero)
                    nothing = np.broadcast_to(np.int32(0), shape)
                    numbers.append(nothing if other is None else other)
            moved = np.asarray(eqn.prim.evaluate(*numbers, **eqn.params)) - 1
            found.append(Term(self._bound(eqn, xs), moved))
        return found

    def _summed(self, eqn: Equation) -> list[Term]:
        (terms,) = [self.terms[a] for a in eqn.inputs]
        x, axes = eqn.inputs[0].aval, eqn.params["axis"]  # type: ignore[union-attr]
        extents = [x.shape[a] for a in axes]
        self._afford(len(terms) * int(np.prod(extents)))
        found = []
        for term, places in product(terms, product(*map(range, extents))):
            starts, sizes = [0] * x.ndim, list(x.shape)
            for axis, at in zip(axes, places, strict=True):
                starts[axis], sizes[axis] = at, 1
            part = slice_(
                term.value, starts=tuple(starts), sizes=tuple(sizes), steps=(1,) * x.ndim
            )
            part = reshape(part, shape=eqn.out.aval.shape)
            if eqn.prim.lower.finalize:
                part = part / float(np.prod(extents))
            window = tuple([slice(s, s + n) for s, n in zip(starts, sizes, strict=True)])
            found.append(Term(part, term.places[window].reshape(eqn.out.aval.shape)))
        return self._merged(found)

    def _multiplied(self, eqn: Equation) -> list[Term]:
        shape = eqn.out.aval.shape
        found = []
        for k, atom in enumerate(eqn.inputs):
            axis = -1 if k == 0 else -2
            terms = self.terms.get(atom, [])
            width = atom.aval.shape[axis]  # type: ignore[union-attr]
            self._afford(len(terms) * width)
            for term, at in product(terms, range(width)):
                other = read(self.env, eqn.inputs[1 - k])
                parts = [_row(term.value, axis, at), _row(other, -3 - axis, at)]
                places = np.take(term.places, [at], axis)
                value = multiply(*parts) if k == 0 else multiply(*reversed(parts))
                found.append(Term(value, np.broadcast_to(places, shape)))
        return self._merged(found)

    def _scattered(self, eqn: Equation) -> list[Term]:
        terms = self.terms.get(eqn.inputs[0])
        index = self.known.get(eqn.inputs[1])
        if terms is None or index is None:
            raise NotDirect
        x, out = eqn.inputs[0].aval, eqn.out.aval  # type: ignore[union-attr]
        numbers = np.arange(1, x.size + 1).reshape(x.shape)
        reached: Any = INDEXED(eqn.prim, [numbers, index], eqn.params)
        counts = np.diff(reached.starts)
        self._afford(len(terms) * int(counts.max(initial=0)))
        found = []
        for term, r in product(terms, range(int(counts.max(initial=0)))):
            has = counts > r
            members = np.zeros(out.size, np.int64)
            members[has] = reached.members[reached.starts[:-1][has] + r]
            padded = concatenate(
                full(0.0, shape=(1,), dtype=x.dtype),
                reshape(term.value, shape=(x.size,)),
                axis=0,
            )
            value = reshape(take(padded, leaf_node(members)), shape=out.shape)
            places = np.append(np.int32(-1), term.places.reshape(-1))[members]
            found.append(Term(value, places.reshape(out.shape)))
        return self._merged(found)

    def _afford(self, count: int) -> None:
        if count > MAX_TERMS:
            raise NotDirect


def _agree(a: Array, b: Array) -> bool:
    """Whether two terms never read different elements."""
    return not ((a != b) & (a >= 0) & (b >= 0)).any()


def _row(x: Node, axis: int, at: int) -> Node:
    """One row, or column, of matrices."""
    starts, sizes = [0] * x.ndim, list(x.shape)
    starts[axis], sizes[axis] = at, 1
    found: Node = slice_(x, starts=tuple(starts), sizes=tuple(sizes), steps=(1,) * x.ndim)
    return found


def terms_of(
    of: Recorded, linear: Linear, known: Known, dtype: Any
) -> tuple[Program, list[list[Array]]]:
    """The program of the values of all terms, one output each, and their places, for each result.

    Raises
    ------
    NotDirect
        If there are none.
    """
    before, modes.grad = modes.grad, False
    try:
        terms = Terms(of, linear, known)
        terms.run(linear.whole.eqns)
        outs, places = [], []
        for atom in linear.whole.outputs:
            found = [] if isinstance(atom, Literal) else terms.terms.get(atom, [])
            for term in found:
                flat = reshape(term.value, shape=(term.value.size,))
                outs.append(flat if flat.dtype == dtype else cast(flat, dtype=dtype))
            places.append([term.places.reshape(-1) for term in found])
        if not outs or len(outs) > 4 * MAX_TERMS:
            raise NotDirect
        return program_of(outs, terms.args, of.tape.inputs), places
    finally:
        modes.grad = before
