"""Compiled solvers: a solve is one native loop, which calls the objective and its derivatives by pointer."""

from nbgrad.solvers.interface import least_squares, minimize
from nbgrad.solvers.many import Fits, fit_many
from nbgrad.solvers.minimizing import solve

__all__ = ["Fits", "fit_many", "least_squares", "minimize", "solve"]


def __dir__() -> list[str]:
    return sorted(__all__)
