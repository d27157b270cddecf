"""Derivatives of orders 1 and 2 keep the bounds that docs/operations.md states."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import accuracy
import mpmath as mp
import pytest

from nbgrad.core.lookup import load_vocabulary

load_vocabulary()


@cache
def data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(accuracy.DATA.read_text())
    return found


@pytest.mark.parametrize("name", accuracy.CASES)
def test_derivatives_keep_their_bounds(name: str) -> None:
    row = data()[name]
    # NumPy's exp has other last bits on other processors.
    points = pytest.approx(accuracy.points(accuracy.CASES[name]), rel=1e-13)
    assert row["at"] == points, "run tests/support/accuracy.py"
    with mp.workdps(accuracy.DIGITS):
        for tier in accuracy.TIERS:
            for found, bound in zip(accuracy.measured(name, row, tier), row["bound"], strict=True):
                assert found <= bound, tier


def test_elementary_functions_are_within_1e_13() -> None:
    assert all(max(data()[name]["bound"]) <= 1e-13 for name in accuracy.ELEMENTARY)


@pytest.mark.parametrize("name", ["tanh", "arcsin", "erf", "hypot"])
def test_the_stored_values_are_those_of_mpmath(name: str) -> None:
    case, row = accuracy.CASES[name], data()[name]
    with mp.workdps(accuracy.DIGITS):
        for k, f in enumerate((case.first, case.second)):
            for x, stored in list(zip(row["at"], row["exact"][k], strict=True))[::7]:
                assert mp.nstr(f(mp.mpf(x)), 25) == stored
