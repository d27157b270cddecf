"""Integrators run by the reference here: what is compiled is loops, which have tests of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import nbgrad as ng


@pytest.fixture(autouse=True)
def not_compiled() -> Iterator[None]:
    """Compiling each of these integrations would take minutes."""
    with ng.configure(tier="reference"):
        yield
