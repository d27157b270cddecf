"""One solve: what it evaluated, the best point so far, and what ends it before the solver does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from nbgrad.core.lazy import LazyModule
from nbgrad.optimize.checkpoints import Log

keeping: Any = LazyModule("nbgrad.solvers.keeping")

Func = Callable[..., Any]
STOPPED = 99  # SciPy's status where a callback ends a solve


class Ended(Exception):
    """Raised by an evaluation, through the solver, to end it."""


class Run:
    """What bounds a solve.

    Parameters
    ----------
    where : str
        The function that users called.
    time_limit : float, optional
        Seconds.
    max_evaluations : int, optional
        Of the function.
    """

    def __init__(
        self,
        where: str,
        time_limit: float | None = None,
        max_evaluations: int | None = None,
    ) -> None:
        for name, x in (("time_limit", time_limit), ("max_evaluations", max_evaluations)):
            if x is not None and not x > 0:
                raise ValueError(f"{where}: {name} must be more than 0, not {x}")
        self.where, self.limit = where, max_evaluations
        self.seconds = time_limit
        self.began = time.perf_counter()
        self.deadline = np.inf if time_limit is None else self.began + time_limit
        self.count = 0
        self.best = np.inf
        self.best_x: Any = None
        self.best_value: Any = None
        self.log: Log | None = None  # of a solver of SciPy's
        self.kept: Any = None  # a solve of a compiled one

    def keep(self, checkpoint: Any, mark: str, compiled: bool) -> None:
        """Keep the solve that *mark* says in a file: the state of a compiled one, else what is evaluated."""
        if checkpoint is None:
            return
        if compiled:
            self.kept = keeping.Keeping(checkpoint, mark, self.where)
        else:
            self.log = Log(checkpoint, mark, self.where)

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.began

    def answered(self, name: str, f: Func) -> Func:
        """*f*, which the checkpoint may answer."""
        return f if self.log is None else self.log.answered(name, f)

    def counted(self, f: Func, score: Func) -> Func:
        """*f* of a vector, counted; *score* says of its value how good a point is: less is better."""
        f = self.answered("fun", f)
        timed, limit = self.deadline < np.inf, self.limit or np.inf

        def g(x: Any) -> Any:
            if self.count >= limit:
                raise Ended(f"{self.limit} evaluations were made, the limit that was given.")
            if timed and self.count and time.perf_counter() > self.deadline:
                raise Ended(f"{self.seconds} s have passed, the limit that was given.")
            self.count += 1
            value = f(x)
            merit = score(x, value)
            if merit < self.best or self.best_x is None:
                self.best, self.best_x, self.best_value = merit, np.array(x), value
            return value

        return g

    def solve(self, solver: Callable[[], Any]) -> Any:
        """What *solver* returns; if it is ended from outside, the best point so far."""
        try:
            found = solver()
        except (Ended, KeyboardInterrupt) as error:
            if self.best_x is None:
                raise
            why = "Interrupted from the keyboard." if not error.args else str(error)
            found = OptimizeResult(
                x=self.best_x,
                fun=self.best_value,
                success=False,
                status=STOPPED,
                message=f"{why} This is the best point so far.",
                nfev=self.count,
            )
        finally:
            if self.log is not None and (self.log.fresh or not self.log.path.exists()):
                self.log.write()
        return found
