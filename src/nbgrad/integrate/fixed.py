"""Integration in steps of fixed size: a loop over save points, in it one of so many equal steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.api.loops import fori_loop, scan
from nbgrad.integrate.methods import combined, stages
from nbgrad.integrate.problem import Function
from nbgrad.integrate.tableaux import Explicit


def fixed(f: Function, tableau: Explicit, y: Any, times: Any, count: Any, keeping: Any) -> Any:
    """The states at *times* but the first, in *count* equal steps from each to the next."""

    def one(y: Any, span: Any) -> Any:
        start, end = span
        h = (end - start) / count

        def step(k: Any, y: Any) -> Any:
            t = start + k * h
            return y + combined(tableau.b, stages(f, tableau, t, y, f(t, y), h)) * h

        y = step(0, y) if count == 1 else fori_loop(0, count, step, y)
        return y, y

    return scan(one, y, (times[:-1], times[1:]), **keeping)[1]


def steps_within(times: Any, longest: float | None) -> int:
    """How many equal steps from each time to the next are at most so long.

    Raises
    ------
    ValueError
        If *longest* is no size, or the times are not known.
    """
    if longest is None:
        return 1
    if not 0 < longest < np.inf:
        raise ValueError(f"odeint: step_size={longest!r} must be positive and finite")
    if times is None:
        raise ValueError(
            "odeint: step_size says how many steps there are only if the times are known: pass t as an "
            "array that jit does not trace, or leave step_size out for one step from each time to the next"
        )
    span = float(np.abs(np.diff(times)).max(initial=0.0))
    return max(1, int(np.ceil(span / longest * (1 - 1e-12))))
