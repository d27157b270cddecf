"""Kalman filters, time series, filters of signals."""

import math

import numpy as np

from corpus.table import case, draw


@case(np.array([0.9, 0.3, 0.5]), draw(1, 25))
def scalar_kalman(p, y):
    x, v = 0.0, 1.0
    loglik = 0.0
    for k in range(y.shape[0]):
        x, v = p[0] * x, p[0] * p[0] * v + p[1]
        s = v + p[2]
        e = y[k] - x
        gain = v / s
        x += gain * e
        v *= 1.0 - gain
        loglik += -0.5 * (math.log(2 * math.pi * s) + e * e / s)
    return loglik


@case(np.array([[1.0, 0.1], [-0.2, 0.9]]), np.array([0.2, 0.4]), draw(2, 12), wrt=(0, 1, 2))
def kalman_by_loops(f, noise, y):
    n = 2
    x, p = np.zeros(n), np.eye(n)
    loglik = 0.0
    for obs in y:
        mean, fp, cov = np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                mean[i] += f[i, j] * x[j]
                for k in range(n):
                    fp[i, j] += f[i, k] * p[k, j]
        for i in range(n):
            for j in range(n):
                for k in range(n):
                    cov[i, j] += fp[i, k] * f[j, k]
            cov[i, i] += noise[0]
        s = cov[0, 0] + noise[1]
        e = obs - mean[0]
        for i in range(n):
            x[i] = mean[i] + cov[i, 0] * e / s
            for j in range(n):
                p[i, j] = cov[i, j] - cov[i, 0] * cov[0, j] / s
        loglik -= 0.5 * (np.log(s) + e**2 / s)
    return loglik


@case(
    np.array([[1.0, 0.1], [-0.2, 0.9]]),
    np.array([[1.0, 0.0], [0.3, 1.0]]),
    0.3,
    draw(3, 8, 2),
    wrt=(0, 1, 2),
    float32=False,
)
def kalman_by_matrices(f, h, q, y):
    x = np.zeros(2)
    p = np.eye(2)
    loglik = 0.0
    for k in range(len(y)):
        x = f @ x
        p = f @ p @ f.T + q * np.eye(2)
        s = h @ p @ h.T + 0.5 * np.eye(2)
        e = y[k] - h @ x
        inverse = np.linalg.inv(s)
        gain = p @ h.T @ inverse
        x = x + gain @ e
        p = p - gain @ h @ p
        loglik -= 0.5 * (np.log(np.linalg.det(s)) + e @ inverse @ e)
    return loglik


@case(np.array([0.5, -0.2]), np.array([0.3]), draw(4, 20), wrt=(0, 1, 2))
def arma(ar, ma, y):
    e = np.zeros_like(y)
    total = 0.0
    for t in range(len(y)):
        guess = 0.0
        for i in range(len(ar)):
            if t - i - 1 >= 0:
                guess += ar[i] * y[t - i - 1]
        for j in range(len(ma)):
            if t - j - 1 >= 0:
                guess += ma[j] * e[t - j - 1]
        e[t] = y[t] - guess
        total += e[t] ** 2
    return total


@case(np.array([0.2, 0.4, 0.2]), np.array([1.0, -0.5, 0.2]), draw(5, 16), wrt=(0, 1, 2))
def recursive_filter(b, a, x):
    """The transposed second form, its state a small array."""
    out = np.empty_like(x)
    z = np.zeros(2)
    for k in range(x.size):
        y = (b[0] * x[k] + z[0]) / a[0]
        z[0] = b[1] * x[k] - a[1] * y + z[1]
        z[1] = b[2] * x[k] - a[2] * y
        out[k] = y
    return out


@case(draw(6, 20), 0.3, wrt=(0, 1))
def exponential_smoothing(x, alpha):
    level = x[0]
    error = 0.0
    for v in x[1:]:
        error += (v - level) ** 2
        level = alpha * v + (1 - alpha) * level
    return error, level


@case(draw(7, 15))
def online_moments(x):
    n = 0
    mean = m2 = m3 = 0.0
    for v in x:
        n += 1
        delta = v - mean
        dn = delta / n
        term = delta * dn * (n - 1)
        mean += dn
        m3 += term * dn * (n - 2) - 3 * dn * m2
        m2 += term
    return mean, m2 / (n - 1), math.sqrt(n) * m3 / m2**1.5


@case(draw(8, 12), draw(9, 5), wrt=(0, 1))
def convolve(x, kernel):
    n, m = x.shape[0], kernel.shape[0]
    out = np.zeros(n - m + 1)
    for i in range(out.shape[0]):
        for j in range(m):
            out[i] += x[i + j] * kernel[m - 1 - j]
    return out


@case(draw(10, 30), 0.05, wrt=(0, 1), float32=False)
def least_mean_squares(x, rate):
    w = np.zeros(3)
    cost = 0.0
    for k in range(3, x.shape[0]):
        window = x[k - 3 : k]
        e = x[k] - np.dot(w, window)
        w = w + rate * e * window
        cost += e * e
    return cost


@case(np.array([0.3, 0.6, 0.1]), draw(11, 10, low=0.0, high=3.0), 5)
def mixture(start, x, rounds):
    """Expectation and maximisation for two normals of one width."""
    weight, low, high = start[1], start[2], start[2] + 1.5
    width = 0.5 + start[0]
    for _ in range(rounds):
        n = a = b = s = 0.0
        for v in x:
            p = weight * math.exp(-0.5 * ((v - low) / width) ** 2)
            q = (1 - weight) * math.exp(-0.5 * ((v - high) / width) ** 2)
            r = p / (p + q)
            n += r
            a += r * v
            b += (1 - r) * v
            s += r * (v - low) ** 2 + (1 - r) * (v - high) ** 2
        weight, low, high = n / len(x), a / n, b / (len(x) - n)
        width = math.sqrt(s / len(x))
    return np.array([weight, low, high, width])


@case(np.array([0.1, -0.4]), draw(12, 20, 2), np.arange(20) % 3 == 0)
def logistic(w, x, label):
    """Booleans choose."""
    total = 0.0
    for i in range(x.shape[0]):
        z = w[0] * x[i, 0] + w[1] * x[i, 1]
        total += np.log1p(np.exp(-z)) if label[i] else np.log1p(np.exp(z))
    return total
