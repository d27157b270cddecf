"""What operations on tiny arrays cost when they are recorded anew each time, and calls of what is compiled."""

from __future__ import annotations

from benchmarks.libraries import LIBRARIES, eager
from benchmarks.problems import chain_input, chain_sum
from benchmarks.suites.base import _Timed, or_skip
from benchmarks.tracked import hot

HOT = dict(hot())


class EagerChain(_Timed):
    """Value and backward of a chain of 20 operations on 10 elements."""

    params = LIBRARIES
    param_names = ("library",)

    def setup(self, library: str) -> None:
        self.step = or_skip(lambda: eager(library, chain_sum, chain_input(10)))
        for _ in range(100):
            self.step()

    def time_value_and_backward(self, library: str) -> None:
        self.step()


class HotPaths(_Timed):
    """The same paths as those of the gate."""

    params = tuple(HOT)
    param_names = ("path",)

    def setup(self, path: str) -> None:
        self.step = HOT[path]()
        for _ in range(100):
            self.step()

    def time_call(self, path: str) -> None:
        self.step()
