"""Where machine code and Python once differed: settings, odd tensors, the end of the process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.executable import Executable
from nbgrad.jit import HOT_CALLS


def test_the_tier_reaches_every_call_of_a_hot_function(monkeypatch: pytest.MonkeyPatch) -> None:
    tiers = []
    slow = Executable.run

    def seen(self: Executable, args: list[Any]) -> list[Any]:
        tiers.append(ng.config.settings.current.tier)
        return slow(self, args)

    a = np.ones(3)
    f = ng.jit(lambda a: np.sin(a) * 2.0)
    for _ in range(HOT_CALLS + 1):
        f(a)
    monkeypatch.setattr(Executable, "run", seen)
    for tier in ("reference", "block"):
        with ng.configure(tier=tier):
            for _ in range(3):
                f(a)
    assert tiers == ["reference"] * 3 + ["block"] * 3
    f(a)
    f(a)
    assert len(tiers) <= 7  # machine code again, after one call at most
