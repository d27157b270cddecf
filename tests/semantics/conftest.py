"""Markers of the semantics tests: ``row(n)`` names the behaviour in the numbered list."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(number): the numbered behaviour that a test pins")
    config.addinivalue_line("markers", "slow: takes more than about five seconds")
