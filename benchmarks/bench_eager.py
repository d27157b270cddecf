"""What an operation on a tiny array costs when it is recorded anew each time."""

from __future__ import annotations

from benchmarks.libraries import LIBRARIES, eager, recording
from benchmarks.problems import chain, chain_input, chain_sum
from benchmarks.skip import or_skip


class EagerChain:
    """Value and backward of a chain of 20 operations on 10 elements."""

    params = LIBRARIES
    param_names = ("library",)
    version = "1"

    def setup(self, library: str) -> None:
        self.step = or_skip(eager, library, chain_sum, chain_input(10))
        for _ in range(10):
            self.step()

    def time_value_and_backward(self, library: str) -> None:
        self.step()


class Recording:
    """The tape alone: 20 operations recorded and dropped."""

    version = "1"

    def setup(self) -> None:
        self.step = or_skip(recording, chain, chain_input(10))
        self.step()

    def time_record(self) -> None:
        self.step()
