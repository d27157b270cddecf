"""``least_squares``: SciPy's, with exact Jacobians."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy.optimize as so
from scipy.optimize import OptimizeResult

from nbgrad.core.lazy import LazyModule
from nbgrad.optimize.bounding import limits_of
from nbgrad.optimize.compiling import compiled
from nbgrad.optimize.implicit import differentiated, minimum
from nbgrad.optimize.minimizing import hash_of
from nbgrad.optimize.problem import Problem
from nbgrad.optimize.running import Run
from nbgrad.optimize.swept import array_of
from nbgrad.optimize.watching import Watched

later: Any = LazyModule("nbgrad.solvers.later")
Func = Callable[..., Any]


def _huber(z: Any) -> Any:
    return np.where(z <= 1, z, 2 * np.sqrt(np.where(z <= 1, 1.0, z)) - 1)


LOSSES: dict[str, Func] = {
    "linear": lambda z: z,
    "huber": _huber,
    "soft_l1": lambda z: 2 * (np.sqrt(1 + z) - 1),
    "cauchy": np.log1p,
    "arctan": np.arctan,
}


def cost_of(residuals: Any, loss: Any, f_scale: float) -> Any:
    """Half the sum of squares, as SciPy makes it robust."""
    if loss == "linear":
        return 0.5 * (residuals**2).sum()
    rho: Func = LOSSES[loss] if isinstance(loss, str) else lambda z: loss(z)[0]
    return 0.5 * f_scale**2 * rho((residuals / f_scale) ** 2).sum()


class Squares:
    """A call of SciPy's ``least_squares``."""

    def __init__(self, p: Problem, run: Run, jac: Any, words: dict[str, Any]) -> None:
        self.p, self.run, self.jac = p, run, jac
        self.sparse = words.get("jac_sparsity") == "auto"
        self.words = {k: x for k, x in words.items() if not self.sparse or k != "jac_sparsity"}
        self.loss = words.get("loss", "linear"), float(words.get("f_scale", 1.0))

    def cost(self, x: Any, residuals: Any) -> float:
        with np.errstate(all="ignore"):
            return float(cost_of(np.asarray(residuals), *self.loss))

    def values(self, x: Any) -> Any:
        return np.atleast_1d(self.p.fun(x))

    def slopes(self, watched: Watched | None) -> Any:
        """The Jacobian, at which a step was accepted, so that callbacks are called with it."""
        p, jac = self.p, self.jac
        f = p.jac_matrix
        if self.sparse:
            f = p.jac_sparse
        elif self.words.get("tr_solver") == "lsmr":
            f = p.linear_operator
        elif callable(jac):
            f = lambda x: _matrix(jac(p.nested(x), *p.values))
        elif isinstance(jac, str):
            return jac
        if not self.sparse and self.words.get("tr_solver") != "lsmr":
            f = self.run.answered("jac", f)
        if watched is None:
            return f

        def told(x: Any) -> Any:
            watched.at(x, fun=self.cost(x, self.values(x)))
            return f(x)

        return told

    def solve(self, x0: Any, watched: Watched | None) -> OptimizeResult:
        words = dict(self.words)
        if self.p.bounds is not None:
            words["bounds"] = self.p.bounds
        fun = self.run.counted(self.values, self.cost)
        jac = self.slopes(watched)
        return self.run.solve(lambda: so.least_squares(fun, x0, jac=jac, **words))

    def compiled(self, x0: Any, watched: Watched | None) -> OptimizeResult:
        """By a compiled method."""
        words, p = dict(self.words), self.p
        name, told = words.pop("method"), watched.of_value if watched is not None else None
        return compiled(name, p, x0, self.run, told, words)


def _matrix(found: Any) -> Any:
    return found if hasattr(found, "tocsr") or hasattr(found, "matvec") else array_of(found)


def least_squares(
    fun: Any,
    x0: Any = None,
    jac: Any = None,
    bounds: Any = (-np.inf, np.inf),
    method: str = "trf",
    ftol: float | None = 1e-8,
    xtol: float | None = 1e-8,
    gtol: float | None = 1e-8,
    x_scale: Any = None,
    loss: Any = "linear",
    f_scale: float = 1.0,
    diff_step: Any = None,
    tr_solver: str | None = None,
    tr_options: dict[str, Any] | None = None,
    jac_sparsity: Any = None,
    max_nfev: int | None = None,
    verbose: int = 0,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    callback: Func | None = None,
    *,
    time_limit: float | None = None,
    checkpoint: Any = None,
) -> OptimizeResult:
    """Minimize a sum of squares, as :func:`scipy.optimize.least_squares`, by exact Jacobians.

    Parameters
    ----------
    fun : callable or Problem
        ``fun(x, *args, **kwargs)`` returns residuals: an array of any shape, or nested data.
    x0 : array_like, or nested data of such
        What *fun* gets, and what is returned, is nested as this is.
    jac : callable or str, optional
        As in SciPy; exact if not given. With ``tr_solver="lsmr"`` it is products alone, and no matrix.
    bounds : pair, or scipy.optimize.Bounds
        Lower and upper: numbers, vectors, or nested as *x0*.
    method : {"trf", "dogbox", "lm", "nb-lm"}
        SciPy's, or the compiled one of :mod:`nbgrad.solvers`.
    jac_sparsity : optional
        As in SciPy, for differences; ``"auto"`` makes the exact Jacobian a sparse matrix.
    ftol, xtol, gtol, x_scale, loss, f_scale, diff_step, tr_solver, tr_options, max_nfev, verbose
        As in SciPy.
    args, kwargs
        Further arguments of *fun*.
    callback : callable, optional
        As of :func:`minimize`, wherever a step was accepted.
    time_limit, checkpoint : optional
        As of :func:`minimize`.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As SciPy's; ``x`` is nested as *x0*. Where *args* or what *fun* reads from outside is
        differentiated, ``x``, ``cost``, ``fun``, ``jac`` and ``grad`` are tensors with their derivatives, robust
        losses and bounds included.

    Raises
    ------
    TypeError, ValueError
        As SciPy's, and as of :func:`nbgrad.problem`.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> t = np.linspace(0.0, 1.0, 20)
    >>> y = 2.0 * np.exp(-3.0 * t)
    >>> misfit = lambda p, t, y: p["a"] * np.exp(-p["k"] * t) - y
    >>> found = ng.optimize.least_squares(misfit, {"a": 1.0, "k": 1.0}, args=(t, y))
    >>> round(float(found.x["k"]), 6)
    3.0
    """
    p = (
        fun
        if isinstance(fun, Problem)
        else Problem(partial(fun, **kwargs) if kwargs else fun, x0, args)
    )
    p.bounds = limits_of(bounds, p.space) if p is not fun else p.bounds
    optional = {
        "x_scale": x_scale, "diff_step": diff_step, "tr_solver": tr_solver, "tr_options": tr_options,
        "jac_sparsity": jac_sparsity, "max_nfev": max_nfev,
    }  # fmt: skip
    words = {k: x for k, x in optional.items() if x is not None}
    words |= {"method": method, "ftol": ftol, "xtol": xtol, "gtol": gtol}
    words |= {"loss": loss, "f_scale": f_scale}
    run = Run("least_squares", time_limit)
    run.keep(checkpoint, f"least_squares from {hash_of(p.x0)}, {words}", method.startswith("nb-"))
    start = p.x0 if x0 is None or p is not fun else p.space.packed(x0, "x0")

    def solve(q: Problem) -> OptimizeResult:
        compiled = method.startswith("nb-")
        call = Squares(
            q, run, jac if q is p else None, words if compiled else words | {"verbose": verbose}
        )
        cost: Func = lambda x: call.cost(x, call.values(x))
        watched = None if callback is None else Watched(callback, run, q.nested, cost)
        return (call.compiled if compiled else call.solve)(start, watched)

    if differentiated(p, jac is None):
        residuals: Func = lambda x: p.programs.vector(x, *p.args)
        total: Func = lambda x: cost_of(residuals(x), loss, f_scale)
        found, x = minimum("least_squares", p, total, solve, residuals)
        found.cost = total(x)
        ours = (later.LEAST,) if method.startswith("nb-") else ()
        robust: Func = lambda r: cost_of(r, loss, f_scale)
        return later.with_later(found, later.of_squares(residuals, robust, x, *ours))
    found = solve(p)
    found.x = p.nested(np.asarray(found.x, float))
    return found
