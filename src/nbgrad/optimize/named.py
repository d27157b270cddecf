"""Fits by lmfit, whose parameters have names; the packages of adapters, by name."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.api.trees import structure
from nbgrad.optimize.problem import Problem

Func = Callable[..., Any]
PACKAGES: dict[str, Func] = {
    "casadi": lambda: importlib.import_module("casadi"),
    "cyipopt": lambda: importlib.import_module("cyipopt"),
    "iminuit": lambda: importlib.import_module("iminuit"),
    "lmfit": lambda: importlib.import_module("lmfit"),
    "nlopt": lambda: importlib.import_module("nlopt"),
    "optimagic": lambda: importlib.import_module("optimagic"),
}


def package_of(name: str) -> Any:
    """The package of an adapter, imported."""
    try:
        return PACKAGES[name]()
    except ImportError:
        raise ImportError(
            f"adapters.{name.removeprefix('cy')} needs the package {name}: pip install {name}"
        ) from None


def lmfit(problem: Problem, params: Any = None, method: str = "leastsq", **settings: Any) -> Any:
    """Fit residuals by lmfit, whose parameters have names, bounds and may be held.

    Parameters
    ----------
    problem : Problem
        Its function returns residuals.
    params : lmfit.Parameters, optional
        One for each number of the problem, in their order; made of its start and bounds, if not given.
    method : str
        lmfit's.
    **settings
        Of :func:`lmfit.minimize`.

    Returns
    -------
    lmfit.minimizer.MinimizerResult
        With ``x``, nested as the problem's parameters.

    Raises
    ------
    ImportError
        Without lmfit.
    ValueError
        For another number of parameters.

    Examples
    --------
    >>> import nbgrad as ng
    >>> p = ng.problem(lambda v: v["a"] - 2.0, {"a": 1.0})
    >>> ng.optimize.adapters.lmfit(p).params["a"].value  # doctest: +SKIP
    2.0
    """
    n = problem.space.size
    if params is not None and len(params) != n:
        raise ValueError(f"adapters.lmfit: {len(params)} parameters for a problem of {n} numbers")
    package = package_of("lmfit")
    params = parameters(package, problem) if params is None else params
    at: Func = lambda given: np.array([p.value for p in given.values()], float)
    if method == "leastsq":

        def slopes(given: Any) -> Any:
            varied = [k for k, p in enumerate(given.values()) if p.vary and p.expr is None]
            return problem.jac_matrix(at(given))[:, varied]

        if all(p.expr is None for p in params.values()):
            settings = {"Dfun": slopes} | settings
    found = package.minimize(
        lambda given: np.atleast_1d(problem.fun(at(given))), params, method, **settings
    )
    found.x = problem.nested(at(found.params))
    return found


def parameters(package: Any, problem: Problem) -> Any:
    """Parameters of lmfit's, named by how each number is reached."""
    made = package.Parameters()
    lower, upper = problem.bounds or (
        np.full(problem.space.size, -np.inf),
        np.full(problem.space.size, np.inf),
    )
    for k, (name, x) in enumerate(zip(names_of(problem), problem.x0, strict=True)):
        made.add(name, value=float(x), min=float(lower[k]), max=float(upper[k]))
    return made


def names_of(problem: Problem) -> list[str]:
    """A name for each number, as identifiers."""
    space = problem.space
    paths = structure(problem.nested(problem.x0)).paths
    found = []
    for path, (shape, _) in zip(paths, space.unravel.avals, strict=True):
        stem = re.sub(r"\W+", "_", path).strip("_") or "x"
        stem = stem if stem.isidentifier() else f"x{stem}"
        found += (
            [stem] if not shape else ["_".join([stem, *map(str, i)]) for i in np.ndindex(*shape)]
        )
    return found
