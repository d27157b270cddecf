"""What Numba's language has: structs, tuples, lists, closures, unrolled loops, threads, exceptions."""

import math
from collections import namedtuple

import numba
import numpy as np
from numba import literal_unroll

from corpus.table import case, draw

Params = namedtuple("Params", "mass radius spin")
Market = namedtuple("Market", "spot sigma")


@case(Params(1.3, 0.7, draw(1, 3)), 4, analytic=False)
def named_tuple(p, n):
    total = 0.0
    for k in range(n):
        total += p.mass * math.sin(k * p.radius) + p.spin[k % 3] ** 2 * p.mass
    return total


@case(0.4, 1.2, wrt=(0, 1))
def makes_a_named_tuple(a, b):
    m = Market(a * b, a + b)
    return Market(m.spot * m.sigma, math.exp(m.spot))


@case((0.3, 0.9), 1.1, wrt=(0, 1), analytic=False)
def tuples(pair, x):
    a, b = pair
    c = (a * x, b + x, a * b)
    total = 0.0
    for v in c:
        total += v * v
    return total, c[1], (a, c[0] * c[2])


RECORD = np.dtype([("rate", np.float64), ("count", np.int64), ("weights", np.float64, (3,))])
SETTINGS = np.zeros(2, RECORD)
SETTINGS["rate"] = [0.3, 0.5]
SETTINGS["count"] = [3, 2]
SETTINGS["weights"] = [[1.0, 0.5, 0.2], [0.1, 0.4, 0.9]]


@case(draw(2, 3), SETTINGS, analytic=False)
def records(x, settings):
    total = 0.0
    for s in settings:
        for k in range(s["count"]):
            total += s["rate"] * x[k] ** 2 * s["weights"][k]
    return total


@case(SETTINGS[0], 0.8, wrt=1, analytic=False)
def one_record(s, x):
    return s["rate"] * x ** s["count"] + s["weights"][1] * math.sin(x)


@case(draw(3, 4))
def lists(x):
    items = [0.5]
    for v in x:
        items.append(items[-1] * v + 1.0)
    last = items.pop()
    squares = [v * v for v in items if v > 0.2]
    return last + sum(squares) + len(items)


@case(0.9, 3)
def closure(x, n):
    scale = x * 2.0

    def inner(y):
        return math.sin(y) * scale

    total = 0.0
    for k in range(n):
        total += inner(k + x)
    return total


def make_polynomial(a, b):
    @numba.njit
    def polynomial(x):
        return a * x * x + b * x

    return polynomial


FIRST, SECOND = make_polynomial(2.0, 3.0), make_polynomial(-1.0, 0.5)


@case(1.7)
def captured(x):
    """Two functions of one text with other values."""
    return FIRST(x) * SECOND(x)


@case(numba.njit(lambda x: x * x * x), 0.7, wrt=1)
def functions_as_arguments(f, x):
    return f(x) + f(2.0 * x) * 0.5


@case(0.7, (2, 1.5, 3))
def unrolled(x, powers):
    total = 0.0
    for p in literal_unroll(powers):
        total += x**p
    return total


@case(draw(4, 20), 1.3, wrt=(0, 1), options={"parallel": True})
def threads(x, a):
    out = np.empty_like(x)
    for i in numba.prange(x.shape[0]):
        out[i] = math.sin(a * x[i]) + x[i] ** 2
    return out


@case(draw(5, 20), 0.4, wrt=(0, 1), options={"parallel": True})
def sum_by_threads(x, a):
    total = 0.0
    for i in numba.prange(x.shape[0]):
        inner = a
        for _k in range(3):
            inner = inner * x[i] + 1.0
        total += inner
    return total


@case(np.array([0.4, 1.2]), 2)
def guarded(x, n):
    if n > 3:
        raise ValueError("too many")
    if x[0] <= 0.0:
        raise ArithmeticError("not positive")
    assert n > 0
    return math.log(x[0]) * x[1] ** n


@case(draw(6, 6), np.arange(6), wrt=0)
def integers_beside(x, k):
    total = 0
    for i in range(len(x)):
        total += x[i] * k[i] + k[i] // 2 - k[i] % 3
    return total


@case(0.6, 7)
def flow(x, n):
    """while, break, continue, else."""
    total, k = 0.0, 0
    while True:
        k += 1
        if k % 3 == 0:
            continue
        if k > n:
            break
        total += x**k / k
    for j in range(3):
        if total > 100.0:
            break
        total += j * x
    else:
        total *= x
    return total


@case(draw(7, 3, 4))
def views(a):
    """Writes through views, transposes, reshapes, ravel, strides, negative indices."""
    b = a.copy()
    row = b[1]
    row[-1] = row[0] * 2.0
    t = b.T
    t[2, 0] = t[0, 2] * t[1, 1]
    flat = b.reshape(12)
    flat[::5] *= 1.5
    b[:, 1] = b[:, 2] * b[::-1, 0]
    return b.ravel()[1:]


@case(draw(8, 6), analytic=False)
def whole_arrays(x):
    y = np.sin(x) * np.exp(-(x**2)) + np.sqrt(1.0 + x * x)
    z = np.cumsum(y) / np.arange(1, 7)
    return z.mean() + y.var() + np.prod(1.0 + 0.1 * z) + z.min() * z.max() + y.std()


@case(draw(9, 2, 3), draw(10, 3), wrt=(0, 1), float32=False)
def creations(a, b):
    c = np.array([b[0], b[1], 1.0])
    d = np.full((2, 3), b[2])
    e = np.ones((2, 3)) * a
    f = np.concatenate((c, b))
    g = np.linspace(b[0], 2.0, 4)
    h = np.zeros_like(a)
    h[:] = d + e
    h[1] = np.array([b[0] * k for k in range(3)])
    return h.sum() * f.sum() + g[1] + np.dot(c, b) + np.outer(b, c)[1, 2] + np.eye(3)[1, 1] * b[1]


@case(draw(11, 2, 3))
def loops_over_all(a):
    total = 0.0
    for (i, j), v in np.ndenumerate(a):
        total += v * v * (i + 1) + j * v
    for v in a.flat:
        total += v**3
    for row in a:
        for k, v in enumerate(row):
            total += k * v
    for u, v in zip(a[0], a[1]):  # noqa: B905 - Numba has no strict
        total += u * v
    return total


@case(0.7, 1.9, wrt=(0, 1))
def scalars(x, y):
    """The scalar functions of math and NumPy."""
    a = math.sin(x) + math.cos(y) * math.tan(x) + math.exp(-x) * math.log(y) + math.sqrt(x * y)
    b = math.sinh(x) - math.cosh(x) + math.tanh(y) + math.pow(x, y) + x**3 + y**-2 + 2.0**x
    c = np.log1p(x) * np.expm1(y) + np.arctan(x) + np.sqrt(y) + np.square(x) + np.reciprocal(y)
    d = math.asin(x) + math.acos(x) + math.atan(y) + math.asinh(x) + math.acosh(y) + math.atanh(x)
    return a * b + c * d


@case(0.7, -1.9, wrt=(0, 1), analytic=False)
def more_scalars(x, y):
    a = math.hypot(x, y) + math.atan2(y, x) + abs(y) + math.fabs(x) + math.erf(x) * math.erfc(y)
    b = (
        math.gamma(x + 1)
        + math.lgamma(x)
        + math.copysign(x, y)
        + np.maximum(x, y)
        + min(x, y, 0.3)
    )
    c = x % 0.3 + np.fmod(y, 0.7) + math.floor(x) * x + round(y) * y + np.sign(y) * x + x // 0.3
    d = math.log2(x) + math.log10(x) + np.cbrt(x) + np.exp2(y) + np.hypot(x, y) + math.ldexp(x, 2)
    return a * b + c + d


@case(draw(12, 4), 3.0)
def default_and_keyword(x, power, shift=0.5, scale=2.0):
    return scale * ((x + shift) ** power).sum()


@case(draw(13, 4), None, wrt=0)
def optional(x, weights):
    total = 0.0
    for i in range(x.shape[0]):
        if weights is None:
            total += x[i] ** 2
        else:
            total += weights[i] * x[i]
    return total


@case(draw(14, 3), draw(15, 3), wrt=(0, 1))
def several_results(x, y):
    return x * y, np.dot(x, y), x[0]


@case(draw(16, 4), 0)
def writes_into_its_own_copy(x, k):
    y = np.empty((3, x.shape[0]))
    y[0] = x
    for i in range(1, 3):
        y[i] = y[i - 1] * x[k]
    y[2, 1:3] = 0.5
    return y


@case(draw(17, 5) > 0, draw(17, 5), wrt=1)
def masks(keep, x):
    total = 0.0
    for i in range(x.shape[0]):
        if keep[i] and not (x[i] > 0.9 or i == 4):
            total += x[i] ** 2
    return total + np.where(keep, x, -x).sum()


@case(draw(18, 3, 3))
def slices_of_two(a):
    b = np.zeros((5, 5))
    b[1:4, 1:4] = a
    b[0, ...] = b[2]
    return (b[:-1] * b[1:]).sum() + b[..., 2].max()
