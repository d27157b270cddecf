"""Fits again and again: from many starts, of resampled data, of parts of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.api import trees
from nbgrad.errors import need_functions
from nbgrad.parallel.running import map as mapped


@dataclass(frozen=True)
class Starts:
    """What :func:`multistart` found.

    Attributes
    ----------
    best : object
        The result of the least value.
    index : int
        The start that led there.
    values : ndarray
        The value of each result; infinite where the fit raised or the value is NaN.
    results : list
        What each fit returned, or the exception that it raised.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> found = ng.parallel.multistart(np.square, [3.0, 2.0], value=float)
    >>> float(found.best), found.index, found.values.tolist()
    (4.0, 1, [9.0, 4.0])
    """

    best: Any
    index: int
    values: Any
    results: list[Any]


def multistart(
    fit: Callable[[Any], Any],
    starts: Sequence[Any],
    *,
    value: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Starts:
    """Fit from each start, and choose the best result.

    Parameters
    ----------
    fit : callable
        Takes a start, and returns a result, such as SciPy's ``OptimizeResult``.
    starts : sequence
        An array of starts by rows, or a list.
    value : callable, optional
        What is to be least; by default ``result.fun``, half the sum of its squares if it is a vector.
    **options
        Of :func:`nbgrad.parallel.map`; fits that raise are passed over.

    Returns
    -------
    Starts
        The best result, and all.

    Raises
    ------
    ValueError
        If there is no start, or no fit came to an end with a value.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import minimize
    >>> import nbgrad as ng
    >>> f = lambda x: ((x**2 - 1) ** 2).sum() + 0.1 * x.sum()
    >>> fit = lambda x0: minimize(ng.value_and_grad(f), x0, jac=True)
    >>> found = ng.parallel.multistart(fit, np.array([[2.0], [-2.0]]))
    >>> found.index, round(float(found.best.x[0]), 3)
    (1, -1.012)
    """
    need_functions("parallel.multistart", fit)
    results = mapped(fit, list(starts), **{"errors": "return", **options})
    measure = _fun if value is None else value
    values = np.array([np.inf if isinstance(r, Exception) else float(measure(r)) for r in results])
    values[np.isnan(values)] = np.inf
    if not np.isfinite(values).any():
        first = next((r for r in results if isinstance(r, Exception)), None)
        raise ValueError(
            f"parallel.multistart: none of {len(results)} fits came to an end with a finite value"
        ) from first
    index = int(np.argmin(values))
    return Starts(results[index], index, values, results)


def _fun(result: Any) -> Any:
    fun = np.asarray(result.fun)
    return fun if fun.ndim == 0 else 0.5 * (fun**2).sum()


def bootstrap(
    fit: Callable[[Any], Any],
    data: Any,
    count: int,
    *,
    seed: int = 0,
    **options: Any,
) -> list[Any]:
    """Fit *count* samples of the data, drawn with replacement (Efron, 1979).

    Parameters
    ----------
    fit : callable
        Takes data, nested as *data* is.
    data : array or nested arrays
        All of the same length: rows are drawn together.
    count : int
        How many samples.
    seed : int
        Of the draws: sample k is the same whatever the engine and the count.
    **options
        Of :func:`nbgrad.parallel.map`.

    Returns
    -------
    list
        The results: spread as the estimate is.

    Raises
    ------
    ValueError
        If arrays are of several lengths.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> means = ng.parallel.bootstrap(np.mean, np.arange(100.0), 200)
    >>> bool(abs(np.std(means) - 2.9) < 0.4)
    True
    """
    need_functions("parallel.bootstrap", fit)
    task = _Resampled(fit, data, _length(data, "bootstrap"), seed)
    return mapped(task, range(count), **options)


class _Resampled:
    def __init__(self, fit: Callable[[Any], Any], data: Any, length: int, seed: int) -> None:
        self.fit, self.data, self.length, self.seed = fit, data, length, seed

    def __call__(self, k: int) -> Any:
        drawn = np.random.default_rng([self.seed, k]).integers(self.length, size=self.length)
        return self.fit(trees.map(lambda x: x[drawn], self.data))


def cross_validate(
    fit: Callable[[Any], Any],
    score: Callable[[Any, Any], Any],
    data: Any,
    folds: int = 5,
    *,
    seed: int | None = 0,
    **options: Any,
) -> list[Any]:
    """Fit all but one part of the data, and score that part, for each part.

    Parameters
    ----------
    fit : callable
        Takes data, nested as *data* is.
    score : callable
        Takes what *fit* returned, and the data that was left out.
    data : array or nested arrays
        All of the same length.
    folds : int
        How many parts.
    seed : int or None
        Of the order of rows; None leaves them in theirs.
    **options
        Of :func:`nbgrad.parallel.map`.

    Returns
    -------
    list
        The score of each part.

    Raises
    ------
    ValueError
        For fewer than two parts or more than rows, or arrays of several lengths.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> left_out = lambda mean, x: ((x - mean) ** 2).mean()
    >>> scores = ng.parallel.cross_validate(np.mean, left_out, np.arange(10.0), folds=5)
    >>> len(scores)
    5
    """
    need_functions("parallel.cross_validate", fit, score)
    length = _length(data, "cross_validate")
    if not 2 <= folds <= length:
        raise ValueError(f"folds must be from 2 to the number of rows, {length}, not {folds}")
    order = np.arange(length) if seed is None else np.random.default_rng(seed).permutation(length)
    return mapped(_Folded(fit, score, data, np.array_split(order, folds)), range(folds), **options)


class _Folded:
    def __init__(self, fit: Any, score: Any, data: Any, parts: list[Any]) -> None:
        self.fit, self.score, self.data, self.parts = fit, score, data, parts

    def __call__(self, k: int) -> Any:
        rest = np.sort(np.concatenate([p for j, p in enumerate(self.parts) if j != k]))
        fitted = self.fit(trees.map(lambda x: x[rest], self.data))
        return self.score(fitted, trees.map(lambda x: x[np.sort(self.parts[k])], self.data))


def _length(data: Any, name: str) -> int:
    lengths = {len(x) for x in trees.leaves(data)}
    if len(lengths) != 1:
        raise ValueError(f"parallel.{name}: arrays must be of one length, not {sorted(lengths)}")
    return lengths.pop()
