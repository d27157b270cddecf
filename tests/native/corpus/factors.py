"""Factorisations by hand."""

import math

import numpy as np

from corpus.table import case, draw

MATRIX = draw(1, 5, 5) + 3.0 * np.eye(5)
SYMMETRIC = MATRIX @ MATRIX.T / 5.0 + np.diag(np.arange(5.0))


@case(MATRIX)
def lu_determinant(a):
    """With pivots: rows change their places."""
    n = a.shape[0]
    u = a.copy()
    det = 1.0
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(u[i, k]) > abs(u[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(n):
                u[k, j], u[pivot, j] = u[pivot, j], u[k, j]
            det = -det
        det *= u[k, k]
        for i in range(k + 1, n):
            factor = u[i, k] / u[k, k]
            for j in range(k, n):
                u[i, j] -= factor * u[k, j]
    return det


@case(SYMMETRIC)
def cholesky(a):
    n = len(a)
    low = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= low[i, k] * low[j, k]
            if i == j:
                low[i, i] = math.sqrt(s)
            else:
                low[i, j] = s / low[j, j]
    return low


@case(draw(2, 5, 3))
def householder(a):
    """Whole columns and slices."""
    r = a.copy()
    m, n = r.shape
    for k in range(n):
        x = r[k:, k].copy()
        norm = np.sqrt((x * x).sum())
        v = x.copy()
        v[0] += norm if x[0] > 0 else -norm
        v /= np.sqrt((v * v).sum())
        for j in range(k, n):
            dot = 2.0 * (v * r[k:, j]).sum()
            for i in range(k, m):
                r[i, j] -= dot * v[i - k]
    return r[:n]


@case(draw(3, 4, 4))
def givens(a):
    r = a.copy()
    n = r.shape[0]
    for j in range(n):
        for i in range(n - 1, j, -1):
            h = math.hypot(r[i - 1, j], r[i, j])
            c, s = r[i - 1, j] / h, r[i, j] / h
            for k in range(j, n):
                top, low = r[i - 1, k], r[i, k]
                r[i - 1, k] = c * top + s * low
                r[i, k] = c * low - s * top
    return np.diag(r)


@case(draw(4, 7), draw(5, 8, low=3.0, high=4.0), draw(6, 7), draw(7, 8), wrt=(0, 1, 2, 3))
def tridiagonal(lower, diagonal, upper, right):
    n = diagonal.shape[0]
    c, d = np.empty(n), np.empty(n)
    c[0], d[0] = upper[0] / diagonal[0], right[0] / diagonal[0]
    for i in range(1, n):
        m = diagonal[i] - lower[i - 1] * c[i - 1]
        if i < n - 1:
            c[i] = upper[i] / m
        d[i] = (right[i] - lower[i - 1] * d[i - 1]) / m
    for i in range(n - 2, -1, -1):
        d[i] -= c[i] * d[i + 1]
    return d


@case(SYMMETRIC, step=1e-3, rtol=1e-7, float32=False, analytic=False)
def jacobi_eigenvalues(matrix):
    a = 0.5 * (matrix + matrix.T)
    n = a.shape[0]
    for _sweep in range(7):
        for p in range(n):
            for q in range(p + 1, n):
                if abs(a[p, q]) < 1e-30:  # of less the square of theta overflows at order 2
                    continue
                theta = (a[q, q] - a[p, p]) / (2.0 * a[p, q])
                t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + math.sqrt(theta * theta + 1.0))
                c = 1.0 / math.sqrt(t * t + 1.0)
                s = t * c
                for k in range(n):
                    x, y = a[k, p], a[k, q]
                    a[k, p], a[k, q] = c * x - s * y, s * x + c * y
                for k in range(n):
                    x, y = a[p, k], a[q, k]
                    a[p, k], a[q, k] = c * x - s * y, s * x + c * y
    total = 0.0
    for i in range(n):
        total += (i + 1.0) * 0.0 + a[i, i] ** 3
    return total


@case(MATRIX)
def gauss_jordan(a):
    n = a.shape[0]
    work = np.zeros((n, 2 * n))
    work[:, :n] = a
    for i in range(n):
        work[i, n + i] = 1.0
    for k in range(n):
        work[k] /= work[k, k]
        for i in range(n):
            if i != k:
                work[i] -= work[i, k] * work[k]
    return work[:, n:]


@case(draw(8, 4, 3))
def gram_schmidt(a):
    q = np.zeros_like(a)
    for j in range(a.shape[1]):
        v = a[:, j].copy()
        for k in range(j):
            v -= np.sum(q[:, k] * v) * q[:, k]
        q[:, j] = v / np.sqrt(np.sum(v**2))
    return q


@case(SYMMETRIC, draw(9, 5), 12)
def power_iteration(a, v, n):
    for _ in range(n):
        w = a @ v
        v = w / np.sqrt(np.dot(w, w))
    return np.dot(v, a @ v)


@case(SYMMETRIC, draw(10, 5), wrt=(0, 1))
def conjugate_gradients(a, b):
    x = np.zeros_like(b)
    r = b.copy()
    p = r.copy()
    rr = np.dot(r, r)
    for _ in range(4):
        ap = a @ p
        alpha = rr / np.dot(p, ap)
        x += alpha * p
        r -= alpha * ap
        new = np.dot(r, r)
        p = r + new / rr * p
        rr = new
    return x


@case(MATRIX, draw(11, 5), wrt=(0, 1))
def numpy_solve(a, b):
    x = np.linalg.solve(a, b)
    return np.dot(x, b) + np.log(abs(np.linalg.det(a)))


@case(SYMMETRIC, analytic=False)
def numpy_factors(a):
    s = 0.5 * (a + a.T)
    low = np.linalg.cholesky(s)
    inverse = np.linalg.inv(s)
    return np.log(np.diag(low)).sum() + (inverse * low).sum()
