"""What a fit says of its parameters: covariances, standard errors, intervals."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.linalg
from scipy import stats
from scipy.optimize import OptimizeResult, OptimizeWarning

from nbgrad.optimize.intervals import profiled
from nbgrad.optimize.problem import Problem
from nbgrad.tensors.tensor import Tensor


class Fit(tuple[Any, ...]):
    """What :func:`curve_fit` returns: the pair of SciPy's, which unpacks, with more to ask.

    Attributes
    ----------
    popt, pcov : object, ndarray
        The parameters, nested as they were given, and their covariances as one matrix.
    stderr : object
        Standard errors, nested as the parameters.
    correlation : ndarray
    residuals : ndarray
        Of the model less the data, divided by sigma or its root.
    chi2, dof : float, int
        Their sum of squares, and how many more there are than parameters.
    result : scipy.optimize.OptimizeResult
        Of the solver.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> x = np.array([0.0, 1.0, 2.0, 3.0])
    >>> fit = ng.optimize.curve_fit(lambda x, a, b: a + b * x, x, np.array([1.0, 3.1, 4.9, 7.0]))
    >>> fit.popt.round(3), fit.dof, fit.stderr.round(3)
    (array([1.03, 1.98]), 2, array([0.079, 0.042]))
    """

    popt: Any
    pcov: Any
    result: OptimizeResult
    residuals: Any
    dof: int
    _made: Any  # the problem, the vector of the parameters, and whether sigma is absolute

    @property
    def stderr(self) -> Any:
        nested: Any = self._made[0].nested
        return nested(self.pcov.diagonal() ** 0.5)

    @property
    def correlation(self) -> Any:
        s = self.pcov.diagonal() ** 0.5
        return self.pcov / (s[:, None] * s)

    @property
    def chi2(self) -> Any:
        return (self.residuals**2).sum()

    def interval(self, level: float = 0.95) -> Any:
        """Lower and upper ends of an interval of confidence of each parameter, by its standard error.

        Parameters
        ----------
        level : float

        Returns
        -------
        ndarray
            Of shape (n, 2): by Student's distribution, or the normal one where sigma is absolute.

        Raises
        ------
        ValueError
            If *level* is not between 0 and 1.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> x = np.array([0.0, 1.0, 2.0, 3.0])
        >>> fit = ng.optimize.curve_fit(lambda x, a, b: a + b * x, x, np.array([1.0, 3.1, 4.9, 7.0]))
        >>> fit.interval(0.9).round(2)
        array([[0.8 , 1.26],
               [1.86, 2.1 ]])
        """
        _, x, absolute = self._made
        _check_level(level)
        q = (1 + level) / 2
        wide = stats.norm.ppf(q) if absolute else stats.t.ppf(q, self.dof)
        away = wide * np.sqrt(np.diag(_number(self.pcov)))
        return np.stack([_number(x) - away, _number(x) + away], -1)

    def profile(self, level: float = 0.95) -> Any:
        """The same by the likelihood: where the best fit with one parameter held is worse by so much.

        The intervals of a model that is far from linear; an end that is not reached is infinite.

        Parameters
        ----------
        level : float

        Returns
        -------
        ndarray
            Of shape (n, 2).

        Raises
        ------
        ValueError
            If *level* is not between 0 and 1.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> x = np.array([0.0, 1.0, 2.0, 3.0])
        >>> fit = ng.optimize.curve_fit(lambda x, a, b: a + b * x, x, np.array([1.0, 3.1, 4.9, 7.0]))
        >>> np.allclose(fit.profile(0.9), fit.interval(0.9))  # the model is linear
        True
        """
        p, x, absolute = self._made
        _check_level(level)
        rise = stats.chi2.ppf(level, 1) if absolute else stats.f.ppf(level, 1, self.dof)
        scale = 1.0 if absolute else float(_number(self.chi2)) / self.dof
        spread = np.sqrt(np.diag(_number(self.pcov)))
        return profiled(p, _number(x), spread, float(rise * scale))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"curve_fit: a level is between 0 and 1, not {level}")


def _number(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)


def covariance(matrix: Any) -> Any:
    """The inverse of the products of a Jacobian's columns; None if it has not that rank."""
    if isinstance(matrix, Tensor):
        return np.linalg.inv(matrix.T @ matrix)
    if not np.isfinite(matrix).all():
        return None
    scale = np.linalg.norm(matrix, axis=0)
    if not scale.all():
        return None
    _, s, vt = scipy.linalg.svd(matrix / scale, full_matrices=False)
    if s[-1] <= np.finfo(float).eps * max(matrix.shape) * s[0] or len(s) < matrix.shape[1]:
        return None
    return (vt.T / s**2) @ vt / (scale[:, None] * scale)


def fitted(
    p: Problem, result: Any, x: Any, residuals: Any, matrix: Any, absolute: bool, full: bool
) -> Fit:
    """A fit of what was found."""
    n, m = p.space.size, residuals.size
    pcov = covariance(matrix)
    if pcov is not None and not absolute:
        pcov = pcov * ((residuals**2).sum() / (m - n)) if m > n else None
    if pcov is None:
        warnings.warn(
            "Covariance of the parameters could not be estimated", OptimizeWarning, stacklevel=3
        )
        pcov = np.full((n, n), np.inf)
    popt = p.nested(x)
    more: tuple[Any, ...] = ()
    if full:
        info = {"nfev": result.get("nfev"), "fvec": residuals}
        more = info, result.get("message", ""), result.get("status", 0)
    made = Fit((popt, pcov, *more))
    made.popt, made.pcov, made.result, made.residuals, made.dof = (
        popt,
        pcov,
        result,
        residuals,
        m - n,
    )
    made._made = p, x, absolute
    return made
