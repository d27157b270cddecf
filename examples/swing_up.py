"""A pendulum swung up by a weak motor: a trajectory optimiser wholly in compiled code.

The motion of one time step and the cost are plain NumPy. nbgrad gives the Jacobian of the one, and gradient and Hessian
of the other; the iterative linear-quadratic regulator (Li and Todorov, ICINCO 2004), with a line search, is a
loop in ``@njit``.
"""

import time

import numpy as np
from numba import njit

import nbgrad as ng
from nbgrad.examples import picture, taken

STEP, LIMIT = 0.05, 2.0


def move(z):
    """Angle and speed after a step; z is the angle from hanging, the speed and the torque."""
    torque = LIMIT * np.tanh(z[2])
    speed = z[1] + STEP * (torque - 4.905 * np.sin(z[0]) - 0.1 * z[1])
    return np.stack([z[0] + STEP * speed, speed])


def cost(z):
    return STEP * (1 + np.cos(z[0]) + 0.01 * z[1] ** 2 + 0.01 * z[2] ** 2)


def last(z):
    return 20 * (1 + np.cos(z[0])) + 2 * z[1] ** 2 + 0 * z[2]


motion, price, end = (ng.compile(f, np.zeros(3)) for f in (move, cost, last))


@njit
def rolled(start, torques, path, gains, openings, rate, found):
    """Follow the policy: the path to *found*, its torques, and what it costs."""
    z, total, n = np.zeros(3), 0.0, torques.size
    z[:2] = start
    for k in range(n):
        z[2] = torques[k] + rate * openings[k]
        for i in range(2):
            z[2] += gains[k, i] * (z[i] - path[k, i])
        found[k] = z
        total += price.value(z)
        z[:2] = motion.value(z)
    z[2] = 0.0
    found[n] = z
    return total + end.value(z)


@njit
def improved(path, gains, openings, damping):
    """The policy from the end of *path* to its start: what it is to gain, or 0 where it has no curvature."""
    n, expected = len(gains), 0.0
    v, vv = end.grad(path[n])[:2].copy(), end.hess(path[n])[:2, :2].copy()
    for k in range(n - 1, -1, -1):
        f = motion.jacobian(path[k])
        q = price.grad(path[k]) + f.T @ v
        qq = price.hess(path[k]) + f.T @ vv @ f
        bend = qq[2, 2] + damping
        if bend <= 0:
            return 0.0
        openings[k] = -q[2] / bend
        gains[k] = -qq[2, :2] / bend
        expected += 0.5 * q[2] ** 2 / bend
        v = q[:2] + gains[k] * q[2] + (qq[:2, 2] + gains[k] * qq[2, 2]) * openings[k]
        outer = np.outer(qq[:2, 2], gains[k])
        vv = qq[:2, :2] + outer + outer.T + np.outer(gains[k], gains[k]) * qq[2, 2]
    return expected


@njit
def planned(start, torques, iterations):
    """Costs of each iteration, and the path."""
    n, damping = torques.size, 1e-2
    path, trial = np.zeros((n + 1, 3)), np.zeros((n + 1, 3))
    gains, openings, costs = np.zeros((n, 2)), np.zeros(n), np.empty(iterations + 1)
    total = rolled(start, torques, path, gains, openings, 0.0, path)
    for it in range(iterations):
        costs[it] = total
        rate, better = 1.0, False
        if improved(path, gains, openings, damping) > 0:
            for _ in range(8):
                now = rolled(start, path[:n, 2].copy(), path, gains, openings, rate, trial)
                if now < total:
                    better = True
                    break
                rate *= 0.5
        damping = max(1e-6, damping / 3) if better else damping * 5
        if better:
            path[:], total = trial, now
    costs[iterations] = total
    return costs, path


def main(plot=None, iterations=200):
    torques = 0.5 * np.sin(2.2 * STEP * np.arange(120))
    planned(np.zeros(2), torques, 1)  # compiled
    began = time.perf_counter()
    costs, path = planned(np.zeros(2), torques, iterations)
    took = time.perf_counter() - began
    print(
        f"cost {costs[0]:.2f} to {costs[-1]:.3f} in {1e3 * took:.1f} ms; ends at {path[-1, 0] / np.pi:.3f} pi"
    )
    if plot:
        draw(path, plot)
    return costs, path


def draw(path, name):
    with picture(name) as axes:
        axes.plot(STEP * np.arange(len(path)), path[:, 0] / np.pi, label="angle / pi")
        axes.plot(STEP * np.arange(len(path) - 1), LIMIT * np.tanh(path[:-1, 2]), label="torque")
        axes.set(xlabel="time")
        axes.legend()


if __name__ == "__main__":
    main(taken("--plot"), int(taken("--iterations") or 200))
