"""Solves by the compiled methods of ``nbgrad.solvers``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import modes
from nbgrad.optimize.problem import Problem
from nbgrad.optimize.running import STOPPED, Run
from nbgrad.optimize.watching import Watched

minimizing: Any = LazyModule("nbgrad.solvers.minimizing")
interface: Any = LazyModule("nbgrad.solvers.interface")

Func = Callable[..., Any]
F8 = np.dtype(np.float64)


def compiled(
    method: str, p: Problem, start: Any, run: Run, told: Func | None, words: dict[str, Any]
) -> OptimizeResult:
    """The result of a compiled method, of vectors."""
    limits = {"maxfun": run.limit, "callback": told, "max_time": run.seconds, "keep": run.kept}
    words = words | {k: x for k, x in limits.items() if x is not None}
    fun = p.flat if minimizing.method_of(method).residuals else p.programs.scalar
    found = minimizing.solve(method, fun, start, args=p.values, bounds=p.bounds, **words)
    return ended(found, run)


def ended(found: OptimizeResult, run: Run) -> OptimizeResult:
    """The result, whose status is SciPy's of a solve that was ended by what *run* allows."""
    if run.limit is not None and found.nfev >= run.limit and not found.success:
        found.status = STOPPED
        found.message = (
            f"{run.limit} evaluations were made, the limit. This is the best point so far."
        )
    return found


def is_plain(method: Any, x0: Any, user: dict[str, Any], other: tuple[Any, ...]) -> bool:
    """Whether a solve is one of a vector by a compiled method, with nothing else given but callbacks and limits."""
    if not isinstance(method, str) or method[:3] != "nb-" or modes.tracing:
        return False
    if x0.__class__ is not np.ndarray or x0.dtype is not F8 or x0.ndim != 1 or not x0.size:
        return False
    return all(x is None or x == () for x in (*user.values(), *other))


def at_once(
    fun: Any, x0: Any, args: Any, method: str, run: Run, tol: Any, callback: Any, options: Any
) -> OptimizeResult | None:
    """The result of a compiled method, of which no problem is made; None where one is needed.

    That is where something is differentiated, or the function looks at values or returns no number.
    """
    args = args if isinstance(args, tuple) else (args,)
    if not callable(fun) or isinstance(fun, Problem) or interface.tracked(args):
        return None
    asked = minimizing.Asked(method, fun, x0, args)
    if asked.tracked or asked.found[0].shapes() is None or asked.found[0].shapes()[0] != ():
        return None
    told = None
    if callback is not None:
        told = Watched(callback, run, lambda x: x, lambda x: None).of_value
    given = {"tol": tol, "maxfun": run.limit}
    words = dict(options or {}) | {k: x for k, x in given.items() if x is not None}
    return ended(asked.solved(words, None, told, run.seconds), run)
