"""Solvers of other packages, where these are installed: methods for :func:`minimize`, with exact derivatives.

Each is a method as SciPy lets users write them, so ``scipy.optimize.minimize`` takes it, too::

    ng.optimize.minimize(fun, x0, method=ng.optimize.adapters.nlopt, options={"algorithm": "LD_MMA"})
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from nbgrad.optimize.interior import ipopt
from nbgrad.optimize.kept import Kept
from nbgrad.optimize.named import lmfit, package_of
from nbgrad.optimize.nonlinear import Program

Func = Callable[..., Any]
TOLERANCE = 1e-8  # of constraints, where the package asks for one


def _ends(bounds: Any, n: int) -> tuple[Any, Any]:
    """Lower and upper, as SciPy hands bounds to a method of a user's."""
    if bounds is None:
        return np.full(n, -np.inf), np.full(n, np.inf)
    if hasattr(bounds, "lb"):
        return tuple(np.array(np.broadcast_to(b, (n,)), float) for b in (bounds.lb, bounds.ub))  # type: ignore[return-value]
    lower = [-np.inf if a is None else a for a, _ in bounds]
    return np.array(lower, float), np.array([np.inf if b is None else b for _, b in bounds], float)


def _gradient(jac: Any, name: str) -> Any:
    if not callable(jac):
        raise ValueError(f"adapters.{name} needs a gradient: jac={jac!r}")
    return jac


def _refuse(constraints: Any, name: str) -> None:
    if len(constraints):
        raise ValueError(
            f"adapters.{name} takes no constraints; ipopt, nlopt, casadi and SciPy's SLSQP do"
        )


def iminuit(
    fun: Func,
    x0: Any,
    args: Sequence[Any] = (),
    jac: Any = None,
    bounds: Any = None,
    constraints: Sequence[Any] = (),
    *,
    errordef: float = 1.0,
    strategy: int = 1,
    tol: float = 1e-5,
    hesse: bool = True,
    **unused: Any,
) -> OptimizeResult:
    """Minimize by MIGRAD of iminuit, and estimate errors by HESSE.

    Parameters
    ----------
    fun, x0, args, jac, bounds, constraints
        As SciPy hands them to a method; constraints are refused.
    errordef : float
        Up to where an error reaches: 1 for a sum of squares, 0.5 for a negative log-likelihood.
    strategy, tol
        MIGRAD's.
    hesse : bool
        Whether the errors are computed at the minimum.

    Returns
    -------
    scipy.optimize.OptimizeResult
        With ``hess_inv``, the covariances, ``stderr``, and ``minuit``, the object.

    Raises
    ------
    ImportError
        Without iminuit.
    ValueError
        Without a gradient, or with constraints.

    Examples
    --------
    >>> import nbgrad as ng
    >>> found = ng.optimize.minimize(lambda x: ((x - 2) ** 2 / 9).sum(), [0.0, 1.0],
    ...                              method=ng.optimize.adapters.iminuit)  # doctest: +SKIP
    >>> found.stderr.round(3)  # doctest: +SKIP
    array([3., 3.])
    """
    _refuse(constraints, "iminuit")
    jac = _gradient(jac, "iminuit")
    package = package_of("iminuit")
    made = package.Minuit(
        lambda x: float(fun(np.array(x), *args)), x0, grad=lambda x: jac(np.array(x), *args)
    )
    made.errordef, made.strategy, made.tol = errordef, strategy, tol
    made.limits = list(zip(*_ends(bounds, len(x0)), strict=True))
    made.migrad()
    if hesse:
        made.hesse()
    covariance = None if made.covariance is None else np.array(made.covariance)
    return OptimizeResult(
        x=np.array(made.values), fun=float(made.fval), success=bool(made.valid), nfev=made.nfcn, njev=made.ngrad,
        status=0 if made.valid else 1, message=f"MIGRAD {'converged' if made.valid else 'did not converge'}.",
        stderr=np.array(made.errors), hess_inv=covariance, minuit=made,
    )  # fmt: skip


def nlopt(
    fun: Func,
    x0: Any,
    args: Sequence[Any] = (),
    jac: Any = None,
    bounds: Any = None,
    constraints: Sequence[Any] = (),
    *,
    algorithm: str | None = None,
    ftol_rel: float = 1e-12,
    xtol_rel: float = 1e-10,
    maxeval: int = 0,
    maxtime: float = 0.0,
    **unused: Any,
) -> OptimizeResult:
    """Minimize by an algorithm of NLopt.

    Parameters
    ----------
    fun, x0, args, jac, bounds, constraints
        As SciPy hands them to a method.
    algorithm : str, optional
        Such as ``"LD_LBFGS"``, ``"LD_MMA"``, ``"LN_COBYLA"``; SLSQP under constraints, else L-BFGS.
    ftol_rel, xtol_rel, maxeval, maxtime
        NLopt's.

    Returns
    -------
    scipy.optimize.OptimizeResult

    Raises
    ------
    ImportError
        Without NLopt.
    ValueError
        For an unknown algorithm, one that refuses the problem, or without a gradient where it needs one.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.optimize.minimize(lambda x: ((x - 2) ** 2).sum(), [0.0, 1.0],
    ...                      method=ng.optimize.adapters.nlopt).x.round(6)  # doctest: +SKIP
    array([2., 2.])
    """
    name = algorithm or ("LD_SLSQP" if len(constraints) else "LD_LBFGS")
    gradient = _gradient(jac, "nlopt") if name[1:2] == "D" else None
    package = package_of("nlopt")
    if not hasattr(package, name):
        raise ValueError(f"adapters.nlopt: no algorithm is called {name!r}")
    made = package.opt(getattr(package, name), len(x0))
    last: list[Any] = [np.array(x0, float), np.inf]
    kept = Kept()

    def objective(x: Any, grad: Any) -> float:
        value = float(fun(np.array(x), *args))
        if grad.size and gradient is not None:
            grad[:] = gradient(np.array(x), *args)
        last[:] = [np.array(x), value] if value < last[1] or len(constraints) else last
        return value

    made.set_min_objective(kept(objective))
    lower, upper = _ends(bounds, len(x0))
    made.set_lower_bounds(lower), made.set_upper_bounds(upper)
    for c in constraints:
        _constrained(made, c, np.array(x0, float), kept)
    made.set_ftol_rel(ftol_rel), made.set_xtol_rel(xtol_rel)
    made.set_maxeval(maxeval), made.set_maxtime(maxtime)
    try:
        x, status = made.optimize(np.clip(x0, lower, upper)), made.last_optimize_result()
    except Exception as error:
        kept.again()  # what a function of the user's raised
        if not isinstance(error, package.RoundoffLimited):
            raise ValueError(
                f"adapters.nlopt: {name} refused the problem ({type(error).__name__}): does it need "
                "bounds on all sides, or know no such constraints?"
            ) from error
        x, status = last[0], -4  # the result is usually good
    count, fine = made.get_numevals(), status > 0 or status == -4
    return OptimizeResult(
        x=np.array(x), fun=float(fun(np.array(x), *args)), success=fine, status=int(status), nfev=count, njev=count,
        message=f"{made.get_algorithm_name()} ended with status {status}.",
    )  # fmt: skip


def _constrained(made: Any, c: Any, x0: Any, kept: Kept) -> None:
    """Give NLopt a constraint of SciPy's: there what is at most 0 holds."""
    sign = 1.0 if c["type"] == "eq" else -1.0
    size = len(np.atleast_1d(c["fun"](x0)))

    def values(result: Any, x: Any, grad: Any) -> None:
        result[:] = sign * np.atleast_1d(c["fun"](np.array(x)))
        if grad.size:
            grad[:] = sign * np.atleast_2d(c["jac"](np.array(x)))

    add = made.add_equality_mconstraint if c["type"] == "eq" else made.add_inequality_mconstraint
    add(kept(values), np.full(size, TOLERANCE))


def optimagic(
    fun: Func,
    x0: Any,
    args: Sequence[Any] = (),
    jac: Any = None,
    bounds: Any = None,
    constraints: Sequence[Any] = (),
    *,
    algorithm: str = "scipy_lbfgsb",
    algo_options: dict[str, Any] | None = None,
    **unused: Any,
) -> OptimizeResult:
    """Minimize by an algorithm of optimagic.

    Parameters
    ----------
    fun, x0, args, jac, bounds, constraints
        As SciPy hands them to a method; constraints are refused.
    algorithm : str
        By optimagic's name.
    algo_options : dict, optional
        Of the algorithm.

    Returns
    -------
    scipy.optimize.OptimizeResult
        With ``optimagic``, its own.

    Raises
    ------
    ImportError
        Without optimagic.
    ValueError
        Without a gradient, or with constraints.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.optimize.minimize(lambda x: ((x - 2) ** 2).sum(), [0.0, 1.0],
    ...                      method=ng.optimize.adapters.optimagic).x.round(6)  # doctest: +SKIP
    array([2., 2.])
    """
    _refuse(constraints, "optimagic")
    jac = _gradient(jac, "optimagic")
    package = package_of("optimagic")
    limits = None
    if bounds is not None:
        lower, upper = _ends(bounds, len(x0))
        limits = package.Bounds(lower=lower, upper=upper)
    kept = Kept()
    try:
        found = package.minimize(
            fun=kept(lambda x: float(fun(np.array(x), *args))), params=np.array(x0, float), algorithm=algorithm,
            jac=kept(lambda x: jac(np.array(x), *args)), bounds=limits, algo_options=algo_options,
            error_handling="raise",
        )  # fmt: skip
    except Exception:  # optimagic wraps it
        kept.again()  # what a function of the user's raised
        raise
    return OptimizeResult(
        x=np.array(found.params), fun=float(found.fun), success=bool(found.success), nfev=found.n_fun_evals,
        njev=found.n_jac_evals, status=0 if found.success else 1, message=str(found.message), optimagic=found,
    )  # fmt: skip


def casadi(
    fun: Func,
    x0: Any,
    args: Sequence[Any] = (),
    jac: Any = None,
    hess: Any = None,
    bounds: Any = None,
    constraints: Sequence[Any] = (),
    *,
    solver: str = "ipopt",
    solver_options: dict[str, Any] | None = None,
    verbose: bool = False,
    **unused: Any,
) -> OptimizeResult:
    """Minimize by a solver of CasADi's ``nlpsol``, such as IPOPT, with exact Hessians of the Lagrangian.

    Parameters
    ----------
    fun, x0, args, jac, hess, bounds, constraints
        As SciPy hands them to a method.
    solver : str
        CasADi's plugin.
    solver_options : dict, optional
        Of the plugin: ``{"tol": 1e-10}`` for IPOPT.
    verbose : bool
        Whether it prints.

    Returns
    -------
    scipy.optimize.OptimizeResult
        With ``multipliers`` of the constraints.

    Raises
    ------
    ImportError
        Without CasADi.
    ValueError
        Without a gradient.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.optimize.minimize(lambda x: ((x - 2) ** 2).sum(), [0.0, 1.0],
    ...                      method=ng.optimize.adapters.casadi).x.round(6)  # doctest: +SKIP
    array([2., 2.])
    """
    jac = _gradient(jac, "casadi")
    package = package_of("casadi")
    of: Func = (lambda f: lambda x: f(x, *args)) if args else (lambda f: f)
    curve = of(hess) if callable(hess) else None
    program = Program(package, of(fun), of(jac), curve, list(constraints), x0)
    return program.solved(_ends(bounds, len(x0)), solver, solver_options or {}, verbose)


__all__ = ["casadi", "iminuit", "ipopt", "lmfit", "nlopt", "optimagic"]


def __dir__() -> list[str]:
    return sorted(__all__)
