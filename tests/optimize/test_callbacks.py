"""Callbacks that show a solve, each with its package where that is installed."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest

from nbgrad import optimize

SOLVES: dict[str, Any] = {
    "minimize": lambda c: optimize.minimize(lambda x: ((x - 1) ** 4).sum(), [3.0, 4.0], callback=c),
    "slsqp": lambda c: optimize.minimize(lambda x: ((x - 1) ** 4).sum(), [3.0, 4.0], method="SLSQP", callback=c),
    "least_squares": lambda c: optimize.least_squares(lambda x: x**3 - 1, [3.0, 4.0], callback=c),
    "lm": lambda c: optimize.least_squares(lambda x: x**3 - 1, [3.0, 4.0], method="lm", callback=c),
    "root": lambda c: optimize.root(lambda x: x**3 - 1, [3.0, 4.0], callback=c),
    "krylov": lambda c: optimize.root(lambda x: x**3 - 1, [1.1, 1.2], method="krylov", callback=c),
    "curve_fit": lambda c: optimize.curve_fit(
        lambda t, a: np.exp(-a * t), [0.0, 1.0, 2.0], [1.0, 0.5, 0.2], callback=c
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOLVES)
def test_tables_and_histories_of_each_solver(name: str) -> None:
    out = io.StringIO()
    SOLVES[name](optimize.Table(file=out))
    lines = out.getvalue().splitlines()
    assert len(lines) > 2 and lines[0].split() == [
        "step",
        "evaluations",
        "value",
        "change",
        "seconds",
    ]
    history = optimize.History()
    SOLVES[name](history)
    assert len(history) == len(lines) - 1 == len(history.points)
    assert history.values[-1] < history.values[0]
    assert history.evaluations == sorted(history.evaluations)
    shown = history._repr_html_()
    assert "<svg" in shown and shown.count("<tr>") == min(len(history), 10) + 1


def test_lines_are_left_out() -> None:
    out = io.StringIO()
    SOLVES["minimize"](optimize.Table(every=1000, file=out))
    assert len(out.getvalue().splitlines()) == 2


@pytest.mark.parametrize("kind", ["tqdm", "rich", "plain"])
def test_bars_count_evaluations(kind: str) -> None:
    if kind != "plain":
        pytest.importorskip(kind)
    out = io.StringIO()
    with optimize.Progress(kind, file=out) as progress:
        found = SOLVES["minimize"](progress)
    assert 3 < progress.count <= found.nfev
    assert "value" in out.getvalue()


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tqdm", "matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install tqdm"):
        optimize.Progress("tqdm")
    with pytest.raises(ImportError, match="pip install matplotlib"):
        optimize.History().plot()


def test_histories_are_drawn() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    history = optimize.History(points=False)
    SOLVES["minimize"](history)
    assert not history.points
    axes = history.plot()
    assert axes.get_ylabel() == "value" and axes.get_yscale() == "log"
    axes.figure.clear()
