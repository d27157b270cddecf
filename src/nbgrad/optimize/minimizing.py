"""``minimize``: SciPy's, with exact derivatives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.optimize as so
from scipy.optimize import OptimizeResult

from nbgrad.core.lazy import LazyModule
from nbgrad.optimize import compiling
from nbgrad.optimize.constraining import Constraint
from nbgrad.optimize.implicit import differentiated, minimum
from nbgrad.optimize.problem import Problem
from nbgrad.optimize.running import Run
from nbgrad.optimize.swept import array_of, number_of
from nbgrad.optimize.watching import Watched

later: Any = LazyModule("nbgrad.solvers.later")
Func = Callable[..., Any]
WITH_GRADIENT = {
    "cg", "bfgs", "newton-cg", "l-bfgs-b", "tnc", "slsqp", "dogleg", "trust-ncg", "trust-krylov",
    "trust-exact", "trust-constr",
}  # fmt: skip
WITH_PRODUCT = {"newton-cg", "trust-ncg", "trust-krylov"}
WITH_HESSIAN = {"dogleg", "trust-exact", "trust-constr"}
BY_VALUE = {"nelder-mead", "powell", "cobyla", "cobyqa"}
OF_X = {"tnc", "slsqp", "cobyla"}  # whose callback SciPy gives a vector only
DENSE = 500  # unknowns, above which trust-constr gets sparse Hessians
FEASIBLE = 1e-6


def chosen(method: Any, p: Problem) -> str:
    """The method, as SciPy chooses it."""
    if callable(method):
        return "custom"
    if method is not None:
        return str(method).lower()
    return "slsqp" if p.constraints else "l-bfgs-b" if p.bounds is not None else "bfgs"


class Plan:
    """What SciPy's ``minimize`` is called with."""

    def __init__(self, p: Problem, method: Any, run: Run, given: dict[str, Any]) -> None:
        self.p, self.run, self.method = p, run, chosen(method, p)
        self.given = method if callable(method) else self.method
        self.user = given  # jac, hess, hessp of the user's

    def call(self, x0: Any, **more: Any) -> Any:
        """SciPy's result, of vectors."""
        p, words = self.p, {k: x for k, x in more.items() if x is not None}
        whole = getattr(self.given, "of_plan", None)
        if whole is not None:  # a method that takes the whole problem
            given = {name: more.get(name) for name in ("callback", "tol", "options")}
            fun = self.run.counted(self.fun, self.score)
            return self.run.solve(lambda: whole(self, x0, fun, **given))
        words |= self.derivatives()
        if self.method == "trust-constr" and p.space.size > DENSE:
            words["options"] = {"sparse_jacobian": True} | (words.get("options") or {})
        if p.bounds is not None:
            words["bounds"] = so.Bounds(*p.bounds)
        if p.constraints:
            words["constraints"] = constraints_for(self.method, p.constraints)
        fun = self.run.counted(self.fun, self.score)
        return self.run.solve(lambda: so.minimize(fun, x0, method=self.given, **words))

    @property
    def fun(self) -> Func:
        p, jac = self.p, self.user.get("jac")
        if jac is None:
            if p.result_shape == ():
                return p.fun
            _ = p.programs.scalar  # which says so if there are several values
            return lambda x: number_of(p.fun(x))
        if jac is True:
            return lambda x: number_of(p.user(x)[0])
        return lambda x: number_of(p.user(x))

    def derivatives(self) -> dict[str, Any]:
        """The gradient and the Hessian that the method takes."""
        p, m, user = self.p, self.method, self.user
        found: dict[str, Any] = {}
        if m in WITH_GRADIENT or m == "custom":
            found["jac"] = self.run.answered("grad", self.gradient())
        if user.get("hess") is not None or user.get("hessp") is not None:
            found |= {k: self.as_flat(user[k]) for k in ("hess", "hessp") if user.get(k)}
        elif user.get("jac") is None and m in WITH_PRODUCT:
            found["hessp"] = self.run.answered("hessp", p.hessp)
        elif user.get("jac") is None and (m in WITH_HESSIAN or m == "custom"):
            dense = p.space.size <= DENSE or m != "trust-constr"
            found["hess"] = self.run.answered("hess", p.hess) if dense else p.hess_sparse
        return found

    def gradient(self) -> Any:
        p, jac = self.p, self.user.get("jac")
        if jac is None:
            return p.grad
        if jac is True:
            return lambda x: p.space.packed(p.user(x)[1], "the gradient")
        if not callable(jac):
            return jac
        return lambda x: p.space.packed(jac(p.nested(x), *p.values), "the gradient")

    def as_flat(self, f: Any) -> Any:
        """A function of the user's, of a vector."""
        p = self.p
        if not callable(f):
            return f
        return lambda x, *more: _plain(f(p.nested(x), *map(p.nested, more), *p.values))

    def score(self, x: Any, value: Any) -> float:
        """How good a point is."""
        worst = violation(self.p.constraints, x)
        return float(value) if worst <= FEASIBLE else 1e100 * (1 + worst)


def _plain(found: Any) -> Any:
    return (
        found if hasattr(found, "dot") and not isinstance(found, np.ndarray) else array_of(found)
    )


def nested(p: Problem, found: OptimizeResult) -> OptimizeResult:
    """The result, nested as the user's parameters are."""
    for name in ("x", "jac"):
        value = found.get(name)
        if isinstance(value, np.ndarray) and value.shape == (p.space.size,):
            found[name] = p.nested(np.asarray(value, float))
    return found


def violation(constraints: Sequence[Constraint], x: Any) -> float:
    """By how much a point breaks the constraint that it breaks most."""
    worst = 0.0
    for c in constraints:
        value = c.value(x)
        over = np.maximum(c.lower - value, value - c.upper)
        worst = max(worst, float(np.max(over, initial=0.0)))
    return worst


def constraints_for(method: str, constraints: Sequence[Constraint]) -> list[Any]:
    """Constraints as the method takes them."""
    if method not in ("slsqp", "cobyla", "custom"):
        exact = method == "trust-constr"
        return [_nonlinear(c, exact) for c in constraints]
    return [d for c in constraints for d in _dictionaries(c)]


def _nonlinear(c: Constraint, exact: bool) -> so.NonlinearConstraint:
    words = {"jac": c.jac, "hess": c.hess} if exact else {}
    return so.NonlinearConstraint(
        c.value, c.lower, c.upper, keep_feasible=c.keep_feasible, **words
    )


def _dictionaries(c: Constraint) -> list[dict[str, Any]]:
    if c.kind is not None:
        return [{"type": c.kind, "fun": c.value, "jac": c.jac, "hess": c.hess}]
    size = len(c.value(c.space.x0))
    lower, upper = (np.broadcast_to(np.asarray(b, float), (size,)) for b in (c.lower, c.upper))
    sides = [("eq", 1.0, lower, lower == upper)]
    sides += [("ineq", 1.0, lower, (lower != upper) & np.isfinite(lower))]
    sides += [("ineq", -1.0, upper, (lower != upper) & np.isfinite(upper))]
    return [_dictionary(c, *side) for side in sides if side[3].any()]


def _dictionary(c: Constraint, kind: str, sign: float, limit: Any, rows: Any) -> dict[str, Any]:
    places = np.flatnonzero(rows)

    def curve(x: Any, v: Any) -> Any:
        whole = np.zeros(len(rows))
        whole[places] = sign * np.asarray(v)
        return c.hess(x, whole)

    return {
        "type": kind,
        "fun": lambda x: sign * (c.value(x) - limit)[rows],
        "jac": lambda x: sign * c.jac(x)[rows],
        "hess": curve,
    }


def minimize(
    fun: Any,
    x0: Any = None,
    args: Sequence[Any] = (),
    method: Any = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Func | None = None,
    options: dict[str, Any] | None = None,
    *,
    time_limit: float | None = None,
    max_evaluations: int | None = None,
    checkpoint: Any = None,
) -> OptimizeResult:
    """Minimize a function of parameters, as :func:`scipy.optimize.minimize`, by exact derivatives.

    Parameters
    ----------
    fun : callable or Problem
        ``fun(x, *args)`` returns a number: NumPy's and nbgrad's operations, or any Python.
    x0 : array_like, or nested data of such
        What *fun* gets, and what is returned, is nested as this is.
    args : tuple
        Further arguments.
    method : str or callable, optional
        One of SciPy's, or a compiled one of :mod:`nbgrad.solvers`, such as ``"nb-bfgs"``.
    jac, hess, hessp : optional
        As in SciPy; what is not given is exact, if the method takes it.
    bounds, constraints : optional
        As of :func:`nbgrad.problem`. Jacobians and Hessians of constraints are exact, too.
    tol, options : optional
        As in SciPy.
    callback : callable, optional
        ``callback(x)``, or ``callback(intermediate_result=...)`` by the name of its parameter, of nested
        parameters: :class:`Table`, :class:`History`, :class:`Progress`, or any function. What is true, or
        ``StopIteration``, ends the solve.
    time_limit : float, optional
        Seconds, after which the best point so far is returned; Ctrl-C does the same.
    max_evaluations : int, optional
        Of *fun*, likewise.
    checkpoint : path, optional
        A file that keeps what was evaluated, or the state of a compiled method. If it is there, the solve goes
        on where that ended, to the bits that one without a break ends at.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As SciPy's; ``x`` and ``jac`` are nested as *x0*. Where *args* or what *fun* reads from outside is
        differentiated, ``x`` and ``fun`` are tensors with the derivatives that the conditions of the
        minimum give, constraints and bounds included.

    Raises
    ------
    TypeError, ValueError
        As of :func:`nbgrad.problem`; for what a method does not take; for a checkpoint of another solve.

    Examples
    --------
    >>> import nbgrad as ng
    >>> def banana(v, steep):
    ...     return (1 - v["x"]) ** 2 + steep * (v["y"] - v["x"] ** 2) ** 2
    >>> found = ng.optimize.minimize(banana, {"x": -1.0, "y": 2.0}, args=(100.0,))
    >>> found.success, round(float(found.x["x"]), 5)
    (True, 1.0)
    """
    user = {"jac": jac, "hess": hess, "hessp": hessp}
    run = Run("minimize", time_limit, max_evaluations)
    if compiling.is_plain(method, x0, user, (bounds, constraints, checkpoint)):
        quick = compiling.at_once(fun, x0, args, method, run, tol, callback, options)
        if quick is not None:
            return quick
    p = fun if isinstance(fun, Problem) else Problem(fun, x0, args, constraints, bounds)
    start = p.x0 if x0 is None or p is not fun else p.space.packed(x0, "x0")
    name = chosen(method, p)
    if checkpoint is not None:
        mark = f"minimize {method} from {hash_of(p.x0)}, {tol}, {options}"
        run.keep(checkpoint, mark, name.startswith("nb-"))
    p.sweeps = name not in BY_VALUE

    def solve(q: Problem) -> OptimizeResult:
        plan = Plan(q, method, run, user if q is p else {})
        told: Func | None = None
        if callback is not None:
            watched = Watched(callback, run, q.nested, plan.fun)
            told = watched.of_x if plan.method in OF_X else watched.of_result
            told = watched.of_value if plan.method.startswith("nb-") else told
        if plan.method.startswith("nb-"):
            if p.constraints:
                raise ValueError(
                    f"minimize: {plan.method} takes no constraints; SLSQP and trust-constr do"
                )
            return compiling.compiled(
                plan.method, q, start, run, told, {"tol": tol, **(options or {})}
            )
        return plan.call(start, tol=tol, callback=told, options=options)

    if differentiated(p, jac is None):
        objective: Func = lambda x: p.programs.scalar(x, *p.args)
        if jac is True:
            objective = lambda x: p.space.over(p.function)(x, *p.args)[0]
        found, x = minimum("minimize", p, objective, solve)
        found.fun = objective(x)
        return later.with_later(nested(p, found), later.of_minimum(objective, x, p.nested))
    return nested(p, solve(p))


def hash_of(x: Any) -> str:
    """The bytes of an array, in short."""
    return hashlib.sha256(x.tobytes()).hexdigest()[:16]
