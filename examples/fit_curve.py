"""Fit a decaying oscillation to noisy data: the model is NumPy, its Jacobian is exact."""

import numpy as np
from scipy.optimize import least_squares

import nbgrad as ng
from nbgrad.examples import on_device, picture, taken

on_device()
plot = taken("--plot")

rng = np.random.default_rng(0)
t = np.linspace(0, 10, 200)
y = 2.5 * np.exp(-0.3 * t) * np.cos(2.0 * t) + rng.normal(0, 0.05, t.size)


def residuals(p):
    return p[0] * np.exp(-p[1] * t) * np.cos(p[2] * t) - y


found = least_squares(residuals, [1.0, 0.1, 1.8], jac=ng.jit(ng.jacobian(residuals)))
for name, value in zip(("amplitude", "decay", "frequency"), found.x, strict=True):
    print(f"{name:10s} {value:.4f}")
if plot:
    with picture(plot) as axes:
        axes.plot(t, y, ".", t, y + residuals(found.x))
        axes.set(xlabel="time", ylabel="signal")
