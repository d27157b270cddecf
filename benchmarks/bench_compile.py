"""How long a user waits for the first gradient of a new program in a new process."""

from __future__ import annotations

from benchmarks.fresh import first_gradient_seconds


class FirstGradient:
    """Import, record, differentiate, compile, run: a chain of 20 operations on 1000 elements."""

    params = (("backward", "jit"), ("empty", "warm"))
    param_names = ("how", "cache")
    unit = "s"
    version = "1"

    def track_first_gradient(self, how: str, cache: str) -> float:
        return first_gradient_seconds(how, warm=cache == "warm")
