"""IPOPT by cyipopt: problems with their bounds and constraints, by sparse exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import modes
from nbgrad.errors import ConcretizationError
from nbgrad.optimize.constraining import Constraint
from nbgrad.optimize.kept import Kept
from nbgrad.optimize.named import package_of
from nbgrad.optimize.problem import Problem

sparse: Any = LazyModule("nbgrad.sparse")

Func = Callable[..., Any]
INFINITE = 2e19  # what IPOPT takes for no bound
SOLVED = (0, 1)  # to the tolerance, or to what is acceptable
QUIET = {"print_level": 0, "sb": "yes"}


def planned(make: Func, f: Func, x0: Any, args: Any) -> Any:
    """A plan of a sparse matrix; None of a function that looks at values."""
    before, modes.grad = modes.grad, True
    try:
        return make(f, x0, args=args)
    except ConcretizationError:
        return None
    finally:
        modes.grad = before


class Rows:
    """The Jacobian of a constraint: entries, and where they are."""

    def __init__(self, c: Constraint, x0: Any) -> None:
        self.c = c
        self.plan: Any = None
        self.size = len(c.value(x0))
        if c.user_jac is None:
            self.plan = planned(sparse.jacobian, c.programs.vector, x0, c.values)
        if self.plan is None:
            self.rows, self.columns = np.indices((self.size, len(x0))).reshape(2, -1)
        else:
            where = self.plan.pattern.tocoo()
            self.rows, self.columns = where.row, where.col

    def values(self, x: Any) -> Any:
        if self.plan is None:
            return self.c.jac(x).ravel()
        return self.plan.values(x, *self.c.values)

    def limits(self) -> tuple[Any, Any]:
        found = (np.broadcast_to(b, (self.size,)) for b in (self.c.lower, self.c.upper))
        low, high = (np.clip(b, -INFINITE, INFINITE) for b in found)
        return low, high


class Interior:
    """What cyipopt calls: values, and entries of derivatives.

    Parameters
    ----------
    p : Problem
    fun, grad : callable
        Its function and gradient, or what stands for them.
    told : callable, optional
        Called with a result at each iteration.
    exact : bool
        Whether the Hessian of the Lagrangian is computed; IPOPT makes one of gradients else.
    """

    def __init__(
        self, p: Problem, x0: Any, fun: Func, grad: Func, told: Func | None, exact: bool
    ) -> None:
        self.p, self.told, self.at = p, told, x0
        self.count, self.value, self.slope = 0, fun, grad
        self.parts = [Rows(c, x0) for c in p.constraints]
        self.sizes = [part.size for part in self.parts]
        self.plan: Any = self.lagrangian(x0) if exact else None
        if self.plan is not None:
            where = self.plan.pattern.tocoo()
            self.lower = where.row >= where.col
            self.places = where.row[self.lower], where.col[self.lower]

    def lagrangian(self, x0: Any) -> Any:
        """The plan of its Hessian: of a vector, the weight of the objective, multipliers, and what functions take."""
        p, sizes = self.p, self.sizes
        if any(c.user_hess is not None or c.user_jac is not None for c in p.constraints):
            return None
        f, vectors = p.programs.scalar, [c.programs.vector for c in p.constraints]

        def total(x: Any, scale: Any, v: Any, args: Any, more: Any) -> Any:
            found, start = scale * f(x, *args), 0
            for g, size, given in zip(vectors, sizes, more, strict=True):
                found, start = found + (g(x, *given) * v[start : start + size]).sum(), start + size
            return found

        self.given = p.values, [c.values for c in p.constraints]
        first = np.float64(1.0), np.ones(sum(sizes))
        return planned(sparse.hessian, total, x0, (*first, *self.given))

    def objective(self, x: Any) -> float:
        self.count += 1
        return float(self.value(np.array(x)))

    def gradient(self, x: Any) -> Any:
        self.at = np.array(x)
        return self.slope(self.at)

    def constraints(self, x: Any) -> Any:
        x = np.array(x)
        return np.concatenate([part.c.value(x) for part in self.parts] or [np.zeros(0)])

    def jacobianstructure(self) -> Any:
        starts = np.cumsum([0, *self.sizes])
        rows = [part.rows + start for part, start in zip(self.parts, starts, strict=False)]
        columns = [part.columns for part in self.parts]
        none = np.zeros(0, int)
        return np.concatenate(rows or [none]), np.concatenate(columns or [none])

    def jacobian(self, x: Any) -> Any:
        x = np.array(x)
        return np.concatenate([part.values(x) for part in self.parts] or [np.zeros(0)])

    def hessianstructure(self) -> Any:
        return self.places

    def hessian(self, x: Any, multipliers: Any, scale: float) -> Any:
        v = np.array(multipliers, float)
        found = self.plan.values(np.array(x), np.float64(scale), v, *self.given)
        return found[self.lower]

    def intermediate(self, mode: int, count: int, value: float, *more: Any) -> bool:
        if self.told is not None and count:
            self.told(intermediate_result=OptimizeResult(x=self.at, fun=value, nit=count))
        return True


NAMES = ("objective", "gradient", "constraints", "jacobian", "intermediate")


class Guarded:
    """The same, whose errors are kept: IPOPT takes them for bad steps, or ends without a word."""

    def __init__(self, of: Interior, kept: Kept) -> None:
        for name in NAMES:
            setattr(self, name, kept(getattr(of, name)))
        self.jacobianstructure = of.jacobianstructure
        if of.plan is not None:
            self.hessian, self.hessianstructure = kept(of.hessian), of.hessianstructure


def solved(of: Interior, x0: Any, options: dict[str, Any], verbose: bool) -> OptimizeResult:
    """The result of IPOPT's."""
    package, p, n, kept = package_of("cyipopt"), of.p, len(x0), Kept()
    low, high = p.bounds if p.bounds is not None else (np.full(n, -np.inf), np.full(n, np.inf))
    limits = [part.limits() for part in of.parts]
    made = package.Problem(
        n=n, m=sum(of.sizes), problem_obj=Guarded(of, kept),
        lb=np.clip(low, -INFINITE, INFINITE), ub=np.clip(high, -INFINITE, INFINITE),
        cl=np.concatenate([a for a, _ in limits] or [np.zeros(0)]),
        cu=np.concatenate([b for _, b in limits] or [np.zeros(0)]),
    )  # fmt: skip
    given = {} if verbose else dict(QUIET)
    if of.plan is None:
        given["hessian_approximation"] = "limited-memory"
    for name, value in (given | options).items():
        try:
            made.add_option(name, value)
        except TypeError as error:
            raise ValueError(f"adapters.ipopt: IPOPT refuses {name}={value!r}") from error
    try:
        x, told = made.solve(np.array(x0, float))
    except BaseException:
        kept.again()
        raise
    kept.again()
    said = told["status_msg"]
    return OptimizeResult(
        x=np.array(x), fun=float(told["obj_val"]), nfev=of.count, status=int(told["status"]),
        success=told["status"] in SOLVED, message=said.decode() if isinstance(said, bytes) else said,
        multipliers=-np.array(told["mult_g"]), bound_multipliers=(told["mult_x_L"], told["mult_x_U"]),
    )  # fmt: skip


def ipopt(
    problem: Problem,
    x0: Any = None,
    *,
    tol: float | None = None,
    options: dict[str, Any] | None = None,
    verbose: bool = False,
) -> OptimizeResult:
    """Minimize by IPOPT, with sparse Jacobians of constraints and the sparse Hessian of the Lagrangian.

    It is a method for :func:`minimize`, too: ``method=adapters.ipopt``, whose ``options`` are IPOPT's.

    Parameters
    ----------
    problem : Problem
        With its bounds and constraints.
    x0 : array_like, or nested data of such, optional
        Where to start, if not where the problem says.
    tol : float, optional
        IPOPT's.
    options : dict, optional
        IPOPT's: ``{"max_iter": 100, "linear_solver": "mumps"}``.
    verbose : bool
        Whether it prints.

    Returns
    -------
    scipy.optimize.OptimizeResult
        With ``multipliers`` of the constraints. Of a function that looks at values, which no sparse derivatives are
        made of, Hessians are IPOPT's of limited memory.

    Raises
    ------
    ImportError
        Without cyipopt.
    TypeError
        For what is no problem.
    ValueError
        For a start of another size, and for an option that IPOPT has not.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> p = ng.problem(lambda x: (np.diff(x) ** 2).sum() + x[0], np.ones(1000),
    ...                constraints={"type": "eq", "fun": lambda x: x[1:] * x[:-1] - 1.0}, bounds=[(0.5, 3.0)] * 1000)
    >>> ng.optimize.adapters.ipopt(p).x[:2].round(4)  # doctest: +SKIP
    array([0.9999, 1.0001])
    """
    if not isinstance(problem, Problem):
        raise TypeError(
            f"adapters.ipopt takes what nbgrad.problem made, not a {type(problem).__name__}; of a function: "
            "minimize(fun, x0, method=adapters.ipopt)"
        )
    start = problem.x0 if x0 is None else problem.space.packed(x0, "x0")
    given = dict(options or {}) if tol is None else {"tol": tol, **(options or {})}
    package_of("cyipopt")
    of = Interior(problem, start, problem.fun, problem.grad, None, True)
    found = solved(of, start, given, verbose)
    found.x = problem.nested(found.x)
    return found


def of_plan(plan: Any, x0: Any, fun: Func, callback: Any, tol: Any, options: Any) -> Any:
    """The same, of what :func:`minimize` was given."""
    given = dict(options or {}) if tol is None else {"tol": tol, **(options or {})}
    verbose = bool(given.pop("verbose", False))
    exact = all(plan.user.get(name) is None for name in ("jac", "hess", "hessp"))
    package_of("cyipopt")
    of = Interior(plan.p, x0, fun, plan.run.answered("grad", plan.gradient()), callback, exact)
    return solved(of, x0, given, verbose)


ipopt.of_plan = of_plan  # type: ignore[attr-defined]
