"""An ordinary differential equation fitted to data, wholly in compiled code.

Lotka and Volterra's predators and prey. The right-hand side is plain NumPy; nbgrad gives its Jacobians by the state and
by the parameters, a Runge-Kutta method in ``@njit`` integrates state and sensitivities together, and a
Levenberg-Marquardt loop in ``@njit`` fits the four rates and both initial populations.
"""

import time

import numpy as np
from numba import njit

import nbgrad as ng
from nbgrad.examples import picture, taken

TRUE = np.array([1.1, 0.4, 0.1, 0.4])
START = np.array([10.0, 5.0])


def rates(y, p):
    prey, hunters = y[0], y[1]
    return np.stack([p[0] * prey - p[1] * prey * hunters, p[2] * prey * hunters - p[3] * hunters])


flow = ng.compile(rates, START, TRUE, argnums=(0, 1))


@njit
def slope(y, s, p):
    """Derivatives of the state and of its sensitivities by six unknowns: the rates, then the start."""
    by_state, by_rates = flow.jacobian(y, p)
    found = by_state @ s
    found[:, :4] += by_rates
    return flow.value(y, p), found


@njit
def solved(unknown, times, steps):
    """The state at *times*, and its sensitivities, by *steps* of the classical method between two."""
    p, y, s = unknown[:4].copy(), unknown[4:].copy(), np.zeros((2, 6))
    s[0, 4] = s[1, 5] = 1.0
    states, sensitivities = np.empty((times.size, 2)), np.empty((times.size, 2, 6))
    now = 0.0
    for k in range(times.size):
        h = (times[k] - now) / steps
        for _ in range(steps):
            a, da = slope(y, s, p)
            b, db = slope(y + 0.5 * h * a, s + 0.5 * h * da, p)
            c, dc = slope(y + 0.5 * h * b, s + 0.5 * h * db, p)
            d, dd = slope(y + h * c, s + h * dc, p)
            y = y + h / 6 * (a + 2 * b + 2 * c + d)
            s = s + h / 6 * (da + 2 * db + 2 * dc + dd)
        now = times[k]
        states[k], sensitivities[k] = y, s
    return states, sensitivities


@njit
def fit(unknown, times, measured, iterations):
    """Least squares by Levenberg and Marquardt's method."""
    damping = 1e-3
    states, s = solved(unknown, times, 20)
    residual = (states - measured).ravel()
    for _ in range(iterations):
        jacobian = s.reshape((residual.size, 6))
        normal = jacobian.T @ jacobian
        for i in range(6):
            normal[i, i] *= 1 + damping
        trial = unknown - np.linalg.solve(normal, jacobian.T @ residual)
        found, more = solved(trial, times, 20)
        rest = (found - measured).ravel()
        if rest @ rest < residual @ residual:
            unknown, residual, s, damping = trial, rest, more, damping / 10
        else:
            damping *= 10
    return unknown, residual @ residual


def main(plot=None, iterations=30):
    times = np.linspace(0.5, 12, 24)
    exact = solved(np.concatenate([TRUE, START]), times, 20)[0]
    measured = exact + 0.1 * np.random.default_rng(0).normal(size=exact.shape)
    guess = np.array([1.0, 0.3, 0.08, 0.5, 9.0, 6.0])
    fit(guess, times, measured, 0)  # compiled
    began = time.perf_counter()
    unknown, rest = fit(guess, times, measured, iterations)
    took = time.perf_counter() - began
    print(f"rates {unknown[:4]}, start {unknown[4:]}, rest {rest:.3f}, in {1e3 * took:.1f} ms")
    if plot:
        draw(times, measured, solved(unknown, times, 20)[0], plot)
    return unknown, rest


def draw(times, measured, states, path):
    with picture(path) as axes:
        axes.plot(times, states)
        axes.plot(times, measured, ".")
        axes.set(xlabel="time", ylabel="population")


if __name__ == "__main__":
    main(taken("--plot"), int(taken("--iterations") or 30))
