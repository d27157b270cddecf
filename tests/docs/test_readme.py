"""README.md keeps its word: its Python runs, its links lead somewhere, its commands are whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
DOCUMENTS += sorted((ROOT / "docs").rglob("*.md"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def examples() -> list[tuple[str, str]]:
    return [
        (f"{path.relative_to(ROOT)}-{number}", code)
        for path in DOCUMENTS
        for number, code in enumerate(blocks(path.read_text(), "python"), 1)
    ]


@pytest.mark.parametrize(("name", "code"), examples(), ids=lambda value: value.split("\n")[0])
def test_python_examples_run(name: str, code: str) -> None:
    if name.startswith("docs/interplay"):  # programs with packages that are not needed otherwise
        for package in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
            pytest.importorskip(package)
    exec(compile(code, name, "exec"), {"__name__": name})


def test_there_is_an_example() -> None:
    assert blocks(README, "python")


def test_two_commands() -> None:
    """One installs and runs the main job, one the tests; ``.ci/run`` executes the second."""
    job, tests = (line for line in blocks(README, "sh"))
    for command in (job, tests):
        assert command.count("\n") == 1
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert job.rstrip().endswith("-m nbgrad.examples.nist")
    assert "-m pytest" in tests


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"`[^`\n]*`(?!\])", "", path.read_text())  # code, but for what is a link's text
    links = re.findall(r"\]\(([^)#\s]+)", text)
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing
