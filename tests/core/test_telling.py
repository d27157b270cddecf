"""What takes long says so, on standard error and to ``logging``; what does not is silent."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.core import telling
from tests.support import subprocesses


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is 3.2 s after the last."""
    ticks = itertools.count(0.0, 3.2)
    monkeypatch.setattr(telling, "clock", lambda: next(ticks))


def loss(x: Any) -> Any:
    return np.tanh(x * 1.25).sum()


def test_planning_and_compiling_are_told_by_name(slow: None, capsys: Any, caplog: Any) -> None:
    with ng.configure(progress=True, deterministic=True), caplog.at_level(logging.INFO, "nbgrad"):
        ng.jit(loss)(np.ones(3))
    said = capsys.readouterr().err
    assert said == (
        "nbgrad: planning jit of loss ... 3.2 s\n"
        "nbgrad: compiling 1 kernels for jit of loss ... 3.2 s\n"
    )
    assert [r.getMessage() for r in caplog.records if r.name == "nbgrad"] == [
        "planning jit of loss took 3.2 s",
        "compiling 1 kernels for jit of loss took 3.2 s",
    ]


def test_nothing_is_said_unasked_or_of_what_is_quick(
    slow: None, capsys: Any, monkeypatch: Any
) -> None:
    with telling.step("compiling", lambda: "what nobody asked about"):
        pass
    monkeypatch.setattr(telling, "clock", lambda: 0.0)
    with ng.configure(progress=True), telling.step("compiling", lambda: "what is quick"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_step_that_lasts_is_told_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    begun = threading.Event()
    monkeypatch.setattr(telling, "SECONDS", 0.0)

    def write(text: str) -> None:
        said.append(text)
        begun.set()

    monkeypatch.setattr(telling, "_write", write)
    with (
        ng.configure(progress=True),
        contextlib.suppress(KeyError),
        telling.step("planning", "much".lower),
    ):
        with telling.step("compiling", lambda: "inside"):
            assert begun.wait(20.0)
            assert said == ["nbgrad: planning much ..."]
        raise KeyError
    assert said[1:] == [" 0.0 s\n"]  # closed although it failed


def test_a_closed_standard_error_is_no_error(slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    with ng.configure(progress=True), telling.step("compiling", lambda: "a kernel"):
        pass


def test_who_listens_to_everything_is_not_flooded_by_numba() -> None:
    text = """
import collections, logging
seen = collections.Counter()
class Handler(logging.Handler):
    def emit(self, record): seen[record.name.partition(".")[0]] += 1
logging.getLogger().addHandler(Handler())
logging.getLogger().setLevel(logging.DEBUG)
import numba
import nbgrad as ng
with ng.configure(deterministic=True):
    ng.jit(lambda x: x * 1.75)(np.ones(3))
print(seen["numba"], logging.getLogger("numba").level)
numba.njit(lambda x: 3.0 * x)(3.0)  # what the user compiles is told as ever
print(seen["numba"] > 0)
"""
    assert subprocesses.run(text, NBGRAD_CACHE=0, NBGRAD_CACHE_DIR="").split() == [
        "0",
        "0",
        "True",
    ]
