"""Ordinary differential equations, with SciPy's names: ``odeint`` and ``solve_ivp``, differentiable."""

from nbgrad.integrate.ivp import solve_ivp
from nbgrad.integrate.results import OdeResult, OdeSolution
from nbgrad.integrate.solving import odeint

__all__ = ["OdeResult", "OdeSolution", "odeint", "solve_ivp"]


def __dir__() -> list[str]:
    return sorted(__all__)
