"""Every numbered behaviour, 1 to 61, has a test that carries its number."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROWS = range(1, 62)
HERE = Path(__file__).parent


def row_of(decorator: ast.expr) -> int | None:
    """The number in ``@pytest.mark.row(number)``, or None for another decorator."""
    if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
        return None
    if decorator.func.attr != "row" or not isinstance(decorator.args[0], ast.Constant):
        return None
    return int(decorator.args[0].value)


def names_by_row() -> dict[int, list[str]]:
    """Names of the test functions that carry each row's mark, read without importing them."""
    found: dict[int, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(item, ast.FunctionDef):
                continue
            for decorator in item.decorator_list:
                row = row_of(decorator)
                if row is not None:
                    found.setdefault(row, []).append(item.name)
    return found


def test_every_row_has_a_test_and_no_other_row_exists() -> None:
    assert sorted(names_by_row()) == list(ROWS)


def test_every_marked_test_runs_and_is_named_after_its_row() -> None:
    for row, names in names_by_row().items():
        for name in names:
            assert re.match(rf"test_row_{row:02d}_\w+$", name), f"row {row}: {name}"


def test_every_named_test_is_marked() -> None:
    marked = {name for names in names_by_row().values() for name in names}
    for path in sorted(HERE.glob("test_*.py")):
        named = set(re.findall(r"^def (test_row_\d+_\w+)\(", path.read_text("utf-8"), re.M))
        assert named <= marked, f"{path.name}: {sorted(named - marked)}"
