"""The gradient of a particle filter's log-likelihood, wholly in compiled code.

A quantity drifts and is measured, both with noise. Each particle carries the gradient of the log-density of its own
history, by the three parameters; the average over particles is the gradient of the log-likelihood (Poyiadjis, Doucet and
Singh, Biometrika 98, 2011). nbgrad gives the gradient of one step's log-density, and, of a Kalman filter in plain
NumPy, the exact answer to compare with.
"""

import time

import numpy as np
from numba import njit

import nbgrad as ng
from nbgrad.examples import picture, taken

TRUE = np.array([0.9, np.log(0.5), np.log(0.7)])


def step_density(parameters, before, now, measured):
    """Log p(now | before) + log p(measured | now)."""
    decay, drift, noise = parameters[0], np.exp(parameters[1]), np.exp(parameters[2])
    moved = ((now - decay * before) / drift) ** 2 / 2 + parameters[1]
    return -moved - ((measured - now) / noise) ** 2 / 2 - parameters[2]


step = ng.compile(step_density, TRUE, 0.0, 0.0, 0.0)


@njit
def filtered(rng, parameters, measured, count):
    """The log-likelihood and its gradient, by *count* particles."""
    decay, drift, noise = parameters[0], np.exp(parameters[1]), np.exp(parameters[2])
    x, moved = rng.normal(0.0, 1.0, count), np.empty(count)
    score, gathered = np.zeros((count, 3)), np.zeros((count, 3))
    weight, slope, total = np.empty(count), np.empty(3), 0.0
    for y in measured:
        for k in range(count):
            moved[k] = decay * x[k] + drift * rng.standard_normal()
            step.grad(parameters, x[k], moved[k], y, slope)
            score[k] += slope
            weight[k] = np.exp(-(((y - moved[k]) / noise) ** 2) / 2) / noise
        whole = weight.sum()
        total += np.log(whole / count / np.sqrt(2 * np.pi))
        # The score is that of the weighted particles: those that are drawn again, evenly spaced.
        at, reached = 0, weight[0]
        for k in range(count):
            target = (k + rng.random()) / count * whole
            while reached < target and at < count - 1:
                at += 1
                reached += weight[at]
            x[k], gathered[k] = moved[at], score[at]
        score[:] = gathered
    found = np.zeros(3)
    for k in range(count):
        found += score[k] / count
    return total, found


def kalman(parameters, measured):
    """The same exactly."""
    decay, drift, noise = parameters[0], np.exp(2 * parameters[1]), np.exp(2 * parameters[2])
    mean, variance, total = 0.0, 1.0, 0.0
    for y in measured:
        mean, variance = decay * mean, decay**2 * variance + drift
        whole = variance + noise
        total = total - ((y - mean) ** 2 / whole + np.log(2 * np.pi * whole)) / 2
        gain = variance / whole
        mean, variance = mean + gain * (y - mean), (1 - gain) * variance
    return total


def simulate(steps, seed=0):
    rng = np.random.default_rng(seed)
    x, measured = 0.0, []
    for _ in range(steps):
        x = TRUE[0] * x + np.exp(TRUE[1]) * rng.normal()
        measured.append(x + np.exp(TRUE[2]) * rng.normal())
    return np.array(measured)


def main(steps=30, count=2000, plot=None):
    measured, at = simulate(steps), TRUE + np.array([-0.2, 0.2, 0.2])
    filtered(np.random.default_rng(0), at, measured, 2)  # compiled
    began = time.perf_counter()
    value, slope = filtered(np.random.default_rng(1), at, measured, count)
    took = time.perf_counter() - began
    exact, exactly = ng.value_and_grad(kalman)(at, measured)
    print(f"log-likelihood {value:.2f}, exactly {exact:.2f}")
    print(f"gradient {slope}, exactly {np.array(exactly)}")
    print(f"{1e9 * took / steps / count:.0f} ns a particle and step")
    if plot:
        draw(plot, slope, exactly)
    return value - exact, slope - exactly, exactly


def draw(path, slope, exactly):
    """The derivatives by the three parameters."""
    with picture(path) as axes:
        axes.bar(np.arange(3) - 0.2, slope, 0.4, label="particles")
        axes.bar(np.arange(3) + 0.2, exactly, 0.4, label="exact")
        axes.set(xticks=range(3), xticklabels=["decay", "log drift", "log noise"])
        axes.legend()


if __name__ == "__main__":
    main(int(taken("--steps") or 100), int(taken("--particles") or 20000), taken("--plot"))
