"""Reductions along rows: a row is read once, and is in cache for what follows."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads.base import Sides, Workload, of_libraries, written

_LOG_SUM_EXP = """
def log_sum_exp(x, out, value, rows, n):
    total = 0.0
    for r in range(rows):
        at = r * n
        a0 = x[at]
        a1 = a0
        a2 = a0
        a3 = a0
        for i in range(n // {w}):
            j = at + i * {w}
{maxima}
        top = max(max(a0, a1), max(a2, a3))
        s = {c}(0.0)
        for i in range(n):
            e = exp_{c}(x[at + i] - top)
            out[at + i] = e
            s = reduce_add(s, e)
        total += f8(top) + math.log(f8(s))
        share = {c}(1.0) / s
        for i in range(n):
            out[at + i] = out[at + i] * share
    value[0] = total
    return 0
"""
_MAXIMA = "\n".join(
    f"            a{k} = x[j + {k}] if x[j + {k}] > a{k} else a{k}" for k in range(4)
)

_NORM = """
def layer_norm(x, weight, out, by_weight, value, rows, n):
    total = 0.0
    for i in range(n):
        by_weight[i] = 0.0
    for r in range(rows):
        at = r * n
        s = 0.0
        for i in range(n):
            s = reduce_add(s, x[at + i])
        mean = s / n
        s = 0.0
        for i in range(n):
            d = x[at + i] - mean
            s = reduce_add(s, d * d)
        inverse = 1.0 / math.sqrt(s / n + 1e-5)
        a = 0.0
        b = 0.0
        for i in range(n):
            z = (x[at + i] - mean) * inverse
            y = z * weight[i]
            total = reduce_add(total, y * y)
            g = 2.0 * y * weight[i]
            by_weight[i] += 2.0 * y * z
            out[at + i] = g
            a = reduce_add(a, g)
            b = reduce_add(b, g * z)
        a = a / n
        b = b / n
        for i in range(n):
            z = (x[at + i] - mean) * inverse
            out[at + i] = (out[at + i] - a - z * b) * inverse
    value[0] = total
    return 0
"""


def log_sum_exp(x: Any, xp: Any) -> Any:
    """The logarithms of sums of exponentials of rows, summed, with the maximum taken out as users do."""
    top = x.max(-1, keepdims=True) if xp.__name__ != "torch" else x.max(-1, keepdim=True).values
    return (xp.log(xp.exp(x - top).sum(-1)) + top[:, 0]).sum()


def layer_norm(x: Any, weight: Any, xp: Any) -> Any:
    """Rows less their mean, over their deviation, weighted; squares, summed."""
    d = x - x.mean(-1)[:, None]
    y = d / xp.sqrt((d * d).mean(-1)[:, None] + 1e-5) * weight
    return (y * y).sum()


def _log_sum_exp(dtype: str) -> Sides:
    x = np.random.default_rng(0).normal(size=(4096, 1024)).astype(dtype)
    code = "f8" if dtype == "float64" else "f4"
    text = _LOG_SUM_EXP.replace("{maxima}", _MAXIMA).replace("{w}", "4").replace("{c}", code)
    run, value = written(text, "log_sum_exp", f"{code}* {code}* f8* i8 i8"), np.zeros(1)

    def hand() -> tuple[Any, Any]:
        out = np.empty_like(x)
        run(x, out, value, *x.shape)
        return x.dtype.type(value[0]), out

    ours, peers = of_libraries(log_sum_exp, (x,))
    return Sides(ours, hand, peers)


def _layer_norm() -> Sides:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(4096, 1024)), rng.normal(size=1024)
    run, value = written(_NORM, "layer_norm", "f8* f8* f8* f8* f8* i8 i8"), np.zeros(1)

    def hand() -> tuple[Any, Any]:
        out, by_weight = np.empty_like(x), np.empty_like(weight)
        run(x, weight, out, by_weight, value, *x.shape)
        return value[0], (out, by_weight)

    ours, peers = of_libraries(layer_norm, (x, weight), 2)
    return Sides(ours, hand, peers)


WORKLOADS = [
    *(Workload(f"row log-sum-exp 4096x1024 {d}", lambda d=d: _log_sum_exp(d), 1.05) for d in ("float32", "float64")),  # type: ignore[misc]
    Workload("LayerNorm 4096x1024 float64", _layer_norm),
]  # fmt: skip
