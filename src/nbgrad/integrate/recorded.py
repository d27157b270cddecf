"""The steps of an integration, kept: dense output, and events within them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.api.loops import scan, while_loop
from nbgrad.api.nesting import register_dataclass
from nbgrad.api.vmap import vmap
from nbgrad.integrate.adaptive import At, Solver
from nbgrad.integrate.events import Event, part_of
from nbgrad.integrate.methods import Method, interpolated
from nbgrad.integrate.problem import State
from nbgrad.integrate.verdicts import known
from nbgrad.tensors.tensor import Tensor


@dataclass
class Steps:
    """What the interpolants of steps read: a row for each step.

    Attributes
    ----------
    start, length
        Where each begins, and how long it is.
    begin, end, slope, kept
        The states there, at its end, the derivative there, and what else the interpolant reads.
    last
        Where the last one ends.
    """

    start: Any
    length: Any
    begin: Any
    end: Any
    slope: Any
    kept: Any
    last: Any
    method: Method
    state: State

    @property
    def times(self) -> Any:
        """Where steps begin, and the last one ends."""
        return np.concatenate([self.start, self.last[None]])

    @property
    def states(self) -> Any:
        """The states there."""
        return np.concatenate([self.begin, self.end[-1:]])

    def row(self, k: Any) -> Steps:
        """One step, or several."""
        return Steps(
            self.start[k], self.length[k], self.begin[k], self.end[k], self.slope[k],
            tuple([x[k] for x in self.kept]), self.start[k], self.method, self.state,
        )  # fmt: skip

    def at(self, part: Any) -> tuple[Any, Any]:
        """Time and state at a part of one step."""
        y = interpolated(
            self.method, self.begin, self.end, self.slope, self.kept, self.length, part
        )
        return self.start + part * self.length, y

    def states_at(self, t: Any) -> Any:
        """The states at times, rows of vectors."""
        sign = np.where(self.length[0].detach() >= 0, 1.0, -1.0)
        ends = (self.start + self.length).detach()[:-1] * sign
        k = np.searchsorted(ends, t.detach() * sign)
        chosen = self.row(k)
        part = (t - chosen.start) / chosen.length
        return vmap(lambda row, part: row.at(part)[1])(chosen, part)


register_dataclass(Steps, meta_fields=["method", "state"])


def count_steps(solver: Solver, at: At) -> int | None:
    """How many steps the integration takes, None where that is not known."""

    def step(carry: Any) -> Any:
        at, count = carry
        new = solver.step(At(*at))
        return tuple(new), count + (new.t != at[0])

    alone = [x.detach() if isinstance(x, Tensor) else x for x in at]
    going = lambda carry: solver.going(At(*carry[0]), solver.end)
    start = At(*alone)._replace(kept=tuple([x.detach() for x in at.kept]))
    _, count = while_loop(going, step, (tuple(start), np.int64(0)))
    found = known(count)
    return None if found is None else int(found)


def record(solver: Solver, at: At, count: int, state: State, keeping: Any) -> tuple[At, Steps]:
    """So many steps, as rows."""

    def one(at: Any, _: Any) -> Any:
        new = solver.run_one(At(*at))
        return tuple(new), (new.start, new.length, new.begin, new.y, new.slope, new.kept)

    at, rows = scan(one, tuple(at), length=count, **keeping)
    start, length, begin, end, slope, kept = rows
    at = At(*at)
    return at, Steps(start, length, begin, end, slope, kept, at.t, solver.method, state)


def occurrences(event: Event, steps: Steps) -> tuple[Any, Any]:
    """Times and states at which an event happens, in order; of steps whose values are known."""
    times, states = steps.times, steps.states
    values = known(vmap(event)(times.detach(), states.detach()))
    (places,) = np.nonzero(event.between(values[:-1], values[1:]))
    if not places.size:
        return times[:0], states[:0]
    found: tuple[Any, Any] = vmap(lambda row: row.at(part_of(event, row.at)))(steps.row(places))
    return found
