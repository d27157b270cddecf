"""Graphs and neural nets."""

import math

import numpy as np

from corpus.table import case, draw, spread

HEAD = np.array([0, 0, 1, 2, 2, 3, 1])
TAIL = np.array([1, 2, 3, 1, 3, 4, 4])


@case(draw(1, 7, low=0.2))
def soft_shortest_path(length):
    d = np.full(5, 50.0)
    d[0] = 0.0
    for _ in range(5):
        for e in range(length.shape[0]):
            a, b = d[TAIL[e]], d[HEAD[e]] + length[e]
            low = min(a, b)
            d[TAIL[e]] = low - 0.2 * math.log(
                math.exp((low - a) / 0.2) + math.exp((low - b) / 0.2)
            )
    return d[4]


@case(spread(2, 5, 5), step=1e-3, order2=False)
def floyd_warshall(weights):
    d = weights + 0.2
    n = len(d)
    for k in range(n):
        for i in range(n):
            for j in range(n):
                if d[i, k] + d[k, j] < d[i, j]:
                    d[i, j] = d[i, k] + d[k, j]
    return d


@case(spread(3, 7) + 0.1, step=1e-3, order2=False)
def dijkstra(length):
    d = np.full(5, np.inf)
    done = np.zeros(5, np.bool_)
    d[0] = 0.0
    for _ in range(5):
        best = -1
        for v in range(5):
            if not done[v] and (best < 0 or d[v] < d[best]):
                best = v
        done[best] = True
        for e in range(len(HEAD)):
            if HEAD[e] == best:
                d[TAIL[e]] = min(d[TAIL[e]], d[best] + length[e])
    return d[1:]


@case(draw(4, 4, 4, low=0.1), 0.85, 20, wrt=(0, 1), float32=False)
def page_rank(links, damping, n):
    size = links.shape[0]
    p = links.copy()
    for j in range(size):
        p[:, j] /= p[:, j].sum()
    rank = np.ones(size) / size
    for _ in range(n):
        rank = (1.0 - damping) / size + damping * (p @ rank)
    return rank


@case(draw(5, 4, 3), draw(6, 4), draw(7, 2, 4), draw(8, 5, 3), wrt=(0, 1, 2))
def two_layers(w1, b1, w2, x):
    loss = 0.0
    for s in range(x.shape[0]):
        hidden = np.empty(b1.shape[0])
        for i in range(hidden.shape[0]):
            z = b1[i]
            for j in range(x.shape[1]):
                z += w1[i, j] * x[s, j]
            hidden[i] = math.tanh(z)
        for k in range(w2.shape[0]):
            out = 0.0
            for i in range(hidden.shape[0]):
                out += w2[k, i] * hidden[i]
            loss += (out - 0.3 * k) ** 2
    return loss / x.shape[0]


@case(draw(9, 3, 2), draw(10, 3, 3), draw(11, 6, 2), wrt=(0, 1, 2), float32=False)
def recurrent(w, u, x):
    h = np.zeros(3)
    for t in range(len(x)):
        h = np.tanh(w @ x[t] + u @ h)
    return h


@case(draw(12, 4, 3), draw(13, 4, 3), draw(14, 4, 2), wrt=(0, 1, 2))
def attention(q, k, v):
    n, d = q.shape
    out = np.zeros((n, v.shape[1]))
    for i in range(n):
        scores = np.empty(i + 1)
        for j in range(i + 1):
            scores[j] = np.dot(q[i], k[j]) / math.sqrt(d)
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        for j in range(i + 1):
            out[i] += weights[j] * v[j]
    return out


@case(draw(15, 6, 2), step=1e-3)
def kernel_matrix(x):
    """Numba's array expressions, a determinant."""
    n = x.shape[0]
    k = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            k[i, j] = np.exp(-0.5 * np.sum((x[i] - x[j]) ** 2) / 0.4)
        k[i, i] += 0.1
    return np.log(np.linalg.det(k))


@case(draw(16, 5), 3, 0.4, wrt=(0, 2))
def trained(w, steps, rate):
    """Descent inside: derivatives of what was learnt."""
    v = w.copy()
    for _ in range(steps):
        g = np.zeros_like(v)
        for i in range(v.shape[0]):
            g[i] = 2.0 * v[i] + 0.4 * v[i] ** 3 - math.cos(v[i - 1])
        v -= 0.3 * rate * g
    return v


@case(draw(17, 4), draw(18, 4, 4), wrt=(0, 1), float32=False)
def relu_layers(x, w):
    y = x.copy()
    for _ in range(3):
        y = np.maximum(w @ y, 0.1 * y)
    return y.sum() + np.where(y > 0, y, 0.5 * y)[0]
