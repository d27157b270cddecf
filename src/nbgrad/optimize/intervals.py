"""Intervals of confidence by the likelihood: one parameter is held, the others are fitted again."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize as so

from nbgrad.optimize.problem import Problem

WIDEST = 2.0**20  # times what the standard error says, where an end is looked for
NEAR = 1e-6  # of an interval's half, to which its ends are found


class Held:
    """The sum of squares where parameter *k* is held, the others being the best."""

    def __init__(self, p: Problem, best: Any, k: int) -> None:
        self.p, self.k = p, k
        self.others = np.delete(np.arange(len(best)), k)
        self.least = float(np.sum(p.fun(best) ** 2))
        self.last = best[self.others]
        self.limits = None
        if p.bounds is not None:
            self.limits = p.bounds[0][self.others], p.bounds[1][self.others]

    def whole(self, others: Any, value: float) -> Any:
        return np.insert(others, self.k, value)

    def rise(self, value: float) -> float:
        """By how much the best fit with that value is worse."""
        p, others = self.p, self.others
        if not len(others):
            return float(np.sum(p.fun(np.array([value])) ** 2)) - self.least
        fun = lambda v: np.atleast_1d(p.fun(self.whole(v, value)))
        jac = lambda v: p.jac_matrix(self.whole(v, value))[:, others]
        words = {"method": "lm"} if self.limits is None else {"bounds": self.limits}
        with np.errstate(all="ignore"):
            found = so.least_squares(
                fun, self.last, jac=jac, x_scale="jac", xtol=1e-12, ftol=1e-12, **words
            )
        self.last = found.x
        return 2 * float(found.cost) - self.least


def profiled(p: Problem, best: Any, spread: Any, rise: float) -> Any:
    """Both ends for each parameter: where the sum of squares is more by *rise*."""
    ends = [[_end(p, best, spread, rise, k, sign) for sign in (-1, 1)] for k in range(len(best))]
    return np.array(ends)


def _end(p: Problem, best: Any, spread: Any, rise: float, k: int, sign: int) -> float:
    held = Held(p, best, k)
    unit = spread[k] if np.isfinite(spread[k]) and spread[k] > 0 else max(abs(best[k]), 1.0)
    edge = sign * np.inf if p.bounds is None else float(p.bounds[(sign + 1) // 2][k])
    limit = abs(edge - best[k])

    def above(t: float) -> float:
        """The root of the rise is nearly linear in *t*."""
        try:
            found = held.rise(best[k] + sign * t)
        except (ValueError, np.linalg.LinAlgError):  # nothing is finite there
            return np.inf
        return float(np.sqrt(max(found, 0.0)) - np.sqrt(rise))

    near, far = 0.0, min(unit, limit)
    while not (high := above(far)) > 0:
        if far >= limit:
            return edge
        if far > WIDEST * unit:
            return sign * np.inf
        near, far = far, min(2 * far, limit)
    while not np.isfinite(high) and far - near > NEAR * unit:
        middle = (near + far) / 2
        value = above(middle)
        near, far, high = (near, middle, value) if value > 0 else (middle, far, high)
    if not np.isfinite(high):
        return float(best[k] + sign * near)
    held.last = best[held.others]
    return float(best[k] + sign * so.brentq(above, near, far, xtol=NEAR * unit))
