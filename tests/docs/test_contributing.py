"""The pages for contributors: their examples run, in a copy of the source that has their files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from subprocesses import ROOT

PAGES = sorted((ROOT / "docs" / "contributing").glob("*.md"))
# Those that show how something is added: neither their table nor CONTRIBUTING.md on the site.
GUIDES = [page for page in PAGES if page.name not in ("README.md", "start.md")]
BLOCK = re.compile(r"^```(?:python|markdown) (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")


def blocks(page: Path) -> list[tuple[str, str]]:
    """What each block of code is for (a file, or ``run``), and its text."""
    return BLOCK.findall(page.read_text())


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with what all pages add: to the end of files that are there, or new ones."""
    root = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(ROOT / "src", root / "src", ignore=ignored)
    (root / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "test_layers.py", root / "tests")
    shutil.copy(ROOT / "pyproject.toml", root)
    for page in GUIDES:
        for name, text in blocks(page):
            if name != "run":
                add(root / name, text)
    return root


def add(path: Path, text: str) -> None:
    """Put code at the end of the file, which may be new, and rows below those of its table."""
    before = path.read_text() if path.exists() else ""
    if path.suffix == ".md":
        head, bar, rest = before.rpartition("\n|")
        row, end, tail = rest.partition("\n")
        path.write_text(head + bar + row + end + text + tail)
    else:
        path.write_text(before + "\n\n" + text if before else text)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_examples_run(page: Path, copy: Path) -> None:
    code = "\n".join(text for name, text in blocks(page) if name == "run")
    env = os.environ | {"PYTHONPATH": str(copy / "src"), "NBGRAD_CHECK": "1"}
    command = [sys.executable, "-c", code + "\nprint(ng.__file__)"]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(copy))


def test_examples_keep_the_rules_of_the_house(copy: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_layers.py",
    ]
    command += ["-k", "imports_point_down or sizes or cycles or readme"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_that_a_change_touches_are_counted() -> None:
    """The table of docs/contributing/README.md says how many each page touches."""
    table = (ROOT / "docs" / "contributing" / "README.md").read_text()
    rows = dict(re.findall(r"^\| \[[^]]+\]\((\w+)\.md\) \| .* \| (\d+) \|$", table, re.MULTILINE))
    touched = {page.stem: len({n for n, _ in blocks(page) if n != "run"}) for page in GUIDES}
    assert {page: int(count) for page, count in rows.items()} == touched


def test_names_in_the_pages_exist(copy: Path) -> None:
    """Words in code style are names in the source, the tests or the tools, or files that are there."""
    code = [p for d in ("src", "tests", "tools") for p in (ROOT / d).rglob("*.py")]
    code += (copy / "src").rglob("*.py")
    known = {word for path in code for word in re.findall(r"\w+", path.read_text())}
    lacking = []
    for page in PAGES:
        for span in SPAN.findall(FENCED.sub("", page.read_text())):
            if re.fullmatch(r"[\w./]*/[\w./]*", span):
                roots = (copy, copy / "src" / "nbgrad", ROOT, page.parent)
                found = any((root / span).exists() for root in roots)
            elif re.fullmatch(r"@?\w+(\.\w+)*(\(.*\))?", span):
                found = {*re.findall(r"\w+", span.partition("(")[0])} <= known
            else:
                found = True
            lacking += [] if found else [f"{page.name}: {span}"]
    assert not lacking
