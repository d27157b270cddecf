"""The problems, each written once for every library.

``xp`` is where the functions come from: ``nbgrad``, ``numpy``, ``torch``, ``jax.numpy`` or
``autograd.numpy``. The hand-written adjoints of the same problems are in ``peers.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

RATE = 0.03
SQRT_HALF = 0.7071067811865476
CHAIN_OPERATIONS = 20
# Subscripts of einsum, and the shapes of the operands.
CONTRACTIONS: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
    ("bij,bjk->bik", ((32, 64, 64), (32, 64, 64))),
    ("bij,bjk->bik", ((1000, 8, 8), (1000, 8, 8))),
    ("bhqd,bhkd->bhqk", ((4, 8, 64, 32), (4, 8, 64, 32))),
    ("ijk,klm->ijlm", ((16, 16, 64), (64, 16, 16))),
    ("abc,cd,bde->ae", ((64, 32, 16), (16, 32), (32, 32, 48))),
)
MLP_BATCH, MLP_SIZES, MLP_STEP = 64, (1000, 100, 10), 1e-6


def chain(x: Any, xp: Any) -> Any:
    """Twenty elementwise operations in a row, none of which another can absorb."""
    for _ in range(CHAIN_OPERATIONS // 5):
        x = xp.sin(x)
        x = x * 1.25
        x = x + 0.5
        x = xp.tanh(x)
        x = x * x
    return x


def chain_sum(x: Any, xp: Any) -> Any:
    return chain(x, xp).sum()


def rosenbrock(x: Any, xp: Any) -> Any:
    """Rosenbrock's function of n variables: two slices, a stencil, one reduction."""
    here, following = x[:-1], x[1:]
    return (100.0 * (following - here * here) ** 2 + (1.0 - here) ** 2).sum()


def black_scholes(spot: Any, vol: Any, time: Any, strike: Any, xp: Any) -> Any:
    """Prices of European calls; the gradients of their sum are delta, vega and (minus) theta."""
    deviation = vol * xp.sqrt(time)
    d1 = (xp.log(spot / strike) + (RATE + 0.5 * vol * vol) * time) / deviation
    d2 = d1 - deviation
    chance1 = 0.5 + 0.5 * xp.erf(d1 * SQRT_HALF)
    chance2 = 0.5 + 0.5 * xp.erf(d2 * SQRT_HALF)
    return spot * chance1 - strike * xp.exp(-RATE * time) * chance2


def black_scholes_sum(spot: Any, vol: Any, time: Any, strike: Any, xp: Any) -> Any:
    return black_scholes(spot, vol, time, strike, xp).sum()


def mlp_loss(w1: Any, w2: Any, x: Any, target: Any, xp: Any) -> Any:
    """Squared error of a network with one hidden ReLU layer, as in PyTorch's first tutorial."""
    error = xp.maximum(x @ w1, 0.0) @ w2 - target
    return (error * error).sum()


def gp_loss(logs: Any, gaps: Any, y: Any, eye: Any, solve_lower: Any, xp: Any) -> Any:
    """Negative log-likelihood of a Gaussian process, up to a constant.

    ``logs`` are the logarithms of amplitude, length scale and noise of the RBF kernel, ``gaps`` the
    distances of the points.
    """
    amplitude, scale, noise = xp.exp(logs[0]), xp.exp(logs[1]), xp.exp(logs[2])
    near = gaps / scale
    covariance = amplitude * amplitude * xp.exp(-0.5 * near * near) + noise * noise * eye
    factor = xp.linalg.cholesky(covariance)
    white = solve_lower(factor, y)
    return 0.5 * (white * white).sum() + xp.log(xp.linalg.diagonal(factor)).sum()


def chain_input(n: int) -> Array:
    return np.linspace(-1.0, 1.0, n)


def rosenbrock_input(n: int) -> Array:
    return np.random.default_rng(1).uniform(-1.5, 1.5, n)


def black_scholes_inputs(n: int, dtype: str = "float64") -> tuple[Array, Array, Array, Array]:
    """Spot, volatility, time and strike of *n* calls, in the money and out of it."""
    rng = np.random.default_rng(2)
    ranges = ((60.0, 140.0), (0.1, 0.6), (0.1, 2.0), (80.0, 120.0))
    spot, vol, time, strike = (rng.uniform(*r, n).astype(dtype) for r in ranges)
    return spot, vol, time, strike


def contraction_inputs(shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
    rng = np.random.default_rng(4)
    return tuple(rng.standard_normal(shape) for shape in shapes)


def mlp_inputs() -> tuple[Array, Array, Array, Array]:
    """Two weight matrices, a batch and its targets."""
    rng = np.random.default_rng(3)
    n_in, n_hidden, n_out = MLP_SIZES
    w1 = rng.standard_normal((n_in, n_hidden)) / n_in**0.5
    w2 = rng.standard_normal((n_hidden, n_out)) / n_hidden**0.5
    return w1, w2, rng.standard_normal((MLP_BATCH, n_in)), rng.standard_normal((MLP_BATCH, n_out))


def gp_inputs(n: int = 500) -> tuple[Array, Array, Array, Array]:
    """Log-parameters, distances of *n* points on a line, noisy values there, the identity."""
    rng = np.random.default_rng(4)
    x = np.sort(rng.uniform(0.0, 10.0, n))
    y = np.sin(x) + 0.1 * rng.standard_normal(n)
    return np.array([0.1, -0.2, -1.5]), x[:, None] - x[None, :], y[:, None], np.eye(n)


def swing(theta, omega, drag, lengths, steps):  # type: ignore[no-untyped-def]
    """Fifty lines of loops, branches and arrays: a driven pendulum, and what it spends."""
    h = 0.01
    path = np.zeros(steps + 1)
    spent = np.zeros(steps)
    path[0] = theta
    longest = 0.0
    for k in range(lengths.shape[0]):
        if lengths[k] > longest:
            longest = lengths[k]
    mean = 0.0
    for k in range(lengths.shape[0]):
        mean += lengths[k]
    mean = mean / lengths.shape[0]
    for i in range(steps):
        length = lengths[i % lengths.shape[0]]
        push = 0.1 * math.cos(0.3 * i * h)
        k1 = omega
        a1 = push - math.sin(theta) / length - drag * omega
        k2 = omega + 0.5 * h * a1
        a2 = push - math.sin(theta + 0.5 * h * k1) / length - drag * k2
        k3 = omega + 0.5 * h * a2
        a3 = push - math.sin(theta + 0.5 * h * k2) / length - drag * k3
        k4 = omega + h * a3
        a4 = push - math.sin(theta + h * k3) / length - drag * k4
        theta = theta + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        omega = omega + h / 6.0 * (a1 + 2.0 * a2 + 2.0 * a3 + a4)
        if theta > 1.0:
            theta = 1.0 - 0.5 * (theta - 1.0)
            omega = -0.8 * omega
        elif theta < -1.0:
            theta = -1.0 + 0.5 * (-1.0 - theta)
            omega = -0.8 * omega
        path[i + 1] = theta
        spent[i] = drag * omega * omega
    total = 0.0
    for i in range(steps):
        total += h * spent[i]
    rough = 0.0
    for i in range(1, steps):
        bend = path[i - 1] - 2.0 * path[i] + path[i + 1]
        rough += bend * bend
    energy = 0.5 * omega * omega
    if longest > 2.0 * mean:
        energy += math.log(longest / mean)
    else:
        energy += math.exp(longest - mean)
    energy += mean * (1.0 - math.cos(theta))
    result = energy + total + math.sqrt(rough + 1e-12)
    return result


def stacked(theta, omega, drag, lengths, steps):  # type: ignore[no-untyped-def]
    """Nearly the same with what no source is read of: lists that grow, and a set."""
    h = 0.01
    path = [theta]
    spent = []
    kinds = set()
    longest = lengths.max()
    mean = 0.0
    for length in lengths:
        mean += length
    mean = mean / lengths.shape[0]
    for i in range(steps):
        length = lengths[i % lengths.shape[0]]
        push = 0.1 * math.cos(0.3 * i * h)
        k1 = omega
        a1 = push - math.sin(theta) / length - drag * omega
        k2 = omega + 0.5 * h * a1
        a2 = push - math.sin(theta + 0.5 * h * k1) / length - drag * k2
        k3 = omega + 0.5 * h * a2
        a3 = push - math.sin(theta + 0.5 * h * k2) / length - drag * k3
        k4 = omega + h * a3
        a4 = push - math.sin(theta + h * k3) / length - drag * k4
        theta = theta + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        omega = omega + h / 6.0 * (a1 + 2.0 * a2 + 2.0 * a3 + a4)
        if theta > 1.0:
            theta = 1.0 - 0.5 * (theta - 1.0)
            omega = -0.8 * omega
            kinds.add(i % 7)
        elif theta < -1.0:
            theta = -1.0 + 0.5 * (-1.0 - theta)
            omega = -0.8 * omega
            kinds.add(i % 5)
        path.append(theta)
        spent.append(drag * omega * omega)
    total = 0.0
    for x in spent:
        total += h * x
    rough = 0.0
    for i in range(1, len(path) - 1):
        bend = path[i - 1] - 2.0 * path[i] + path[i + 1]
        rough += bend * bend
    energy = 0.5 * omega * omega
    if longest > 2.0 * mean:
        energy += math.log(longest / mean)
    else:
        energy += math.exp(longest - mean)
    energy += mean * (1.0 - math.cos(theta))
    result = energy + total + math.sqrt(rough + 1e-12)
    return result + len(kinds)
