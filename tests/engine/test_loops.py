"""Python loops that read some of what they compute: a step costs the same however far they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import subprocesses
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.engine import backward, demand
from nbgrad.engine.flushing import _repeating
from nbgrad.engine.programs import programs

Step = Callable[[], Any]
STEPS = 60


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of nodes of each evaluation."""
    sizes: list[int] = []
    for module in (demand, backward):

        def capture(*args: Any, _original: Any = module.capture, **kwargs: Any) -> Any:
            cap = _original(*args, **kwargs)
            sizes.append(len(cap.nodes))
            return cap

        monkeypatch.setattr(module, "capture", capture)
    return sizes


def _affine(m: Any) -> Step:
    state = [m(np.linspace(0, 1, 5))]

    def step() -> Any:
        state[0] = state[0] * 0.5 + 1
        return (state[0] * 2).sum()

    return step


def _branch(m: Any) -> Step:
    state = [m(0.3)]
    bound = m(0.5)

    def step() -> Any:
        x = state[0]
        state[0] = x * 0.7 if x > bound else x * 1.3 + 0.01
        return x if x > 0.4 else bound

    return step


def _read_by_its_sum(m: Any) -> Step:
    state = [m(np.linspace(0, 1, 5))]

    def step() -> Any:
        state[0] = np.tanh(state[0])
        return state[0].sum()

    return step


def _moving_averages(m: Any) -> Step:
    mean, square, k = [m(0.0)], [m(0.0)], [0]

    def step() -> Any:
        k[0] += 1
        x = np.sin(float(k[0]))
        mean[0] = 0.9 * mean[0] + 0.1 * x
        square[0] = 0.99 * square[0] + 0.01 * (x - mean[0]) ** 2
        return mean[0] / np.sqrt(square[0] + 1e-8)

    return step


def _kalman(m: Any) -> Step:
    moved = np.array([[1.0, 0.1], [0.0, 1.0]])
    seen = np.array([[1.0, 0.0]])
    state = [m(np.zeros(2)), m(np.eye(2))]

    def step() -> Any:
        x, p = state
        x = moved @ x
        p = moved @ p @ moved.T + 0.01 * np.eye(2)
        gain = p @ seen.T / (seen @ p @ seen.T + 0.1)
        x = x + gain @ (1.0 - seen @ x)
        state[:] = x, (np.eye(2) - gain @ seen) @ p
        return x[0]

    return step


def _views(m: Any) -> Step:
    state = [m(np.arange(6.0).reshape(2, 3))]

    def step() -> Any:
        state[0] = state[0][:, ::-1].T
        return (state[0] * np.array([[1.0], [2.0], [4.0]])[: len(state[0])]).sum()

    return step


def _repeated(m: Any) -> Step:
    state = [m(1.0)]

    def step() -> Any:
        state[0] = np.broadcast_to(state[0], (30, 40))[0, 0] * 0.9
        wide = np.broadcast_to(state[0], (30, 40))
        return (wide * 2.0).sum()

    return step


LOOPS = [_affine, _branch, _read_by_its_sum, _moving_averages, _kalman, _views, _repeated]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__.strip("_"))
@pytest.mark.parametrize("tracked", [False, True])
def test_a_step_costs_the_same_however_far_the_loop_is(
    loop: Any, tracked: bool, captured: list[int]
) -> None:
    step = loop(lambda v: ng.tensor(v, requires_grad=tracked))
    expected = loop(np.array)
    sizes, built = [], []
    for _ in range(STEPS):
        captured.clear()
        assert_allclose(float(step()), float(expected()), rtol=1e-12)
        sizes.append(sum(captured))
        built.append(len(programs))
    assert max(sizes[STEPS // 2 :]) <= max(sizes[3:8])
    assert built[-1] == built[STEPS // 2]


def _momentum() -> tuple[Step, Step]:
    w, state = ng.tensor(np.ones(5), requires_grad=True), [ng.tensor(np.zeros(5))]
    theirs, velocity = np.ones(5), np.zeros(5)

    def step() -> Any:
        w.grad = None
        ((w - 2.0) ** 2).sum().backward()
        with ng.no_grad():
            state[0] = 0.9 * state[0] + w.grad
            w.sub_(0.01 * state[0])
        return w.detach().sum()

    def expected() -> Any:
        velocity[:] = 0.9 * velocity + 2 * (theirs - 2.0)
        theirs[:] = theirs - 0.01 * velocity
        return theirs.sum()

    return step, expected


def _truncated() -> tuple[Step, Step]:
    """The state of a recurrent network, carried over and never looked at itself."""
    weight = np.array([[0.3, 0.2], [-0.1, 0.4]])
    w, state, theirs = ng.tensor(weight, requires_grad=True), [ng.tensor(np.zeros(2))], np.zeros(2)

    def step() -> Any:
        h = np.tanh(w @ state[0] + 1.0)
        w.grad = None
        (h**2).sum().backward()
        state[0] = h.detach()
        return w.grad.sum()

    def expected() -> Any:
        before = theirs.copy()
        theirs[:] = np.tanh(weight @ before + 1.0)
        return np.outer(2 * theirs * (1 - theirs**2), before).sum()

    return step, expected


@pytest.mark.parametrize("loop", [_momentum, _truncated])
def test_a_backward_pass_costs_the_same_however_far_the_loop_is(
    loop: Any, captured: list[int]
) -> None:
    step, expected = loop()
    sizes, built = [], []
    for _ in range(STEPS):
        captured.clear()
        assert_allclose(float(step()), float(expected()), rtol=1e-12)
        sizes.append(sum(captured))
        built.append(len(programs))
    assert max(sizes[STEPS // 2 :]) <= max(sizes[3:8])
    assert built[-1] == built[STEPS // 2]


def test_what_is_held_and_never_read_again_stays_inside_the_kernel() -> None:
    x = ng.tensor(np.linspace(0, 1, 5), requires_grad=True)
    for _ in range(5):
        y = x * 2.0
        z = np.sin(y)
        z.sum().backward()
        assert y._node.value is None and z._node.value is None


def test_what_is_read_after_a_backward_pass_is_then_kept_by_it() -> None:
    x = ng.tensor(np.linspace(0, 1, 5), requires_grad=True)
    kept = []
    for _ in range(4):
        prediction = np.sin(x) * 2.0
        (prediction**2).sum().backward()
        kept.append(prediction._node.value is not None)
        assert (prediction > 0.5).sum().item() == 3
    assert kept == [False, True, True, True]


def test_what_is_asked_for_itself_later_is_then_kept_too() -> None:
    x, kept = ng.tensor(np.linspace(0, 1, 5)), []
    for _ in range(3):
        y = np.sin(x) * 2.0
        (y**2).sum().item()
        kept.append(y._node.value is not None)
        assert_allclose(y.numpy(), 2.0 * np.sin(x.numpy()))
    assert kept == [False, True, True]


def test_temporaries_are_not_kept() -> None:
    x, kept = ng.tensor(np.linspace(0, 1, 5), requires_grad=True), []
    for _ in range(4):
        y = np.sin(x) * x
        total = (y * y + 1.0).sum()
        total.item()
        kept.append(y._node.value is not None)
        assert all(node.value is None for node in total._node.inputs)
        (y + 2.0).sum().item()
        assert y._node.value is not None
    assert kept == [False, True, True, True]


# ---------------------------------------------------------------------------- loops that read nothing


def _runge_kutta(m: Any, steps: int) -> Any:
    y, h = m(np.array([1.0, 0.5])), 0.01

    def f(y: Any) -> Any:
        return np.stack([y[0] * (1.1 - 0.4 * y[1]), y[1] * (0.1 * y[0] - 0.4)])

    for _ in range(steps):
        k1 = f(y)
        k2 = f(y + h / 2 * k1)
        y = y + h * k2
    return y.sum()


def _bodies(m: Any, steps: int) -> Any:
    start = np.random.default_rng(0).normal(size=(3, 2))
    places, speeds = [m(row) for row in start], [m(np.zeros(2)) for _ in start]
    for _ in range(steps):
        for i, here in enumerate(places):
            for j, there in enumerate(places):
                if i != j:
                    d = there - here
                    speeds[i] = speeds[i] + 0.01 * d / ((d * d).sum() + 0.1) ** 1.5
        places = [p + 0.01 * v for p, v in zip(places, speeds, strict=True)]
    return sum(p.sum() for p in places)


def _sum_beside(m: Any, steps: int) -> Any:
    x, total = m(0.3), m(0.0)
    for _ in range(steps):
        x = 3.9 * x * (1 - x)
        total = total + np.log(abs(3.9 - 7.8 * x))
    return total


@pytest.mark.parametrize("loop", [_runge_kutta, _bodies, _sum_beside])
@pytest.mark.parametrize("tracked", [False, True])
def test_long_chains_are_cut_where_they_repeat(loop: Any, tracked: bool) -> None:
    steps = 120
    with ng.configure(max_pending=100):
        before = len(programs)
        y = loop(lambda v: ng.tensor(v, requires_grad=tracked), steps)
        assert_allclose(float(y), float(loop(np.array, steps)), rtol=1e-9)
        assert len(programs) - before <= 4  # before the loop, in it, behind it
        before = len(programs)
        float(loop(lambda v: ng.tensor(v, requires_grad=tracked), 2 * steps))
        assert len(programs) - before <= 1


def test_a_chain_cut_is_differentiated_as_a_whole() -> None:
    x = ng.tensor(0.3, requires_grad=True)
    with ng.configure(max_pending=20):
        y = x
        for _ in range(100):
            y = np.sin(y) * 1.2
        y.backward()
    slope, value = 1.0, 0.3
    for _ in range(100):
        slope, value = slope * np.cos(value) * 1.2, np.sin(value) * 1.2
    assert_allclose(x.grad.item(), slope, rtol=1e-12)


def test_chains_without_a_period_are_evaluated_too() -> None:
    random = np.random.default_rng(0)
    functions = [np.sin, np.cos, np.tanh, np.arctan, abs]
    order = random.integers(len(functions), size=200)
    x, expected = ng.tensor(np.linspace(0, 1, 4)), np.linspace(0, 1, 4)
    with ng.configure(max_pending=30):
        for k in order:
            x, expected = functions[k](x) + 0.5, functions[k](expected) + 0.5
            assert x._node.depth <= 30
    assert_allclose(x.numpy(), expected)


@pytest.mark.parametrize(
    ("text", "end"),
    [("abcabcabcabcab", 12), ("xyabcabcabcabc", 14), ("abcabcabcabcxz", 12), ("abcdefghij", 10)],
)
def test_cuts_are_behind_whole_periods(text: str, end: int) -> None:
    assert _repeating(text) == end


UNTRACKED = ["read_each", "branch", "moving_averages", "kalman", "momentum", "truncated", "unread"]


@pytest.mark.parametrize("name", UNTRACKED)
def test_steps_leave_no_memory_behind(name: str) -> None:
    grown = subprocesses.run(
        f"""
        sys.path.insert(0, {str(subprocesses.ROOT)!r})
        from benchmarks import loops
        print(loops.growth({name!r}, 20_000, 8_000))
        """,
        timeout=300.0,
        NBGRAD_CHECK=0,
    )
    assert float(grown) < 3e6  # of 8,000 kB or more, were a node of each step kept


def test_the_table_of_loops_is_measured() -> None:
    code = f"""
    sys.path.insert(0, {str(subprocesses.ROOT)!r})
    from benchmarks import loops
    loops.HOT_SECONDS = 0.1
    print(*loops.measure("read_each", "nbgrad", 100))
    """
    assert subprocesses.run(code).split() == ["first", "later", "programs"]
