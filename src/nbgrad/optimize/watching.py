"""What shows a solve while it goes on: callbacks, and how SciPy's solvers are made to call them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from nbgrad.optimize.running import Ended, Run

Func = Callable[..., Any]


def wants_result(callback: Func) -> bool:
    """Whether a callback is to get an ``OptimizeResult``: by the name of its parameter, as in SciPy."""
    try:
        names = set(inspect.signature(callback).parameters)
    except (TypeError, ValueError):
        return False
    return names == {"intermediate_result"}


class Watched:
    """A user's callback, called alike by each solver.

    Parameters
    ----------
    callback : callable
        Of ``x``, or of ``intermediate_result``; what it returns true for, or ``StopIteration``, ends the solve.
    run : Run
    nested : callable
        Nests a vector.
    value : callable
        The value at a vector, which was evaluated last.
    """

    def __init__(self, callback: Func, run: Run, nested: Func, value: Func) -> None:
        self.callback, self.run, self.nested, self.value = callback, run, nested, value
        self.whole = wants_result(callback)
        self.count = 0

    def at(self, x: Any, **known: Any) -> None:
        """Tell that the solver is at *x*."""
        self.count += 1
        x = np.array(x, float)
        try:
            if self.whole:
                known.setdefault("nit", self.count)
                told = OptimizeResult(x=self.nested(x), nfev=self.run.count, **known)
                if "fun" not in told:
                    told.fun = self.value(x)
                told.elapsed = self.run.elapsed
                stop = self.callback(intermediate_result=told)
            else:
                stop = self.callback(self.nested(x))
        except StopIteration:
            stop = True
        if isinstance(stop, (bool, np.bool_)) and stop:
            raise Ended("The callback ended the solve.")

    def of_x(self, x: Any, *more: Any) -> None:
        """For solvers that give a vector."""
        self.at(x)

    def of_result(self, *, intermediate_result: OptimizeResult) -> None:
        """For those that give a result."""
        r = intermediate_result
        known = {k: r[k] for k in ("fun", "nit", "cost") if k in r}
        self.at(r.x, **known)

    def of_value(self, x: Any, value: Any) -> bool:
        """For those of nbgrad's own, which are told whether to end."""
        self.at(x, fun=value)
        return False
