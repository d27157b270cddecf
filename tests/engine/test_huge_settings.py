"""Integers that nobody means as settings: answered or refused at once, never a loop without end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from subprocesses import run

import nbgrad as ng

X = np.array([1.2345, -0.5, 3.5])


@pytest.mark.parametrize("decimals", [22, 300, 308, 309, -300, -309, np.int64(2), True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_rounding_to_many_decimals_is_numpys(decimals: Any, dtype: Any) -> None:
    a = X.astype(dtype)
    with np.errstate(all="ignore"):
        wanted = np.round(a, decimals)
    np.testing.assert_array_equal(np.round(ng.tensor(a), decimals).numpy(), wanted)


def test_huge_settings_end_at_once() -> None:
    """In a process with a limit on its time: what does not end is no failure but a hang."""
    output = run(
        """
        import faulthandler
        import nbgrad as ng
        from nbgrad.interpolate import CubicSpline
        faulthandler.dump_traceback_later(60, exit=True)
        gnp = ng.numpy
        x = ng.tensor([1.0, 2.0, 4.0])
        spline = CubicSpline(np.arange(5.0), np.arange(5.0) ** 2)
        calls = {
            "round": lambda n: gnp.round(x, n),
            "round of integers": lambda n: gnp.round(ng.tensor([1, 2]), -abs(n)),
            "diff": lambda n: gnp.diff(x, n),
            "polyder": lambda n: gnp.polyder(x, n),
            "polyint": lambda n: gnp.polyint(x, n),
            "polyfit": lambda n: gnp.polyfit(x, x, n),
            "vander": lambda n: gnp.vander(x, n),
            "multigammaln": lambda n: ng.special.multigammaln(x + 5, n),
            "spline": lambda n: spline(x, n),
            "antiderivative": lambda n: spline.antiderivative(n),
            "array": lambda n: gnp.array(x, ndmin=n),
            "reshape": lambda n: x.reshape((1,) * min(n, 1000) + (3,)),
        }
        for name, call in calls.items():
            for n in (2_000_000_000, 2**63 - 1, 10**30):
                try:
                    call(n).tolist()
                except (ValueError, OverflowError, AttributeError) as error:
                    assert str(error), name
        print("done")
        """
    )
    assert output.endswith("done\n")


def test_what_is_left_beyond_the_extent_is_empty() -> None:
    for n in (3, 4, 10**9):
        assert np.diff(ng.tensor(X), n).shape == (0,)
        assert np.polyder(ng.tensor(X), n).shape == (0,)
    assert np.diff(ng.tensor(X > 1), 10**9).dtype == np.bool_


@pytest.mark.parametrize("name", ["vander", "polyint"])
def test_the_error_names_setting_and_limit(name: str) -> None:
    with pytest.raises(ValueError, match="is 1000000, and as many operations"):
        getattr(np, name)(ng.tensor(X), 10**6)


def test_more_dimensions_than_arrays_have_are_refused_where_they_are_asked_for() -> None:
    with pytest.raises(ValueError, match="at most 64 dimensions, not 65"):
        ng.tensor(X).reshape((1,) * 64 + (3,))
