"""Integration with steps whose size is chosen: a loop over save points, in it a loop of steps.

The size of a step is no part of what is differentiated: derivatives are those of the steps that were
taken (the discrete adjoint). Sizes are chosen by the PI controller of Hairer and Wanner, Solving
Ordinary Differential Equations II (1996), IV.2, the first one as in I (1993), II.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nbgrad.api.loops import scan, while_loop
from nbgrad.integrate.events import Event, ended, happened
from nbgrad.integrate.methods import Method, interpolated, nothing_kept, step_of
from nbgrad.integrate.verdicts import Judge
from nbgrad.ops.control.verified import verified
from nbgrad.tensors.tensor import Tensor

SAFETY, LEAST, MOST, BETA = math.log(0.9), math.log(0.2), math.log(10.0), 0.04
FLOOR = -10.0  # of the logarithm of an error that a step is chosen by
SMALL = 64  # elements of a state
ROUNDING = 2.0  # the least step, in units of the last place of the time


class At(NamedTuple):
    """Where an integration is: what its loop carries.

    Attributes
    ----------
    t, y, slope
        The time, the state, and its derivative there.
    size, before
        Of the next step; the logarithm of the error of the last one, relative to what is tolerated.
    taken, failed
        How many steps were tried, and whether the last one gave no number.
    start, length
        Where the last step began, and how long it was, with its sign.
    begin, kept
        The state there, and what else the interpolant reads.
    values, left
        Of each event: its function here, and how often it may still happen.
    """

    t: Any
    y: Any
    slope: Any
    size: Any
    before: Any
    taken: Any
    failed: Any
    start: Any
    length: Any
    begin: Any
    kept: Any
    values: Any
    left: Any


@dataclass(frozen=True)
class Solver:
    """An integration from one time to another.

    ``sign`` is that of the direction, ``end`` the last time, both without derivatives.
    """

    f: Callable[[Any, Any], Any]
    method: Method
    rtol: Any
    atol: Any
    sign: Any
    end: Any
    first: Any
    longest: Any
    max_steps: int
    judge: Judge
    max_bytes: int | None = None
    events: tuple[Event, ...] = ()
    timed: bool = True  # whether there may be derivatives by times

    def begin(self, t: Any, y: Any) -> At:
        """Before the first step."""
        slope = self.f(t, y)
        size = self._first(t, y, slope) if self.first is None else self.first
        zero = t.detach() * 0
        kept = tuple(nothing_kept(self.method, slope))
        return At(
            t, y, slope, zero + abs(size), zero + FLOOR, np.int64(0), zero != 0, t, zero + 1, y, kept,
            tuple([e(t, y).detach() for e in self.events]),
            tuple([np.int64(e.count) for e in self.events]),
        )  # fmt: skip

    def _first(self, t: Any, y: Any, slope: Any) -> Any:
        """A step that Euler's method could take."""
        t, y, slope = t.detach(), y.detach(), slope.detach()
        span = abs(self.end - t)
        scale = self.atol + abs(y) * self.rtol
        d0, d1 = norm(y / scale), norm(slope / scale)
        small = (d0 < 1e-5) | (d1 < 1e-5)
        h0 = np.where(small, 1e-6, 0.01 * d0 / np.where(small, 1.0, d1))
        h0 = np.minimum(h0, span)
        moved = self.f(t + h0 * self.sign, y + slope * (h0 * self.sign)).detach()
        d2 = norm((moved - slope) / scale) / np.where(h0 == 0, 1.0, h0)
        most = np.maximum(d1, d2)
        flat = most <= 1e-15
        power = 1 / (self.method.order + 1)
        h1 = (0.01 / np.where(flat, 1.0, most)) ** power
        h1 = np.where(flat, np.maximum(1e-6, h0 * 1e-3), h1)
        found = np.minimum(np.minimum(100 * h0, h1), span)
        return np.where(np.isfinite(found), found, h0)

    def going(self, at: At, until: Any) -> Any:
        """Whether a step is to be taken, and can be."""
        least = ROUNDING * np.finfo(at.t.dtype).eps * abs(at.t)
        able = (at.taken < self.max_steps) & (at.size > least)
        if self.events:
            able = able & ~ended(at.left)
        return ((until - at.t) * self.sign > 0) & able

    def step(self, at: At) -> At:
        """Try a step."""
        t = at.t.detach()
        rest = abs(self.end - t)
        # One of a batch that is at its end waits for others, and what it computes is dropped, but must
        # be a number: so must be its derivative.
        rest = np.where(rest == 0, abs(at.length.detach()) * 1e-3, rest)
        size = at.size.detach()
        if self.longest is not None:
            size = np.minimum(size, self.longest)
        last = size * 1.01 >= rest
        size = np.where(last, rest, size)
        h = size * self.sign
        made = step_of(self.f, self.method, at.t if self.timed else t, at.y, at.slope, h)
        error = self._error(at.y.detach(), made.y.detach(), made.error.detach())
        right, finite = error <= 1, np.isfinite(error)
        before = at.before.detach()
        shown = np.log(np.maximum(error, math.exp(2 * FLOOR))) * 0.5
        power = 1 / self.method.order
        grown = (power - 0.75 * BETA) * shown - BETA * before
        factor = SAFETY - np.where(right, grown, power * shown)
        factor = np.minimum(np.maximum(factor, LEAST), MOST)
        factor = np.exp(np.where(finite, factor, LEAST))
        end = np.where(last, self.end + (at.t - t), at.t + h)
        values, left = happened(self.events, at, right, end, made.y)
        return At(
            np.where(right, end, at.t),
            np.where(right, made.y, at.y),
            np.where(right, made.slope, at.slope),
            size * factor,
            np.where(right, shown, before),
            at.taken + 1,
            ~finite,
            at.t,
            h,
            at.y,
            tuple(made.kept),
            values,
            left,
        )

    def _error(self, y: Any, end: Any, error: Any) -> Any:
        """The mean square of the error, relative to what is tolerated."""
        scale = self.atol + np.maximum(abs(y), abs(end)) * self.rtol
        return square(error / scale)

    def run(self, at: At, until: Any) -> At:
        """Step until a time is reached or passed."""
        return At(
            *while_loop(
                lambda at: self.going(At(*at), until),
                lambda at: tuple(self.step(At(*at))),
                tuple(at),
                max_bytes=self.max_bytes,
            )
        )

    def run_one(self, at: At) -> At:
        """One step that is taken, if there is one left."""
        t = at.t
        return At(
            *while_loop(
                lambda at: self.going(At(*at), self.end) & (at[0] == t),
                lambda at: tuple(self.step(At(*at))),
                tuple(at),
                max_bytes=self.max_bytes,
            )
        )

    def saved(self, at: At, times: Any, keeping: Any) -> tuple[At, Any]:
        """Step over all of *times*, and return the states there.

        What small interpolants read is returned by the loop, and they are evaluated after it: so its way
        back need not know how the steps to a time ended before it takes them again.
        """
        small = at.y.size <= SMALL

        def one(at: Any, time: Any) -> Any:
            at = self.run(At(*at), time.detach())
            read = at.start, at.length, at.begin, at.y, at.slope, at.kept
            return tuple(at), read if small else self.between(read, time)

        at, found = scan(one, tuple(at), times, **keeping)
        if small:
            start, length, *rest = found
            found = self.between((start[:, None], length[:, None], *rest), times[:, None])
        return At(*at), found

    def between(self, read: Any, time: Any) -> Any:
        """The state at a time within a step."""
        start, h, begin, end, slope, kept = read
        h = h.detach()
        part = (time - start) / h
        part = part if self.timed else part.detach()
        return interpolated(self.method, begin, end, slope, kept, h, part)

    def verify(self, x: Any, at: At, times: Any) -> Tensor:
        """*x*, if the integration came to its end; else an error says why not."""
        sorted_ = (np.diff(times.detach()) * self.sign >= 0).all()
        return checked(x, self.judge, *self.facts(at), sorted_)

    def facts(self, at: At) -> tuple[Any, ...]:
        """What a judge reads of an integration, but whether its times are sorted."""
        right = at.t.detach() == self.end
        right = right | ended(at.left) if self.events else right
        finite = np.isfinite(at.slope.detach()).all() & ~at.failed
        return right, at.t, self.end, at.taken, at.size, at.taken < self.max_steps, finite


def checked(x: Any, judge: Judge, right: Any, *facts: Any) -> Tensor:
    """*x*, if *judge* has nothing against the facts: see ops/control/verified.py."""
    found: Any = [f.detach().astype(float) for f in (right & facts[-1], *facts)]
    return Tensor(verified(x._node, np.stack(found, -1)._node, judge=judge))  # type: ignore[attr-defined]


def square(x: Any) -> Any:
    """The mean square."""
    return ((x * x.conj()).real if x.dtype.kind == "c" else x * x).mean()


def norm(x: Any) -> Any:
    """Its root."""
    return np.sqrt(square(x))
