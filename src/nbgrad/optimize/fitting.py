"""``curve_fit``: SciPy's, with exact Jacobians, nested parameters, and what a fit says of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize as so
from scipy.optimize import OptimizeResult

from nbgrad.api.jacobian import jacobian
from nbgrad.optimize.bounding import limits_of
from nbgrad.optimize.data import Data, model_of, start_of
from nbgrad.optimize.fits import Fit, fitted
from nbgrad.optimize.implicit import differentiated, minimum
from nbgrad.optimize.problem import Problem
from nbgrad.optimize.running import Run
from nbgrad.optimize.squares import Squares
from nbgrad.optimize.swept import array_of
from nbgrad.optimize.watching import Watched

Func = Callable[..., Any]


class Solver:
    """SciPy's solver of a fit."""

    def __init__(
        self, method: str | None, jac: Any, callback: Any, seconds: Any, words: Any
    ) -> None:
        self.method, self.jac, self.callback, self.words = method, jac, callback, words
        self.run = Run("curve_fit", seconds)

    def __call__(self, p: Problem) -> OptimizeResult:
        method = self.method or ("lm" if p.bounds is None else "trf")
        words = dict(self.words)
        if method != "lm" and "maxfev" in words:
            words["max_nfev"] = words.pop("maxfev")
        call = Squares(p, self.run, self.jac if p.args else None, words | {"method": method})
        cost: Func = lambda x: call.cost(x, call.values(x))
        watched = (
            None if self.callback is None else Watched(self.callback, self.run, p.nested, cost)
        )
        if method == "lm":
            if p.bounds is not None:
                raise ValueError("curve_fit: method 'lm' takes no bounds; 'trf' and 'dogbox' do")
            return self.minpack(call, p.x0, watched, words)
        found = (call.compiled if method.startswith("nb-") else call.solve)(p.x0, watched)
        if not found.success and found.status != 99:
            raise RuntimeError(f"curve_fit: optimal parameters not found: {found.message}")
        return found

    def slopes(self, p: Problem, x: Any) -> Any:
        """The Jacobian of the residuals: the user's, if there is one."""
        if callable(self.jac):
            return array_of(self.jac(p.nested(x), *p.values))
        return p.jac_matrix(x)

    def minpack(self, call: Squares, x0: Any, watched: Any, words: Any) -> OptimizeResult:
        """By ``leastsq``, as SciPy's curve_fit has it."""
        fun, jac = self.run.counted(call.values, call.cost), call.slopes(watched)
        jac = jac if callable(jac) else None

        def solve() -> OptimizeResult:
            x, _, info, message, status = so.leastsq(fun, x0, Dfun=jac, full_output=True, **words)
            if status not in (1, 2, 3, 4):
                raise RuntimeError(f"curve_fit: optimal parameters not found: {message}")
            return OptimizeResult(
                x=x, nfev=info["nfev"], status=status, message=message, success=True
            )

        return self.run.solve(solve)


def slopes_of(jac: Any, data: Data, p0: Any) -> Any:
    """A user's Jacobian of the model, as one of the residuals."""
    if not callable(jac):
        return jac
    model = model_of(jac, p0)

    def matrix(p: Any, x: Any, y: Any, sigma: Any = None) -> Any:
        found = array_of(model(x, p))
        if sigma is None:
            return found
        if data.matrix:
            return scipy.linalg.solve_triangular(array_of(sigma), found, lower=True)
        return found / array_of(sigma).reshape(-1, 1)

    return matrix


def curve_fit(
    f: Func,
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    check_finite: bool | None = None,
    bounds: Any = (-np.inf, np.inf),
    method: str | None = None,
    jac: Any = None,
    *,
    full_output: bool = False,
    nan_policy: str | None = None,
    callback: Func | None = None,
    time_limit: float | None = None,
    **kwargs: Any,
) -> Fit:
    """Fit a model to data, as :func:`scipy.optimize.curve_fit`, by exact Jacobians.

    Parameters
    ----------
    f : callable
        ``f(xdata, *params)`` of NumPy's and nbgrad's operations; with a dictionary of parameters
        ``f(xdata, **params)``.
    xdata : object
        What *f* gets: an array of any shape, or nested data of such.
    ydata : array_like
        One number for each that *f* returns.
    p0 : array_like, tuple or dict, optional
        Where to start; elements may be arrays. Ones, if not given.
    sigma : array_like, optional
        Standard deviations of *ydata*, or a matrix of covariances.
    absolute_sigma, check_finite, bounds, method, jac, full_output, nan_policy, **kwargs
        As in SciPy; *jac* is exact if not given. *method* may be ``"nb-lm"``, too.
    callback, time_limit : optional
        As of :func:`minimize`.

    Returns
    -------
    Fit
        ``popt, pcov`` (and what *full_output* gives), which unpacks as SciPy's. It has standard errors,
        residuals and intervals, too. Where data are differentiated, or what *f* reads from
        outside, all of it are tensors with their derivatives.

    Raises
    ------
    ValueError
        For data, sigma or bounds of wrong shapes, NaN among the data, and parameters whose number is
        not known.
    TypeError
        If there are fewer data than parameters.
    RuntimeError
        If the solver finds no minimum.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> def decay(t, size, rate):
    ...     return size * np.exp(-rate * t)
    >>> t = np.linspace(0.0, 1.0, 30)
    >>> y = decay(t, 2.0, 3.0) + 0.01 * np.cos(40 * t)
    >>> popt, pcov = fit = ng.optimize.curve_fit(decay, t, y, {"size": 1.0, "rate": 1.0})
    >>> round(float(popt["rate"]), 2), round(float(fit.stderr["rate"]), 3)
    (3.0, 0.01)
    """
    finite = check_finite if check_finite is not None else nan_policy is None
    start = start_of(f, p0, bounds)
    data = Data(xdata, ydata, sigma, finite or nan_policy == "raise", nan_policy)
    p = Problem(data.residuals(model_of(f, start)), start, data.args)
    p.bounds = limits_of(bounds, p.space)
    solve = Solver(method, slopes_of(jac, data, start), callback, time_limit, kwargs)
    if differentiated(p, jac is None):
        residual: Func = lambda x: p.programs.vector(x, *p.args)
        half: Func = lambda x: 0.5 * (residual(x) ** 2).sum()
        result, x = minimum("curve_fit", p, half, solve, residual)
        return fitted(
            p, result, x, residual(x), jacobian(residual)(x), absolute_sigma, full_output
        )
    result = solve(p)
    slopes = solve.slopes(p, result.x)
    residuals = np.atleast_1d(p.fun(result.x))
    return fitted(p, result, result.x, residuals, slopes, absolute_sigma, full_output)
