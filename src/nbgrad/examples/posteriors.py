"""Log-densities to sample from: of ten numbers with a narrow neck, and of a hundred that are correlated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SCHOOLS = (
    np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
    np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
)


def eight_schools(x: Any) -> Any:
    """Rubin's eight schools, not centred: x is the mean, the log of the spread, and eight effects."""
    effects, errors = SCHOOLS
    mean, log_spread, raw = x[0], x[1], x[2:]
    spread = np.exp(log_spread)
    found = -0.5 * (((effects - mean - spread * raw) / errors) ** 2).sum() - 0.5 * (raw**2).sum()
    # N(0, 5) for the mean, a half-Cauchy of scale 5 for the spread, of which the log is x[1].
    return found - 0.5 * (mean / 5) ** 2 - np.log(1 + (spread / 5) ** 2) + log_spread


def regression(n: int = 200, dimensions: int = 100, seed: int = 0) -> tuple[Callable[..., Any], Any, Any]:  # fmt: skip
    """A log-density of *dimensions* coefficients, and the posterior's mean and covariance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dimensions))
    y = x @ rng.normal(size=dimensions) + rng.normal(size=n)
    covariance = np.linalg.inv(x.T @ x + np.eye(dimensions))

    def density(w: Any) -> Any:
        return -0.5 * ((y - x @ w) ** 2).sum() - 0.5 * (w**2).sum()

    return density, covariance @ (x.T @ y), covariance
