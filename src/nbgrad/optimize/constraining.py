"""Constraints of users as functions of a vector, with exact Jacobians and Hessians."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import LinearConstraint, NonlinearConstraint

from nbgrad.api.grad import value_and_grad
from nbgrad.api.jacobian import jacobian
from nbgrad.api.trees import ravel
from nbgrad.optimize.programs import Programs, programs_of, result_shape, values_of
from nbgrad.optimize.space import Space
from nbgrad.optimize.swept import Swept, array_of, requires_grad

Func = Callable[..., Any]
F8 = np.dtype(np.float64)
LARGE = 10_000  # elements of the Jacobians, from which these are computed when asked for alone


class Constraint:
    """Values that must lie between *lower* and *upper*.

    Attributes
    ----------
    lower, upper : ndarray
        One number for all, or one for each.
    """

    def __init__(
        self, fun: Func, space: Space, args: Sequence[Any], limits: tuple[Any, Any]
    ) -> None:
        self.args = tuple(args)
        self.lower, self.upper = limits
        self.function, self.space = fun, space
        self.kind: str | None = None  # of a dictionary: "eq" or "ineq"
        self.keep_feasible: Any = False
        self.user_jac: Func | None = None
        self.user_hess: Func | None = None
        self.known: Func | None = (
            None  # values and Jacobian at a vector, with the rest of a problem
        )

    @cached_property
    def programs(self) -> Programs:
        return programs_of(
            self.function, self.space, result_shape(self.function, self.space, self.values)
        )

    @cached_property
    def values(self) -> Any:
        """The further arguments, of which tensors are their values."""
        return values_of(self.args)

    @cached_property
    def reads_tracked(self) -> bool:
        """Whether the function reads tensors from outside that require grad."""
        return requires_grad(self.programs.value(self.space.x0, *self.values))

    def value(self, x: Any) -> Any:
        """The values at a vector."""
        found = self.known and self.known(x)
        if found is not None:
            return found[0]
        return np.atleast_1d(array_of(self.programs.value(x, *self.values)))

    def jac(self, x: Any) -> Any:
        """Their Jacobian, exact unless the user gave one."""
        if self.user_jac is not None:
            found = self.user_jac(self.space.nested(x), *self.values)
            return np.atleast_2d(found.toarray() if hasattr(found, "toarray") else array_of(found))
        known = self.known and self.known(x)
        if known is not None:
            return known[1]
        return array_of(self.programs.jac(x, *self.values))

    def hess(self, x: Any, v: Any) -> Any:
        """The Hessian of ``v @ values``."""
        if self.user_hess is not None:
            return self.user_hess(self.space.nested(x), v)
        return array_of(self.programs.weighted_hess(x, np.asarray(v, F8), *self.values))


def constraints_of(given: Any, space: Space) -> list[Constraint]:
    """Constraints as users of SciPy write them."""
    if isinstance(given, (dict, LinearConstraint, NonlinearConstraint)):
        given = [given]
    return [_constraint(c, space, k) for k, c in enumerate(given)]


def _constraint(given: Any, space: Space, k: int) -> Constraint:
    if isinstance(given, dict):
        return _of_dict(given, space, k)
    if isinstance(given, LinearConstraint):
        matrix = given.A.toarray() if hasattr(given.A, "toarray") else given.A
        matrix = np.atleast_2d(np.asarray(matrix, float))
        if matrix.shape[1] != space.size:
            raise ValueError(
                f"{space.where}: the matrix of constraint {k} has {matrix.shape[1]} columns, and there are "
                f"{space.size} unknowns"
            )
        made = Constraint(lambda x: matrix @ ravel(x)[0], space, (), (given.lb, given.ub))
        made.keep_feasible = given.keep_feasible
        return made
    if isinstance(given, NonlinearConstraint):
        made = Constraint(given.fun, space, (), (given.lb, given.ub))
        made.keep_feasible = given.keep_feasible
        made.user_jac = given.jac if callable(given.jac) else None
        made.user_hess = given.hess if callable(given.hess) else None
        return made
    raise TypeError(
        f"{space.where}: constraint {k} is a {type(given).__name__}: write a dictionary with type and fun, "
        "or SciPy's LinearConstraint or NonlinearConstraint"
    )


def _of_dict(given: dict[str, Any], space: Space, k: int) -> Constraint:
    kind, fun = str(given.get("type", "")).lower(), given.get("fun")
    if kind not in ("eq", "ineq"):
        raise ValueError(
            f"{space.where}: the type of constraint {k} is {given.get('type')!r}: write 'eq' for fun(x) = 0, "
            "'ineq' for fun(x) >= 0"
        )
    if not callable(fun):
        raise TypeError(f"{space.where}: the fun of constraint {k} is no function: {fun!r}")
    args = given.get("args", ())
    args = args if isinstance(args, tuple) else (args,)
    made = Constraint(fun, space, args, (0.0, 0.0 if kind == "eq" else np.inf))
    made.kind = kind
    made.user_jac = given.get("jac") if callable(given.get("jac")) else None
    return made


def together(p: Any) -> Swept | None:
    """Value and gradient of a problem, with values and Jacobians of its constraints, in one sweep.

    None where the users gave Jacobians, or these are large.
    """
    constraints: list[Constraint] = p.constraints
    if any(c.user_jac is not None for c in constraints):
        return None
    many = p.space.size * sum(c.programs.size for c in constraints)
    if many > LARGE:
        return None
    vectors = [c.programs.vector for c in constraints]
    slopes = [jacobian(f) for f in vectors]
    pairs = list(zip(vectors, slopes, strict=True))

    def everything(x: Any, more: Any, *args: Any) -> Any:
        value, slope = value_and_grad(p.programs.scalar)(x, *args)
        found = [(f(x, *a), j(x, *a)) for (f, j), a in zip(pairs, more, strict=True)]
        return value, slope, found

    return Swept(everything)
