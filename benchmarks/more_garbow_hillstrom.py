"""The 35 problems of Moré, Garbow and Hillstrom, in plain NumPy, with Jacobians by hand.

Moré, Garbow, Hillstrom: Testing unconstrained optimization software, ACM TOMS 7 (1981), with the published
starts and least sums of squares. The residuals record on tensors as they compute on arrays; the Jacobians are
written by hand, for arrays alone. ``CUTEST`` are 20 objectives as CUTEst has them (cutest_like.py).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import measurements as seen
from benchmarks.cutest_like import CUTEST, Objective

__all__ = ["CUTEST", "PROBLEMS", "Objective", "SumOfSquares"]


@dataclass(frozen=True)
class SumOfSquares:
    """Residuals, their Jacobian by hand, where to start, and the published minima of the sum of squares."""

    number: int
    name: str
    residual: Callable[[Any], Any]
    jacobian: Callable[[Any], Any]
    x0: Any
    least: tuple[float, ...]

    def fun(self, x: Any) -> Any:
        return (self.residual(x) ** 2).sum()

    def grad(self, x: Any) -> Any:
        return 2 * self.residual(x) @ self.jacobian(x)

    @property
    def square(self) -> bool:
        """Whether it is a system with a solution, as the paper's nonlinear equations are."""
        return len(self.residual(self.x0)) == len(self.x0) and 0.0 in self.least


PROBLEMS: list[SumOfSquares] = []


def problem(name: str, x0: Any, *least: float) -> Callable[..., Any]:
    """Declare a function that returns residual and Jacobian by ``(x, slopes)``."""

    def declare(f: Callable[[Any, bool], Any]) -> Any:
        residual, jacobian = functools.partial(f, slopes=False), functools.partial(f, slopes=True)
        start = np.asarray(x0, float)
        PROBLEMS.append(SumOfSquares(len(PROBLEMS) + 1, name, residual, jacobian, start, least))
        return f

    return declare


def up(n: int) -> Any:
    """1, 2, ..., n."""
    return np.arange(1.0, n + 1)


def columns(*parts: Any) -> Any:
    return np.stack(np.broadcast_arrays(*parts), -1)


@problem("Rosenbrock", [-1.2, 1], 0.0)
def rosenbrock(x: Any, slopes: bool) -> Any:
    if slopes:
        return np.array([[-20 * x[0], 10], [-1, 0]])
    return np.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


@problem("Freudenstein and Roth", [0.5, -2], 0.0, 48.98425367924)
def freudenstein(x: Any, slopes: bool) -> Any:
    a, b = x
    if slopes:
        return np.array([[1, 10 * b - 3 * b**2 - 2], [1, 3 * b**2 + 2 * b - 14]])
    return np.stack([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])


@problem("Powell badly scaled", [0, 1], 0.0)
def badly_scaled(x: Any, slopes: bool) -> Any:
    a, b = x
    if slopes:
        return np.array([[1e4 * b, 1e4 * a], [-np.exp(-a), -np.exp(-b)]])
    return np.stack([1e4 * a * b - 1, np.exp(-a) + np.exp(-b) - 1.0001])


@problem("Brown badly scaled", [1, 1], 0.0)
def brown_scaled(x: Any, slopes: bool) -> Any:
    a, b = x
    if slopes:
        return np.array([[1, 0], [0, 1], [b, a]])
    return np.stack([a - 1e6, b - 2e-6, a * b - 2])


@problem("Beale", [1, 1], 0.0)
def beale(x: Any, slopes: bool) -> Any:
    i, (a, b) = up(3), x
    if slopes:
        return columns(b**i - 1, a * i * b ** (i - 1))
    return np.array([1.5, 2.25, 2.625]) - a * (1 - b**i)


@problem("Jennrich and Sampson", [0.3, 0.4], 124.362182355615)
def jennrich(x: Any, slopes: bool) -> Any:
    i = up(10)
    if slopes:
        return columns(-i * np.exp(i * x[0]), -i * np.exp(i * x[1]))
    return 2 + 2 * i - (np.exp(i * x[0]) + np.exp(i * x[1]))


@problem("Helical valley", [-1, 0, 0], 0.0)
def helical(x: Any, slopes: bool) -> Any:
    a, b, c = x
    r = np.sqrt(a**2 + b**2)
    if slopes:
        turn = 50 / np.pi / r**2
        return np.array([[turn * b, -turn * a, 10], [10 * a / r, 10 * b / r, 0], [0, 0, 1]])
    angle = np.arctan(b / a) / (2 * np.pi) + np.where(a < 0, 0.5, 0.0)
    return np.stack([10 * (c - 10 * angle), 10 * (r - 1), c])


@problem("Bard", [1, 1, 1], 8.21487730657898e-3, 17.4286922)
def bard(x: Any, slopes: bool) -> Any:
    u = up(15)
    v, w = 16 - u, np.minimum(u, 16 - u)
    below = v * x[1] + w * x[2]
    if slopes:
        return columns(-np.ones(15), u * v / below**2, u * w / below**2)
    return seen.BARD - (x[0] + u / below)


@problem("Gaussian", [0.4, 1, 0], 1.12793276961912e-8)
def gaussian(x: Any, slopes: bool) -> Any:
    a, b, c = x
    t = (8 - up(15)) / 2
    e = np.exp(-b * (t - c) ** 2 / 2)
    if slopes:
        return columns(e, -a * e * (t - c) ** 2 / 2, a * e * b * (t - c))
    return a * e - seen.GAUSSIAN


@problem("Meyer", [0.02, 4000, 250], 87.9458551709)
def meyer(x: Any, slopes: bool) -> Any:
    a, b, c = x
    t = 45 + 5 * up(16)
    e = np.exp(b / (t + c))
    if slopes:
        return columns(e, a * e / (t + c), -a * e * b / (t + c) ** 2)
    return a * e - seen.MEYER


@problem("Gulf research and development", [5, 2.5, 0.15], 0.0)
def gulf(x: Any, slopes: bool) -> Any:
    a, b, c = x
    t = up(99) / 100
    y = 25 + (-50 * np.log(t)) ** (2 / 3)
    away = np.abs(y - b)
    power = away**c
    e = np.exp(-power / a)
    if slopes:
        by_b = e * c * power / (a * away) * np.sign(y - b)
        return columns(e * power / a**2, by_b, -e * power * np.log(away) / a)
    return e - t


@problem("Box three-dimensional", [0, 10, 20], 0.0)
def box(x: Any, slopes: bool) -> Any:
    t = up(10) / 10
    gap = np.exp(-t) - np.exp(-10 * t)
    if slopes:
        return columns(-t * np.exp(-t * x[0]), t * np.exp(-t * x[1]), -gap)
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * gap


@problem("Powell singular", [3, -1, 0, 1], 0.0)
def singular(x: Any, slopes: bool) -> Any:
    a, b, c, d = x
    five, ten = np.sqrt(5), np.sqrt(10)
    if slopes:
        near, far = 2 * (b - 2 * c), 2 * ten * (a - d)
        return np.array(
            [[1, 10, 0, 0], [0, 0, five, -five], [0, near, -2 * near, 0], [far, 0, 0, -far]]
        )
    return np.stack([a + 10 * b, five * (c - d), (b - 2 * c) ** 2, ten * (a - d) ** 2])


@problem("Wood", [-3, -1, -3, -1], 0.0)
def wood(x: Any, slopes: bool) -> Any:
    a, b, c, d = x
    ninety, ten = np.sqrt(90), np.sqrt(10)
    if slopes:
        first = [[-20 * a, 10, 0, 0], [-1, 0, 0, 0], [0, 0, -2 * ninety * c, ninety]]
        return np.array([*first, [0, 0, -1, 0], [0, ten, 0, ten], [0, 1 / ten, 0, -1 / ten]])
    first = [10 * (b - a**2), 1 - a, ninety * (d - c**2)]
    return np.stack([*first, 1 - c, ten * (b + d - 2), (b - d) / ten])


@problem("Kowalik and Osborne", [0.25, 0.39, 0.415, 0.39], 3.07505603849e-4, 1.02734e-3)
def kowalik(x: Any, slopes: bool) -> Any:
    a, b, c, d = x
    y, u = seen.KOWALIK, seen.KOWALIK_AT
    above, below = u**2 + u * b, u**2 + u * c + d
    if slopes:
        far = a * above / below**2
        return columns(-above / below, -a * u / below, far * u, far)
    return y - a * above / below


@problem("Brown and Dennis", [25, 5, -5, -1], 85822.2016263563)
def brown_dennis(x: Any, slopes: bool) -> Any:
    t = up(20) / 5
    one, two = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
    if slopes:
        return columns(2 * one, 2 * one * t, 2 * two, 2 * two * np.sin(t))
    return one**2 + two**2


@problem("Osborne 1", [0.5, 1.5, -1, 0.01, 0.02], 5.46489469748e-5)
def osborne1(x: Any, slopes: bool) -> Any:
    t = 10 * np.arange(33.0)
    one, two = np.exp(-t * x[3]), np.exp(-t * x[4])
    if slopes:
        return columns(-np.ones(33), -one, -two, x[1] * t * one, x[2] * t * two)
    return seen.OSBORNE1 - (x[0] + x[1] * one + x[2] * two)


@problem("Biggs EXP6", [1, 2, 1, 1, 1, 1], 0.0, 5.65564992501e-3, 0.306366772624790)
def biggs(x: Any, slopes: bool) -> Any:
    t = up(13) / 10
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    one, two, three = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t * x[4])
    if slopes:
        return columns(-t * x[2] * one, t * x[3] * two, one, -two, -t * x[5] * three, three)
    return x[2] * one - x[3] * two + x[5] * three - y


@problem(
    "Osborne 2",
    [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5],
    4.01377362935477e-2,
    1.78981358688109,
)
def osborne2(x: Any, slopes: bool) -> Any:
    t = np.arange(65.0) / 10
    away = [t, *[(t - x[k]) ** 2 for k in (8, 9, 10)]]
    e = [np.exp(-a * x[4 + k]) for k, a in enumerate(away)]
    if slopes:
        by_rate = [x[k] * away[k] * e[k] for k in range(4)]
        by_place = [-2 * x[k] * x[4 + k] * (t - x[7 + k]) * e[k] for k in (1, 2, 3)]
        return columns(*[-one for one in e], *by_rate, *by_place)
    return seen.OSBORNE2 - (x[0] * e[0] + x[1] * e[1] + x[2] * e[2] + x[3] * e[3])


@problem("Watson", np.zeros(9), 1.39976013798e-6)
def watson(x: Any, slopes: bool) -> Any:
    n = len(x)
    t, j = up(29)[:, None] / 29, np.arange(n)
    powers, rising = t**j, j * t ** np.maximum(j - 1, 0)
    total = powers @ x
    if slopes:
        last = np.zeros((2, n))
        last[0, 0], last[1, 0], last[1, 1] = 1, -2 * x[0], 1
        return np.concatenate([rising - 2 * total[:, None] * powers, last])
    last = np.stack([x[0], x[1] - x[0] ** 2 - 1])
    return np.concatenate([rising @ x - total**2 - 1, last])


@problem("Extended Rosenbrock", [-1.2, 1] * 5, 0.0)
def more_rosenbrock(x: Any, slopes: bool) -> Any:
    odd, even = x[::2], x[1::2]
    if slopes:
        found, k = np.zeros((len(x), len(x))), np.arange(0, len(x), 2)
        found[k, k], found[k, k + 1], found[k + 1, k] = -20 * odd, 10, -1
        return found
    return np.stack([10 * (even - odd**2), 1 - odd], -1).reshape(-1)


@problem("Extended Powell singular", [3, -1, 0, 1] * 3, 0.0)
def more_singular(x: Any, slopes: bool) -> Any:
    if slopes:
        found = np.zeros((len(x), len(x)))
        for k in range(0, len(x), 4):
            found[k : k + 4, k : k + 4] = singular(x[k : k + 4], True)
        return found
    return np.stack(list(singular(x.reshape(-1, 4).T, False)), -1).reshape(-1)


@problem("Penalty I", up(10), 7.08765e-5)
def penalty1(x: Any, slopes: bool) -> Any:
    weight = np.sqrt(1e-5)
    if slopes:
        return np.concatenate([weight * np.eye(len(x)), 2 * x[None]])
    return np.concatenate([weight * (x - 1), (x**2).sum().reshape(1) - 0.25])


@problem("Penalty II", np.full(10, 0.5), 2.93660e-4)
def penalty2(x: Any, slopes: bool) -> Any:
    n, weight = len(x), np.sqrt(1e-5)
    i, e = up(n), np.exp(x / 10)
    y, falling = np.exp(i[1:] / 10) + np.exp(i[:-1] / 10), n - i + 1
    if slopes:
        found, d = np.zeros((2 * n, n)), weight * e / 10
        found[0, 0] = 1
        found[range(1, n), range(1, n)], found[range(1, n), range(n - 1)] = d[1:], d[:-1]
        found[range(n, 2 * n - 1), range(1, n)] = d[1:]
        found[-1] = 2 * falling * x
        return found
    pairs, each = weight * (e[1:] + e[:-1] - y), weight * (e[1:] - np.exp(-0.1))
    return np.concatenate([x[:1] - 0.2, pairs, each, (falling * x**2).sum().reshape(1) - 1])


@problem("Variably dimensioned", 1 - up(10) / 10, 0.0)
def variably(x: Any, slopes: bool) -> Any:
    j = up(len(x))
    total = (j * (x - 1)).sum().reshape(1)
    if slopes:
        return np.concatenate([np.eye(len(x)), j[None], 2 * total * j[None]])
    return np.concatenate([x - 1, total, total**2])


@problem("Trigonometric", np.full(10, 0.1), 0.0, 2.79506e-5)
def trigonometric(x: Any, slopes: bool) -> Any:
    n, i = len(x), up(len(x))
    if slopes:
        return np.sin(x) + np.diag(i * np.sin(x) - np.cos(x))
    return n - np.cos(x).sum() + i * (1 - np.cos(x)) - np.sin(x)


@problem("Brown almost-linear", np.full(10, 0.5), 0.0, 1.0)
def almost_linear(x: Any, slopes: bool) -> Any:
    n = len(x)
    if slopes:
        found = np.eye(n) + 1
        found[-1] = [np.prod(np.delete(x, k)) for k in range(n)]
        return found
    return np.concatenate([x[:-1] + x.sum() - (n + 1), x.prod().reshape(1) - 1])


def between(n: int) -> Any:
    t = up(n) / (n + 1)
    return t * (t - 1)


def neighbours(x: Any) -> tuple[Any, Any]:
    """The elements before and after each, zero beyond the ends."""
    zero = np.zeros(1)
    return np.concatenate([zero, x[:-1]]), np.concatenate([x[1:], zero])


def banded(middle: Any, below: float, above: float) -> Any:
    n = len(middle)
    return np.diag(middle) + below * np.eye(n, k=-1) + above * np.eye(n, k=1)


@problem("Discrete boundary value", between(10), 0.0)
def boundary(x: Any, slopes: bool) -> Any:
    n = len(x)
    h = 1 / (n + 1)
    inner = x + h * up(n) + 1
    if slopes:
        return banded(2 + 1.5 * h**2 * inner**2, -1, -1)
    before, after = neighbours(x)
    return 2 * x - before - after + h**2 * inner**3 / 2


@problem("Discrete integral equation", between(10), 0.0)
def integral(x: Any, slopes: bool) -> Any:
    n = len(x)
    h = 1 / (n + 1)
    t = h * up(n)
    kernel = np.where(t <= t[:, None], (1 - t[:, None]) * t, t[:, None] * (1 - t)) * h / 2
    if slopes:
        return np.eye(n) + kernel * 3 * (x + t + 1) ** 2
    return x + kernel @ (x + t + 1) ** 3


@problem("Broyden tridiagonal", -np.ones(10), 0.0)
def tridiagonal(x: Any, slopes: bool) -> Any:
    if slopes:
        return banded(3 - 4 * x, -1, -2)
    before, after = neighbours(x)
    return (3 - 2 * x) * x - before - 2 * after + 1


@problem("Broyden banded", -np.ones(10), 0.0)
def broyden_banded(x: Any, slopes: bool) -> Any:
    n = len(x)
    apart = np.arange(n)[:, None] - np.arange(n)
    band = ((apart <= 5) & (apart >= -1) & (apart != 0)).astype(float)
    if slopes:
        return np.diag(2 + 15 * x**2) - band * (1 + 2 * x)
    return x * (2 + 5 * x**2) + 1 - band @ (x * (1 + x))


@problem("Linear, full rank", np.ones(10), 10.0)
def full_rank(x: Any, slopes: bool) -> Any:
    m, n = 20, len(x)
    if slopes:
        return np.eye(m, n) - 2 / m
    return np.concatenate([x, np.zeros(m - n)]) - 2 / m * x.sum() - 1


@problem("Linear, rank 1", np.ones(10), 20 * 19 / (2 * 41))
def rank_one(x: Any, slopes: bool) -> Any:
    i, j = up(20), up(len(x))
    return np.outer(i, j) if slopes else i * (j * x).sum() - 1


@problem("Linear, rank 1 with zero columns and rows", np.ones(10), (400 + 60 - 6) / (2 * 37))
def rank_one_zeros(x: Any, slopes: bool) -> Any:
    i, j = np.arange(20.0), up(len(x))
    i[-1], j[0], j[-1] = 0, 0, 0
    return np.outer(i, j) if slopes else i * (j * x).sum() - 1


@problem("Chebyquad", up(8) / 9, 3.51687372568e-3)
def chebyquad(x: Any, slopes: bool) -> Any:
    n, z = len(x), 2 * x - 1
    values, rising = [z**0, z], [0 * z, 2 + 0 * z]
    for _ in range(n - 1):
        rising.append(4 * values[-1] + 2 * z * rising[-1] - rising[-2])
        values.append(2 * z * values[-1] - values[-2])
    if slopes:
        return np.stack(rising[1:]) / n
    means = [0.0 if i % 2 else -1 / (i**2 - 1) for i in range(1, n + 1)]
    return np.stack([v.sum() for v in values[1:]]) / n - np.array(means)
