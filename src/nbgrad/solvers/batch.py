"""One of many fits, in machine code."""

from __future__ import annotations

from typing import Any

from nbgrad.machine.pointers import call_kernel
from nbgrad.solvers.factors import D, X, damped
from nbgrad.solvers.native import (
    CALLS,
    FAILED,
    ITERATIONS,
    JACOBIANS,
    K_WORDS,
    NOT_FINITE,
    S_WORDS,
    STATUS,
    F,
    M,
    N,
)


def fit_one(
    loop: Any, table: Any, k: Any, s: Any, w: Any, b: int, k0: Any, s0: Any,
    start: Any, scales: Any, x: Any, cov: Any, value: Any, words: Any,
) -> None:  # fmt: skip
    """The fit in row *b* by the *loop* of nb-lm: words are begun with anew, and results written to that row."""
    for i in range(K_WORDS):
        k[i] = k0[i]
    for i in range(S_WORDS):
        s[i] = s0[i]
    n, m = k[N], k[M]
    for i in range(n):
        w[X * n + i] = start[b * n + i]
        w[D * n + i] = scales[i]
    call_kernel(loop, 0, 1, table)
    status = k[STATUS]
    value[b] = s[F]
    for i in range(n):
        x[b * n + i] = w[X * n + i]
    if status != FAILED and status != NOT_FINITE and m > n:
        variance = 2.0 * s[F] / (m - n)
        for i in range(n * n):
            cov[b * n * n + i] = variance * w[damped(n) + i]
    words[4 * b], words[4 * b + 1] = status, k[CALLS]
    words[4 * b + 2], words[4 * b + 3] = k[JACOBIANS], k[ITERATIONS]
