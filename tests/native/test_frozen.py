"""Values and derivatives agree on what a function reads from outside, or it is refused."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

import nbgrad as ng

RATE = 2.0
TABLE = np.array([1.0, 2.0, 3.0])


def by_rate(x: float) -> float:
    return RATE * x * x


def by_table(x: float) -> float:
    return float(TABLE[1]) * x


@numba.njit
def inner(x: float) -> float:
    return RATE * x


def by_another(x: float) -> float:
    return float(inner(x)) * x


@pytest.mark.parametrize("f", [by_rate, by_another], ids=["its own", "what it calls"])
def test_a_global_that_changed_is_refused(f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    g = ng.njit(f)
    assert g(3.0) == 18.0
    monkeypatch.setattr(f"{__name__}.RATE", 5.0)
    with pytest.raises(TypeError, match="RATE changed after"):
        ng.grad(g)(3.0)
    assert ng.grad(ng.njit(by_rate))(3.0) == 30.0  # made anew


def test_an_array_that_changed_is_refused() -> None:
    g = ng.njit(by_table)
    assert ng.grad(g)(3.0) == 2.0
    before = TABLE.copy()
    try:
        TABLE[1] = 7.0
        assert ng.grad(g)(3.0) == 2.0  # compiled already
        with pytest.raises(TypeError, match="TABLE changed after"):
            ng.jvp(ng.grad(g), (3.0,), (1.0,))
    finally:
        TABLE[:] = before


def test_closures_of_other_values_are_other_functions() -> None:
    def scaled(by: float) -> Any:
        return ng.njit(lambda x: by * x)

    two, three = scaled(2.0), scaled(3.0)
    assert (ng.grad(two)(1.0), ng.grad(three)(1.0)) == (2.0, 3.0)
