"""Values outside of a function's domain are NaN or infinite, and no warning says so (kinks.md)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.config import TIERS

CASES: dict[str, tuple[Callable[[Any], Any], float]] = {
    "log(-1)": (np.log, -1.0),
    "log(0)": (np.log, 0.0),
    "sqrt(-1)": (np.sqrt, -1.0),
    "power": (lambda x: x**0.5, -1.0),
    "arcsin(2)": (np.arcsin, 2.0),
    "1/0": (lambda x: 1.0 / x, 0.0),
    "0/0": (lambda x: x / x, 0.0),
    "exp(1000)": (np.exp, 1000.0),
    "inf-inf": (lambda x: x - x, np.inf),
    "float32": (lambda x: x.astype(np.float32), 1e300),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("tier", TIERS)
def test_no_tier_warns_whatever_numpys_errstate(name: str, tier: str) -> None:
    f, at = CASES[name]
    array = np.array([at, at])
    with np.errstate(all="ignore"):
        expected = f(array)
    assert not np.all(np.isfinite(expected))
    jitted = ng.jit(f)
    with ng.configure(tier=tier), np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):  # it turns hot
            assert_array_equal(f(ng.tensor(array)).numpy(), expected)
            assert_array_equal(np.asarray(jitted(array)), expected)
            assert_array_equal(f(ng.tensor(at)).numpy(), expected[0])
            w = ng.tensor(array, requires_grad=True)
            f(w).sum().backward()


def test_anomaly_detection_is_what_finds_them() -> None:
    w = ng.tensor([-1.0, 1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"(?s)log|sqrt"), ng.detect_anomaly():
        np.sqrt(w).sum().backward()
