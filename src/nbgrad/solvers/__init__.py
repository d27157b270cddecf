"""Compiled solvers: a solve is one native loop, which calls the objective and its derivatives by pointer."""

from nbgrad.solvers.interface import minimize
from nbgrad.solvers.minimizing import solve

__all__ = ["minimize", "solve"]
