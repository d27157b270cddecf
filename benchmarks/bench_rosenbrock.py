"""A reduction over two overlapping slices: call overhead at n = 10, fusion at n = 10^6."""

from __future__ import annotations

from benchmarks import peers
from benchmarks.libraries import compiled
from benchmarks.problems import rosenbrock, rosenbrock_input
from benchmarks.skip import or_skip


class Rosenbrock:
    params = ((10, 1000, 1_000_000), ("nbgrad", "by hand", "jax", "torch"))
    param_names = ("n", "library")
    version = "1"

    def setup(self, n: int, library: str) -> None:
        x = rosenbrock_input(n)
        if library == "by hand":
            self.step = lambda: peers.serial["rosenbrock"](x)
        else:
            self.step = or_skip(compiled, library, rosenbrock, (x,), 1)
        self.step()

    def time_value_and_grad(self, n: int, library: str) -> None:
        self.step()
