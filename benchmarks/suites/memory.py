"""Peak memory of the gradient of a chain of 20 operations over 10^7 elements.

The gradient needs its input and its output, 160 MB; subtract ``peakmem_reference``, which holds
just those, to see what nbgrad adds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks.problems import Array, chain_sum

N = 10_000_000


def gradient() -> Any:
    ng.configure(deterministic=True)
    return ng.jit(ng.grad(lambda x: chain_sum(x, ng)))


class ChainGradient:
    version = "1"

    def setup_cache(self) -> None:
        """Compile in a process of its own: what LLVM takes is no gradient's."""
        gradient()(np.ones(100_000))

    def setup(self) -> None:
        self.gradient = gradient()
        self.gradient(np.ones(100_000))
        self.x = np.ones(N)

    def peakmem_gradient(self) -> Array:
        result: Array = self.gradient(self.x)
        return result

    def peakmem_reference(self) -> Array:
        return np.ones_like(self.x)
