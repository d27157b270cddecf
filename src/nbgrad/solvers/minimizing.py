"""``solve`` and ``minimize``: from a function and a start to SciPy's result, by one native loop."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.solvers import native as at
from nbgrad.solvers.compiled import Memory, Method
from nbgrad.solvers.functions import Function, kept
from nbgrad.solvers.keeping import Keeping
from nbgrad.solvers.methods import DERIVED, METHODS, MOVING

optimize = LazyModule("scipy.optimize")

FIRST_CALLS, SOON = 16, 0.02  # calls before the loop looks up for the first time; seconds between
STOPPED, OUT_OF_TIME, INTERRUPTED = 97, 98, 99
GOOD = (at.GRADIENT, at.SMALL_STEP, at.SMALL_CHANGE, at.BOTH)
LARGE = 1 << 24  # bytes of memory that are not kept for the next solve
MOST_POOLS = 16  # structures whose memory is kept with a function
WHOLE: Final = {"maxiter": at.MOST_ITERATIONS, "maxfun": at.MOST_CALLS, "max_nfev": at.MOST_CALLS}
IGNORED = {"tol", "disp"}  # dealt with, and of no effect
# SciPy's status, and what is said.
VERDICTS: Final = {
    at.GRADIENT: (
        0,
        "Optimization terminated successfully: the gradient is as small as gtol asks.",
    ),
    at.SMALL_STEP: (0, "Optimization terminated successfully: the step is as small as xtol asks."),
    at.SMALL_CHANGE: (
        0,
        "Optimization terminated successfully: the change is as small as ftol asks.",
    ),
    at.BOTH: (0, "Optimization terminated successfully: both ftol and xtol are met."),
    at.TOO_MANY: (1, "The largest number of iterations or calls has been reached."),
    at.NO_STEP: (2, "Desired error not necessarily achieved due to precision loss."),
    at.NOT_FINITE: (3, "The function or its derivatives are not finite."),
    at.FAILED: (3, "An operation of the function failed."),
    STOPPED: (99, "The callback raised StopIteration."),
    OUT_OF_TIME: (99, "The time that max_time gives is over. This is the best point so far."),
    INTERRUPTED: (99, "Interrupted from the keyboard. This is the best point so far."),
}


class Solve:
    """A solve in progress: its memory, and when to look up from it."""

    def __init__(self, method: Method, memory: Memory, n: int) -> None:
        self.method, self.memory, self.n = method, memory, n
        w = memory.w
        self.x, self.g = w[method.x * n : (method.x + 1) * n], w[method.g * n : (method.g + 1) * n]

    def run(
        self, callback: Any = None, max_time: float | None = None, kept: Keeping | None = None
    ) -> int:
        """Run to the end, and return why it ended."""
        k = self.memory.k
        if k[at.STATUS] != at.RUNNING:  # it was at its end when it was kept
            return int(k[at.STATUS])
        try:
            status = self.advance(callback, max_time, kept)
            if k[at.STATUS] == at.PAUSED:
                self.leave()
        except KeyboardInterrupt:
            if k[at.BEGUN] == 0:  # nothing is known yet
                raise
            if k[at.STATUS] == at.PAUSED:
                self.leave()
            status = INTERRUPTED
        finally:
            if kept is not None:
                kept.write()
        return status

    def advance(self, callback: Any, max_time: float | None, kept: Keeping | None) -> int:
        """Run from where the memory is; whenever the loop is left, it is between two iterations."""
        memory, k = self.memory, self.memory.k
        chunk = FIRST_CALLS if callback is None and max_time is None else 1
        before = start = time.perf_counter()
        seen = int(k[at.ITERATIONS])
        while True:
            k[at.PAUSE] = k[at.CALLS] + chunk
            if kept is not None:
                k[at.PAUSE] = min(k[at.PAUSE], max(k[at.MOST_CALLS], k[at.CALLS] + 1))
            self.enter()
            status = int(k[at.STATUS])
            if kept is not None and status != at.TOO_MANY:
                kept.take(memory)
            if callback is not None and k[at.ITERATIONS] > seen:
                seen = int(k[at.ITERATIONS])
                if callback(self.x.copy(), float(memory.s[at.F])) and status == at.PAUSED:
                    return STOPPED
            if status != at.PAUSED:
                return status
            now = time.perf_counter()
            if max_time is not None and now - start > max_time:
                return OUT_OF_TIME
            if callback is None and now - before < SOON:
                chunk *= 4
            before = now

    def enter(self) -> None:
        """Run the loop, until it is done or pauses."""
        k = self.memory.k
        k[at.STATUS] = at.RUNNING
        self.memory.enter()
        if k[at.STATUS] == at.FAILED:
            raise self.failure()

    def leave(self) -> None:
        """Have the loop make what it makes at its end: it has no calls left."""
        k = self.memory.k
        k[at.PAUSE], k[at.MOST_CALLS] = k[at.CALLS] + 1, 0
        self.enter()

    def failure(self) -> Any:
        """What a function that failed has raised."""
        functions = self.memory.functions
        raised = [f for f in functions if getattr(f, "raised", None) is not None]
        return (raised or functions)[0].failure(int(self.memory.k[at.FAULT]))


def method_of(name: str) -> Method:
    """The method of that name."""
    if name not in METHODS:
        known = ", ".join(sorted(METHODS))
        raise ValueError(f"no compiled method is called {name!r}; there are {known}")
    return METHODS[name]


class Asked:
    """A method, the function it is to minimise, and its arguments; traced and compiled."""

    def __init__(self, name: str, fun: Any, x0: Any, args: tuple[Any, ...]) -> None:
        self.method = method = method_of(name)
        self.x0 = x0
        self.made = made = kept(fun)
        derived = made.get(name)
        if derived is None:
            derived = made[name] = [Function(DERIVED[each](fun)) for each in method.derived]
        moving = [(x0,) * MOVING.get(each, 1) for each in method.derived]
        self.found = [f.found(xs, args) for f, xs in zip(derived, moving, strict=True)]

    @property
    def tracked(self) -> bool:
        """Whether the function reads tensors from outside that require grad."""
        return any(f.tracked for f in self.found)

    def residuals(self) -> int:
        """How many residuals the function has; 0 of a function that is minimised."""
        if not self.method.residuals:
            return 0
        first = self.found[0]
        shapes = first.shapes()
        return int(np.size(first.called()) if shapes is None else shapes[0][0])

    def memory(self, n: int, m: int) -> tuple[Memory, Any]:
        """Memory that nobody uses, and where it goes back to."""
        method, found, pools = self.method, self.found, self.made.setdefault("pools", {})
        key = (method.name, n, m, *[f.entry for f in found])
        pool = pools.get(key)
        if pool is None:
            if len(pools) >= MOST_POOLS:
                pools.clear()
            pool = pools[key] = []
        try:
            memory = pool.pop()
            memory.k.fill(0)
        except IndexError:
            memory = Memory(method, n, m)
            pairs = zip(found, method.calls(memory, n, m), strict=True)
            memory.complete(
                method, n, [f.pointed(inputs, results) for f, (inputs, results) in pairs]
            )
        for function, evaluation in zip(memory.functions, found, strict=True):
            function.bind(evaluation.values)
        return memory, pool

    def solved(
        self, options: Any, bounds: Any, callback: Any, max_time: float | None, keep: Any = None
    ) -> Any:
        """The result, from numbers to numbers."""
        method, x0 = self.method, self.x0
        n, options = len(x0), dict(options)
        m = self.residuals() or (method.held and int(options.pop("maxcor", method.held)))
        memory, pool = self.memory(n, m)
        run = Solve(method, memory, n)
        memory.s.fill(0.0)
        run.x[:] = x0
        configure(method, memory, n, m, options, bounds)
        if keep is not None:
            keep.resume(memory)
        status = run.run(callback, max_time, keep)
        result = _result(run, status)
        if memory.w.nbytes <= LARGE and status != INTERRUPTED:
            pool.append(memory)
        return result


def solve(
    name: str,
    problem: Any,
    x0: Any,
    *,
    args: tuple[Any, ...] = (),
    bounds: Any = None,
    callback: Any = None,
    max_time: float | None = None,
    keep: Keeping | None = None,
    **options: Any,
) -> Any:
    """Solve a problem by a compiled method, from numbers to numbers.

    Parameters
    ----------
    name : str
        ``"nb-bfgs"``, ``"nb-lbfgs"``, ``"nb-newton-cg"``, ``"nb-trust"``, or ``"nb-lm"`` of residuals.
    problem : object with ``flat`` and ``args``, or callable
        A function of a vector and *args*.
    x0 : ndarray
        A vector.
    args : tuple
        What else the function takes; of a problem by default its own.
    bounds : pair of ndarray, optional
        The least and the largest values.
    callback : callable, optional
        Called with the point, which is its own, and the value after each iteration; True ends the solve.
    max_time : float, optional
        Seconds after which it ends.
    keep : Keeping, optional
        The file that it is kept in, and goes on from.
    **options
        Those of the method.

    Returns
    -------
    OptimizeResult

    Raises
    ------
    ValueError
        For an unknown method.
    TypeError
        For an option that the method does not have.

    Examples
    --------
    >>> import numpy as np
    >>> from nbgrad.solvers import solve
    >>> solve("nb-bfgs", lambda x: ((x - 2) ** 2).sum(), np.zeros(3)).x
    array([2., 2., 2.])
    """  # fmt: skip
    fun = getattr(problem, "flat", problem)
    args = args or tuple(getattr(problem, "values", getattr(problem, "args", ())))
    return Asked(name, fun, x0, args).solved(options, bounds, callback, max_time, keep)


def configure(
    method: Method, memory: Memory, n: int, m: int, options: dict[str, Any], bounds: Any
) -> None:
    """Write the options to the words that the loop reads."""
    k, s = memory.k, memory.s
    k[at.N], k[at.M] = n, m
    if method.prepare is not None:
        method.prepare(memory, n, options, bounds)
    elif bounds is not None:
        raise ValueError(f"nb-{method.name} knows no bounds: nb-lbfgs and nb-lm do")
    for word, count in method.limits(n).items():
        k[word] = count
    for word, number in method.numbers.values():
        s[word] = number
    for name in method.tolerances if options.get("tol") is not None else ():
        options.setdefault(name, options["tol"])
    for name, value in options.items():
        if value is None or name in IGNORED:
            continue
        if name in WHOLE:
            k[WHOLE[name]] = min(int(value), 1 << 62)
        elif name in method.numbers:
            s[method.numbers[name][0]] = float(value)
        else:
            known = ", ".join(sorted({*WHOLE, *method.numbers, *method.words}))
            raise TypeError(f"nb-{method.name}: no option is called {name!r}; there are {known}")


def _result(run: Solve, status: int) -> Any:
    memory = run.memory
    k, (code, message) = memory.k, VERDICTS[status]
    code = run.method.codes.get(status, code)
    calls = int(k[at.CALLS])
    if k[at.STATUS] == at.FAILED:  # interrupted in the objective: the rest belongs to no point
        value = "cost" if run.method.residuals else "fun"
        found = {"x": run.x.copy(), value: float(memory.s[at.F]), "nit": int(k[at.ITERATIONS])}
        return optimize.OptimizeResult(
            {**found, "nfev": calls, "status": code, "success": False, "message": message}
        )
    return optimize.OptimizeResult(
        {
            "x": run.x.copy(), "fun": float(memory.s[at.F]), "jac": run.g.copy(), "nit": int(k[at.ITERATIONS]),
            "nfev": calls, "njev": calls, "status": code, "success": status in GOOD, "message": message,
            **run.method.more(memory, run.n),
        }
    )  # fmt: skip
