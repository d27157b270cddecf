"""Markers of the semantics tests: ``row(n)`` names the behaviour in the numbered list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

import nbgrad as ng


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(number): the numbered behaviour that a test pins")
    config.addinivalue_line("markers", "slow: takes more than about five seconds")


@pytest.fixture(params=["machine code", "python"], autouse=True)
def recorded_by(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every behaviour is pinned twice: both ways of recording and of walking have it."""
    with ng.configure(twins="off") if request.param == "python" else nullcontext():
        yield
