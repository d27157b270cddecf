"""Results of which more is computed, with its derivatives, when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from nbgrad.api.grad import grad
from nbgrad.api.jacobian import jacobian
from nbgrad.solvers.losses import LEAST

__all__ = ["LEAST", "Differentiated", "of_minimum", "of_squares", "with_later"]
Func = Callable[..., Any]


class Differentiated(OptimizeResult):  # type: ignore[misc]
    """A result that is a function of what the solver was given.

    What depends on that, and was a number of the solver's, would have a derivative of 0.
    """

    _later: Mapping[str, Callable[[], Any]] = {}

    def __missing__(self, name: str) -> Any:
        if name not in self._later:
            raise KeyError(name)
        self[name] = found = self._later[name]()
        return found

    def __reduce__(self) -> Any:
        return OptimizeResult, (dict(self),)


def with_later(found: Mapping[str, Any], later: Mapping[str, Callable[[], Any]]) -> Differentiated:
    """*found*, in which functions take the place of numbers."""
    made = Differentiated({k: v for k, v in found.items() if k not in later})
    object.__setattr__(made, "_later", later)
    return made


def of_minimum(fun: Func, x: Any, nested: Func = lambda g: g) -> dict[str, Callable[[], Any]]:
    """What solvers say of a minimum *x* of *fun* beside its value; the gradient *nested* as x is."""
    return {"jac": lambda: nested(grad(fun)(x)), "hess": lambda: jacobian(grad(fun))(x)}


def of_squares(
    residuals: Func, cost: Func, x: Any, least: float = 1e-16
) -> dict[str, Callable[[], Any]]:
    """The same of squares: *cost* is that of residuals, as the loss makes it.

    The Jacobian is such that its square is the Hessian of the cost, but for that of the residuals; at
    outliers, whose curvature is negative, it is *least* of the weight.
    """

    def slopes() -> Any:
        r = residuals(x)
        ways = grad(cost)
        curve, first = grad(lambda r: ways(r).sum())(r), ways(r) / np.where(r == 0, 1.0, r)
        weights = np.maximum(curve, np.where(r == 0, curve, least * first))
        return jacobian(residuals)(x) * np.sqrt(weights)[:, None]

    def inverse() -> Any:
        j = slopes()
        return np.linalg.inv(j.T @ j)

    return {
        "fun": lambda: residuals(x),
        "jac": slopes,
        "grad": lambda: grad(lambda x: cost(residuals(x)))(x),
        "cov": inverse,
    }
