"""Second derivatives: products, whole Hessians, compiled and eager."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

import nbgrad as ng
from benchmarks import compilers
from benchmarks.batched import hessian_of_logistic_regression, hessian_of_rosenbrock
from benchmarks.libraries import counted, load
from benchmarks.problems import rosenbrock, rosenbrock_input
from benchmarks.workloads.base import Sides, Workload


@njit(error_model="numpy", fastmath=True)  # type: ignore[misc]
def _product(x: Any, v: Any) -> Any:
    out = np.zeros_like(x)
    for i in range(x.size - 1):
        out[i] += (1200.0 * x[i] * x[i] - 400.0 * x[i + 1] + 2.0) * v[i] - 400.0 * x[i] * v[i + 1]
        out[i + 1] = 200.0 * v[i + 1] - 400.0 * x[i] * v[i]
    return out


CASADI = {"CasADi": False, "CasADi, C": True}
FEW = 200  # of numbers whose Hessian is printed as C, entry by entry


def ours_of(x: Any) -> Any:
    return rosenbrock(x, ng)


def product() -> Sides:
    x, v = rosenbrock_input(100), np.linspace(-1.0, 1.0, 100)
    compiled = ng.jit(lambda x, v: ng.hvp(ours_of, (x,), (v,)))

    def of_jax() -> Any:
        jax = load("jax")
        derive = jax.jit(
            lambda x, v: jax.jvp(jax.grad(lambda x: rosenbrock(x, jax.numpy)), (x,), (v,))[1]
        )
        inputs = jax.numpy.asarray(x), jax.numpy.asarray(v)
        return lambda: jax.block_until_ready(derive(*inputs))

    others = {"jax": of_jax} | {
        name: lambda c=c: compilers.Casadi(rosenbrock, (x,), 1, c).product(v)  # type: ignore[misc]
        for name, c in CASADI.items()
    }
    others["ddx"] = lambda: compilers.ddx_product(rosenbrock, x, v)
    return Sides(counted(compiled, x, v), lambda: _product(x, v), others)


def hessian(n: int) -> Sides:
    x = rosenbrock_input(n)
    ours, hand = hessian_of_rosenbrock(n, x)

    def of_jax() -> Any:
        jax = load("jax")
        derive = jax.jit(jax.hessian(lambda x: rosenbrock(x, jax.numpy)))
        given = jax.numpy.asarray(x)
        return lambda: jax.block_until_ready(derive(given))

    others = {"jax": of_jax} | {
        name: lambda c=c: compilers.Casadi(rosenbrock, (x,), 1, c).hessian()  # type: ignore[misc]
        for name, c in CASADI.items()
    }
    return Sides(ours, hand, others if n <= FEW else {"jax": of_jax})


def logistic() -> Sides:
    ours, hand = hessian_of_logistic_regression()
    return Sides(ours, hand)


def eager(n: int) -> Sides:
    """Nothing compiled by the user; PyTorch's loop over rows is what its users write."""
    x = rosenbrock_input(n)

    def of_torch() -> Any:
        torch = load("torch")
        leaf = torch.tensor(x)
        derive = torch.autograd.functional.hessian
        return lambda: derive(lambda x: rosenbrock(x, torch), leaf, vectorize=True)

    derive = ng.hessian(ours_of)
    return Sides(lambda: derive(x), hessian_of_rosenbrock(n)[1], {"torch": of_torch}, same=False)


WORKLOADS = [
    Workload("HVP of Rosenbrock, n = 100", product, 1.3),
    Workload("Hessian of Rosenbrock, n = 100", lambda: hessian(100), 2),
    Workload("Hessian of Rosenbrock, n = 1000", lambda: hessian(1000), 5),
    Workload("Hessian of logistic regression, n = 100", logistic, 1.5),
    Workload("Hessian of Rosenbrock, n = 100, eager", lambda: eager(100)),
    Workload("Hessian of Rosenbrock, n = 1000, eager", lambda: eager(1000)),
]
