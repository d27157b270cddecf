"""SciPy's solvers with exact derivatives: nested parameters, constraints, fits, differentiable results."""

from nbgrad.optimize import adapters
from nbgrad.optimize.callbacks import History, Progress, Table
from nbgrad.optimize.fits import Fit
from nbgrad.optimize.fitting import curve_fit
from nbgrad.optimize.minimizing import minimize
from nbgrad.optimize.problem import Problem
from nbgrad.optimize.roots import fixed_point, root, root_scalar
from nbgrad.optimize.searching import basinhopping, brute, differential_evolution, dual_annealing
from nbgrad.optimize.squares import least_squares

__all__ = [
    "Fit", "History", "Problem", "Progress", "Table", "adapters", "basinhopping", "brute", "curve_fit", "differential_evolution", "dual_annealing",
    "fixed_point", "least_squares", "minimize", "root", "root_scalar",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
