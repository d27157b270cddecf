"""Bounds of users as two vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import Bounds

from nbgrad.api.trees import leaves
from nbgrad.optimize.space import Space, is_numbers

Pair = tuple[Any, Any]


def bounds_of(bounds: Any, space: Space) -> Pair | None:
    """Lower and upper bounds of each element; None if there are none."""
    if bounds is None:
        return None
    where, n = space.where, space.size
    if isinstance(bounds, Bounds):
        lower, upper = (_each(b, n, where) for b in (bounds.lb, bounds.ub))
    elif _pairs(bounds, n):
        lower = np.array([-np.inf if b[0] is None else b[0] for b in bounds], float)
        upper = np.array([np.inf if b[1] is None else b[1] for b in bounds], float)
    elif isinstance(bounds, tuple) and len(bounds) == 2:
        return limits_of(bounds, space)
    else:
        raise ValueError(
            f"{where}: bounds must be a pair (min, max) for each of {n} elements, scipy.optimize.Bounds, "
            "or a tuple of two, lower and upper, nested as x0"
        )
    return _checked(lower, upper, where)


def limits_of(bounds: Any, space: Space) -> Pair | None:
    """The same of a pair of lower and upper, as ``least_squares`` takes them."""
    if bounds is None or isinstance(bounds, Bounds):
        return bounds_of(bounds, space)
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise ValueError(f"{space.where}: bounds must be a pair, lower and upper")
    lower, upper = _like(bounds[0], space, -np.inf), _like(bounds[1], space, np.inf)
    if not (np.isfinite(lower).any() or np.isfinite(upper).any()):
        return None
    return _checked(lower, upper, space.where)


def _checked(lower: Any, upper: Any, where: str) -> Pair:
    wrong = np.flatnonzero(~(lower <= upper))
    if len(wrong):
        k = int(wrong[0])
        raise ValueError(
            f"{where}: no value lies between the bounds of element {k}: lower is {lower[k]}, upper is "
            f"{upper[k]}"
        )
    return lower, upper


def _pairs(bounds: Any, n: int) -> bool:
    """Whether they are SciPy's sequence of pairs."""
    if not hasattr(bounds, "__len__") or len(bounds) != n or isinstance(bounds, dict):
        return False
    try:
        return all(
            not isinstance(b, dict)
            and len(b) == 2
            and all(x is None or np.ndim(x) == 0 for x in b)
            for b in bounds
        )
    except TypeError:
        return False


def _each(b: Any, n: int, where: str) -> Any:
    try:
        return np.array(np.broadcast_to(np.asarray(b, float), (n,)))
    except ValueError:
        raise ValueError(
            f"{where}: bounds of shape {np.shape(b)} for {n} elements: give one for each"
        ) from None


def _like(b: Any, space: Space, without: float) -> Any:
    """One side, nested as the parameters; numbers stand for whole leaves."""
    if b is None or isinstance(b, (int, float)):
        return np.full(space.size, without if b is None else float(b))
    if np.ndim(b) == 1 and is_numbers(list(b)) and len(b) == space.size:
        return np.array(b, float)
    sizes = [int(np.prod(shape, dtype=int)) for shape, _ in space.unravel.avals]
    parts = [np.asarray(b)] if space.plain else leaves(b, is_numbers)
    try:
        if len(parts) != len(sizes):
            raise ValueError
        made = [np.broadcast_to(np.ravel(x), (k,)) for x, k in zip(parts, sizes, strict=True)]
        return np.concatenate(made).astype(float)
    except ValueError:
        raise ValueError(
            f"{space.where}: bounds must be nested and shaped as x0, of {space.size} numbers in all, or "
            "numbers that stand for whole leaves"
        ) from None
