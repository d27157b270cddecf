"""Log-likelihood of a Kalman filter, in plain NumPy, differentiated unchanged.

A car moves with a noisy velocity and its position is measured. The filter of ten lines below gives
the likelihood of the measurements; nbgrad gives its gradient, and SciPy fits both noise levels.
"""

import numpy as np
from scipy.optimize import minimize

import nbgrad as ng


def log_likelihood(parameters, measured):
    """Sum of log N(measured; predicted): parameters are the logs of the two noise levels."""
    moves = np.array([[1.0, 1.0], [0.0, 1.0]])
    sees = np.array([[1.0, 0.0]])
    process = np.exp(2 * parameters[0]) * np.array([[0.25, 0.5], [0.5, 1.0]])
    noise = np.exp(2 * parameters[1])
    state, spread = np.zeros(2), 10.0 * np.eye(2)
    total = 0.0
    for y in measured:
        state, spread = moves @ state, moves @ spread @ moves.T + process
        surprise = y - sees @ state
        variance = sees @ spread @ sees.T + noise
        gain = spread @ sees.T / variance
        state, spread = state + gain @ surprise, spread - gain @ sees @ spread
        total = total - 0.5 * (surprise**2 / variance + np.log(2 * np.pi * variance))
    return np.sum(total)


def simulate(steps=60, seed=0):
    """Measurements of a car, with process noise 0.3 and measurement noise 2."""
    rng = np.random.default_rng(seed)
    velocity = np.cumsum(0.3 * rng.normal(size=steps))
    return np.cumsum(velocity) + 2.0 * rng.normal(size=steps)


def differences(f, x, h=1e-6):
    return np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))])


def main(plot=None):
    measured = simulate()
    start = np.array([0.0, 0.0])
    gradient = ng.grad(log_likelihood)(start, measured)
    error = np.abs(gradient - differences(lambda p: log_likelihood(p, measured), start)).max()

    slope = ng.value_and_grad(lambda p: -log_likelihood(p, measured))
    fit = minimize(slope, start, jac=True)
    process, noise = np.exp(fit.x)
    print(f"gradient {gradient}, off finite differences by {error:.1e}")
    print(f"process noise {process:.2f}, measurement noise {noise:.2f}, in {fit.nfev} evaluations")
    if plot:
        draw(plot, measured, fit.x)
    return error / np.abs(gradient).max(), process, noise


def draw(path, measured, best):
    """The measurements, and the log-likelihood about its maximum."""
    from nbgrad.examples import picture

    steps = np.linspace(-1.0, 1.0, 11)
    grid = [[log_likelihood([*best, a, b], measured) for a in steps] for b in steps]
    with picture(path, columns=2) as (left, right):
        left.plot(measured, ".")
        left.set(xlabel="step", ylabel="measured position")
        right.contour(np.exp(best[0] + steps), np.exp(best[1] + steps), grid, 20)
        right.plot(*np.exp(best), "o")
        right.set(xlabel="process noise", ylabel="measurement noise")


if __name__ == "__main__":
    from nbgrad.examples import on_device, taken

    on_device()
    main(taken("--plot"))
