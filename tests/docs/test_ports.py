"""Ported scripts differ from their originals by the spellings in the page's table, and by nothing else.

That the ports run is tested with all other pages (test_readme.py); the originals where their library is installed.
"""

from __future__ import annotations

import operator
import re
import subprocess
import sys

import pytest
from subprocesses import ROOT

import nbgrad as ng

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


LINE = re.compile(r"^\| (.+?) \| (.+?) \|$", re.MULTILINE)
OURS = re.compile(r"\bng((?:\.\w+)+)")
WORD = re.compile(r"`(?:torch\.|lax\.|nn\.|tree\.|x\.)?(\w+)(?:\([^`]*\))?`")


@pytest.mark.parametrize("library", ["jax", "pytorch"])
def test_the_spellings_of_the_tables_are_there(library: str) -> None:
    """What a table says to write exists; so does what it says is the same."""
    page = (ROOT / "docs" / f"{library}.md").read_text()
    rows = LINE.findall(page[: page.index("own tests")])
    homes = [
        ng,
        ng.tensor([[1.0]]),
        ng.numpy,
        ng.linalg,
        ng.tree,
        ng.functional,
        ng.autograd,
        ng.custom_jvp(abs),
        ng.custom_vjp(abs),
    ]
    asked: set[str] = set()
    for theirs, ours in rows:
        for name in OURS.findall(ours):
            operator.attrgetter(name[1:])(ng)
        if ours == "the same" or ours.startswith(("the same in", "the same, as")):
            asked |= {*WORD.findall(theirs)}
    assert len(rows) > 40 and len(asked) > 15
    lacking = {
        n for n in asked - {"nondiff_argnums"} if not any(hasattr(home, n) for home in homes)
    }
    assert not lacking, lacking
