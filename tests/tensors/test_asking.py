"""Errors about values that are asked for: they name the call, its line and nbgrad's own function."""

from __future__ import annotations

import builtins
import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.optimize
import scipy.special
import scipy.stats
from scipy.linalg import expm as matrix_exponential

import nbgrad as ng
from nbgrad.errors import AutogradError

REFUSED = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
P = ng.tensor([1.0, 2.0], requires_grad=True)
A = ng.tensor(np.eye(2), requires_grad=True)

CALLS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "array": (lambda: np.array([P[0], P[1]]), "numpy.array", "nbgrad.numpy.array"),
    "asarray": (lambda: np.asarray(P), "numpy.asarray", "nbgrad.numpy.asarray"),
    "sum": (lambda: np.sum([P[0], P[1]]), "numpy.sum", "nbgrad.numpy.sum"),
    "sin": (lambda: np.sin([P[0], P[1]]), "numpy.sin", "nbgrad.numpy.sin"),
    "norm": (lambda: np.linalg.norm([P[0]]), "numpy.linalg.norm", "nbgrad.linalg.norm"),
    "expm": (lambda: scipy.linalg.expm(A), "scipy.linalg.expm", "nbgrad.linalg.expm"),
    "by keyword": (
        lambda: scipy.linalg.cholesky(A, lower=True),
        "scipy.linalg.cholesky",
        "nbgrad.linalg.cholesky",
    ),
    "renamed": (lambda: matrix_exponential(A), "scipy.linalg.expm", "nbgrad.linalg.expm"),
    "held": (
        lambda: [f(A) for f in [scipy.linalg.sqrtm]],
        "scipy.linalg.sqrtm",
        "nbgrad.linalg.sqrtm",
    ),
    "mapped": (
        lambda: list(map(scipy.linalg.expm, [A])),
        "scipy.linalg.expm",
        "nbgrad.linalg.expm",
    ),
    "gamma": (lambda: scipy.special.gamma([P[0]]), "scipy.special.gamma", "nbgrad.special.gamma"),
    "broken": (
        lambda: np.array(
            [
                P[0],
                P[1],
            ]
        ),
        "numpy.array",
        "nbgrad.numpy.array",
    ),
    "operator": (lambda: np.ma.array([1.0, 2.0]) * P, "operator *", "nbgrad.multiply"),
    "solver": (
        lambda: scipy.integrate.solve_ivp(lambda t, y: y * P, (0, 1), [1.0, 1.0]),
        "scipy.integrate.solve_ivp",
        "nbgrad.integrate.solve_ivp",
    ),
    "without": (lambda: scipy.linalg.fiedler(P), "scipy.linalg.fiedler", ".detach().numpy()"),
    "by name": (lambda: scipy.linalg.solve(A, P), "scipy.linalg.solve", "nbgrad.linalg.solve"),
    "root": (
        lambda: scipy.optimize.fsolve(lambda x: x - P, [0.0, 0.0]),
        "scipy.optimize.fsolve",
        "nbgrad.optimize.root",
    ),
    "distribution": (
        lambda: scipy.stats.norm.logpdf(0.0, loc=P),
        "scipy.stats.norm.logpdf",
        "nbgrad.stats.norm.logpdf",
    ),
    "frozen": (
        lambda: scipy.stats.gamma(2.0).logpdf(P),
        "scipy.stats.gamma.logpdf",
        "nbgrad.stats.gamma.logpdf",
    ),
    "several dimensions": (
        lambda: scipy.stats.multivariate_normal.logpdf([0.0, 0.0], P),
        "scipy.stats.multivariate_normal.logpdf",
        "nbgrad.stats.multivariate_normal.logpdf",
    ),
    "object": (
        lambda: scipy.interpolate.CubicSpline([0.0, 1.0, 2.0], [0.0, 1.0, 4.0])(P),
        "scipy.interpolate.CubicSpline",
        "nbgrad.interpolate.CubicSpline",
    ),
    "itself": (lambda: P.numpy(), "", ".detach().numpy()"),
}


@pytest.mark.parametrize("kind", CALLS)
def test_a_refusal_names_the_call_its_line_and_what_to_write(kind: str) -> None:
    ask, called, own = CALLS[kind]
    with pytest.raises(AutogradError) as error:
        ask()
    text = str(error.value)
    assert text.startswith(REFUSED)
    first = inspect.getsourcelines(ask)[1]
    lines = [int(part.split()[0].rstrip(",.)")) for part in text.split(f"{__file__}:")[1:]]
    assert lines and first <= lines[0] <= first + 12
    assert called in text and own in text.removeprefix(REFUSED) + REFUSED


@pytest.mark.parametrize(
    ("f", "called", "own"),
    [
        (lambda x: math.sin(x), "math.sin", "nbgrad.sin"),
        (lambda x: math.lgamma(x), "math.lgamma", "nbgrad.special.gammaln"),
        (lambda x: math.asin(x), "math.asin", "nbgrad.asin"),
        (lambda x: math.gamma(x), "math.gamma", "nbgrad.special.gamma"),
        (lambda x: float(x), "float", "nbgrad.stack"),
        (lambda x: builtins.int(x) * x, "int", "nbgrad.stack"),
        (lambda x: np.array([x, x]).sum(), "numpy.array", "nbgrad.numpy.array"),
    ],
)
def test_numbers_of_what_is_differentiated(f: Any, called: str, own: str) -> None:
    with pytest.raises(AutogradError, match="cut") as error:
        ng.grad(f)(0.5)
    assert all(part in str(error.value) for part in (called, own, f"{__file__}:"))


def test_no_source_is_needed() -> None:
    names: dict[str, Any] = {"np": np, "P": P}
    with pytest.raises(AutogradError, match=r"numpy\.array, at <text>:2, .* nbgrad\.numpy\.array"):
        exec(compile("\nnp.array([P[0], P[1]])", "<text>", "exec"), names)


CONVERTED = {
    "numpy.absolute": lambda s: np.abs([s, s]),
    "numpy.array": lambda s: np.array([s, 1.0]),
    "numpy.linalg.det": lambda s: np.linalg.det([[s, 1.0], [0.0, s]]),
    "numpy.full": lambda s: np.full(3, s),
    "math.sin": lambda s: math.sin(s),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_a_conversion_of_a_traced_number_names_the_call_and_its_counterpart(name: str) -> None:
    with pytest.raises(ng.errors.ConcretizationError, match=rf"^{name}, at .*test_asking") as e:
        ng.jit(CONVERTED[name])(0.5)
    own = re.search(r"Write (nbgrad\S+) instead", str(e.value))
    assert own and own[1].endswith(name.rpartition(".")[2])


@pytest.mark.parametrize("name", ["angle", "sum", "diff"])
def test_a_tensor_as_a_setting_is_refused_by_the_name_of_the_function(name: str) -> None:
    calls = {
        "angle": lambda x, n: np.angle(x, n > 0),
        "sum": lambda x, n: np.sum(x, keepdims=n > 0),
        "diff": lambda x, n: np.diff(x, n),
    }
    with pytest.raises(TypeError, match=f"^{name}, at .*test_asking.* as a setting"):
        ng.jit(calls[name])(np.arange(3.0), np.int64(1))
