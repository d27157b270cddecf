"""Loops of long chains of mathematics go by two vectors at a time."""

from __future__ import annotations

import re

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.machine import interleaving, lljit, tiles
from nbgrad.machine.frontend import modules
from nbgrad.machine.request import Request
from nbgrad.machine.scalar import HELPERS

TEXT = """
def f(lo, hi, x):
    for i in range(lo, hi):
        k = 0
        while k < 3:
            x[i] = exp_f8(x[i])
            k += 1
"""


def test_each_loop_says_so_and_helpers_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interleaving, "note", lambda source: interleaving.BY_TWO)
    helpers = {"exp_f8": HELPERS["exp_f8"]}
    asked = Request("key", "symbol", TEXT, "f", ("i8", "i8", "f8*"), None, False, helpers)
    text = str(modules.module_of(asked)[0])
    assert len(re.findall(r"br label [^,]*, !llvm.loop", text)) == 2
    assert text.count("= distinct !{") == 2
    assert text.count('"llvm.loop.interleave.count", i32 2') == 1


@pytest.mark.parametrize(("features", "calls"), [("+avx2", 1), ("+avx2,+avx512f", 3), ("", 3)])
def test_where_it_pays(monkeypatch: pytest.MonkeyPatch, features: str, calls: int) -> None:
    host = lljit.Host("x86_64", "some", features, "1")
    monkeypatch.setattr(interleaving, "host", lambda: host)
    assert interleaving.note("y = exp_f8(x)\n" * calls) == interleaving.BY_TWO
    assert interleaving.note("y = exp_f8(x)\n" * (calls - 1)) is None


def test_tiles_stay_as_they_are_written() -> None:
    assert interleaving.note(tiles.text("dots", "f8", 4)) == interleaving.AS_WRITTEN
    assert "dots_4_4(" in tiles.text("dots", "f8", 8)
    assert "dots_4_4(" not in tiles.text("dots", "f8", 4) + tiles.text("dots", "f4", 8)


def test_a_long_chain_asks_for_it() -> None:
    def f(x: np.ndarray) -> np.ndarray:
        return np.sin(np.exp(np.tanh(x * 1.0009765625)))

    x, compiled = np.linspace(0.1, 1.0, 37), ng.jit(f)
    np.testing.assert_allclose(compiled(x), f(x), rtol=1e-14)
    assert interleaving.note(compiled.source(x)) == interleaving.BY_TWO
