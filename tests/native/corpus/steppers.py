"""Differential equations: explicit, symplectic, adaptive, implicit."""

import math

import numba
import numpy as np

from corpus.table import case, draw


@case(0.7, 1.3, 30, wrt=(0, 1))
def euler(rate, y0, n):
    y = y0
    for k in range(n):
        y = y + 0.05 * (rate * y * (1.0 - y) - 0.1 * math.sin(0.3 * k))
    return y


@numba.njit
def prey(u, v, p):
    return p[0] * u - p[1] * u * v, p[2] * u * v - p[3] * v


@case(np.array([1.1, 0.4, 0.1, 0.4]), np.array([10.0, 5.0]), 0.05, 20, wrt=(0, 1, 2), step=1e-3)
def lotka_volterra(p, start, h, n):
    u, v = start[0], start[1]
    for _ in range(n):
        a1, b1 = prey(u, v, p)
        a2, b2 = prey(u + 0.5 * h * a1, v + 0.5 * h * b1, p)
        a3, b3 = prey(u + 0.5 * h * a2, v + 0.5 * h * b2, p)
        a4, b4 = prey(u + h * a3, v + h * b3, p)
        u += h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        v += h / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
    return u, v


@case(draw(7, 3), 15)
def verlet(z, n):
    """A pendulum: position, velocity and length."""
    q, v = z[0], z[1]
    length = 1.5 + z[2]
    h = 0.1
    path = np.zeros(n)
    for k in range(n):
        v -= 0.5 * h * math.sin(q) / length
        q += h * v
        v -= 0.5 * h * math.sin(q) / length
        path[k] = q
    return path


@case(0.9, 1.2, wrt=(0, 1), step=1e-4, rtol=1e-8, order2=False)
def adaptive_heun(stiffness, end):
    """The step is a function of the error: it and the count of steps depend on the inputs."""
    t, y, h = 0.0, 1.0, 0.1
    while t < end:
        if t + h > end:
            h = end - t
        k1 = -stiffness * y + math.cos(t)
        k2 = -stiffness * (y + h * k1) + math.cos(t + h)
        error = abs(0.5 * h * (k2 - k1))
        if error > 1e-3:
            h = 0.5 * h
            continue
        y += 0.5 * h * (k1 + k2)
        t += h
        h = h * min(2.0, 0.9 * math.sqrt(1e-3 / (error + 1e-12)))
    return y


@case(np.array([3.0, 0.5]), 12)
def implicit_euler(p, n):
    """A Newton iteration in each step."""
    y, h = 1.0, 0.1
    for k in range(n):
        z = y
        for _ in range(8):
            residual = z - y + h * (p[0] * z**3 - p[1] * math.cos(k * h))
            z -= residual / (1.0 + 3.0 * h * p[0] * z * z)
        y = z
    return y


@case(draw(9, 4), draw(10, 4, 4), 10, float32=False)
def linear_system(y0, a, n):
    """Matrix products in a loop."""
    y = y0.copy()
    for _ in range(n):
        y = y + 0.05 * (a @ y)
    return y


@case(np.array([0.04, 30.0, 1.1]), 4, step=1e-3, rtol=1e-8)
def rosenbrock_method(p, n):
    """Robertson's kinetics, a small linear system solved in each step."""
    y = np.array([1.0, 0.0, 0.0])
    h = 0.05
    for _ in range(n):
        f = np.empty(3)
        f[0] = -p[0] * y[0] + p[2] * y[1] * y[2]
        f[2] = p[1] * y[1] * y[1]
        f[1] = -f[0] - f[2]
        jac = np.zeros((3, 3))
        jac[0, 0], jac[0, 1], jac[0, 2] = -p[0], p[2] * y[2], p[2] * y[1]
        jac[2, 1] = 2 * p[1] * y[1]
        for j in range(3):
            jac[1, j] = -jac[0, j] - jac[2, j]
        y = y + np.linalg.solve(np.eye(3) - h * jac, h * f)
    return y


@case(np.array([10.0, 28.0, 8.0 / 3.0]), draw(11, 3), 25, wrt=(0, 1), step=1e-3, float32=False)
def lorenz(p, x, n):
    """Slices and whole arrays."""
    h = 0.01
    y = x.copy()
    for _ in range(n):
        mid = y + 0.5 * h * np.array(
            [p[0] * (y[1] - y[0]), y[0] * (p[1] - y[2]) - y[1], y[0] * y[1] - p[2] * y[2]]
        )
        y = y + h * np.array(
            [
                p[0] * (mid[1] - mid[0]),
                mid[0] * (p[1] - mid[2]) - mid[1],
                mid[0] * mid[1] - p[2] * mid[2],
            ]
        )
    return y


@case(draw(12, 20), 0.4, 0.1, wrt=(0, 1, 2), step=5e-3)
def euler_maruyama(normals, sigma, h):
    x = 1.0
    for z in normals:
        x += -0.5 * x * h + sigma * x * math.sqrt(h) * z
    return x


@case(draw(13, 2), 0, wrt=0)
def no_steps(y, n):
    """The loop runs no time."""
    total = y[0]
    for k in range(n):
        total = total * y[1] + k
    return total * total
