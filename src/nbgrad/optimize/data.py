"""The data of a fit, and the model of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize as so

from nbgrad.core.foreign import numbers_of
from nbgrad.linalg import solve_triangular
from nbgrad.tensors.tensor import Tensor

Func = Callable[..., Any]


def model_of(f: Func, p0: Any) -> Func:
    """The model of data and nested parameters."""
    if isinstance(p0, dict):
        return lambda x, p: f(x, **p)
    if isinstance(p0, tuple):
        return lambda x, p: f(x, *p)
    return lambda x, p: f(x, *[p[k] for k in range(len(p0))])


def start_of(f: Func, p0: Any, bounds: Any) -> Any:
    """Where to start: as SciPy does where nothing is said."""
    if p0 is not None:
        flat = isinstance(p0, (int, float, list)) or (
            isinstance(p0, tuple) and all(np.ndim(x) == 0 for x in p0)
        )
        return np.atleast_1d(np.asarray(p0, float)) if flat else p0
    names = inspect.signature(f).parameters.values()
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    if any(x.kind is x.VAR_POSITIONAL for x in names):
        raise ValueError("curve_fit: the number of parameters cannot be seen of *args: pass p0")
    count = len([x for x in names if x.kind in kinds]) - 1
    if count < 1:
        raise ValueError("curve_fit: the model takes no parameters after the data")
    lower, upper = _ends(bounds, count)
    start = np.ones(count)
    low, high = np.isfinite(lower), np.isfinite(upper)
    start[low & high] = 0.5 * (lower[low & high] + upper[low & high])
    start[low & ~high] = lower[low & ~high] + 1
    start[~low & high] = upper[~low & high] - 1
    return start


def _ends(bounds: Any, count: int) -> tuple[Any, Any]:
    pair = (bounds.lb, bounds.ub) if isinstance(bounds, so.Bounds) else bounds
    lower, upper = (np.broadcast_to(np.asarray(b, float), (count,)) for b in pair)
    return lower, upper


class Data:
    """What is fitted to: the data, and the root of the covariances of its errors."""

    def __init__(self, x: Any, y: Any, sigma: Any, finite: bool, policy: str | None) -> None:
        x = _floats(x) if isinstance(x, (list, tuple, np.ndarray)) else x
        y = y if isinstance(y, Tensor) else _floats(y)
        if not y.size:
            raise ValueError("curve_fit: ydata must not be empty")
        s: Any = sigma if sigma is None or isinstance(sigma, Tensor) else _floats(sigma)
        if policy not in (None, "raise", "omit"):
            raise ValueError(f"curve_fit: nan_policy is 'raise' or 'omit', not {policy!r}")
        if policy == "omit":
            x, y, s = _without_nan(x, y, s)
        elif finite:
            for name, value in (("xdata", x), ("ydata", y)):
                if isinstance(value, np.ndarray) and not np.isfinite(value).all():
                    raise ValueError(f"curve_fit: {name} must not contain infs or NaNs")
        if s is not None and s.shape not in ((), (y.size,), (y.size, y.size)):
            raise ValueError(
                f"curve_fit: sigma has shape {tuple(s.shape)}, and there are {y.size} data: give one for "
                "each, or a matrix of covariances"
            )
        self.x, self.y = x, y
        self.matrix = s is not None and s.ndim == 2
        self.sigma: Any = s
        if self.matrix:
            try:
                self.sigma = np.linalg.cholesky(s)
            except np.linalg.LinAlgError as error:
                raise ValueError("curve_fit: sigma must be positive definite") from error

    @property
    def args(self) -> tuple[Any, ...]:
        return (self.x, self.y) if self.sigma is None else (self.x, self.y, self.sigma)

    def residuals(self, model: Func) -> Func:
        """Of nested parameters and ``args``, as errors of one."""
        matrix = self.matrix

        def misfit(p: Any, x: Any, y: Any, sigma: Any = None) -> Any:
            away = model(x, p) - y
            if sigma is None:
                return away
            return solve_triangular(sigma, away, lower=True) if matrix else away / sigma

        return misfit


def _floats(x: Any) -> Any:
    return np.asarray(numbers_of(x), float)


def _without_nan(x: Any, y: Any, s: Any) -> tuple[Any, Any, Any]:
    lost = np.isnan(y)
    if isinstance(x, np.ndarray):
        lost = lost | np.isnan(x).reshape(-1, y.size).any(0)
        x = x[..., ~lost]
    if s is not None and s.ndim:
        s = s[~lost] if s.ndim == 1 else s[~lost][:, ~lost]
    return x, y[~lost], s
