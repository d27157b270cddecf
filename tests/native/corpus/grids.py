"""Stencils, transforms by hand, complex iterations."""

import cmath
import math

import numpy as np

from corpus.table import case, draw


@case(draw(1, 12), 0.2, 8, wrt=(0, 1))
def heat(u, r, n):
    """Two arrays that change places."""
    now, then = u.copy(), u.copy()
    for _ in range(n):
        for i in range(1, len(u) - 1):
            then[i] = now[i] + r * (now[i - 1] - 2.0 * now[i] + now[i + 1])
        now, then = then, now
    return now


@case(draw(2, 12), 0.4, 7, wrt=(0, 1))
def heat_by_slices(u, r, n):
    v = u.copy()
    for _ in range(n):
        v[1:-1] += r * (v[:-2] - 2.0 * v[1:-1] + v[2:])
    return v


@case(draw(3, 5, 6), 6)
def gauss_seidel(f, sweeps):
    n, m = f.shape
    u = np.zeros((n, m))
    for _ in range(sweeps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - f[i, j])
    return u


@case(draw(4, 16, low=0.5, high=1.5), 0.3, 6, wrt=(0, 1), step=1e-4, rtol=1e-8)
def burgers(u, c, n):
    """Upwind: the side is a branch."""
    v = u.copy() - 0.9
    for _ in range(n):
        new = np.empty_like(v)
        m = v.shape[0]
        for i in range(m):
            left, right = v[i - 1], v[(i + 1) % m]
            if v[i] > 0:
                new[i] = v[i] - c * v[i] * (v[i] - left)
            else:
                new[i] = v[i] - c * v[i] * (right - v[i])
        v = new
    return (v * v).sum()


@case(draw(5, 10), 5, 0.3, wrt=(0, 2))
def crank_nicolson(u, n, r):
    m = u.shape[0]
    v = u.copy()
    c = np.zeros(m)
    for _ in range(n):
        d = np.zeros(m)
        for i in range(1, m - 1):
            right = v[i] + 0.5 * r * (v[i - 1] - 2 * v[i] + v[i + 1])
            pivot = 1.0 + r + 0.5 * r * c[i - 1]
            c[i] = -0.5 * r / pivot
            d[i] = (right + 0.5 * r * d[i - 1]) / pivot
        v[m - 1] = 0.0
        for i in range(m - 2, 0, -1):
            v[i] = d[i] - c[i] * v[i + 1]
    return v


@case(draw(6, 4, 4, 3))
def laplacian_energy(u):
    total = 0.0
    for i in range(u.shape[0] - 1):
        for j in range(u.shape[1] - 1):
            for k in range(u.shape[2] - 1):
                total += (u[i + 1, j, k] - u[i, j, k]) ** 2 + (u[i, j + 1, k] - u[i, j, k]) ** 2
                total += (u[i, j, k + 1] - u[i, j, k]) ** 4
    return total


@case(draw(7, 8), draw(8, 8), wrt=(0, 1), analytic=False)
def fast_fourier(re, im):
    """In place, complex twiddles."""
    n = re.shape[0]
    z = re + 1j * im
    j = 0
    for i in range(1, n):
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            z[i], z[j] = z[j], z[i]
    size = 2
    while size <= n:
        root = cmath.exp(-2j * math.pi / size)
        for start in range(0, n, size):
            w = 1.0 + 0.0j
            for k in range(size // 2):
                even, odd = z[start + k], w * z[start + k + size // 2]
                z[start + k], z[start + k + size // 2] = even + odd, even - odd
                w *= root
        size *= 2
    total = 0.0
    for k in range(n):
        total += (k + 1) * abs(z[k]) ** 2 + z[k].real
    return total


@case(draw(9, 6), analytic=False)
def slow_fourier(x):
    n = len(x)
    out = np.zeros(n, dtype=np.complex128)
    for k in range(n):
        for t in range(n):
            out[k] += x[t] * np.exp(-2j * np.pi * k * t / n)
    return (out * np.conj(out)).real


@case(-0.12, 0.74, 12, wrt=(0, 1), analytic=False, step=1e-4, rtol=1e-8)
def mandelbrot(a, b, n):
    c = complex(a, b)
    z = 0.0 + 0.0j
    for k in range(n):
        z = z * z + c
        if abs(z) > 4.0:
            return k + abs(z)
    return z.real**2 + z.imag


@case(0.3, 0.9, 5, wrt=(0, 1), analytic=False)
def newton_fractal(a, b, n):
    z = complex(a + 1.0, b)
    for _ in range(n):
        z = z - (z**3 - 1.0) / (3.0 * z**2)
    return z.real + 2.0 * z.imag, cmath.phase(z)


@case(draw(10, 3), 0.7, wrt=(0, 1), analytic=False)
def impedance(p, omega):
    """A filter's gain in decibels."""
    r, l, c = 1.0 + 0.5 * p[0], 2.0 + p[1], 1.5 + p[2]
    z = r + 1j * omega * l + 1.0 / (1j * omega * c)
    return 20.0 * math.log10(abs(r / z))


@case(draw(11, 6, 6), draw(12, 3, 3), wrt=(0, 1))
def convolution(image, kernel):
    n, m = image.shape
    out = np.zeros((n - 2, m - 2))
    for i in range(n - 2):
        for j in range(m - 2):
            out[i, j] = (image[i : i + 3, j : j + 3] * kernel).sum()
    return out
