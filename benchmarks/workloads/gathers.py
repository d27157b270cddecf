"""Gathers: values read by index arrays, and computed with in the same loop."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks.compilers import need, translated, waited_for
from benchmarks.libraries import Step, load
from benchmarks.sparse import Scene, projected
from benchmarks.workloads.base import Sides, Workload

TWELVE = tuple(range(12))


def row_sums(k: int, xp: Any) -> Callable[..., Any]:
    """The sum of a coordinate of all points seen: by twelve columns its gradient is the entries of J."""
    return lambda *columns: projected(columns[:9], columns[9:], xp)[k].sum()


def of_jax(x: Any, places: Any) -> Step:
    jax = load("jax")
    xp = jax.numpy

    @jax.jit  # type: ignore[untyped-decorator]
    def derive(x: Any, places: Any) -> Any:
        columns = list(x[places])
        rows = [xp.stack(jax.grad(row_sums(k, xp), TWELVE)(*columns), axis=1) for k in range(2)]
        return xp.concatenate(rows).reshape(-1)

    inputs = xp.asarray(x), xp.asarray(places)
    return lambda: jax.block_until_ready(derive(*inputs))


def of_torch(x: Any, places: Any, compiled: bool) -> Step:
    torch = load("torch")

    def derive(x: Any, places: Any) -> Any:
        columns = x[places].unbind(0)
        rows = [torch.func.grad(row_sums(k, torch), TWELVE)(*columns) for k in range(2)]
        return torch.cat([torch.stack(row, dim=1) for row in rows]).reshape(-1)

    inputs = torch.tensor(x), torch.tensor(places)
    if not compiled:
        return lambda: derive(*inputs)
    step = torch.compile(derive, fullgraph=True)
    return translated(lambda: step(*inputs))


def of_autograd(x: Any, places: Any) -> Step:
    xp, module = importlib.import_module("autograd.numpy"), load("autograd")

    def derive() -> Any:
        columns = list(x[places])
        rows = [module.grad(row_sums(k, xp), TWELVE)(*columns) for k in range(2)]
        return np.concatenate([np.stack(row, axis=1) for row in rows]).reshape(-1)

    return derive


def of_pytensor(x: Any, places: Any) -> Step:
    module = importlib.import_module("pytensor")
    pt = importlib.import_module("pytensor.tensor")
    given, index = pt.dvector("x"), pt.lmatrix("places")
    columns = [given[index[k]] for k in TWELVE]
    rows = [module.grad(row_sums(k, pt)(*columns), columns) for k in range(2)]
    result = pt.concatenate([pt.stack(row, axis=1) for row in rows]).reshape((-1,))
    function = module.function([given, index], result, trust_input=True)
    return lambda: function(x, places)


def of_drjit(x: Any, places: Any) -> Step:
    """Columns gathered for each coordinate; the library finds that both compute the same points."""
    need("Dr.Jit")
    dr, types = importlib.import_module("drjit"), importlib.import_module("drjit.llvm.ad")
    count = places.shape[1]

    @dr.freeze  # type: ignore[untyped-decorator]
    def derive(x: Any, places: Any) -> Any:
        found = dr.zeros(types.Float64, 24 * count)
        at = 12 * dr.arange(types.UInt32, count)
        for k in range(2):
            columns = [dr.gather(types.Float64, x, places[i]) for i in TWELVE]
            dr.enable_grad(columns)
            dr.backward(projected(columns[:9], columns[9:], dr)[k])
            for i, column in enumerate(columns):
                dr.scatter(found, dr.grad(column), at + (12 * count * k + i))
        return found

    given = types.Float64(x), [types.UInt32(row.astype(np.uint32)) for row in places]

    return waited_for(dr, derive, given)


BUNDLE: dict[str, Callable[[Any, Any], Step]] = {
    "jax": of_jax,
    "torch": functools.partial(of_torch, compiled=False),
    "autograd": of_autograd,
    "torch.compile": functools.partial(of_torch, compiled=True),
    "PyTensor": of_pytensor,
    "Dr.Jit": of_drjit,
}


def bundle() -> Sides:
    """The values of the Jacobian of bundle adjustment, for a solver that has its structure."""
    scene = Scene(50, 2500)
    x = scene.truth + 1e-3 * np.random.default_rng(1).normal(size=scene.truth.size)
    plan = ng.sparse.jacobian(scene.residual, x)
    hand, places = scene.by_hand(), scene.places()
    others = {name: lambda f=f: f(x, places) for name, f in BUNDLE.items()}  # type: ignore[misc]
    return Sides(lambda: plan.values(x), lambda: hand(x), others)


WORKLOADS = [Workload("bundle adjustment, values of J", bundle, 1.2)]
