"""The profiler counts and times operations, and leaves results as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.engine.profiler import profile, record_function

X = np.array([0.5, -1.5, 2.0])


def counts(recorded: profile, **options: Any) -> dict[str, int]:
    return {row.key: row.count for row in recorded.key_averages(**options)}


def test_backward_is_profiled_and_right() -> None:
    x = ng.tensor(X, requires_grad=True)
    with profile() as p:
        (x.exp() * x).sum().backward()
    assert_allclose(x.grad.numpy(), np.exp(X) * (1 + X))
    found = counts(p)
    assert found["exp"] == 1 and found["sum"] == 1
    assert found["multiply"] + found.get("strong_multiply", 0) >= 2


def test_operations_recorded_before_are_counted_when_they_are_computed() -> None:
    y = ng.tensor(X).sin() * 2
    with profile() as p:
        y.tolist()
    assert counts(p) == {"sin": 1, "multiply": 1}


def test_nothing_is_counted_after_the_end_or_when_disabled() -> None:
    with profile() as p, profile(enabled=False) as off:
        ng.tensor(X).sin()
    (ng.tensor(X).cos() + 1).tolist()
    assert counts(p) == {"sin": 1} and counts(off) == {}


def test_functions_and_jit_may_be_called_inside() -> None:
    f = ng.jit(ng.grad(lambda x: (x**3).sum()))
    with profile():
        assert_allclose(f(X), 3 * X**2)
        assert_allclose(ng.grad(lambda x: (x**3).sum())(X), 3 * X**2)
        assert_allclose(ng.hessian(lambda x: (x**3).sum())(X), np.diag(6 * X))
    assert_allclose(f(X), 3 * X**2)


def test_nested_blocks_share_their_time() -> None:
    with profile() as p, record_function("outer"):
        with record_function("inner"):
            ng.tensor(X).sin()
        ng.tensor(X).cos()
    rows = {row.key: row for row in p.key_averages()}
    outer, inner = rows["outer"], rows["inner"]
    assert inner.cpu_time_total <= outer.cpu_time_total
    assert outer.self_cpu_time_total <= outer.cpu_time_total - inner.cpu_time_total
    assert inner.self_cpu_time_total <= inner.cpu_time_total - rows["sin"].cpu_time_total + 1e-6


def test_table_and_its_order(tmp_path: Path) -> None:
    with profile(record_shapes=True) as p:
        a = ng.tensor(np.ones((2, 3)))
        for _ in range(3):
            a = a * 2
        ng.matmul(a, a.T)
    averages = p.key_averages(group_by_input_shape=True)
    lines = averages.table(sort_by="count", row_limit=1).splitlines()
    assert lines[1].startswith("Name") and lines[3].startswith("multiply")
    assert "[2, 3]" in lines[3] and "matmul" not in "".join(lines)
    with pytest.raises(ValueError, match="colour"):
        averages.table(sort_by="colour")
    p.export_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert [e["name"] for e in events] == ["multiply"] * 3 + ["transpose", "matmul"]
    assert events[0]["args"]["Input Dims"] == [[2, 3], []]
    assert "test_profiler.py" in events[0]["args"]["line"]
