"""``make_tape`` and the methods of compiled functions that show what is inside."""

from __future__ import annotations

import doctest
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scratch_scan import scan

import nbgrad as ng
from nbgrad.api import inspecting, jit, pictures
from nbgrad.engine import profiler, timing
from nbgrad.program import traffic
from nbgrad.program.traffic import operations

X = np.array([0.5, 1.5, 2.5])


def f(x: Any, p: Any, rate: float = 2.0) -> Any:
    y = np.sin(x) * p["w"] + rate
    return y @ y, {"y": y}


GIVEN = (X, {"w": np.ones(3)})


def test_inputs_are_named_and_equations_have_the_users_line() -> None:
    tape = ng.make_tape(f)(*GIVEN, rate=3.0)
    assert tape.inputs == ("x", "p['w']", "rate")
    assert len(tape) == 5 and "sin" in str(tape) and repr(tape).startswith("# f(x, p['w'], rate)")
    own = [line for line in str(tape).split("\n") if f"{__file__}:" in line]
    assert len(own) == len(tape)


def test_what_is_read_from_outside_is_an_input() -> None:
    w = ng.tensor(X, requires_grad=True)
    tape = ng.make_tape(lambda x: (x * w).sum())(X)
    assert tape.inputs == ("x", "outside[0]") and w.grad is None


@pytest.mark.parametrize("how", [ng.jit, ng.grad, ng.value_and_grad, ng.hessian])
def test_it_looks_into_transforms(how: Any) -> None:
    tape = ng.make_tape(how(lambda x: (x**3).sum()))(X)
    assert len(tape) > 0 and tape.stats()["kernels"] > 0
    inner = ng.jit(ng.make_tape(lambda x: x * 2)(X).__len__)
    assert inner.__class__ is ng.Jitted


def test_nothing_is_computed_and_settings_stay() -> None:
    calls: list[Any] = []

    def g(x: Any, n: int, mode: str) -> Any:
        calls.append((n, mode))
        return x * n

    tape = ng.make_tape(g)(X, 3, mode="a")
    assert calls == [(3, "a")] and tape.inputs == ("x",)
    with pytest.raises(ng.errors.ConcretizationError, match="needs the number"):
        ng.make_tape(lambda x: float(x.sum()))(X)
    with pytest.raises(TypeError, match="argument 'r'"):
        ng.make_tape(lambda x, r: x)(X, np.random.default_rng(0))


def test_counts_are_those_of_the_operations() -> None:
    n = 1000
    x = np.ones(n)
    stats = ng.make_tape(lambda x: np.exp(x) + 1)(x).stats()
    assert stats["flops"] == 2 * n and stats["bytes_moved"] == 16 * n
    assert stats["peak_bytes"] == stats["input_bytes"] + stats["output_bytes"] == 16 * n
    row = ng.make_tape(lambda a, b: a + b)(np.ones((50, 20)), np.ones(20)).stats()
    assert row["bytes_moved"] == 8 * (1000 + 20 + 1000) and row["flops"] == 1000
    a, b = np.eye(30), np.ones((30, 4))
    cost = ng.make_tape(np.matmul)(a, b).cost()
    assert cost["flops"] == 2 * 30 * 30 * 4 and cost["bytes_moved"] == 8 * (900 + 120 + 120)
    assert cost["flops_per_byte"] == cost["flops"] / cost["bytes_moved"]
    for solve in (np.linalg.cholesky, np.linalg.eigvalsh, lambda a: np.linalg.solve(a, a)):
        assert ng.make_tape(solve)(a).cost()["flops"] >= 30**3 / 3
    part = ng.make_tape(lambda x: x[100:200] * 2)(x).stats()
    assert part["bytes_moved"] == 2 * 800


@pytest.mark.parametrize(
    ("text", "count"),
    [("{x}", 1), ("{x} + {y}", 1), ("1 / (1 + exp_{c}(-{x}))", 4), ("{x} ** 2 >= {y}", 2)],
)
def test_operations_of_a_text(text: str, count: int) -> None:
    assert operations(text) == count


def test_a_compiled_function_shows_the_trace_that_calls_use() -> None:
    g = ng.jit(f)
    before = g(*GIVEN)
    view = g.trace(*GIVEN)
    assert view.inputs == ("x", "p['w']") and len(view) == 5
    assert "def " in g.source(*GIVEN) and g.stats(*GIVEN)["kernels"] >= 1
    assert g.cost(*GIVEN)["flops"] > 0
    assert_allclose(g(*GIVEN)[0], before[0])
    assert sum(map(len, g.traces.by_policy.values())) == 1
    h = ng.jit(lambda x, n: x * n, static_argnums=1)
    assert h.stats(X, 3)["equations"] == 1


def test_a_call_for_which_no_program_stands_is_refused() -> None:
    def outer(x: Any) -> Any:
        inner = ng.jit(lambda y: (y * x).sum())
        with pytest.raises(TypeError, match="no program stands"):
            inner.trace(X)
        return inner(X)

    assert_allclose(ng.jit(outer)(X), (X * X).sum())


def test_pictures_are_well_formed_whatever_names_there_are() -> None:
    tape = ng.make_tape(lambda d: d['<"k&'] * 2 < d['a\\"b'])({'<"k&': X, 'a\\"b': X})
    root = ElementTree.fromstring(tape.to_svg())
    boxes = [e for e in root.iter() if e.tag.endswith("rect")]
    assert len(boxes) == 2 + len(tape) + 1
    assert tape.to_dot().count("->") == tape.to_mermaid().count("-->") == 4
    for line in tape.to_dot().split("\n"):  # quotes that are not escaped come in pairs
        assert re.sub(r"\\.", "", line).count('"') % 2 == 0
    for line in tape.to_mermaid().split("\n")[1:]:
        assert line.count('"') in (0, 2)
    html = tape._repr_html_()
    assert '<"k' not in html and "<script" not in html and "http://" in html
    assert "src=" not in html and "href" not in html


def test_long_tapes_are_cut_off_but_for_print() -> None:
    def long(x: Any) -> Any:
        for k in range(1000):
            x = np.sin(x) + k
        return x

    tape = ng.make_tape(long)(X)
    assert len(str(tape).split("\n")) == len(tape) + 2 == 2002
    assert len(repr(tape).split("\n")) == inspecting.MAX_LINES + 2
    assert tape.to_svg().count("<rect") == pictures.MAX_SHOWN + 1
    assert "more equations" in tape.to_dot()


def test_tapes_without_equations_are_shown() -> None:
    tape = ng.make_tape(lambda x: x)(X)
    assert tape.stats()["kernels"] == 1 and tape.simplified().inputs == ("x",)  # it copies
    constant = ng.make_tape(lambda x: 3.0)(X)
    assert constant.inputs == ("x", "outside[0]") and constant.to_dot().count("->") == 1


def test_stats_say_what_was_rolled_into_loops_and_what_not() -> None:
    def steps(x: Any, n: int) -> Any:
        for _ in range(n):
            x = x + 0.1 * np.sin(x) * x
        return x

    short = ng.make_tape(steps)(X, 10).stats()
    assert short["rerolled"] == 0 and "fewer than" in short["rolling"]
    tape = ng.make_tape(steps)(np.array(0.5), 2000)
    stats = tape.stats()
    assert stats["rerolled"] > 7000 and "steps of" in stats["rolling"] and stats["loops"] == 1
    assert len(tape.simplified()) < 20 and "#" in repr(tape.simplified())
    assert tape.simplified().to_dot().count("->") == 2
    compiled = ng.jit(steps)
    assert compiled.stats(np.array(0.5), 2000)["rerolled"] == stats["rerolled"]
    assert compiled.trace(np.array(0.5), 2000).simplified().to_svg()

    def mixed(x: Any) -> Any:
        for k in range(300):
            x = [np.sin, np.cos, np.tanh, np.exp][(k * k // 7 + k // 3) % 4](x) * (
                1.0 if k % 5 else x
            )
        return x

    assert ng.make_tape(mixed)(X).stats()["rolling"]


@pytest.mark.parametrize("wide", [1, 300])
def test_loops_show_their_bodies_and_cost_their_rounds(wide: int) -> None:
    def rolled(init: Any, xs: Any) -> Any:
        return scan(lambda c, x: (np.exp(c) * x, c + x), init, xs)

    init, xs = np.ones(wide), np.ones((50, wide))
    tape = ng.make_tape(rolled)(init, xs)
    cost = tape.cost()
    assert cost["flops"] == 3 * 50 * wide and tape.stats()["loops"] == 1
    assert "50 times" in tape.source() and "body:" in str(tape)
    assert "[3 equations]" in tape.to_dot() and "3 equations" in tape.to_svg()
    stacks = 2 * xs.nbytes
    assert stacks < cost["bytes_moved"] <= 5 * stacks


@pytest.mark.parametrize(
    "module", [inspecting, jit, profiler, timing, traffic], ids=lambda m: m.__name__
)
def test_examples_run(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
