"""A ``while_loop`` of scalars and small arrays is one kernel, alone and within other loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from subprocesses import run

import nbgrad as ng
from nbgrad.core.ports import ports
from nbgrad.ops.control import runs

Array = np.ndarray[Any, Any]
TABLE = np.linspace(0.5, 1.5, 100)


def root(a: Any) -> Any:
    """Newton's method for a square root."""
    return ng.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: (x + a / x) / 2, a)


def branching(x: Any) -> Any:
    """A recurrence with a branch, a count and a flag in the carry."""
    start = {"x": x, "k": 0, "high": False}

    def body(c: Any) -> Any:
        new = ng.cond(c["x"] > 1.0, lambda v: v * v * 0.4, lambda v: v * 1.7 + 0.05 * x, c["x"])
        return {"x": new, "k": c["k"] + 1, "high": c["high"] | (new > 1.5)}

    end = ng.while_loop(lambda c: c["k"] < 9, body, start)
    return ng.where(end["high"], end["x"] * 2, end["x"]) * end["k"]


def swapping(x: Any) -> Any:
    """Arrays in the carry, which change places."""
    v, w = x * np.array([1.0, -0.5, 0.25]), ng.sin(x) + np.arange(3.0)
    body = lambda c: (c[1] * 0.5 + c[0].sum(), c[0] - 0.1 * c[1])
    return ng.while_loop(lambda c: abs(c[0]).max() > 0.05, body, (v, w), max_steps=40)[1].sum()


def ending(x: Any) -> Any:
    """Ended by the number of runs."""
    return ng.while_loop(lambda v: v < 1e9, lambda v: v * x + np.sin(3.0), x, max_steps=7)


def never(x: Any) -> Any:
    return ng.while_loop(lambda v: v > 1e9, lambda v: v * v, x * 3)


def in_float32(x: Any) -> Any:
    start = (x * 1.0).astype(np.float32)
    return ng.while_loop(lambda v: v < 9, lambda v: v * v + np.float32(0.3), start).astype(float)


def within_a_scan(x: Any) -> Any:
    """Each step of a scan runs a loop of its own, of which some never run."""

    def step(c: Any, row: Any) -> Any:
        v = ng.while_loop(
            lambda v: v * v < 4.0 * row, lambda v: v * 1.3 + 0.1 * c, ng.sin(c) + row
        )
        return c * 0.5 + v, v

    last, each = ng.scan(step, x, np.linspace(0.2, 5.0, 6))
    return last + (each**2).sum()


def within_a_loop(x: Any) -> Any:
    def body(c: Any) -> Any:
        inner = ng.while_loop(lambda v: v > 0.5, lambda v: v * 0.7, c[0] + 1.0)
        return c[0] + inner * x, c[1] + 1

    return ng.while_loop(lambda c: c[1] < 4, body, (x, 0))[0]


def by_number(x: Any) -> Any:
    """Rows of a large array, and of a small one, by the number of the run."""
    table, few = ng.as_tensor(TABLE) * x, ng.as_tensor(np.array([0.9, 1.1, 1.05])) * x

    def body(c: Any) -> Any:
        k, v = c
        return k + 3, v * table[k] + few[k % 3]

    return ng.while_loop(lambda c: c[0] < 50, body, (0, x))[1]


def of_matrices(x: Any) -> Any:
    """More than scalars: products and solves, run as frames."""
    m = ng.as_tensor(np.eye(12) * 1.5 + 0.02) * x
    start = (ng.linspace(0.1, 1.0, 12) * x, ng.as_tensor(TABLE) * x, 0)

    def body(c: Any) -> Any:
        v, w, k = c
        return ng.linalg.solve(m, v) + w[k], ng.sin(w) * 0.5 + v.sum(), k + 1

    v, w, k = ng.while_loop(lambda c: (c[2] < 5) & (c[1].sum() > 0.0), body, start)
    return v.sum() + (w * w).sum() * k


def of_large_arrays_within(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        going = lambda v: (v * v).sum() < 400.0 * row
        v = ng.while_loop(going, lambda v: v * (1.1 + 0.1 * row) + 0.01, c * TABLE, max_steps=9)
        return v.mean(), v[3]

    last, each = ng.scan(step, x, np.array([0.1, 3.0, 1.0]))
    return last + each.sum()


def of_dear_branches(x: Any) -> Any:
    """Of branches that cost something only the one that is taken is run: a loop, functions, a number."""

    def body(c: Any) -> Any:
        v, k = c
        inner = lambda v: ng.while_loop(lambda u: u > 1.0, lambda u: u * 0.8, v * 3.0 + 1.0)
        few = [inner, lambda v: ng.sin(v) * x, lambda v: ng.exp(-v) + x, lambda v: v * 0.0 + 2.0]
        return ng.switch(k % 5 - 1, few, v) + ng.cond(v > 2.0, lambda: v * 0.1, lambda: 0.0), k + 1

    return ng.while_loop(lambda c: c[1] < 14, body, (x, 0))[0]


def of_rows_in_branches(x: Any) -> Any:
    """A row that would be out of bounds, were its branch run."""
    table = ng.as_tensor(TABLE[:20])

    def step(v: Any, k: Any) -> Any:
        return ng.cond(k < 20, lambda v: v * table[k] * 1.2, lambda v: v * 1.1 + x, v), None

    return ng.scan(step, x, np.arange(25))[0]


def of_large_branches(x: Any) -> Any:
    """Branches of products and large arrays are frames of which one is run."""
    m = ng.as_tensor(np.eye(12) * 1.5 + 0.02)

    def step(v: Any, k: Any) -> Any:
        few = [lambda v: m @ v, lambda v: ng.linalg.solve(m, v) * x, lambda v: np.ones(12)]
        return ng.switch(k, few, v) + v * 0.5, None

    v = ng.scan(step, ng.linspace(0.1, 1.0, 12) * x, np.array([1, 0, 2, 1, 9, -3]))[0]
    large = ng.linspace(0.0, 1.0, 2000) * v.sum()
    return ng.cond(large[1] < 1e9, lambda a: ng.sin(a) * a, lambda a: a, large).mean()


ALL: list[Callable[..., Any]] = [
    root, branching, swapping, ending, never, in_float32, within_a_scan, within_a_loop, by_number,
    of_dear_branches, of_rows_in_branches, of_matrices, of_large_branches, of_large_arrays_within,
]  # fmt: skip


def calls(f: Any, x: Any) -> int:
    stats: dict[str, int] = ng.make_tape(f)(x).stats()
    return stats["host_calls"]


@pytest.mark.parametrize("f", ALL)
def test_a_kernel_gives_what_python_gives(f: Any) -> None:
    x = np.array(1.23)
    both = ng.value_and_grad(f)
    with ng.configure(tier="reference"):
        expected = both(x)
    assert_allclose(ng.jit(both)(x), expected, rtol=1e-13)
    assert calls(both, x) == 0
    if f is not in_float32:
        change = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6
        assert_allclose(expected[1], np.asarray(change), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("f", [branching, by_number, of_dear_branches, of_matrices])
def test_of_the_second_order_and_forward(f: Any) -> None:
    x, h = np.array(1.23), 1e-5
    second = ng.jit(ng.grad(ng.grad(f)))
    g = ng.grad(f)
    assert_allclose(second(x), (g(x + h) - g(x - h)) / (2 * h), rtol=1e-6)
    along = ng.jit(lambda x: ng.jvp(f, (x,), (np.array(1.0),))[1])
    assert_allclose(along(x), g(x), rtol=1e-12)
    assert calls(ng.grad(ng.grad(f)), x) == calls(along, x) == 0


def test_a_batch_waits_for_its_last() -> None:
    xs = np.array([4.0, 9.0, 0.3, 2.0])
    f = ng.jit(ng.vmap(ng.value_and_grad(root)))
    value, slope = f(xs)
    assert_allclose(value, np.sqrt(xs), rtol=1e-11)
    assert_allclose(slope, 0.5 / np.sqrt(xs), rtol=1e-9)
    assert calls(f, xs) == 0
    alone = [ng.jit(ng.value_and_grad(root))(x) for x in xs]
    assert_array_equal(np.array([value, slope]).T, np.array(alone))


def test_what_is_out_of_bounds_is_said() -> None:
    def f(x: Any) -> Any:
        body = lambda c: (c[0] + 1, c[1] + ng.as_tensor(TABLE)[c[0]] * c[1])
        return ng.while_loop(lambda c: c[0] < 101, body, (90, x))[1]

    for g in (f, ng.grad(f), lambda x: ng.scan(lambda c, _: (f(c), None), x, length=3)[0]):
        with pytest.raises(
            IndexError, match="index 100 is out of bounds for axis 0 with size 100"
        ):
            ng.jit(g)(np.array(1.0))


def test_what_fails_in_a_frame_is_said() -> None:
    m = np.eye(9) * 2.0

    def f(x: Any) -> Any:
        body = lambda c: (ng.linalg.solve(m, c[0] * ng.as_tensor(TABLE)[c[1]]), c[1] + 1)
        return ng.while_loop(lambda c: c[1] < 101, body, (x * TABLE[:9], 98))[0].sum()

    assert calls(f, np.array(1.0)) == 0
    with pytest.raises(IndexError, match="index 100 is out of bounds for axis 0 with size 100"):
        ng.jit(f)(np.array(1.0))
    g = lambda x: ng.cond(x > 0.0, f, lambda x: x, x)
    assert calls(g, np.array(1.0)) == 0 and ng.jit(g)(np.array(-1.0)) == -1.0
    with pytest.raises(IndexError, match="out of bounds for axis 0 with size 100"):
        ng.jit(g)(np.array(1.0))
    m[:] = 1.0
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        ng.jit(f)(np.array(1.0))


def test_memory_of_many_runs_grows_and_is_given_back() -> None:
    def f(x: Any, n: Any) -> Any:
        body = lambda c: (ng.sin(c[0]) * x + 0.5, c[1] + 1)
        return ng.while_loop(lambda c: c[1] < n, body, (x, 0))[0]

    g = ng.jit(ng.grad(f))
    x = np.array(0.9)
    for n in (0, 1, 63, 64, 65, 1000, 100_000):
        count = np.array(n)
        loop = lambda x, n=n: ng.scan(lambda c, _: (ng.sin(c) * x + 0.5, None), x, length=n)[0]
        assert_allclose(g(x, count), ng.grad(loop)(x) if n else 1.0, rtol=1e-13)


def test_in_a_budget_the_bits_are_the_same() -> None:
    """All is kept of some runs, and what lies between is run again, at times several times."""

    def f(x: Any, n: Any, max_bytes: int | None) -> Any:
        body = lambda c: (ng.sin(c[0]) * x + c[2][1], c[1] + 1, ng.stack([c[2][1], c[2][0] * 0.9]))
        start = (x, 0, ng.stack([x, x * 2]))
        v, _, w = ng.while_loop(lambda c: c[1] < n, body, start, max_bytes=max_bytes)
        return v + w.sum()

    x = np.array(0.9)
    plain, *others = (
        ng.jit(ng.grad(lambda x, n, limit=limit: f(x, n, limit))) for limit in (None, 1, 300, 4000)
    )
    assert calls(lambda x: ng.grad(f)(x, 9, 300), x) == 0
    for n in (0, 1, 2, 5, 63, 64, 65, 300):
        expected = plain(x, np.array(n))
        assert [g(x, np.array(n)) for g in others] == [expected] * len(others)


def test_an_endless_loop_ends_when_somebody_asks() -> None:
    text = """
    import signal
    import nbgrad as ng

    class Enough(Exception):
        pass

    def ring(*args):
        raise Enough("it rang")

    loop = lambda x, end: ng.while_loop(lambda v: v < end, lambda v: v + 0.0 * x + 1.0, x)
    several = lambda x, end: ng.scan(lambda c, _: (loop(c, end), None), x, length=5)[0]
    f = ng.jit(several)
    f(np.array(1.0), np.array(9.0))
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        f(np.array(1.0), np.array(np.inf))
    except Enough as error:
        print(error)
    """
    assert "it rang" in run(text, timeout=60)


def test_a_loop_that_is_long_goes_on_compiled(monkeypatch: Any) -> None:
    """In one call, or in several; where nothing can be compiled, or its runs are few, Python goes on."""
    monkeypatch.setattr(runs, "LONG", 300)
    made = []
    natively = ports.natively

    def watched(*args: Any) -> Any:
        found = natively(*args)
        made.append(found is not None)
        return found

    object.__setattr__(ports, "natively", watched)
    try:
        for solve, many in ((False, 1), (True, 1), (False, 1000)):
            monkeypatch.setattr(runs, "RUNS", many)

            def f(x: Any, n: Any, solve: bool = solve, c: float = many) -> Any:
                linear = lambda v: ng.linalg.solve(np.eye(2) * 1.001, v + 0.0 * x)[0] * np.ones(2)
                step = linear if solve else lambda v: ng.sin(v) * x + 0.125 * c
                body = lambda v: (step(v[0]), v[1] + 1)
                return ng.while_loop(lambda v: v[1] < n, body, (x * np.ones(2), 0))[0].sum()

            made.clear()
            g = ng.value_and_grad(f)
            for n in (5, 20, 20, 100, 5):
                with ng.configure(tier="reference"):
                    expected = g(0.9, n)
                assert_allclose(g(0.9, n), expected, rtol=1e-13)
            assert any(made) == (not solve and many == 1) and not any(made[:1])
    finally:
        object.__setattr__(ports, "natively", natively)


def test_equations_of_loops_in_a_loop_count_as_often_as_they_run() -> None:
    """Of a while loop over scans, such as conjugate gradients of a fit, a run is long, and few are made."""

    def f(x: Any) -> Any:
        inner = lambda v: ng.scan(lambda c, _: (ng.sin(c) * x, None), v, None, length=2000)[0]
        return ng.while_loop(lambda v: v[1] < 40, lambda v: (inner(v[0]), v[1] + 1), (x, 0))[0]

    made = []
    natively = ports.natively
    object.__setattr__(ports, "natively", lambda *a: made.append(a[-1]) or natively(*a))  # type: ignore[func-returns-value]
    try:
        expected = f(0.9).item()
    finally:
        object.__setattr__(ports, "natively", natively)
    assert made == [False, True]  # none was there, and one was made before the forty were over
    with ng.configure(tier="reference"):
        assert_allclose(f(0.9), expected, rtol=1e-13)
