"""Interpolation, polynomials, special functions by series, geometry, rays."""

import math

import numba
import numpy as np

from corpus.table import case, draw

KNOTS = np.array([0.0, 0.7, 1.5, 2.1, 3.0])


@numba.njit
def interval(knots, at):
    low, high = 0, knots.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if knots[middle] <= at:
            low = middle
        else:
            high = middle
    return low


@case(draw(1, 5), np.array([0.3, 1.2, 2.6]), wrt=(0, 1))
def linear_interpolation(y, at):
    out = np.empty(at.shape[0])
    for k in range(at.shape[0]):
        i = interval(KNOTS, at[k])
        w = (at[k] - KNOTS[i]) / (KNOTS[i + 1] - KNOTS[i])
        out[k] = (1.0 - w) * y[i] + w * y[i + 1]
    return out


@case(KNOTS, draw(2, 5), 1.9, wrt=(0, 1, 2))
def cubic_spline(x, y, at):
    n = x.shape[0]
    m, c, d = np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(1, n - 1):
        h0, h1 = x[i] - x[i - 1], x[i + 1] - x[i]
        pivot = 2.0 * (h0 + h1) - h0 * c[i - 1]
        c[i] = h1 / pivot
        d[i] = (6.0 * ((y[i + 1] - y[i]) / h1 - (y[i] - y[i - 1]) / h0) - h0 * d[i - 1]) / pivot
    for i in range(n - 2, 0, -1):
        m[i] = d[i] - c[i] * m[i + 1]
    i = interval(x, at)
    h = x[i + 1] - x[i]
    a, b = (x[i + 1] - at) / h, (at - x[i]) / h
    return a * y[i] + b * y[i + 1] + ((a**3 - a) * m[i] + (b**3 - b) * m[i + 1]) * h * h / 6.0


@case(draw(3, 4, 5), 1.3, 2.4, wrt=(0, 1, 2))
def bilinear(grid, u, v):
    """The cell is an integer of what is differentiated."""
    i, j = int(u), int(v)
    s, t = u - i, v - j
    return (
        (1 - s) * (1 - t) * grid[i, j] + s * (1 - t) * grid[i + 1, j]
        + (1 - s) * t * grid[i, j + 1] + s * t * grid[i + 1, j + 1]
    )  # fmt: skip


@case(draw(4, 6, 2), 0.4, wrt=(0, 1))
def de_casteljau(points, t):
    p = points.copy()
    n = len(p)
    for r in range(1, n):
        for i in range(n - r):
            p[i] = (1.0 - t) * p[i] + t * p[i + 1]
    return p[0]


@case(draw(5, 7), 0.8, wrt=(0, 1))
def horner(c, x):
    total = 0.0
    for a in c[::-1]:
        total = total * x + a
    return total


@case(draw(6, 7), 0.3, wrt=(0, 1))
def clenshaw(c, x):
    b1 = b2 = 0.0
    for k in range(len(c) - 1, 0, -1):
        b1, b2 = 2.0 * x * b1 - b2 + c[k], b1
    return x * b1 - b2 + c[0]


@case(0.6, 8)
def legendre(x, n):
    p = np.ones(n)
    p[1] = x
    for k in range(1, n - 1):
        p[k + 1] = ((2 * k + 1) * x * p[k] - k * p[k - 1]) / (k + 1)
    return p


@case(1.4)
def bessel_series(x):
    term = total = 1.0
    k = 0
    while abs(term) > 1e-17 and k < 60:
        k += 1
        term = -term * (0.5 * x) ** 2 / (k * k)
        total += term
    return total


@case(2.3, 0.9, wrt=(0, 1))
def incomplete_gamma(a, x):
    term = total = 1.0 / a
    for n in range(1, 60):
        term *= x / (a + n)
        total += term
    return total * math.exp(-x + a * math.log(x))


@case(3.4)
def stirling(x):
    shift = 0.0
    while x < 8.0:
        shift -= math.log(x)
        x += 1.0
    return shift + (x - 0.5) * math.log(x) - x + 1.0 / (12.0 * x) - 1.0 / (360.0 * x**3)


@case(0.3, 0.5, 1.5, 0.6, wrt=(0, 1, 2, 3))
def hypergeometric(a, b, c, x):
    term = total = 1.0
    for k in range(40):
        term *= (a + k) * (b + k) / ((c + k) * (1 + k)) * x
        total += term
    return total


@case(draw(7, 5, 2))
def polygon_area(p):
    area = 0.0
    for i in range(p.shape[0]):
        j = (i + 1) % p.shape[0]
        area += p[i, 0] * p[j, 1] - p[j, 0] * p[i, 1]
    return 0.5 * area


@case(
    np.array([0.1, 0.2, -3.0]),
    np.array([0.05, -0.03, 1.0]),
    np.array([0.0, 0.1, 0.4, 1.0]),
    wrt=(0, 1, 2),
    step=1e-3,
)
def ray_through_a_sphere(origin, direction, sphere):
    """Where it hits, its normal, the light it gets; outside there is nothing."""
    d = direction / np.sqrt((direction**2).sum())
    towards = origin - sphere[:3]
    b = (towards * d).sum()
    under = b * b - (towards * towards).sum() + sphere[3] ** 2
    if under < 0.0:
        return 0.0
    at = origin + (-b - np.sqrt(under)) * d
    normal = (at - sphere[:3]) / sphere[3]
    light = np.array([0.3, 0.8, -0.5])
    shade = (normal * light).sum()
    return shade**3 if shade > 0 else 0.1 * shade


@case(draw(8, 3), 0.5, wrt=(0, 1))
def rotated(axis, angle):
    """Rodrigues, functions that give tuples."""
    n = unit(axis[0], axis[1], axis[2] + 2.0)
    v = (1.0, 0.0, 0.5)
    c, s = math.cos(angle), math.sin(angle)
    x = cross(n, v)
    dot = n[0] * v[0] + n[1] * v[1] + n[2] * v[2]
    return (
        c * v[0] + s * x[0] + (1 - c) * dot * n[0],
        c * v[1] + s * x[1] + (1 - c) * dot * n[1],
        c * v[2] + s * x[2] + (1 - c) * dot * n[2],
    )


@numba.njit
def unit(x, y, z):
    r = math.sqrt(x * x + y * y + z * z)
    return x / r, y / r, z / r


@numba.njit
def cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@case(0.5, 0.7, -0.3, 0.4, wrt=(0, 1, 2, 3), analytic=False)
def great_circle(lat1, lon1, lat2, lon2):
    h = math.sin(0.5 * (lat2 - lat1)) ** 2
    h += math.cos(lat1) * math.cos(lat2) * math.sin(0.5 * (lon2 - lon1)) ** 2
    bearing = math.atan2(math.sin(lon2 - lon1) * math.cos(lat2), math.cos(lat1) * math.sin(lat2))
    return 2.0 * math.asin(math.sqrt(h)) + 0.1 * bearing
