"""Those of ``nbgrad.problem`` and ``nbgrad.optimize``: see error_rows.py."""

from __future__ import annotations

from typing import Any

import numpy as np

import nbgrad as ng

X = np.array([1.0, 2.0])
optimize = ng.optimize
total = lambda x: (x * x).sum()
AT: Any = ng.problem(total, X)

ROWS: dict[tuple[str, str], Any] = {
    ("problem", "TypeError"): (lambda: ng.problem(total, X * 1j), "real and imaginary"),
    ("problem", "ValueError"): (lambda: ng.problem(total, X, bounds=[(0, 1)]), "2 elements"),
    ("optimize.Problem.value_and_grad", "ValueError"): (
        lambda: AT.value_and_grad(np.ones(3)),
        "x0 has 2",
    ),
    ("optimize.minimize", "TypeError"): (lambda: optimize.minimize(3.0, X), "function"),
    ("optimize.minimize", "ValueError"): (
        lambda: optimize.minimize(total, X, time_limit=-1.0),
        "more than 0",
    ),
}
