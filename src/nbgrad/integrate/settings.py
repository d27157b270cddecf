"""What users ask of an integration: tolerances, sizes of steps, how many, and which gradient."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from nbgrad.integrate.adaptive import Solver
from nbgrad.integrate.events import Event
from nbgrad.integrate.methods import Method
from nbgrad.integrate.problem import Function, State
from nbgrad.integrate.tableaux import Rosenbrock
from nbgrad.integrate.verdicts import Judge, known

MAX_STEPS = 100_000


class Settings:
    """Checked; makes the solver of a right side over some times."""

    def __init__(
        self, method: Method, state: State, name: str, rtol: Any, atol: Any, first: Any, longest: Any,
        max_steps: Any, max_bytes: Any, events: tuple[Event, ...] = (),
    ) -> None:  # fmt: skip
        where = state.where
        if isinstance(method, Rosenbrock) and state.dtype.kind == "c":
            raise TypeError(
                f"{where}: method={method.name!r} takes real states, and y0 is {state.dtype}: integrate real "
                "and imaginary parts, or take 'RK45'"
            )
        self.method, self.events = method, events
        self.rtol, self.atol = state.like(rtol, "rtol"), state.like(atol, "atol")
        for x, what in ((self.rtol, "rtol"), (self.atol, "atol")):
            if not np.all(np.asarray(x) >= 0):
                raise ValueError(f"{where}: {what}={x!r} must not be negative")
        if not np.all(np.asarray(self.rtol) + self.atol > 0):
            raise ValueError(f"{where}: rtol and atol are both 0: no step is exact")
        sizes = [
            _size(x, f"{where}: {n}") for x, n in ((first, "first_step"), (longest, "max_step"))
        ]
        self.first, self.longest = sizes
        self.max_steps = index(max_steps)
        if self.max_steps < 1:
            raise ValueError(f"{where}: max_steps={max_steps} must be positive")
        self.max_bytes = None if max_bytes is None else index(max_bytes)
        self.judge = Judge(where, name, self.max_steps, isinstance(method, Rosenbrock))

        self.key: Any = None  # what tells them from others, if they are numbers
        if not events and isinstance(self.rtol, float) and isinstance(self.atol, float):
            numbers = self.rtol, self.atol, self.first, self.longest, self.max_steps
            self.key = method, *numbers, self.max_bytes, self.judge

    def __call__(self, f: Function, times: Any, facts: tuple[Any, bool] | None = None) -> Solver:
        """The solver from the first of *times* to the last; *facts* are what :func:`told` says of them."""
        sign, timed = facts or told(times)
        end = times[-1].detach()
        if sign is None:
            one = end * 0 + 1
            sign = np.where(end >= times[0].detach(), one, -one)
        return Solver(
            f, self.method, self.rtol, self.atol, sign, end, self.first, self.longest,
            self.max_steps, self.judge, self.max_bytes, self.events, timed,
        )  # fmt: skip


def _size(x: Any, what: str) -> float | None:
    if x is None or x == np.inf:
        return None
    if not x > 0:
        raise ValueError(f"{what}={x!r} must be positive")
    return float(x)


def told(times: Any) -> tuple[Any, bool]:
    """The sign of their direction, None if it is not known, and whether there may be derivatives by them."""
    values = known(times)
    sign = None if values is None else 1.0 if values[-1] >= values[0] else -1.0
    return sign, times._node.requires_grad


def by_adjoint(adjoint: str, state: State) -> bool:
    """Whether the gradient is that of the adjoint equation."""
    if adjoint not in ("discrete", "continuous"):
        raise ValueError(
            f"{state.where}: adjoint={adjoint!r} must be 'discrete', through the steps that are taken, or "
            "'continuous', by the adjoint equation"
        )
    if adjoint == "continuous" and state.dtype.kind == "c":
        raise TypeError(
            f"{state.where}: adjoint='continuous' takes real states, and y0 is {state.dtype}: leave it "
            "'discrete', or integrate real and imaginary parts"
        )
    return adjoint == "continuous"
