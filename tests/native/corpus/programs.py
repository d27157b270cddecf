"""Dynamic programming: tables that are filled in, soft minima and maxima."""

import math

import numba
import numpy as np

from corpus.table import case, draw, spread


@numba.njit
def softmin3(a, b, c, t):
    low = min(a, min(b, c))
    return low - t * math.log(
        math.exp((low - a) / t) + math.exp((low - b) / t) + math.exp((low - c) / t)
    )


@case(
    np.array([3, 1, 2, 0, 2]),
    np.array([1, 2, 2, 0]),
    draw(1, 4, 4, low=0.1),
    0.8,
    wrt=(2, 3),
    analytic=False,
)
def soft_edit_distance(first, second, costs, gap):
    n, m = len(first), len(second)
    d = np.zeros((n + 1, m + 1))
    for i in range(1, n + 1):
        d[i, 0] = i * gap
    for j in range(1, m + 1):
        d[0, j] = j * gap
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            change = costs[first[i - 1], second[j - 1]]
            d[i, j] = softmin3(d[i - 1, j] + gap, d[i, j - 1] + gap, d[i - 1, j - 1] + change, 0.3)
    return d[n, m]


@case(draw(2, 6), draw(3, 7), wrt=(0, 1))
def soft_warping(x, y):
    n, m = x.shape[0], y.shape[0]
    r = np.full((n + 1, m + 1), 1e3)
    r[0, 0] = 0.0
    for i in range(n):
        for j in range(m):
            low = softmin3(r[i, j], r[i, j + 1], r[i + 1, j], 0.5)
            r[i + 1, j + 1] = (x[i] - y[j]) ** 2 + low
    return r[n, m]


@case(
    spread(4, 3, 3),
    spread(5, 3, 4),
    np.array([0, 2, 1, 3, 1]),
    wrt=(0, 1),
    step=1e-3,
    order2=False,
)
def viterbi(change, emit, seen):
    """The largest of sums: the path is fixed near the input."""
    n = change.shape[0]
    best = np.zeros(n)
    for k in range(n):
        best[k] = emit[k, seen[0]]
    for t in range(1, len(seen)):
        new = np.empty(n)
        for k in range(n):
            top = -1e300
            for j in range(n):
                if best[j] + change[j, k] > top:
                    top = best[j] + change[j, k]
            new[k] = top + emit[k, seen[t]]
        best = new
    return best.max()


@case(draw(6, 3, 3, low=0.1), draw(7, 3, 4, low=0.1), np.array([0, 2, 1, 3, 1, 1]), wrt=(0, 1))
def forward_algorithm(change, emit, seen):
    n = change.shape[0]
    a = np.ones(n) / n
    loglik = 0.0
    for s in seen:
        new = np.zeros(n)
        for j in range(n):
            for i in range(n):
                new[j] += a[i] * change[i, j]
            new[j] *= emit[j, s]
        scale = new.sum()
        loglik += np.log(scale)
        a = new / scale
    return loglik


@case(draw(8, 5, low=0.2), np.array([2, 3, 1, 4, 2]), 7)
def soft_knapsack(values, weights, capacity):
    """Partition function over all subsets that fit."""
    z = np.zeros(capacity + 1)
    z[0] = 1.0
    for i in range(len(weights)):
        boost = math.exp(values[i] / 0.4)
        for w in range(capacity, weights[i] - 1, -1):
            z[w] += z[w - weights[i]] * boost
    return 0.4 * math.log(z.sum())


@case(spread(9, 5), np.array([2, 3, 1, 4, 2]), 7, step=1e-3, order2=False)
def knapsack(values, weights, capacity):
    best = np.zeros(capacity + 1)
    for i in range(len(weights)):
        for w in range(capacity, weights[i] - 1, -1):
            best[w] = max(best[w], best[w - weights[i]] + values[i])
    return best[capacity]


@case(draw(10, 6, low=1.0, high=3.0), analytic=False)
def soft_matrix_chain(sizes):
    n = sizes.shape[0] - 1
    cost = np.zeros((n, n))
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            total = 0.0
            for k in range(i, j):
                c = cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                total += math.exp(-c / 8.0)
            cost[i, j] = -8.0 * math.log(total)
    return cost[0, n - 1]


@case(draw(11, 5, 6, low=0.1), 9)
def paths_on_a_grid(weight, _n):
    """Sum over all monotone paths of products, in place of the table."""
    n, m = weight.shape
    z = weight.copy()
    for i in range(n):
        for j in range(m):
            if i == 0 and j == 0:
                continue
            come = 0.0
            if i > 0:
                come += z[i - 1, j]
            if j > 0:
                come += z[i, j - 1]
            z[i, j] *= come
    return np.log(z[n - 1, m - 1])


@case(draw(12, 4, low=0.3, high=0.9), 6)
def inventory(p, horizon):
    """Backward induction, the best of smooth choices."""
    value = np.zeros(5)
    for _t in range(horizon - 1, -1, -1):
        new = np.zeros_like(value)
        for s in range(5):
            total = 0.0
            for order in range(5 - s):
                reward = (
                    p[0] * s
                    - p[1] * order
                    - p[2] * (s + order) ** 2 / 10
                    + p[3] * value[max(s + order - 1, 0)]
                )
                total += math.exp(3.0 * reward)
            new[s] = math.log(total) / 3.0
        value = new
    return value
