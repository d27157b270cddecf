"""Bodies, spins, tops, control."""

import math

import numba
import numpy as np

from corpus.table import case, draw


@case(
    draw(1, 4, 3), draw(2, 4, 3) * 0.1, np.array([1.0, 0.5, 0.3, 0.1]), 4, wrt=(0, 1, 2), step=1e-3
)
def n_body(x0, v0, mass, steps):
    """Leapfrog; its energy at the end."""
    x, v = x0.copy(), v0.copy()
    n = x.shape[0]
    h = 0.01
    for _ in range(steps):
        a = np.zeros_like(x)
        for i in range(n):
            for j in range(i + 1, n):
                d = x[j] - x[i]
                r2 = d[0] ** 2 + d[1] ** 2 + d[2] ** 2 + 0.05
                w = 1.0 / (r2 * math.sqrt(r2))
                for k in range(3):
                    a[i, k] += mass[j] * w * d[k]
                    a[j, k] -= mass[i] * w * d[k]
        v += h * a
        x += h * v
    energy = 0.0
    for i in range(n):
        for k in range(3):
            energy += 0.5 * mass[i] * v[i, k] ** 2
        for j in range(i):
            r2 = 0.05
            for k in range(3):
                r2 += (x[i, k] - x[j, k]) ** 2
            energy -= mass[i] * mass[j] / math.sqrt(r2)
    return energy


@case(draw(3, 5, 2) * 3.0)
def lennard_jones(x):
    total = 0.0
    for i in range(len(x)):
        for j in range(i):
            r2 = ((x[i] - x[j]) ** 2).sum() + 0.7
            s6 = 1.0 / (r2 * r2 * r2)
            total += 4.0 * (s6 * s6 - s6)
    return total


@case(0.4, 0.1, np.array([[1, -1, 1, 1], [-1, -1, 1, -1], [1, 1, -1, 1]]), wrt=(0, 1))
def ising(coupling, field, spins):
    """Integers weigh floats; indices wrap."""
    n, m = spins.shape
    energy = 0.0
    for i in range(n):
        for j in range(m):
            near = spins[(i + 1) % n, j] + spins[i, (j + 1) % m]
            energy -= coupling * spins[i, j] * near + field * spins[i, j]
    return math.exp(-energy)


@case(np.array([1.0, 2.0, 3.0]), draw(4, 3), 12, wrt=(0, 1), float32=False)
def rigid_body(inertia, omega, n):
    w = omega.copy()
    q = np.array([1.0, 0.0, 0.0, 0.0]) + 0.0 * w[0]
    h = 0.05
    for _ in range(n):
        torque = np.array([
            (inertia[1] - inertia[2]) * w[1] * w[2] / inertia[0],
            (inertia[2] - inertia[0]) * w[2] * w[0] / inertia[1],
            (inertia[0] - inertia[1]) * w[0] * w[1] / inertia[2],
        ])  # fmt: skip
        w = w + h * torque
        a, b, c, d = q[0], q[1], q[2], q[3]
        q[0] = a - 0.5 * h * (b * w[0] + c * w[1] + d * w[2])
        q[1] = b + 0.5 * h * (a * w[0] + c * w[2] - d * w[1])
        q[2] = c + 0.5 * h * (a * w[1] - b * w[2] + d * w[0])
        q[3] = d + 0.5 * h * (a * w[2] + b * w[1] - c * w[0])
        q /= np.sqrt((q * q).sum())
    return q


@case(
    np.array([[1.0, 0.1], [0.0, 1.0]]),
    np.array([[0.0], [0.1]]),
    np.array([1.0, 0.2]),
    0.3,
    15,
    wrt=(0, 1, 2, 3),
    step=1e-3,
    float32=False,
)
def riccati(a, b, q, r, n):
    """The gain of a linear regulator, by matrix products."""
    p = np.diag(q)
    gain = np.zeros((1, 2))
    for _ in range(n):
        s = r + (b.T @ p @ b)[0, 0]
        gain = (b.T @ p @ a) / s
        p = np.diag(q) + a.T @ p @ (a - b @ gain)
    return gain


@case(np.array([2.0, 0.1, 0.4]), 40, step=1e-4, rtol=1e-8)
def pid(gains, n):
    y, v, total, before = 0.0, 0.0, 0.0, 1.0
    cost = 0.0
    for _ in range(n):
        error = 1.0 - y
        total += error * 0.05
        force = gains[0] * error + gains[1] * total + gains[2] * (error - before) / 0.05
        if force > 1.7:
            force = 1.7
        elif force < -1.7:
            force = -1.7
        before = error
        v += 0.05 * (force - 0.5 * v)
        y += 0.05 * v
        cost += error * error + 0.01 * force * force
    return cost


@case(0.7, 9.0, 0.02, 200, wrt=(0, 1, 2), analytic=False, step=1e-4, order2=False, rtol=1e-7)
def thrown(angle, speed, drag, most):
    """Until it is on the ground, which is where the last step is interpolated."""
    x, y, vx, vy = 0.0, 0.0, speed * math.cos(angle), speed * math.sin(angle)
    h = 0.02
    for _ in range(most):
        v = math.hypot(vx, vy)
        x1, y1 = x + h * vx, y + h * vy
        if y1 < 0.0:
            return x + (x1 - x) * y / (y - y1)
        vx, vy = vx - h * drag * v * vx, vy - h * (9.81 + drag * v * vy)
        x, y = x1, y1
    raise ValueError("it flies on")


@case(draw(5, 3, 2), draw(6, 4, 2, low=0.5), step=1e-3)
def nearest_charge(at, charges):
    """The potential, and how near the nearest is."""
    total, nearest = 0.0, np.inf
    for i in range(at.shape[0]):
        for j in range(charges.shape[0]):
            r = math.sqrt((at[i, 0] - charges[j, 0]) ** 2 + (at[i, 1] - charges[j, 1]) ** 2)
            total += 1.0 / r
            if r < nearest:
                nearest = r
    return total, nearest


@numba.njit(fastmath=True)
def spring(d):
    return 3.0 * d + 0.5 * d**3


@case(draw(7, 8), 6)
def chain(x, n):
    """Springs in a row: FPUT."""
    q = x.copy()
    p = np.zeros_like(q)
    for _ in range(n):
        for i in range(1, q.shape[0] - 1):
            p[i] += 0.05 * (spring(q[i + 1] - q[i]) - spring(q[i] - q[i - 1]))
        q += 0.05 * p
    return q
