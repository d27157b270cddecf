"""Root finding: the loop ends by what is differentiated."""

import math

import numba
import numpy as np

from corpus.table import case, draw


@case(2.5, 1.0)
def newton(a, x0):
    """The square root."""
    x = x0
    for _ in range(50):
        step = (x * x - a) / (2.0 * x)
        x = x - step
        if abs(step) < 1e-14:
            break
    return x


@case(0.35, 0.8, wrt=(0, 1))
def kepler(eccentricity, mean):
    anomaly = mean
    count = 0
    while True:
        step = (anomaly - eccentricity * math.sin(anomaly) - mean) / (
            1.0 - eccentricity * math.cos(anomaly)
        )
        anomaly -= step
        count += 1
        if abs(step) < 1e-15 or count > 60:
            break
    return math.sqrt((1 + eccentricity) / (1 - eccentricity)) * math.tan(0.5 * anomaly)


@case(3.7, 0.5)
def secant(a, x0):
    before, x = x0, x0 + 1.0
    f_before = before * before * before - a
    for _ in range(40):
        f = x**3 - a
        if abs(f - f_before) < 1e-13:
            break
        before, f_before, x = x, f, x - f * (x - before) / (f - f_before)
    return x


@case(np.array([1.5, -0.4]), analytic=False)
def bisection_polished(p):
    """Bisection alone has derivative zero; a Newton step at its end has the root's."""
    low, high = 0.0, 4.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if math.exp(p[1] * middle) + middle - p[0] - 1.0 > 0.0:
            high = middle
        else:
            low = middle
    x = 0.5 * (low + high)
    for _ in range(2):
        x = x - (math.exp(p[1] * x) + x - p[0] - 1.0) / (p[1] * math.exp(p[1] * x) + 1.0)
    return x


@numba.njit
def cubic(x, c):
    return ((x + c[0]) * x + c[1]) * x + c[2]


@case(np.array([0.2, 1.1, -2.0]), step=1e-4, rtol=1e-7, order2=False, float32=False)
def brent(c):
    a, b = 0.0, 3.0
    fa, fb = cubic(a, c), cubic(b, c)
    d, e, pivot, at = b - a, b - a, a, fa
    for _ in range(100):
        if (fb > 0) == (at > 0):
            pivot, at = a, fa
            d = e = b - a
        if abs(at) < abs(fb):
            a, b, pivot = b, pivot, b
            fa, fb, at = fb, at, fb
        middle = 0.5 * (pivot - b)
        if abs(middle) < 1e-16 or fb == 0.0:
            break
        if abs(e) < 1e-16 or abs(fa) <= abs(fb):
            d = e = middle
        else:
            s = fb / fa
            if a == pivot:
                p, q = 2.0 * middle * s, 1.0 - s
            else:
                q, r = fa / at, fb / at
                p = s * (2.0 * middle * q * (q - r) - (b - a) * (r - 1.0))
                q = (q - 1.0) * (r - 1.0) * (s - 1.0)
            if p > 0:
                q = -q
            else:
                p = -p
            if 2.0 * p < min(3.0 * middle * q - abs(1e-16 * q), abs(e * q)):
                e, d = d, p / q
            else:
                d = e = middle
        a, fa = b, fb
        b = b + d if abs(d) > 1e-16 else b + 1e-16
        fb = cubic(b, c)
    return b - cubic(b, c) / ((3.0 * b + 2.0 * c[0]) * b + c[1])


@case(draw(5, 4, low=0.5, high=1.5), 30)
def broyden(p, steps):
    """A system of two equations, the Jacobian updated by hand."""
    x, y = 1.0, 1.0
    for _ in range(steps):
        f = p[0] * x * x + p[1] * y - 3.0
        g = p[2] * x - p[3] * math.sin(y) - 0.5
        a, b, c, d = 2 * p[0] * x, p[1], p[2], -p[3] * math.cos(y)
        det = a * d - b * c
        dx, dy = (d * f - b * g) / det, (a * g - c * f) / det
        x -= dx
        y -= dy
        if dx * dx + dy * dy < 1e-26:
            return np.array([x, y])
    return np.array([x, y])


@case(0.9, 0.3, wrt=(0, 1))
def fixed_point(a, b):
    x = 0.0
    for k in range(200):
        new = math.tanh(a * x + b)
        if abs(new - x) < 1e-15 and k > 3:
            x = new
            break
        x = new
    return x


@case(2.0, 5)
def lambert(z, steps):
    """Halley's steps."""
    w = math.log(1.0 + z)
    for _ in range(steps):
        ew = math.exp(w)
        f = w * ew - z
        w = w - f / (ew * (w + 1.0) - (w + 2.0) * f / (2.0 * w + 2.0))
    return w
