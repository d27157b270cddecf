"""docs/operations.md says what the declarations say."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import operations_page as operations
import pytest

from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.registry import primitives


def test_the_page_is_up_to_date() -> None:
    """In a process of its own: tests declare operations too."""
    command = [sys.executable, operations.__file__, "--check"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tanh", "`tanh_slope(x)`"),
        ("less", "none"),
        ("reshape", "adjoint"),
        ("matmul", "product rule"),
        ("hypot", "rule"),
    ],
)
def test_derivatives_are_read_from_the_declarations(name: str, text: str) -> None:
    load_vocabulary()
    assert operations.derivative(primitives[name]) == text


def test_every_row_names_its_file() -> None:
    load_vocabulary()
    homes = operations.declared_in()
    assert not [p.name for p in primitives.values() if id(p) not in homes and not of_tests(p)]


def of_tests(prim: Any) -> bool:
    """Whether a test has declared it, as users do."""
    return prim.name.startswith("my_")


def test_few_elementwise_operations_have_no_kernel_and_each_says_why() -> None:
    load_vocabulary()
    rows = operations.PAGE.read_text()
    without = [
        p
        for p in primitives.values()
        if p.kind == "elementwise" and p.registered and not of_tests(p) and not p.lower.text
    ]
    assert 0 < len(without) <= 20
    for prim in without:
        assert f"none: {prim.lower.host}" in rows and f"| `{prim.name}` |" in rows
