"""Limits of derivatives at kinks that cancel: a pass over a tape that is to be differentiated.

First derivatives of roots, lengths and absolute values are written with operations that divide by
a distance r (ops/elements/kinks.py). Where r is 0 and the cotangent c of r is 0 too, the quotient has the
limit dc/dr, which the next derivative needs. Here c is differentiated by r, for all such r in one
forward pass of tangents that are 1 where r is 0, and the rules are given the limits.

One pass for many r is right where each c depends on its own r alone. Otherwise a second pass with
other tangents tells whether the rest matters: then the whole is not smooth, as |x| |y| is not, and
the limit is NaN, as it is where c is not 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.interpret import Environment, bind_results, read, replay
from nbgrad.core.node import constant
from nbgrad.core.registry import primitives
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Equation, Literal, Var
from nbgrad.ops.elements.arithmetic import absolute
from nbgrad.ops.elements.comparison import equal, less_equal, logical_and
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.cotangents import is_number, materialize

TOLERANCE = 1e-9  # of what two passes may differ by


def settled(
    eqns: Sequence[Equation], env: Environment, final: bool = False
) -> tuple[Sequence[Equation], Environment]:
    """Return *eqns* and *env* with the limits in them, which the rules are to read.

    They are the same objects if there is no kink. *final* is for what is a second derivative
    already: what is not smooth keeps its value there.
    """
    if not has_kinks(eqns):
        return eqns, env
    return _Settling(eqns, env, final).run()


def has_kinks(eqns: Sequence[Equation]) -> bool:
    """Whether a second derivative of *eqns* would be one of a kink."""
    return any(sig.prim.kink for sig in {eqn.sig for eqn in eqns})


def _length(eqn: Equation) -> str:
    """The word for the distance that *eqn* computes, if it does."""
    square = eqn.sig.prim.square
    return "" if square is None else square.length


class _Settling:
    """The pass: ``now`` are values, ``tangents`` their derivatives along each of the weights."""

    def __init__(self, eqns: Sequence[Equation], env: Environment, final: bool) -> None:
        self.eqns, self.env, self.final = eqns, env, final
        self.now: Environment = {}
        self.first = self._first()
        self.roots = self._roots()
        self.seeds = {
            r: k for k, r in enumerate(dict.fromkeys(self.roots.values())) if r is not None
        }
        self.needed = self._needed()
        self.weights: dict[Var, list[Any]] = {r: [1.0] for r in self.seeds}
        if self._coupled():
            for r, k in self.seeds.items():
                table = np.random.default_rng(k).uniform(1.0, 2.0, r.aval.shape)
                self.weights[r].append(constant(table.astype(r.aval.dtype)))
        self.passes = 2 if any(len(w) == 2 for w in self.weights.values()) else 1
        self.tangents: list[dict[Var, Any]] = [{} for _ in range(self.passes)]

    # ------------------------------------------------------------------------------- structure

    def _first(self) -> dict[Any, Var]:
        """For each variable, the first that is computed alike: a length may be taken twice."""
        first: dict[Any, Var] = {}
        known: dict[Any, Var] = {}
        for eqn in self.eqns:
            prim, aval = eqn.sig.prim, eqn.out.aval
            xs = [first.get(a, a) if isinstance(a, Var) else repr(a.value) for a in eqn.inputs]
            same = prim.alias and prim.kind == "elementwise" and eqn.sig.differentiable
            if same and aval.dtype.kind == "c":
                first[eqn.out] = xs[0]  # type: ignore[assignment]  # the same 0
                continue
            length = _length(eqn)
            key = (length, aval, frozenset(xs)) if length else (eqn.sig, *xs)
            for k, out in enumerate(eqn.outs):
                first[out] = known.setdefault((*key, k), out)
        return first

    def _roots(self) -> dict[Var, Var | None]:
        """For each kink, the variable that is 0 there; None if nothing else reads it."""
        first = self.first
        lengths: dict[Any, Var] = {}
        for eqn in self.eqns:
            if length := _length(eqn):
                operands = frozenset(first.get(a, a) for a in eqn.inputs)
                lengths.setdefault((length, operands), first[eqn.out])
        found: dict[Var, Var | None] = {}
        for eqn in self.eqns:
            kink, xs = eqn.sig.prim.kink, eqn.inputs
            if kink is None:
                continue
            if kink.length:
                found[eqn.out] = lengths.get(
                    (kink.length, frozenset(first.get(a, a) for a in xs[1:]))
                )
            elif (self.final or kink.first) and isinstance(xs[1], Var):
                found[eqn.out] = first.get(xs[1], xs[1])
        return found

    def _needed(self) -> set[Var]:
        """What the cotangents at kinks depend on."""
        needed = {eqn.inputs[0] for eqn in self.eqns if eqn.out in self.roots}
        for eqn in reversed(self.eqns):
            if not needed.isdisjoint(eqn.outs):
                needed.update(a for a in eqn.inputs if isinstance(a, Var))
        return {a for a in needed if isinstance(a, Var)}

    def _coupled(self) -> bool:
        """Whether some cotangent depends on more than the element of its own root."""
        origin: dict[Any, Any] = {r: r for r in self.seeds}
        for eqn in self.eqns:
            if self.first[eqn.out] in self.seeds:
                origin[eqn.out] = self.first[eqn.out]
            if eqn.out in origin or self.needed.isdisjoint(eqn.outs):
                continue
            found = {origin[a] for a in eqn.inputs if a in origin}
            if not found:
                continue
            (r,) = found if len(found) == 1 else (None,)
            same = r is not None and eqn.out.aval.shape == r.aval.shape
            alone = same and eqn.sig.prim.kind == "elementwise"
            kept = r if alone or (same and eqn.sig.prim.alias) else None
            origin.update(dict.fromkeys(eqn.outs, kept))
        pairs = [
            (eqn.inputs[0], self.roots[eqn.out]) for eqn in self.eqns if eqn.out in self.roots
        ]
        return any(r is not None and origin.get(c, r) is not r for c, r in pairs)

    # -------------------------------------------------------------------------------- the pass

    def read(self, atom: Any) -> Any:
        return self.now[atom] if atom in self.now else read(self.env, atom)

    def run(self) -> tuple[Sequence[Equation], Environment]:
        eqns = []
        for eqn in self.eqns:
            xs = [self.read(a) for a in eqn.inputs]
            if any(a in self.now for a in eqn.inputs):
                bind_results(self.now, eqn, replay(eqn, xs))
                for out in eqn.outs:
                    self.now[out].watch = self.env[out].watch
            if eqn.out in self.roots:
                eqn = self.at_kink(eqn, xs)
            eqns.append(eqn)
            if not self.needed.isdisjoint(eqn.outs):
                self.push(eqn, xs)
        return eqns, {**self.env, **self.now}

    def push(self, eqn: Equation, xs: list[Any]) -> None:
        """The tangents of one equation; those of roots are given."""
        outs = [self.read(out) for out in eqn.outs]
        out: Any = outs[0] if len(outs) == 1 else tuple(outs)
        for k, found in enumerate(self.tangents):
            if self.first[eqn.out] in self.seeds:
                zero = materialize(equal(out, 0), out.aval)
                weight = self.weights[self.first[eqn.out]][k]
                found[eqn.out] = zero if is_number(weight) else zero * weight
                continue
            ts = [found.get(a) if isinstance(a, Var) else None for a in eqn.inputs]
            if all(t is None for t in ts) or not eqn.sig.differentiable or not eqn.sig.prim.jvp:
                continue
            made = eqn.sig.prim.jvp(ts, out, xs, eqn.params)
            for var, tangent in zip(eqn.outs, made if len(outs) > 1 else (made,), strict=True):
                if tangent is not None:
                    found[var] = materialize(tangent, var.aval)

    def at_kink(self, eqn: Equation, xs: list[Any]) -> Equation:
        """Put the limit where the rule of *eqn* looks for it: in its value, or in its params."""
        root = self.roots[eqn.out]
        c, kink = xs[0], eqn.sig.prim.kink
        r = primitives[kink.length](*xs[1:]) if root is None else self.read(root)
        limit, smooth = self.limit(eqn.inputs[0], root, c)
        at = equal(r, 0)
        if kink.length:
            bad = np.nan
            if kink.straight and xs[1].dtype.kind != "c":
                bad = where(equal(limit, 0), 0.0, np.nan)
            params = {**eqn.params, "limit": where(at, where(smooth, limit, bad), 0.0)}
            sig = Signature(eqn.prim, eqn.sig.operands, params, eqn.sig.aval, eqn.sig.loop)
            return Equation(sig, eqn.inputs, eqn.outs, eqn.line)
        value = self.read(eqn.out)
        bad = value if self.final else np.nan
        if kink.infinite and not self.final:
            bad = where(equal(c, 0), np.nan, value)
        limit = limit if kink.share == 1 else kink.share * limit
        found = where(at, where(smooth, limit, bad), value)
        self.now[eqn.out] = materialize(found, eqn.out.aval)
        self.now[eqn.out].watch = value.watch
        return eqn

    def limit(self, atom: Any, root: Var | None, c: Any) -> tuple[Any, Any]:
        """The derivative of the cotangent by its root, and whether the whole is smooth there."""
        smooth = equal(c, 0)
        if isinstance(atom, Literal) or root is None:
            return 0.0, smooth
        found = []
        for k, tangents in enumerate(self.tangents):
            t = materialize(tangents.get(atom, 0.0), atom.aval)
            weight = self.weights[root][k]
            found.append(t if is_number(weight) else t / weight)
        if len(found) == 1:
            return found[0], smooth
        gap, size = absolute(found[0] - found[1]), absolute(found[0]) + absolute(found[1])
        agree = less_equal(gap, TOLERANCE * size)
        return found[0], logical_and(smooth, agree)
