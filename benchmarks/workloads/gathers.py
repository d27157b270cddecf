"""Gathers: values read by index arrays, and computed with in the same loop."""

from __future__ import annotations

import numpy as np

import nbgrad as ng
from benchmarks.sparse import Scene
from benchmarks.workloads.base import Sides, Workload


def bundle() -> Sides:
    """The values of the Jacobian of bundle adjustment, for a solver that has its structure."""
    scene = Scene(50, 2500)
    x = scene.truth + 1e-3 * np.random.default_rng(1).normal(size=scene.truth.size)
    plan = ng.sparse.jacobian(scene.residual, x)
    hand = scene.by_hand()
    return Sides(lambda: plan.values(x), lambda: hand(x))


WORKLOADS = [Workload("bundle adjustment, values of J", bundle, 1.2)]
