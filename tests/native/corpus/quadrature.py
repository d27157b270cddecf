"""Integrals: sums over nodes, extrapolation, recursion."""

import math

import numba
import numpy as np

from corpus.table import case, draw


@numba.njit
def wave(x, a, b):
    return math.exp(-a * x) * math.sin(b * x)


@case(0.3, 2.0, 40, wrt=(0, 1))
def simpson(a, b, n):
    h = b / n
    total = wave(0.0, a, b) + wave(b, a, b)
    for i in range(1, n):
        total += (4.0 if i % 2 else 2.0) * wave(i * h, a, b)
    return total * h / 3.0


@case(np.array([0.7, 1.3]), 25)
def trapezoid(p, n):
    h = (p[1] - p[0]) / n
    total = 0.5 * (math.cos(p[0] ** 2) + math.cos(p[1] ** 2))
    for i in range(1, n):
        total += math.cos((p[0] + i * h) ** 2)
    return h * total


NODES = np.array(
    [-0.9061798459386640, -0.5384693101056831, 0.0, 0.5384693101056831, 0.9061798459386640]
)
WEIGHTS = np.array([0.2369268850561891, 0.4786286704993665, 0.5688888888888889, 0.4786286704993665, 0.2369268850561891])  # fmt: skip


@case(0.4, 1.9, wrt=(0, 1))
def gauss(low, high):
    """Nodes and weights are globals."""
    half, middle = 0.5 * (high - low), 0.5 * (high + low)
    total = 0.0
    for k in range(NODES.shape[0]):
        x = middle + half * NODES[k]
        total += WEIGHTS[k] * np.log(1.0 + x * x) / x
    return half * total


@case(0.8, 5)
def romberg(b, rows):
    table = np.zeros((rows, rows))
    h = b
    table[0, 0] = 0.5 * h * (1.0 + math.exp(-b * b))
    for i in range(1, rows):
        h *= 0.5
        inner = 0.0
        for k in range(1, 2**i, 2):
            inner += math.exp(-((k * h) ** 2))
        table[i, 0] = 0.5 * table[i - 1, 0] + h * inner
        for j in range(1, i + 1):
            table[i, j] = table[i, j - 1] + (table[i, j - 1] - table[i - 1, j - 1]) / (4**j - 1)
    return table[rows - 1, rows - 1]


@case(0.2, 1.4, 1.7, 1e-5, 12, wrt=(0, 1, 2), step=1e-4, order2=False, rtol=1e-8)
def adaptive(low, high, a, tolerance, depth):
    """Splits itself where the halves disagree: branches on what is differentiated."""
    middle = 0.5 * (low + high)
    h = high - low
    ends = 1.0 / (1.0 + a * low * low) + 1.0 / (1.0 + a * high * high)
    whole = h * (ends + 4.0 / (1.0 + a * middle * middle)) / 6.0
    left, right = 0.5 * (low + middle), 0.5 * (middle + high)
    at_middle = 1.0 / (1.0 + a * middle * middle)
    first = h / 12.0 * (1.0 / (1.0 + a * low * low) + 4.0 / (1.0 + a * left * left) + at_middle)
    second = (
        h / 12.0 * (at_middle + 4.0 / (1.0 + a * right * right) + 1.0 / (1.0 + a * high * high))
    )
    if depth <= 0 or abs(first + second - whole) < tolerance:
        return first + second
    half = 0.5 * tolerance
    return adaptive(low, middle, a, half, depth - 1) + adaptive(middle, high, a, half, depth - 1)


@case(draw(1, 3), 6, 7)
def product_rule(c, n, m):
    """A double integral, the inner bounds of which depend on the outer variable."""
    total = 0.0
    for i in range(n):
        x = (i + 0.5) / n
        top = 1.0 + c[0] * x
        inner = 0.0
        for j in range(m):
            y = top * (j + 0.5) / m
            inner += np.exp(c[1] * x * y) * np.cos(c[2] * y)
        total += inner * top / m
    return total / n


@case(draw(2, 12), draw(3, 12, low=0.1))
def cumulative(y, widths):
    """Running integral: an array that is returned."""
    out = np.empty(y.shape[0])
    total = 0.0
    for i in range(y.shape[0]):
        total += y[i] * y[i] * widths[i]
        out[i] = total
    return out
