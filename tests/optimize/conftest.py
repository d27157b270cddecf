"""Solvers run on the references here: what is compiled has tests of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import nbgrad as ng


@pytest.fixture(autouse=True)
def not_compiled() -> Iterator[None]:
    """Compiling each of these objectives would take minutes."""
    with ng.configure(tier="reference"):
        yield
