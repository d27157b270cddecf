"""One training step of the tutorial's network: two matrix products, ReLU, squared error."""

from __future__ import annotations

from benchmarks.libraries import training
from benchmarks.skip import or_skip


class TrainingStep:
    params = ("nbgrad", "nbgrad-jit", "numpy", "torch")
    param_names = ("library",)
    version = "1"

    def setup(self, library: str) -> None:
        self.step = or_skip(training, library)
        for _ in range(5):
            self.step()

    def time_step(self, library: str) -> None:
        self.step()
