"""Ordinary differential equations, with SciPy's names: ``odeint`` and ``solve_ivp``, differentiable."""

from nbgrad.integrate.solving import odeint

__all__ = ["odeint"]
