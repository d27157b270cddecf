"""Ported scripts differ from their originals by the spellings in the page's table, and by nothing else.

That the ports run is tested with all other pages (test_readme.py); the originals where their library is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from subprocesses import ROOT

ROW = re.compile(r"^\| `(.+?)` \| `(.+?)` \|$", re.MULTILINE)


def parts(library: str) -> tuple[str, list[tuple[str, str]], str]:
    """The original, the table and the port."""
    page = (ROOT / "docs" / "jobs" / f"port_from_{library}.md").read_text()
    original, port = (
        re.search(rf"^```{fence}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]
        for fence in ("py", "python")
    )
    return original, ROW.findall(page), port


@pytest.mark.parametrize("library", ["jax", "pytorch"])
def test_a_port_differs_by_its_table(library: str) -> None:
    text, table, port = parts(library)
    assert 0 < len(table) <= 5
    for theirs, ours in table:
        assert theirs in text
        text = text.replace(theirs, ours)
    assert text == port


@pytest.mark.parametrize(("library", "module"), [("jax", "jax"), ("pytorch", "torch")])
def test_an_original_runs(library: str, module: str) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed")
    command = [sys.executable, "-c", parts(library)[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
