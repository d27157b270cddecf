"""How much of a count is rounding: SciPy's own counts with its derivatives by hand changed by one unit in the last place.

A solver near a saddle or along a flat valley is chaotic: derivatives that differ by a rounding lead it another way, and
its count of evaluations by hand is one of many that are as good. ``spread`` gives these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

ULP = 2.0**-52
DRAWS = 100


def noisy(f: Callable[..., Any], rng: Any) -> Callable[..., Any]:
    """*f*, each of whose results is changed by a unit in its last place at most; a Hessian stays symmetric."""

    def changed(*args: Any) -> Any:
        y = np.asarray(f(*args), float)
        by = rng.integers(-1, 2, y.shape)
        if y.ndim == 2 and y.shape[0] == y.shape[1]:
            by = np.triu(by) + np.triu(by, 1).T
        return y * (1 + ULP * by)

    return changed


def spread(solve: Callable[[Callable[..., Any]], Any], ours: int) -> str:
    """Counts of *solve*, which is given what changes derivatives: least, median, most, and how many are as large."""
    found = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        found.append(solve(lambda f, rng=rng: noisy(f, rng)).nfev)
    share = np.mean(np.array(found) >= ours)
    return f"{min(found)}, {int(np.median(found))}, {max(found)}; {share:.0%} take {ours} or more"
