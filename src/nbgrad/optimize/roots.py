"""``root``, ``root_scalar`` and ``fixed_point``: SciPy's, with exact derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.optimize as so
from scipy.optimize import OptimizeResult, RootResults

from nbgrad.optimize.implicit import differentiated, recorded
from nbgrad.optimize.minimizing import hash_of
from nbgrad.optimize.problem import Problem
from nbgrad.optimize.running import Run
from nbgrad.optimize.swept import array_of, number_of
from nbgrad.optimize.watching import Watched

Func = Callable[..., Any]
WITH_JACOBIAN = {"hybr", "lm"}


def root(
    fun: Any,
    x0: Any = None,
    args: Sequence[Any] = (),
    method: str = "hybr",
    jac: Any = None,
    tol: float | None = None,
    callback: Func | None = None,
    options: dict[str, Any] | None = None,
    *,
    time_limit: float | None = None,
    max_evaluations: int | None = None,
    checkpoint: Any = None,
) -> OptimizeResult:
    """Find a root of a system, as :func:`scipy.optimize.root`, by exact Jacobians.

    Parameters
    ----------
    fun : callable or Problem
        ``fun(x, *args)`` returns as many numbers as there are unknowns, nested in any way.
    x0 : array_like, or nested data of such
        What *fun* gets, and what is returned, is nested as this is.
    args, method, jac, tol, options : optional
        As in SciPy; *jac* is exact if not given, where the method takes one: ``"hybr"`` and ``"lm"``.
    callback, time_limit, max_evaluations, checkpoint : optional
        As of :func:`minimize`.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As SciPy's; ``x`` is nested as *x0*, and a tensor with its derivatives where *args* or what *fun*
        reads from outside is differentiated.

    Raises
    ------
    TypeError, ValueError
        As of :func:`nbgrad.problem`, and for another number of equations than of unknowns.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> system = lambda v, a: [v["x"] ** 2 + v["y"] - a, v["x"] - v["y"]]
    >>> found = ng.optimize.root(system, {"x": 1.0, "y": 1.0}, args=(6.0,))
    >>> round(float(found.x["x"]), 9)
    2.0
    >>> solved = lambda a: ng.optimize.root(system, {"x": 1.0, "y": 1.0}, args=(a,)).x["x"]
    >>> round(float(ng.grad(solved)(6.0)), 9)  # 1 / (2 x + 1)
    0.2
    """
    p = fun if isinstance(fun, Problem) else Problem(fun, x0, args)
    start = p.x0 if x0 is None or p is not fun else p.space.packed(x0, "x0")
    method = method.lower()
    mark = f"root {method} of {p.space.size} unknowns from {hash_of(start)}, tol={tol}, {options}"
    run = Run("root", time_limit, max_evaluations)
    run.keep(checkpoint, mark, False)
    size = p.result_size
    if size != p.space.size and method != "lm":
        raise ValueError(f"root: there are {size} equations for {p.space.size} unknowns")

    def solve(q: Problem) -> OptimizeResult:
        worst = lambda x, f: float(np.abs(f).max())
        values = run.counted(lambda x: np.atleast_1d(q.fun(x)), worst)
        watched = None if callback is None else Watched(callback, run, q.nested, q.fun)
        words: dict[str, Any] = {"tol": tol, "options": options}
        if method in WITH_JACOBIAN:
            words["jac"] = _slopes(q, jac if q is p else None, run, watched)
        elif watched is not None:
            words["callback"] = watched.of_x
        return run.solve(lambda: so.root(values, start, method=method, **words))

    if differentiated(p, jac is None):
        equations: Func = lambda x: p.programs.vector(x, *p.args)
        return recorded("root", p, equations, lambda x: (equations(x), ()), start, solve)[0]
    found = solve(p)
    found.x = p.nested(np.asarray(found.x, float))
    return found


def _slopes(p: Problem, jac: Any, run: Run, watched: Watched | None) -> Any:
    if jac is not None and not callable(jac):
        return None
    f = p.jac_matrix if jac is None else lambda x: array_of(jac(p.nested(x), *p.values))
    f = run.answered("jac", f)
    if watched is None:
        return f

    def told(x: Any) -> Any:
        watched.at(x, fun=p.fun(x))
        return f(x)

    return told


def root_scalar(
    f: Func,
    args: Sequence[Any] = (),
    method: str | None = None,
    bracket: Any = None,
    fprime: Any = None,
    fprime2: Any = None,
    x0: float | None = None,
    x1: float | None = None,
    xtol: float | None = None,
    rtol: float | None = None,
    maxiter: int | None = None,
    options: dict[str, Any] | None = None,
) -> RootResults:
    """Find a root of a function of one number, as :func:`scipy.optimize.root_scalar`.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` of a number.
    method : str, optional
        As in SciPy. Without a bracket it is Newton's; ``"newton"`` and ``"halley"`` have exact derivatives.
    args, bracket, fprime, fprime2, x0, x1, xtol, rtol, maxiter, options
        As in SciPy.

    Returns
    -------
    scipy.optimize.RootResults
        ``root`` is a tensor with its derivatives where *args* or what *f* reads from outside is
        differentiated.

    Raises
    ------
    ValueError
        Without a bracket and without *x0*; where the ends of a bracket have values of one sign.

    Examples
    --------
    >>> import nbgrad as ng
    >>> cube = lambda x, a: x**3 - a
    >>> found = ng.optimize.root_scalar(cube, args=(8.0,), x0=1.0)
    >>> found.method, round(float(found.root), 9)
    ('newton', 2.0)
    >>> solved = lambda a: ng.optimize.root_scalar(cube, args=(a,), bracket=(0.0, 5.0)).root
    >>> round(float(ng.grad(solved)(8.0)), 9)
    0.083333333
    """
    args = args if isinstance(args, tuple) else (args,)
    if x0 is None and bracket is None:
        raise ValueError("root_scalar: pass a bracket, or x0 to start from")
    start = float(np.mean(bracket)) if x0 is None else float(x0)
    both = fprime is True  # f returns its derivative, too
    p = Problem(lambda x, *args: f(x[0], *args)[0] if both else f(x[0], *args), [start], args)
    if method is None and bracket is None and x1 is None:
        method = "newton"
    words = {"bracket": bracket, "x0": x0, "x1": x1, "xtol": xtol, "rtol": rtol}
    words |= {"maxiter": maxiter, "options": options, "method": method}
    words |= {"fprime": fprime, "fprime2": fprime2}

    def solve(q: Problem) -> RootResults:
        own = q is p  # else of numbers that were not known before: the user's take arguments
        first, second = (fprime, fprime2) if own else (None, None)
        given = words | _derivatives(q, method, first, second, p.values)
        if first is True:
            return so.root_scalar(lambda x: f(x, *p.values), **given)
        q.sweeps = given["fprime"] is not None and not callable(first)
        return so.root_scalar(lambda x: float(number_of(q.fun(np.array([x])))), **given)

    if differentiated(p, fprime is None):
        found: list[RootResults] = []

        def run(q: Problem) -> OptimizeResult:
            found.append(solve(q))
            return OptimizeResult(x=np.array([found[-1].root]))

        equation: Func = lambda x: p.programs.vector(x, *p.args)
        x = recorded("root_scalar", p, equation, lambda x: (equation(x), ()), p.x0, run)[1]
        result = found[0] if found else RootResults(None, 0, 0, 0, "")
        result.root = x[0]
        return result
    return solve(p)


def _derivatives(q: Problem, method: Any, first: Any, second: Any, args: Any) -> dict[str, Any]:
    """What SciPy's ``root_scalar`` is given: the user's, or exact ones where the method takes them."""
    found: dict[str, Any] = {"fprime": True if first is True else None, "fprime2": None}
    if callable(first):
        found["fprime"] = lambda x: first(x, *args)
    elif first is None and method in ("newton", "halley"):
        found["fprime"] = lambda x: float(q.grad(np.array([x]))[0])
    if callable(second):
        found["fprime2"] = lambda x: second(x, *args)
    elif method == "halley":
        found["fprime2"] = lambda x: float(q.hess(np.array([x]))[0, 0])
    return found


def fixed_point(
    func: Func,
    x0: Any,
    args: Sequence[Any] = (),
    xtol: float = 1e-08,
    maxiter: int = 500,
    method: str = "del2",
) -> Any:
    """Find where a function returns what it was given, as :func:`scipy.optimize.fixed_point`.

    Parameters
    ----------
    func : callable
        ``func(x, *args)``, nested as its argument.
    x0 : array_like, or nested data of such
    args, xtol, maxiter, method : optional
        As in SciPy: ``"del2"`` or ``"iteration"``.

    Returns
    -------
    object
        Nested as *x0*; tensors with their derivatives where *args* or what *func* reads from outside
        is differentiated.

    Raises
    ------
    RuntimeError
        If it does not converge.
    ValueError
        If *func* returns another number of values.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> point = lambda a: ng.optimize.fixed_point(lambda x, a: np.cos(a * x), [0.5], args=(a,))[0]
    >>> round(float(point(1.0)), 8), round(float(ng.grad(point)(1.0)), 6)
    (0.73908513, -0.297474)
    """
    # A number stays one, as in SciPy: its other solvers make a vector of it.
    p = Problem(func, np.array(x0, float) if isinstance(x0, (int, float)) else x0, args)
    size = p.result_size
    if size != p.space.size:
        raise ValueError(f"fixed_point: func returns {size} numbers, and x0 has {p.space.size}")

    def solve(p: Problem) -> OptimizeResult:
        values = lambda x: np.atleast_1d(p.fun(x))
        x = so.fixed_point(values, p.x0, xtol=xtol, maxiter=maxiter, method=method)
        return OptimizeResult(x=x)

    if differentiated(p):
        value: Func = lambda x: p.programs.vector(x, *p.args)
        both: Func = lambda x: value(x) - x
        return recorded("fixed_point", p, both, lambda x: (value(x), ()), p.x0, solve)[0].x
    return p.nested(solve(p).x)
