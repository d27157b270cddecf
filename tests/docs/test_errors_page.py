"""docs/errors.md: each of the commonest mistakes raises what is printed there, and at the line that is marked."""

from __future__ import annotations

import linecache
import re
import warnings
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
IMPORTS = "import numpy as np\nimport nbgrad as ng\n\n"
MISTAKES = re.findall(
    r"^## (\d+\..*?)$.*?^```py\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.M | re.S
)


def raised(source: str, name: str) -> Exception:
    """What *source* raises, compiled as the file *name*; warnings are errors here."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            exec(compile(source, name, "exec"), {"__name__": "program"})
        except Exception as error:
            return error
        finally:
            del linecache.cache[name]
    raise AssertionError("nothing was raised")


def lines_of(error: BaseException, name: str) -> list[int]:
    """The innermost line of the file *name* in the traceback, and those that the text names."""
    named = [int(line) for line in re.findall(rf"{re.escape(name)}:(\d+)", str(error))]
    trace, inner = error.__traceback__, 0
    while trace is not None:
        inner = trace.tb_lineno if trace.tb_frame.f_code.co_filename == name else inner
        trace = trace.tb_next
    return named or [inner]


@pytest.mark.parametrize(("title", "code", "text"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_told_as_the_page_says(title: str, code: str, text: str) -> None:
    source = IMPORTS + code
    error = raised(source, "program.py")
    kind, _, said = text.partition(": ")
    assert kind.rpartition(".")[2] in {base.__name__ for base in type(error).__mro__}
    assert " ".join(str(error).split()) == " ".join(said.split())
    marked = next(k for k, line in enumerate(source.splitlines(), 1) if line.endswith("# <-"))
    assert marked in lines_of(error, "program.py")


def test_there_are_more_than_twenty() -> None:
    assert len(MISTAKES) > 20
    assert [int(title.partition(".")[0]) for title, *_ in MISTAKES] == list(
        range(1, len(MISTAKES) + 1)
    )
