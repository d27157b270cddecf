"""Batched derivatives against what somebody writes by hand: ``python -m benchmarks.batched``.

Hessians, products with them, gradients of each sample and many small fits, paired. For one thread set
OPENBLAS_NUM_THREADS and NUMBA_NUM_THREADS to 1. ``--only`` chooses rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

import nbgrad as ng
from benchmarks.paired import compare

Step = Callable[[], Any]
WARM_UP = 5.0  # seconds
RNG = np.random.default_rng(0)


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@numba.njit
def _hessian_of_rosenbrock(x: Any) -> Any:
    n = x.size
    found = np.zeros((n, n))
    for i in range(n - 1):
        found[i, i] += 1200 * x[i] * x[i] - 400 * x[i + 1] + 2
        found[i + 1, i + 1] += 200
        found[i, i + 1] -= 400 * x[i]
        found[i + 1, i] -= 400 * x[i]
    return found


def hessian_of_rosenbrock(n: int = 1000, x: Any = None) -> tuple[Step, Step]:
    x = RNG.normal(size=n) if x is None else x
    ours = ng.jit(ng.hessian(rosenbrock))
    return lambda: ours(x), lambda: _hessian_of_rosenbrock(x)


def hessian_of_logistic_regression() -> tuple[Step, Step]:
    data, w = RNG.normal(size=(1000, 100)), RNG.normal(size=100) / 10
    sign = np.sign(RNG.normal(size=1000))

    def by_hand() -> Any:
        p = 1 / (1 + np.exp(sign * (data @ w)))
        return data.T @ ((p * (1 - p))[:, None] * data)

    ours = ng.jit(ng.hessian(lambda w: np.log1p(np.exp(-sign * (data @ w))).sum()))
    return lambda: ours(w), by_hand


def _product(n: int) -> tuple[Step, Step]:
    x, v = RNG.normal(size=n), RNG.normal(size=n)
    hvp = ng.autograd.functional.hvp
    product = ng.jit(lambda x, v: hvp(rosenbrock, x, v)[1])
    gradient = ng.jit(ng.grad(rosenbrock))
    return lambda: product(x, v), lambda: gradient(x)


@numba.njit
def _outer_products_by_hand(x: Any, d: Any, out: Any) -> None:
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            a = x[k, i]
            for j in range(out.shape[2]):
                out[k, i, j] = a * d[k, j]


def per_sample_gradients_written() -> tuple[Step, Step]:
    """Into buffers that the caller owns, beside a loop that only writes the largest of them."""
    each, given, _ = _network()
    owned = tuple(np.zeros(found.shape) for found in each(*given))
    x, d = given[4], RNG.normal(size=(128, 256))
    return (
        lambda: each.into(*given, out=owned),
        lambda: _outer_products_by_hand(x, d, owned[0]),
    )


def per_sample_gradients() -> tuple[Step, Step]:
    each, given, whole = _network()
    return lambda: each(*given), lambda: whole(*given)


def _network() -> tuple[Any, tuple[Any, ...], Any]:
    """The gradients of each of 128 samples, their arguments, and the gradient of the sum."""
    sizes = (784, 256), (256, 10)
    weights = [RNG.normal(size=s) / np.sqrt(s[0]) for s in sizes]
    biases = [np.zeros(s[1]) for s in sizes]
    x, labels = RNG.normal(size=(128, 784)), RNG.integers(0, 10, size=128)
    y = np.eye(10)[labels]

    def loss(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
        z = np.tanh(x @ w1 + b1) @ w2 + b2
        z = z - z.max(-1, keepdims=True)
        return (np.log(np.exp(z).sum(-1)) - (z * y).sum(-1)).sum()

    numbers = (0, 1, 2, 3)
    given = (weights[0], biases[0], weights[1], biases[1], x, y)
    each = ng.jit(ng.vmap(ng.grad(loss, numbers), in_axes=(None, None, None, None, 0, 0)))
    whole = ng.jit(ng.grad(loss, numbers))
    return each, given, whole


T = np.linspace(0, 1, 20)


def model(p: Any, t: Any) -> Any:
    return p[0] * np.exp(-p[1] * t) + p[2] * np.exp(-p[3] * t) + p[4]


@numba.njit
def _newton_by_hand(p: Any, y: Any, t: Any) -> Any:
    found = np.empty_like(p)
    jac, h, g = np.empty(5), np.empty((5, 5)), np.empty(5)
    for k in range(p.shape[0]):
        h[:] = 0.0
        g[:] = 0.0
        a, b, c, d, e = p[k]
        for i in range(t.size):
            u, v = np.exp(-b * t[i]), np.exp(-d * t[i])
            r = a * u + c * v + e - y[k, i]
            jac[0], jac[1], jac[2], jac[3], jac[4] = u, -a * t[i] * u, v, -c * t[i] * v, 1.0
            for m in range(5):
                g[m] += r * jac[m]
                for n in range(m + 1):
                    h[m, n] += jac[m] * jac[n]
            h[1, 0] -= r * t[i] * u
            h[1, 1] += r * a * t[i] * t[i] * u
            h[3, 2] -= r * t[i] * v
            h[3, 3] += r * c * t[i] * t[i] * v
        for m in range(5):
            h[m, m] += 1.0
            for n in range(m):
                h[n, m] = h[m, n]
        found[k] = p[k] - np.linalg.solve(h, g)
    return found


def newton_steps() -> tuple[Step, Step]:
    p = RNG.uniform(0.5, 2.0, size=(1000, 5))
    y = RNG.normal(size=(1000, 20))

    def loss(p: Any, y: Any) -> Any:
        return ((model(p, T) - y) ** 2).sum() / 2 + (p * p).sum() / 2

    def step(p: Any, y: Any) -> Any:
        # Damped as the loop by hand is, whose gradient is of the residuals alone.
        g = ng.grad(lambda p: ((model(p, T) - y) ** 2).sum() / 2)(p)
        return p - np.linalg.solve(ng.hessian(loss)(p, y), g)

    ours = ng.jit(ng.vmap(step))
    return lambda: ours(p, y), lambda: _newton_by_hand(p, y, T)


ROWS: dict[str, tuple[Callable[[], tuple[Step, Step]], str, str]] = {
    "Hessian of Rosenbrock, n = 1000": (hessian_of_rosenbrock, "by hand", "8"),
    "Hessian of logistic regression, n = 100": (
        hessian_of_logistic_regression,
        "NumPy by hand",
        "2",
    ),
    "hvp of Rosenbrock, n = 1000": (lambda: _product(1000), "a gradient", "2.5"),
    "hvp of Rosenbrock, n = 10^5": (lambda: _product(100_000), "a gradient", "2.5"),
    "per-sample gradients, 784-256-10, batch 128": (per_sample_gradients, "plain gradient", "2"),
    "per-sample gradients into buffers of one's own": (
        per_sample_gradients_written,
        "a loop that writes them",
        "2",
    ),
    "1,000 Newton steps of 5 parameters by vmap": (newton_steps, "loop by hand", "3"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args().only
    print("| case | nbgrad, µs | rival | rival, µs | ratio | aim, at most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (make, rival, aim) in ROWS.items():
        if chosen not in name:
            continue
        ours, theirs = make()
        _check(ours(), theirs(), rival)
        began = time.perf_counter()
        while time.perf_counter() < began + WARM_UP:  # until what is compiled beside has come
            ours()
        pair = compare(ours, theirs)
        times = f"{pair.ours:.3g} | {rival} | {pair.theirs:.3g} | {pair.ratio:.2f}"
        print(f"| {name} | {times} | {aim} |", flush=True)


def _check(ours: Any, theirs: Any, rival: str) -> None:
    """Where both compute the same, that they do."""
    if "hand" in rival:
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)
    elif rival == "plain gradient":
        for each, whole in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(each.sum(0), whole, rtol=1e-6, atol=1e-8)


if __name__ == "__main__":
    main()
