"""Functions that call themselves."""

import math

import numba
import numpy as np

from corpus.table import case, draw


@case(0.6, 1.1, 9, wrt=(0, 1))
def fibonacci(a, b, n):
    if n == 0:
        return a
    if n == 1:
        return b
    return fibonacci(a, b, n - 1) + 0.5 * fibonacci(a, b, n - 2) * a


@numba.njit
def ackermann(m, n, x):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1, x)
    return ackermann(m - 1, ackermann(m, n - 1, x), x)


@case(0.8)
def bounded_ackermann(x):
    """An integer of a recursion is an exponent."""
    return x ** ackermann(2, 2, 0) + math.sin(x * ackermann(1, 2, 0))


@case(1.3, 12)
def continued_fraction(x, n):
    if n == 0:
        return x
    return x + n / continued_fraction(x + 0.1, n - 1)


@case(draw(1, 7), np.array([1, 3, 5, -1, -1, -1, -1]), np.array([2, 4, 6, -1, -1, -1, -1]), 0)
def tree_walk(weight, left, right, node):
    if node < 0:
        return 1.0
    below = tree_walk(weight, left, right, left[node]) * tree_walk(
        weight, left, right, right[node]
    )
    return math.tanh(weight[node]) + math.exp(weight[node]) * below


@case(0.7, 6)
def even_steps(x, n):
    """Two that call each other, one inside of the other's branches."""
    if n <= 0:
        return x
    if n % 2 == 0:
        return math.sin(even_steps(x, n - 1)) + x
    return math.cos(even_steps(x, n - 1)) * x


@case(draw(2, 16))
def pairwise_sum(x):
    """Slices go down, sums come up."""
    n = x.shape[0]
    if n == 1:
        return x[0] * x[0]
    half = n // 2
    return 1.1 * pairwise_sum(x[:half]) + pairwise_sum(x[half:])


@case(3.0, 4.0, wrt=(0, 1))
def arithmetic_geometric(a, b):
    if abs(a - b) < 1e-13:
        return 0.5 * (a + b)
    return arithmetic_geometric(0.5 * (a + b), math.sqrt(a * b))


@case(draw(3, 5), 1.7, wrt=(0, 1))
def divided_differences(y, at):
    """Newton's polynomial in place, evaluated by recursion."""
    n = y.shape[0]
    c = y.copy()
    for j in range(1, n):
        for i in range(n - 1, j - 1, -1):
            c[i] = (c[i] - c[i - 1]) / j
    return nested(c, at, 0)


@numba.njit
def nested(c, at, k):
    if k == c.shape[0] - 1:
        return c[k]
    return c[k] + (at - k) * nested(c, at, k + 1)


@case(draw(4, 3, 3), 5)
def matrix_power(a, n):
    if n == 1:
        return a
    if n % 2 == 0:
        half = matrix_power(a, n // 2)
        return half @ half
    return a @ matrix_power(a, n - 1)
