"""docs/operations.md says what the declarations say."""

from __future__ import annotations

import operations_page as operations
import pytest

from nbgrad.core.registry import primitives
from nbgrad.loading import load_vocabulary


def test_the_page_is_up_to_date() -> None:
    assert operations.PAGE.read_text() == operations.page(), (
        "run: python tools/operations_page.py --write"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tanh", "`1 - square(out)`"),
        ("less", "none"),
        ("reshape", "adjoint"),
        ("matmul", "product rule"),
        ("hypot", "rule"),
    ],
)
def test_derivatives_are_read_from_the_declarations(name: str, text: str) -> None:
    assert operations.derivative(primitives[name]) == text


def test_every_row_names_its_file() -> None:
    load_vocabulary()
    homes = operations.declared_in()
    assert not [p.name for p in primitives.values() if p.registered and id(p) not in homes]
