"""``nbgrad.profile``: compiled kernels are timed one by one, with lines, and nothing stays behind."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.backends.timing import clocks
from nbgrad.config import settings
from nbgrad.core.modes import lines
from nbgrad.engine import tiers
from nbgrad.engine.profiler import record_function
from nbgrad.engine.programs import programs

X = np.linspace(0.1, 1.0, 50)


def loss(x: Any) -> Any:
    y = np.sin(x) * x
    return (y * y).sum()


def state() -> Any:
    return settings.current, id(programs.slots), lines.on, lines.timed, list(clocks)


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Any:
    before = state()
    yield
    assert state() == before


def test_kernels_of_compiled_functions_are_counted_with_bytes_and_lines() -> None:
    f = ng.jit(loss)
    wanted = [f(X) for _ in range(60)][-1]  # hot before
    with ng.profile() as p:
        for _ in range(3):
            found = f(X)
    assert_allclose(found, wanted, rtol=1e-14)
    (row,) = p.rows()
    assert (row.kind, row.calls, row.bytes) == ("kernel", 3, 3 * (X.nbytes + 8))
    assert row.flops == 3 * 4 * X.size and row.name == "sin+multiply+sum"
    assert row.line is not None and row.line.startswith(f"{__file__}:")
    assert 0 < row.time <= p.wall and row.mean == row.time / 3 and row.gb_per_s > 0
    assert_allclose(f(X), wanted, rtol=1e-14)


def test_eager_code_backward_passes_and_library_calls_are_in_it() -> None:
    a = ng.tensor(np.eye(5) + 0.1, requires_grad=True)
    with ng.profile() as p:
        for _ in range(2):
            a.grad = None
            y = ng.linalg.solve(a, ng.ones(5)).sum()
            y.backward()
            ng.linalg.pinv(a.detach()).sum().item()
    assert a.grad is not None
    kinds = {row.kind for row in p.rows()}
    assert {"kernel", "library", "host"} <= kinds
    assert {row.calls for row in p.rows("calls") if row.name == "solve"} <= {2, 4}
    assert all(row.line and __file__ in row.line for row in p.rows() if row.kind != "kernel")


def test_loops_and_programs_that_are_too_long_to_compile_are_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    f = ng.jit(lambda x: ng.scan(lambda c, r: (c * r, c + r), x[0], x)[0])
    with ng.profile() as p:
        f(X)
    assert "loop" in {row.kind for row in p.rows()}
    monkeypatch.setattr(tiers, "JIT_WAIT", -1.0)
    with ng.profile() as p:
        assert_allclose(ng.jit(loss)(X), loss(X))
    (row,) = p.rows()
    assert (row.kind, row.name) == ("program", "4 equations") and row.time > 0


def test_transforms_and_other_ways_of_calling_work_inside() -> None:
    with ng.profile() as p:
        assert_allclose(ng.jit(ng.grad(loss))(X), ng.grad(loss)(X), rtol=1e-13)
        assert_allclose(ng.hessian(loss)(X[:3]), ng.jit(ng.hessian(loss))(X[:3]), atol=1e-12)
        out = np.empty(50)
        assert_allclose(ng.jit(lambda x: x * 2).into(X, out=out), 2 * X)
        step = ng.jit(lambda x: x - 1.0, donate_argnums=0)
        assert_allclose(step(step(X.copy())), X - 2.0)
        x = ng.tensor(X, requires_grad=True)
        (g,) = ng.autograd.grad(loss(x), x, create_graph=True)
        (g * g).sum().backward()
        with ng.detect_anomaly():
            ng.jit(loss)(X)
    assert p.rows()


def test_profiles_nest_end_in_any_order_and_end_with_errors() -> None:
    first, second = ng.profile(), ng.profile()
    with first:
        ng.ones(3).sum().item()
        second.__enter__()
        ng.ones(3).sum().item()
        with pytest.raises(RuntimeError, match="open already"):
            second.__enter__()
    assert settings.current.tier == "timed"
    ng.ones(3).sum().item()
    second.__exit__(None, None, None)
    assert [sum(row.calls for row in p.rows()) for p in (first, second)] == [2, 2]
    with pytest.raises(ZeroDivisionError), ng.profile():
        1 / ng.zeros(3).sum().item()
    with second:  # goes on counting
        ng.ones(3).sum().item()
    assert sum(row.calls for row in second.rows()) == 3


def test_other_threads_are_timed_too() -> None:
    f = ng.jit(loss)
    f(X)
    with ng.profile() as p:
        threads = [threading.Thread(target=f, args=(X,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(row.calls for row in p.rows()) == 3


def test_the_table_adds_up_and_can_be_sorted() -> None:
    with ng.profile() as p:
        for n in (10, 100, 1000):
            (ng.ones(n) * 2).sum().item()
            (ng.ones(n).exp() + 1).max().item()
    text = p.table(row_limit=1)
    assert text.split("\n")[1].split() == [
        *("Kernel", "Kind", "Calls", "Time", "Mean", "GB/s", "GFLOP/s", "Share", "Line")
    ]
    assert f"{len(p.rows()) - 1} more" in text and "the rest is Python" in text
    assert str(p) == p.table() and "runs of" in repr(p)
    for word in ("time", "calls", "mean", "gb_per_s", "share"):
        values = [getattr(r, "time" if word == "share" else word) for r in p.rows(word)]
        assert values == sorted(values, reverse=True)
    with pytest.raises(ValueError, match="sort_by must be one of"):
        p.rows("name")
    empty = ng.profile()
    assert empty.rows() == [] and "Kernel" in empty.table()


def test_the_chrome_trace_has_kernels_and_labelled_blocks(tmp_path: Path) -> None:
    with ng.profile() as p, record_function("step"):
        (ng.ones(10) * 2).sum().item()
    path = tmp_path / "trace.json"
    p.export_chrome_trace(path)
    events = json.loads(path.read_text())["traceEvents"]
    assert {e["name"] for e in events} >= {"step", p.rows()[0].name}
    kernel = next(e for e in events if e["name"] != "step")
    assert kernel["ph"] == "X" and kernel["dur"] >= 0 and kernel["args"]["bytes"] > 0


def test_the_plot_is_matplotlibs(monkeypatch: pytest.MonkeyPatch) -> None:
    with ng.profile() as p:
        (ng.ones(10) * 2).sum().item()

    class Axes:
        """Notes what is drawn on it."""

        def __init__(self) -> None:
            self.drawn: dict[str, Any] = {}

        def __getattr__(self, name: str) -> Any:
            return lambda *args, **kwargs: self.drawn.setdefault(name, args)

    axes = Axes()
    assert p.plot(axes) is axes
    assert len(axes.drawn["barh"][1]) == len(p.rows())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        p.plot()


def test_the_tier_that_times_is_no_setting_of_the_environment() -> None:
    with pytest.raises(ValueError, match="tier must be one of"):
        ng.configure(tier="clocked")


def test_a_call_waits_for_machine_code_once_that_is_the_shorter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others compile while NumPy answers, but no longer than compiling takes, counted in runs."""
    waits: list[int] = []
    monkeypatch.setattr(tiers, "elsewhere", lambda: True)
    monkeypatch.setattr(tiers.Executable, "_worth_asking", lambda exe: True)
    monkeypatch.setattr(tiers.Executable, "_ready", lambda exe, tier: None)
    monkeypatch.setattr(tiers.Executable, "price", lambda exe: 3 * exe.cost)
    monkeypatch.setattr(
        tiers.Executable, "compile", lambda exe: waits.append(exe.runs) or exe.reference
    )
    f = ng.jit(lambda x: (np.sin(x) * 0.731).sum())
    for _ in range(4):
        assert f(np.array([0.5])) == np.sin(0.5) * 0.731
    assert waits == [3, 4]
