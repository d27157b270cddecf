"""SciPy's solvers with exact derivatives: nested parameters, constraints, fits, differentiable results."""

from nbgrad.optimize.minimizing import minimize
from nbgrad.optimize.problem import Problem

__all__ = ["Problem", "minimize"]
