"""Small programs of many kinds, to be run at home and on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nbgrad as ng

X = np.linspace(0.2, 1.4, 6).reshape(2, 3)
W = np.linspace(-1.0, 1.0, 9).reshape(3, 3) + np.eye(3)

PROGRAMS: dict[str, Callable[..., Any]] = {
    "chain": lambda x, w: (np.sin(x) * np.exp(-x) + x**2 * w[0]).sum(),
    "products": lambda x, w: np.tanh(x @ w).sum() * np.linalg.det(w),
    "softmax": lambda x, w: -ng.special.log_softmax(x @ w, axis=1)[:, 0].mean(),
    "solve": lambda x, w: np.linalg.solve(w, x.T).sum() + np.linalg.inv(w)[0, 1],
    "order": lambda x, w: (np.sort(x, axis=1)[:, 1] * np.max(w)).sum() + np.median(x),
    "choice": lambda x, w: np.where(x > 0.7, x * 2, np.sqrt(x)).sum() + np.abs(w).max(),
    "picks": lambda x, w: x[[0, 1, 0], [2, 2, 1]].sum() * w[np.array([2, 0])].prod(),
    "scans": lambda x, w: np.cumsum(x, 1).sum() * np.cumprod(w[0]).sum(),
    "constants": lambda x, w: (x * np.arange(3.0) + ng.ones(3) @ w + np.eye(3)[0]).sum(),
    "stack": lambda x, w: np.stack([x[0], w[1], x[1] * 2]).std(),
    "scan": lambda x, w: ng.scan(lambda c, r: (np.tanh(c @ w + r), c.sum()), x[0], x)[1].sum(),
    "fourier": lambda x, w: np.abs(np.fft.fft(x, axis=1)).sum() + w.trace(),
}
