"""What is said about versions and requirements in several places is the same in all."""

from __future__ import annotations

import re
import tomllib

from subprocesses import ROOT

import nbgrad as ng

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RECIPE = (ROOT / "tools" / "conda" / "meta.yaml").read_text()


def requirements(section: str) -> list[str]:
    """The lines of a list of the conda recipe, spelled as in pyproject.toml."""
    block = re.search(rf"^  {section}:\n((?:    - .*\n)+)", RECIPE, re.MULTILINE)[1]
    return [line.strip("- ").replace(" ", "") for line in block.splitlines()]


def test_one_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == ng.__version__
    assert f'set version = "{ng.__version__}"' in RECIPE
    assert re.fullmatch(r"\d+\.\d+\.\d+", ng.__version__)


def test_the_recipe_requires_what_the_package_does() -> None:
    project = PROJECT["project"]
    python = f"python{project['requires-python']}"
    assert requirements("run") == [python, *project["dependencies"]]
    assert requirements("host") == [python, *PROJECT["build-system"]["requires"], "pip"]
    assert project["description"] in RECIPE


def test_pythons_are_stated() -> None:
    prefix = "Programming Language :: Python :: 3."
    minors = [c.removeprefix(prefix) for c in PROJECT["project"]["classifiers"] if prefix in c]
    assert minors == ["11", "12", "13", "14"]
    assert PROJECT["project"]["requires-python"] == f">=3.{minors[0]}"
    assert "Python 3.11 to 3.14" in (ROOT / "docs" / "packaging.md").read_text()


def test_every_extra_is_told() -> None:
    page = (ROOT / "docs" / "packaging.md").read_text()
    told = {
        name for row in re.findall(r"^\| (`.*?) \|", page, re.M) for name in row.split("`")[1::2]
    }
    assert told == {*PROJECT["project"]["optional-dependencies"]}
