"""Extrema that are taken out of exponentials, through which no derivative passes.

``m + log(sum(exp(x - m)))`` and ``exp(x - m) / sum(exp(x - m))`` are the same for every m: where m is the
largest x, so that nothing overflows, what comes back to it is zero, but for rounding. Left to the rules, that
is shared among ties, which takes a pass over all elements.

How variables move with m is followed from it on: by a number times it, or by a power of its exponential as a
factor. What does neither is not looked through. If all that is differentiated stays where it is, m is as good
as a constant, at every order: a derivative of what does not depend on m does not either.

Only elements less their own extremum are looked at, whose exponentials are one at most. A row that has a NaN, or
whose extremum is infinite, has a NaN among those, and in their sum, which makes all cotangents of it NaN.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from nbgrad.config import settings
from nbgrad.core.tape import Equation, Var
from nbgrad.ops.arrays.reductions import max_, mean, min_
from nbgrad.ops.basis import broadcast_to, reshape, sum_, transpose
from nbgrad.ops.elements.arithmetic import divide, exp, log
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.algebra import Product, signs_of

SIDES: Final = {max_: -1, min_: 1}  # of zero, on which elements less their extremum are
TOTALS: Final = sum_, mean

Dims = tuple[int | None, ...]


class _Moved(NamedTuple):
    """How a variable moves with *root*: by ``slope`` times it, or by its exponential to ``rate`` as a factor.

    ``dims`` are those of what the root is an extremum of that its own go along, None where all elements move alike.
    ``whole`` says that it is a view of the root; ``side`` is the sign that it has, if it is elements less
    their extremum, or the reverse.
    """

    root: Var
    dims: Dims
    slope: int = 0
    rate: int = 0
    side: int = 0
    whole: bool = False


Given = list[_Moved | None]


def idle(
    eqns: Iterable[Equation],
    active: Collection[Var],
    ends: Iterable[Any],
    closed: Collection[Var] = (),
) -> set[Var]:
    """Extrema by which the derivatives of *ends* are zero, whatever these are given; none passes through *closed*."""
    if settings.current.nan_policy == "ieee" or not any(e.sig.prim in SIDES for e in eqns):
        return set()
    found = _Pass(active, closed)
    for eqn in eqns:
        if not found.moved.keys().isdisjoint(eqn.inputs):
            found.take(eqn)
        if eqn.sig.prim in SIDES and found.passes(eqn.out):
            found.begin(eqn.out, eqn, _left(eqn))
    found.lost.update(found.moved[a].root for a in ends if a in found.moved)
    return found.kept()


class _Pass:
    """What has moved so far.

    ``made`` has the equation of the extremum that a root is, ``guarded`` the root that one is where that is
    finite, and ``lost`` the roots that may matter.
    """

    def __init__(self, active: Collection[Var], closed: Collection[Var]) -> None:
        self.active, self.closed = active, closed
        self.moved: dict[Any, _Moved] = {}
        self.made: dict[Var, Equation] = {}
        self.guarded: dict[Var, Var] = {}
        self.lost: set[Var] = set()

    def passes(self, a: Any) -> bool:
        return a in self.active and a not in self.closed

    def begin(self, root: Var, made: Equation, dims: Dims) -> None:
        self.made[root] = made
        self.moved[root] = _Moved(root, dims, slope=1, whole=True)

    def kept(self) -> set[Var]:
        for root in reversed(self.made):
            if root in self.lost and root in self.guarded:
                self.lost.add(self.guarded[root])
        return self.made.keys() - self.lost

    def take(self, eqn: Equation) -> None:
        """Follow what has moved through *eqn*, or lose it."""
        if not any(map(self.passes, eqn.outs)):
            return
        given = [self.moved.get(a) for a in eqn.inputs]
        roots = dict.fromkeys(m.root for m in given if m is not None)
        if eqn.prim is where and self.guards(eqn):
            root = self.guarded[eqn.out] = next(iter(roots))
            self.begin(eqn.out, self.made[root], self.moved[root].dims)
            return
        found = self.result(eqn, given) if len(roots) == len(eqn.outs) == 1 else None
        if found is None:
            self.lost.update(roots)
        elif found.slope or found.rate:
            self.moved[eqn.out] = found

    def guards(self, eqn: Equation) -> bool:
        """Whether it is a root where that is finite, say, and a constant elsewhere: nothing passes there."""
        given = list(filter(self.passes, eqn.inputs))
        return len(given) == 1 and given[0] in self.made and given[0].aval is eqn.out.aval  # type: ignore[union-attr]

    def result(self, eqn: Equation, given: Given) -> _Moved | None:
        """How the result moves; None where that is not known."""
        first = next(m for m in given if m is not None)
        if eqn.prim.kind != "elementwise":
            dims = _seen(eqn, first) if len(given) == 1 else None
            return None if dims is None else first._replace(dims=dims)
        dims = _together(given, eqn.out.aval.ndim)
        if dims is None:
            return None
        first = first._replace(dims=dims, side=0, whole=False)
        slopes = [0 if m is None else m.slope for m in given]
        rates = [0 if m is None else m.rate for m in given]
        if eqn.prim is exp and given[0].side < 0:  # type: ignore[union-attr]
            return first._replace(slope=0, rate=first.slope)
        if eqn.prim is log and first.rate:
            return first._replace(slope=first.rate, rate=0)
        if signs := signs_of(eqn.prim):
            if any(rates):
                return first if len(set(rates)) == 1 else None
            slope = sum(s * k for s, k in zip(signs, slopes, strict=True))
            return first._replace(slope=slope, side=self.side(eqn, given, signs))
        if any(slopes) or not (eqn.prim is divide or eqn.prim.algebra.__class__ is Product):
            return None
        return first._replace(rate=rates[0] + (-rates[1] if eqn.prim is divide else rates[1]))

    def side(self, eqn: Equation, given: Given, signs: tuple[int, ...]) -> int:
        """The sign of elements less their extremum, of the reverse, or of minus that."""
        if len(signs) == 1:
            return signs[0] * given[0].side  # type: ignore[union-attr]
        for m, other, sign in zip(given, reversed(eqn.inputs), signs, strict=True):
            made = self.made[m.root] if m is not None and m.whole else None
            if made is not None and other is made.inputs[0] and sorted(signs) == [-1, 1]:
                along = all(k is None or k == at for at, k in enumerate(m.dims))  # type: ignore[union-attr]
                return -sign * SIDES[made.prim] if along else 0
        return 0


def _left(eqn: Equation) -> Dims:
    """Which dimension of its operand each of an extremum's is."""
    axis, shape = eqn.params["axis"], eqn.inputs[0].aval.shape  # type: ignore[union-attr]
    dims = [None if k in axis or n == 1 else k for k, n in enumerate(shape)]
    return tuple([d for k, d in enumerate(dims) if eqn.params["keepdims"] or k not in axis])


def _together(given: Given, ndim: int) -> Dims | None:
    """The dimensions along which operands of one shape, or numbers, move alike; None if they do not."""
    found = {m.dims or (None,) * ndim for m in given if m is not None}
    return found.pop() if len(found) == 1 else None


def _seen(eqn: Equation, moved: _Moved) -> Dims | None:
    """What becomes of the dimensions in a view, or in a sum of factors; None where that is not known."""
    dims = moved.dims
    old, new, p = eqn.inputs[0].aval.shape, eqn.out.aval.shape, eqn.params  # type: ignore[union-attr]
    if eqn.prim is transpose:
        return tuple([dims[k] for k in p["perm"]])
    if eqn.prim is broadcast_to:
        return (None,) * (len(new) - len(old)) + dims
    if eqn.prim is reshape:
        if set(dims) <= {None}:
            return (None,) * len(new)
        left = iter([d for n, d in zip(old, dims, strict=True) if n != 1])
        same = [n for n in old if n != 1] == [n for n in new if n != 1]
        return tuple([None if n == 1 else next(left) for n in new]) if same else None
    if eqn.prim in TOTALS and moved.rate and all(dims[k] is None for k in p["axis"]):
        return tuple([d for k, d in enumerate(dims) if p["keepdims"] or k not in p["axis"]])
    return None
