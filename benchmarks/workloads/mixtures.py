"""A Gaussian mixture's likelihood (ADBench's): many points, few dimensions, a sum over components."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads.base import Sides, Workload, of_libraries, written

D, K, BLOCK = 10, 25, 64
ROWS, COLUMNS = np.tril_indices(D, -1)

# Blocks of points lie side by side: all inner loops go over them. u, q: D x BLOCK; part: K x BLOCK.
_MIXTURE = """
def mixture(x, alphas, means, logs, lower, by_alphas, by_means, by_logs, by_lower, value, u, q, part, n):
    for i in range({k}):
        by_alphas[i] = 0.0
    for i in range({k} * {d}):
        by_means[i] = 0.0
        by_logs[i] = 0.0
    for i in range({k} * {l}):
        by_lower[i] = 0.0
    total = 0.0
    for first in range(0, n, {b}):
        for k in range({k}):
            start = alphas[k]
            for i in range({d}):
                start += logs[k * {d} + i]
            for j in range({b}):
                part[k * {b} + j] = 0.0
            at = k * {l}
            for i in range({d}):
                for j in range({b}):
                    u[i * {b} + j] = x[i * n + first + j] - means[k * {d} + i]
                scale = math.exp(logs[k * {d} + i])
                for j in range({b}):
                    q[j] = scale * u[i * {b} + j]
                for m in range(i):
                    c = lower[at + m]
                    for j in range({b}):
                        q[j] += c * u[m * {b} + j]
                at += i
                for j in range({b}):
                    part[k * {b} + j] += q[j] * q[j]
            for j in range({b}):
                part[k * {b} + j] = start - 0.5 * part[k * {b} + j]
        for j in range({b}):
            q[j] = part[j]
            u[j] = 0.0
        for k in range(1, {k}):
            for j in range({b}):
                v = part[k * {b} + j]
                q[j] = v if v > q[j] else q[j]
        for k in range({k}):
            for j in range({b}):
                e = exp_f8(part[k * {b} + j] - q[j])
                part[k * {b} + j] = e
                u[j] += e
        for j in range({b}):
            total = reduce_add(total, q[j] + log_f8(u[j]))
            u[j] = 1.0 / u[j]
        for k in range({k}):
            s = 0.0
            for j in range({b}):
                w = part[k * {b} + j] * u[j]
                part[k * {b} + j] = w
                s = reduce_add(s, w)
            by_alphas[k] += s
        for k in range({k}):
            at = k * {l}
            for i in range({d}):
                for j in range({b}):
                    u[i * {b} + j] = x[i * n + first + j] - means[k * {d} + i]
                scale = math.exp(logs[k * {d} + i])
                for j in range({b}):
                    q[j] = scale * u[i * {b} + j]
                for m in range(i):
                    c = lower[at + m]
                    for j in range({b}):
                        q[j] += c * u[m * {b} + j]
                for j in range({b}):
                    q[j] = -part[k * {b} + j] * q[j]
                for m in range(i):
                    s = 0.0
                    for j in range({b}):
                        s = reduce_add(s, q[j] * u[m * {b} + j])
                    by_lower[at + m] += s
                s = 0.0
                g = 0.0
                for j in range({b}):
                    s = reduce_add(s, q[j] * u[i * {b} + j])
                    g = reduce_add(g, q[j])
                by_logs[k * {d} + i] += s * scale
                by_means[k * {d} + i] -= g * scale
                for m in range(i):
                    by_means[k * {d} + m] -= g * lower[at + m]
                at += i
    for k in range({k}):
        for i in range({d}):
            by_logs[k * {d} + i] += by_alphas[k]
    value[0] = total
    return 0
"""


def mixture(alphas: Any, means: Any, logs: Any, lower: Any, x: Any, xp: Any) -> Any:
    """The sum over points of log-sum-exp over components, *lower* being full matrices with zeros above."""
    gaps = x - means[:, None, :]
    q = xp.exp(logs)[:, None, :] * gaps + gaps @ xp.swapaxes(lower, -1, -2)
    terms = (alphas + logs.sum(-1))[:, None] - 0.5 * (q * q).sum(-1)
    top = terms.max(0).values if xp.__name__ == "torch" else terms.max(0)
    return (xp.log(xp.exp(terms - top).sum(0)) + top).sum()


def _mixture(n: int) -> Sides:
    rng = np.random.default_rng(0)
    count = -(-n // BLOCK) * BLOCK
    x, alphas, means = rng.normal(size=(count, D)), rng.normal(size=K), rng.normal(size=(K, D))
    logs, packed = rng.normal(size=(K, D)) / 4, rng.normal(size=(K, len(ROWS))) / 4
    lower = np.zeros((K, D, D))
    lower[:, ROWS, COLUMNS] = packed
    names = {"k": K, "d": D, "b": BLOCK, "l": len(ROWS)}
    run = written(_MIXTURE.format(**names), "mixture", "f8* " * 13 + "i8")
    turned, scratch = np.ascontiguousarray(x.T), [np.empty(m * BLOCK) for m in (D, D, K)]

    def hand() -> tuple[Any, tuple[Any, ...]]:
        value = np.zeros(1)
        found = np.empty(K), np.empty((K, D)), np.empty((K, D)), np.empty((K, len(ROWS)))
        run(turned, alphas, means, logs, packed, *found, value, *scratch, count)
        return value[0], found

    ours, peers = of_libraries(mixture, (alphas, means, logs, lower, x), 4)
    full, parts = ours(), hand()
    for a, b in zip((*full[1][:3], full[1][3][:, ROWS, COLUMNS]), parts[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)
    return Sides(ours, hand, peers, same=False)


WORKLOADS = [
    Workload(f"Gaussian mixture, n = {n}, d = 10, k = 25", lambda n=n: _mixture(n), 1.5)  # type: ignore[misc]
    for n in (1000, 10_000)
]
