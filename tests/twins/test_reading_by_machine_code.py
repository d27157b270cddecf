"""Values read by machine code: what it serves, what it leaves to Python, and that both agree.

That each value it gives is the program's, and each node as Python would leave it, is compared
throughout the suite, see ``machine``.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.core import linearize, ports
from nbgrad.engine.programs import programs

RUNS = 10  # until what is noted is kept, and a structure is learned


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whether the last values that were asked for were given by machine code."""
    compiled, seen = ports.compiled, []
    code = compiled.value
    assert code is not None

    def value(node: Any) -> Any:
        found = code(node)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(compiled, "value", value)
    with ng.configure(tier="fused"):
        yield seen


def made_hot(step: Callable[[], Any]) -> None:
    for _ in range(RUNS):
        step()


def _number(dtype: Any) -> Callable[[], Any]:
    x = ng.tensor(0.75, dtype=dtype)
    return lambda: (x * 2.0 + 1).item()


def _array(dtype: Any) -> Callable[[], Any]:
    x = ng.tensor(np.arange(6).reshape(2, 3), dtype=dtype)
    return lambda: (x + x).numpy()


def _comparison(_: Any) -> Callable[[], Any]:
    x = ng.tensor(0.3)
    return lambda: bool(x * 2.0 > 0.5)


def _tracked(_: Any) -> Callable[[], Any]:
    x = ng.tensor([1.0, 2.0], requires_grad=True)

    def step() -> Any:
        y = (x * x).sum()
        seen = y.item()
        y.backward()
        gradient, x.grad = x.grad, None
        return seen * gradient.numpy()

    return step


def _held(_: Any) -> Callable[[], Any]:
    """What is held and never asked for is noted, and not kept."""
    x, held = ng.tensor([1.0, 2.0]), []

    def step() -> Any:
        held[:] = [x * 3.0]
        return (held[0] + 1.0).sum().item()

    return step


def _kept(_: Any) -> Callable[[], Any]:
    """What is met again is kept."""
    state = [ng.tensor([0.5, 0.25])]

    def step() -> Any:
        state[0] = state[0] * 0.5 + 0.25
        return (state[0] * 2.0).sum().item()

    return step


@pytest.mark.parametrize(
    ("make", "dtype"),
    [(_number, "f8"), (_number, "f4"), *[(_array, d) for d in ("f8", "f4", "i8", "i4")]]
    + [(f, None) for f in (_comparison, _tracked, _held, _kept)],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_what_machine_code_reads(make: Any, dtype: Any, served: list[bool]) -> None:
    step, other = make(dtype), make(dtype)
    made_hot(step)
    served.clear()
    found = step()
    assert served == [True]
    with ng.configure(tier="reference"):
        for _ in range(RUNS + 1):
            expected = other()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("make", [_number, _array, _comparison, _tracked, _held])
def test_what_the_cache_of_programs_has_forgotten(make: Any, served: list[bool]) -> None:
    """Machine code goes on reading by programs of its own, which the comparison makes anew."""
    step = make(float)
    made_hot(step)
    expected = step()
    programs.clear()
    served.clear()
    np.testing.assert_array_equal(step(), expected)
    assert served[0]


def test_equal_settings_are_the_same_settings(served: list[bool]) -> None:
    step = _number(float)
    for _ in range(RUNS):
        with ng.configure(nan_policy="ieee"):
            step()
    assert served[-1]


def test_numbers_of_each_kind(served: list[bool]) -> None:
    x = ng.tensor(2.0)
    made_hot(lambda: (x * 3).item())
    for number in (3, -1, 0, 2**62, -(2**63), 10**300, True, 2.5):
        assert (x * number).item() == 2.0 * number
    served.clear()
    assert (x * -1).item() == -2.0
    assert (x * 10**300).item() == 2e300
    assert served == [True, True]
    with pytest.raises(OverflowError):
        (x * 10**400).item()
    assert (x * 3).item() == 6.0  # no error is left behind


def test_a_number_beyond_float32_is_infinite(served: list[bool]) -> None:
    x = ng.tensor(2.0, dtype="f4")
    made_hot(lambda: (x * 3.0).item())
    assert (x * 1e39).item() == np.inf and (x * -1e300).item() == -np.inf
    assert (x * 1e-60).item() == 0.0


@pytest.mark.parametrize("change", [{"tier": "reference"}, {"print_precision": 3}])
def test_other_settings_are_left_to_python(change: Any, served: list[bool]) -> None:
    step = _number("f8")
    made_hot(step)
    with ng.configure(**change):
        served.clear()
        assert step() == 2.5
        assert served == [False]
        step(), step()
    served.clear()
    assert step() == 2.5


def test_anomaly_detection_and_profiling_see_each_operation(served: list[bool]) -> None:
    step = _number("f8")
    made_hot(step)
    with ng.autograd.profiler.profile() as profile:
        served.clear()
        step()
    assert not any(served)
    assert "multiply" in profile.key_averages().table()


def test_large_and_parallel_programs_are_left_to_python(served: list[bool]) -> None:
    x = ng.tensor(np.ones(30_000))
    made_hot(lambda: (x * 2.0 + 1.0).sum().item())
    served.clear()
    assert (x * 2.0 + 1.0).sum().item() == 90_000.0
    assert served == [False]


def test_a_node_that_was_passed_through_is_python_s(served: list[bool]) -> None:
    """It teaches the evaluation that left it to keep it."""
    step = _held(None)
    made_hot(step)
    x = ng.tensor([1.0, 2.0])
    y = x * 3.0
    first = (y + 1.0).sum().item()  # not in an assert, which holds what is in between
    served.clear()
    again = (y + 1.0).sum().item()
    assert served == [False] and first == again == 11.0
    assert y.tolist() == [3.0, 6.0]
    made_hot(step)
    served.clear()
    step()
    assert served == [True]  # which keeps it from now on


def test_a_finalizer_that_reads_another_value(served: list[bool]) -> None:
    """What an evaluation drops may run anything, once all is in place."""
    x, found = ng.tensor([1.0, 2.0]), []

    class Watcher:
        def __init__(self, node: Any) -> None:
            self.node = node

        def __del__(self) -> None:
            found.append((x * 5.0).sum().item())

    def step() -> Any:
        y = (x * 2.0).sum()
        y._node.inputs[0].watch = Watcher(None)
        return y.item()

    made_hot(lambda: ((x * 2.0).sum().item(), (x * 5.0).sum().item()))
    served.clear()
    assert step() == 6.0
    gc.collect()
    assert found == [15.0] and served == [True, True]


def test_no_references_are_kept(served: list[bool]) -> None:
    x, number = ng.tensor(0.3), float("1.25")
    steps = [_held(None), _kept(None), lambda: (x * number > 0.1).item()]

    def work() -> None:
        for step in steps:
            step()

    made_hot(work)
    node, habit = x._node, None
    y = x * number
    (y + 1.0).item()
    habit = y._node.passed
    watched = (node, node.value, node.aval, number, (), 0, None, habit, ng.Tensor, linearize.Node)
    gc.collect()
    before = [sys.getrefcount(w) for w in watched]
    for _ in range(800):
        work()
    gc.collect()
    grown = np.subtract([sys.getrefcount(w) for w in watched], before)
    assert max(abs(grown)) < 400
