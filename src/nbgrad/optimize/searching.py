"""Global searches of SciPy's, whose local minima are found by exact gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.optimize as so
from scipy.optimize import OptimizeResult

from nbgrad.api.trees import map as mapped
from nbgrad.optimize.implicit import differentiated, minimum
from nbgrad.optimize.minimizing import BY_VALUE, Plan, hash_of, nested
from nbgrad.optimize.problem import Problem
from nbgrad.optimize.running import Run
from nbgrad.optimize.swept import number_of

Func = Callable[..., Any]
Local = dict[str, Any] | None


def local_words(p: Problem, given: Local) -> dict[str, Any]:
    """What SciPy's ``minimize`` is called with, inside of a search."""
    words = dict(given or {})
    method = words.get("method") or ("L-BFGS-B" if p.bounds is not None else "BFGS")
    if "jac" not in words and not callable(method):
        words |= Plan(p, method, Run("search"), {}).derivatives()
    words["method"] = method
    if p.bounds is not None and str(method).lower() in (
        "l-bfgs-b",
        "tnc",
        "slsqp",
        "trust-constr",
    ):
        words.setdefault("bounds", so.Bounds(*p.bounds))
    p.sweeps = str(method).lower() not in BY_VALUE
    return words


class Search:
    """One search: a function of a vector for SciPy, and a result for the user."""

    def __init__(
        self,
        name: str,
        fun: Any,
        x0: Any,
        args: Any,
        bounds: Any,
        limits: tuple[Any, Any, Any],
        mark: str,
    ) -> None:
        self.name = name
        self.p = fun if isinstance(fun, Problem) else Problem(fun, x0, args, (), bounds)
        mark = f"{name} from {hash_of(self.p.x0)}, {mark}"
        self.run = Run(name, *limits[:2])
        self.run.keep(limits[2], mark, False)

    def counted(self, p: Problem) -> Func:
        value = p.fun if p.result_shape == () else lambda x: number_of(p.fun(x))
        return self.run.counted(value, lambda x, f: float(f))

    def result(self, solve: Callable[[Problem], OptimizeResult]) -> OptimizeResult:
        """What *solve* finds, nested, and differentiable if somebody asks."""
        p = self.p
        if not differentiated(p):
            return nested(p, self.run.solve(lambda: solve(p)))
        objective: Func = lambda x: p.programs.scalar(x, *p.args)
        found, x = minimum(self.name, p, objective, lambda q: self.run.solve(lambda: solve(q)))
        found.fun = objective(x)
        return nested(p, found)


def basinhopping(
    func: Any,
    x0: Any = None,
    niter: int = 100,
    T: float = 1.0,
    stepsize: float = 0.5,
    minimizer_kwargs: Local = None,
    take_step: Any = None,
    accept_test: Any = None,
    callback: Any = None,
    interval: int = 50,
    disp: bool = False,
    niter_success: int | None = None,
    rng: Any = None,
    *,
    target_accept_rate: float = 0.5,
    stepwise_factor: float = 0.9,
    args: Sequence[Any] = (),
    time_limit: float | None = None,
    max_evaluations: int | None = None,
    checkpoint: Any = None,
) -> OptimizeResult:
    """Hop between local minima, as :func:`scipy.optimize.basinhopping`, each found by exact gradients.

    Parameters
    ----------
    func : callable or Problem
        ``func(x, *args)`` returns a number.
    x0 : array_like, or nested data of such
    minimizer_kwargs : dict, optional
        As in SciPy: ``method`` and others of :func:`scipy.optimize.minimize`; derivatives are filled in.
    niter, T, stepsize, take_step, accept_test, callback, interval, disp, niter_success, rng, target_accept_rate, stepwise_factor
        As in SciPy, of vectors.
    args : tuple
        Further arguments of *func*.
    time_limit, max_evaluations, checkpoint : optional
        As of :func:`minimize`; a checkpoint needs a number for *rng*.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x`` is nested as *x0*, and differentiable as that of :func:`minimize`.

    Raises
    ------
    TypeError, ValueError
        As of :func:`nbgrad.problem`.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> f = lambda x: np.cos(14.5 * x[0] - 0.3) + (x[0] + 0.2) * x[0]
    >>> found = ng.optimize.basinhopping(f, [1.0], niter=20, rng=1)
    >>> round(float(found.x[0]), 3)
    -0.195
    """  # fmt: skip
    if checkpoint is not None:
        need_seed("basinhopping", rng)
    search = Search(
        "basinhopping",
        func,
        x0,
        args,
        None,
        (time_limit, max_evaluations, checkpoint),
        f"{niter}, {rng}",
    )

    def solve(p: Problem) -> OptimizeResult:
        words = local_words(p, minimizer_kwargs)
        return so.basinhopping(
            search.counted(p), p.x0, niter, T, stepsize, words, take_step, accept_test, callback, interval, disp,
            niter_success, rng, target_accept_rate=target_accept_rate, stepwise_factor=stepwise_factor,
        )  # fmt: skip

    return search.result(solve)


def need_seed(name: str, rng: Any) -> None:
    """A search that is to go on must draw the same numbers again."""
    if not isinstance(rng, (int, np.integer)):
        raise ValueError(
            f"{name}: a checkpoint needs rng=, an integer: the same numbers are drawn again"
        )


def dual_annealing(
    func: Any,
    bounds: Any,
    args: Sequence[Any] = (),
    maxiter: int = 1000,
    minimizer_kwargs: Local = None,
    initial_temp: float = 5230.0,
    restart_temp_ratio: float = 2e-05,
    visit: float = 2.62,
    accept: float = -5.0,
    maxfun: int = 10_000_000,
    rng: Any = None,
    no_local_search: bool = False,
    callback: Any = None,
    x0: Any = None,
    *,
    time_limit: float | None = None,
    max_evaluations: int | None = None,
    checkpoint: Any = None,
) -> OptimizeResult:
    """Anneal between bounds, as :func:`scipy.optimize.dual_annealing`; local searches have exact gradients.

    Parameters
    ----------
    func : callable
        ``func(x, *args)`` returns a number.
    bounds : sequence of pairs, scipy.optimize.Bounds, or a pair of nested data
        As of :func:`nbgrad.problem`; nested, if parameters are to be.
    x0 : optional
        Where to start; nested, if parameters are to be. Between the bounds, if not given.
    args, maxiter, minimizer_kwargs, initial_temp, restart_temp_ratio, visit, accept, maxfun, rng, no_local_search, callback
        As in SciPy, of vectors.
    time_limit, max_evaluations, checkpoint : optional
        As of :func:`minimize`; a checkpoint needs a number for *rng*.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x`` is nested as the bounds or *x0*, and differentiable as that of :func:`minimize`.

    Raises
    ------
    TypeError, ValueError
        As of :func:`nbgrad.problem`.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> wavy = lambda x: (x**2 - 10 * np.cos(2 * np.pi * x)).sum() + 20
    >>> found = ng.optimize.dual_annealing(wavy, [(-5.0, 5.0)] * 2, maxiter=100, rng=2)
    >>> bool(found.fun < 1e-6)
    True
    """  # fmt: skip
    if checkpoint is not None:
        need_seed("dual_annealing", rng)
    start = middle(bounds) if x0 is None else x0
    search = Search(
        "dual_annealing",
        func,
        start,
        args,
        bounds,
        (time_limit, max_evaluations, checkpoint),
        f"{maxiter}, {rng}",
    )

    def solve(p: Problem) -> OptimizeResult:
        words = local_words(p, minimizer_kwargs)
        pairs = so.Bounds(*p.bounds)  # type: ignore[misc]
        return so.dual_annealing(
            search.counted(p), pairs, (), maxiter, words, initial_temp, restart_temp_ratio, visit, accept, maxfun,
            rng, no_local_search, callback, None if x0 is None else p.x0,
        )  # fmt: skip

    return search.result(solve)


def middle(bounds: Any) -> Any:
    """Between the bounds, nested as they are."""
    if isinstance(bounds, so.Bounds):
        return np.atleast_1d((bounds.lb + bounds.ub) / 2)
    if (
        isinstance(bounds, tuple)
        and len(bounds) == 2
        and (isinstance(bounds[0], dict) or np.ndim(bounds[0]) != 1 or len(bounds[0]) != 2)
    ):
        return mapped(lambda a, b: (np.asarray(a, float) + b) / 2, *bounds)
    return np.array([(a + b) / 2 for a, b in bounds], float)


def differential_evolution(
    func: Any,
    bounds: Any,
    args: Sequence[Any] = (),
    *,
    polish: bool = True,
    x0: Any = None,
    time_limit: float | None = None,
    max_evaluations: int | None = None,
    checkpoint: Any = None,
    rng: Any = None,
    **options: Any,
) -> OptimizeResult:
    """Evolve a population between bounds, as :func:`scipy.optimize.differential_evolution`.

    Parameters
    ----------
    func : callable
        ``func(x, *args)`` returns a number.
    bounds : sequence of pairs, scipy.optimize.Bounds, or a pair of nested data
        As of :func:`nbgrad.problem`; nested, if parameters are to be.
    args, x0, rng, **options
        As in SciPy, of vectors.
    polish : bool
        Whether the best is improved by L-BFGS-B, with exact gradients.
    time_limit, max_evaluations, checkpoint : optional
        As of :func:`minimize`; a checkpoint needs a number for *rng*.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x`` is nested as the bounds, and differentiable as that of :func:`minimize`.

    Raises
    ------
    TypeError, ValueError
        As of :func:`nbgrad.problem`.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> wavy = lambda x: (x**2 - 10 * np.cos(2 * np.pi * x)).sum() + 20
    >>> found = ng.optimize.differential_evolution(wavy, [(-5.0, 5.0)] * 2, rng=1)
    >>> bool(found.fun < 1e-8)
    True
    """
    if checkpoint is not None:
        need_seed("differential_evolution", rng)
    start = middle(bounds) if x0 is None else x0
    search = Search(
        "differential_evolution",
        func,
        start,
        args,
        bounds,
        (time_limit, max_evaluations, checkpoint),
        f"{rng}, {options}",
    )

    def solve(p: Problem) -> OptimizeResult:
        limits = so.Bounds(*p.bounds)  # type: ignore[misc]
        fun, first = search.counted(p), None if x0 is None else p.x0
        p.sweeps = False
        found = so.differential_evolution(
            fun, limits, (), polish=False, x0=first, rng=rng, **options
        )
        if not polish or options.get("constraints"):
            return found
        p.sweeps = True
        better = so.minimize(
            fun, found.x, jac=search.run.answered("grad", p.grad), method="L-BFGS-B", bounds=limits
        )
        found.nfev += better.nfev
        if better.fun < found.fun:
            found.x, found.fun, found.jac = better.x, better.fun, better.jac
        return found

    return search.result(solve)


def brute(
    func: Any,
    ranges: Any,
    args: Sequence[Any] = (),
    Ns: int = 20,
    full_output: bool = False,
    finish: Any = True,
    disp: bool = False,
    workers: Any = 1,
) -> Any:
    """Try each point of a grid, as :func:`scipy.optimize.brute`; the best is improved by exact gradients.

    Parameters
    ----------
    func : callable
        ``func(x, *args)`` returns a number.
    finish : bool or callable
        True improves the best by BFGS; a function is called as SciPy calls it; None or False leaves it.
    ranges, args, Ns, full_output, disp, workers
        As in SciPy.

    Returns
    -------
    x0 : ndarray
        A tensor with its derivatives where *args* or what *func* reads from outside is differentiated and
        *finish* is true.
    fval, grid, Jout
        With *full_output*.

    Raises
    ------
    TypeError, ValueError
        As SciPy's.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> best = lambda c: ng.optimize.brute(lambda x, c: ((x - c) ** 2).sum(), ((-2, 2), (-2, 2)), args=(c,))
    >>> best(np.array([0.3, 0.4])).round(6)
    array([0.3, 0.4])
    """
    if not hasattr(ranges, "__len__") or not len(ranges):
        raise ValueError("brute: ranges must hold a slice, or a pair of ends, for each parameter")
    search = Search("brute", func, np.zeros(len(ranges)), args, None, (None, None, None), "")
    more: list[Any] = []

    def solve(p: Problem) -> OptimizeResult:
        p.sweeps = False
        fun = search.counted(p)
        x, value, grid, values = so.brute(
            fun, ranges, (), Ns, True, finish if callable(finish) else None, disp, workers
        )
        x = np.atleast_1d(x)
        if finish is True:
            p.sweeps = True
            better = so.minimize(fun, x, jac=p.grad, method="BFGS")
            x, value = (better.x, better.fun) if better.fun <= value else (x, value)
        more[:] = [grid, values]
        return OptimizeResult(x=x, fun=value)

    found = search.result(solve)
    return (found.x, found.fun, *more) if full_output else found.x
