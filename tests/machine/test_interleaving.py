"""Loops of long chains of mathematics go by two vectors at a time."""

from __future__ import annotations

import llvmlite.binding as ll
import numpy as np
import pytest

import nbgrad as ng
from nbgrad.machine import interleaving, lljit, tiles

TEXT = """
define void @f(i64 %n) {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %last ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %"the end"
"the end":
  ret void
last:
  %next = add i64 %i, 1
  br label %head
body:
  %odd = trunc i64 %i to i1
  br i1 %odd, label %left, label %last
left:
  br label %last
}
define void @g() {
entry:
  br label %entry.1
entry.1:
  br label %entry.1
}
"""


def test_loops_of_the_one_function_are_marked_and_nothing_else() -> None:
    text = interleaving.marked(TEXT, "f")
    (jump,) = [line for line in text.splitlines() if "!llvm.loop !" in line]
    assert jump.startswith("  br label %head, !llvm.loop !")
    assert text.count('"llvm.loop.interleave.count", i32 2') == 1
    lljit.llvm()
    ll.parse_assembly(text).verify()


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
