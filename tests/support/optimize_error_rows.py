"""Those of ``nbgrad.problem`` and ``nbgrad.optimize``: see error_rows.py."""

from __future__ import annotations

from typing import Any

import numpy as np

import nbgrad as ng

X = np.array([1.0, 2.0])
optimize = ng.optimize
total = lambda x: (x * x).sum()
AT: Any = ng.problem(total, X)

T = np.linspace(0.0, 1.0, 5)
WAVE: Any = lambda t, a, b: a + b * t
FIT: Any = optimize.curve_fit(WAVE, T, T**2)

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
    ("optimize.least_squares", "TypeError"): (lambda: optimize.least_squares(3.0, X), "function"),
    ("optimize.least_squares", "ValueError"): (
        lambda: optimize.least_squares(lambda x: x, X, bounds=(1.0, 0.0)),
        "no value lies between",
    ),
    ("optimize.curve_fit", "ValueError"): (
        lambda: optimize.curve_fit(WAVE, T, T * np.nan),
        "NaN",
    ),
    ("optimize.curve_fit", "TypeError"): (
        lambda: optimize.curve_fit(WAVE, T[:1], T[:1]),
        "must not exceed",
    ),
    ("optimize.curve_fit", "RuntimeError"): (
        lambda: optimize.curve_fit(lambda t, a: np.exp(a * t), T, T + 9.0, maxfev=2),
        "not found",
    ),
    ("optimize.Fit.interval", "ValueError"): (lambda: FIT.interval(95), "between 0 and 1"),
    ("optimize.Fit.profile", "ValueError"): (lambda: FIT.profile(95), "between 0 and 1"),
    ("optimize.root", "TypeError"): (lambda: optimize.root(3.0, X), "function"),
    ("optimize.root", "ValueError"): (
        lambda: optimize.root(total, X),
        "1 equations for 2 unknowns",
    ),
    ("optimize.root_scalar", "ValueError"): (lambda: optimize.root_scalar(total), "bracket"),
    ("optimize.fixed_point", "ValueError"): (
        lambda: optimize.fixed_point(lambda x: x[:1], X),
        "x0 has 2",
    ),
    ("optimize.fixed_point", "RuntimeError"): (
        lambda: optimize.fixed_point(lambda x: 2 * x + 1, X, maxiter=3, method="iteration"),
        "Failed to converge",
    ),
    ("optimize.basinhopping", "TypeError"): (lambda: optimize.basinhopping(3.0, X), "function"),
    ("optimize.basinhopping", "ValueError"): (
        lambda: optimize.basinhopping(total, X, checkpoint="x"),
        "rng",
    ),
    ("optimize.dual_annealing", "TypeError"): (
        lambda: optimize.dual_annealing(3.0, [(0.0, 1.0)]),
        "function",
    ),
    ("optimize.dual_annealing", "ValueError"): (
        lambda: optimize.dual_annealing(total, [(1.0, 0.0)]),
        "no value lies between",
    ),
    ("optimize.differential_evolution", "TypeError"): (
        lambda: optimize.differential_evolution(3.0, [(0.0, 1.0)]),
        "function",
    ),
    ("optimize.differential_evolution", "ValueError"): (
        lambda: optimize.differential_evolution(total, [(1.0, 0.0)]),
        "no value lies between",
    ),
    ("optimize.brute", "TypeError"): (lambda: optimize.brute(3.0, ((0, 1),)), "function"),
    ("optimize.brute", "ValueError"): (lambda: optimize.brute(total, ()), "ranges"),
    ("optimize.Table", "ValueError"): (lambda: optimize.Table(every=0), "1 or more"),
    ("optimize.Progress", "ValueError"): (lambda: optimize.Progress("bar"), "tqdm"),
    ("optimize.adapters.ipopt", "TypeError"): (
        lambda: optimize.adapters.ipopt(total),
        "takes what nbgrad.problem made",
    ),
    ("optimize.adapters.ipopt", "ValueError"): (
        lambda: optimize.adapters.ipopt(AT, np.ones(9)),
        "holds 9 numbers",
    ),
    ("optimize.adapters.lmfit", "ValueError"): (
        lambda: optimize.adapters.lmfit(AT, {}),
        "0 parameters",
    ),
}
for _name in ("iminuit", "nlopt", "optimagic", "casadi"):
    ROWS[f"optimize.adapters.{_name}", "ValueError"] = (
        lambda name=_name: getattr(optimize.adapters, name)(total, X),
        "needs a gradient",
    )
