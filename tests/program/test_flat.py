"""Flat programs: long tapes of small arrays agree with NumPy, and cost the same for each equation."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from differential import with_gradient
from golden_programs import GOLDEN, arguments, expected, program, trace
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.backends import base
from nbgrad.backends.cpu.flat import FlatProgram
from nbgrad.backends.reference import ReferenceProgram
from nbgrad.core.tape import Tape
from nbgrad.engine.tiers import Executable
from nbgrad.machine import bounds
from nbgrad.program import flat

Array = np.ndarray[Any, Any]


def agree(tape: Tape, args: list[Any], rtol: float = 1e-11) -> None:
    made = FlatProgram(tape)
    for _ in range(2):  # the second run finds the memory of the first
        found, wanted = made.run(list(args)), ReferenceProgram(tape).run(args)
        for y, z in zip(found, wanted, strict=True):
            assert np.asarray(y).dtype == np.asarray(z).dtype
            assert_allclose(y, z, rtol=rtol, atol=1e-300)


@pytest.mark.parametrize("name", list(GOLDEN))
def test_golden_programs(name: str) -> None:
    found = FlatProgram(program(name).tape).run(arguments(name))
    rtol = 1e-5 if found[0].dtype == np.float32 else 1e-12
    for y, z in zip(found, expected(name), strict=True):
        assert_allclose(y, z, rtol=rtol)


# ------------------------------------------------------------------------------------------- loops


def recurrence(x: Any) -> Any:
    u = x[0]
    for k in range(60):
        u = u * x[k % 5] + 0.5 if k % 3 else np.tanh(u) - x[-1]
    return u


def views(x: Any) -> Any:
    """Windows that a kernel sees with negative offsets, columns, and rows that are not copied."""
    y = x.reshape(4, 5)
    for k in range(6):
        y = y[:, ::-1] * 0.5 + y[k % 4] + y[1:3].T[:, :1].sum()
        y = np.concatenate([y[2:], y[:2]]).reshape(5, 4).T
    return (y * y).sum()


def numbers(x: Any) -> Any:
    y = x
    for k in range(9):
        y = np.where(y > 0.1 * k, y, -0.0) + float(k % 2) - (k == 3) * 1e300 * 1e-300
    return (y / 3.0).sum()


def products(x: Any) -> Any:
    a = x.reshape(5, 4)
    for k in range(5):
        a = a - 0.01 * (a @ a[k % 5, :, None]) @ a[:1] + a.max(axis=0)
    return np.sqrt((a * a).sum())


def fields(x: Any) -> Any:
    """Complex numbers have no kernels: NumPy computes these between the others."""
    z = x[:4] + 1j * x[4:8]
    for _ in range(4):
        z = z * z / 2.0 + x[:4]
    return z.real.sum() + z.imag.sum()


LOOPS: dict[str, Callable[[Any], Any]] = {
    f.__name__: f for f in (recurrence, views, numbers, products, fields)
}


@pytest.mark.parametrize("name", list(LOOPS))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_loops_and_their_gradients(name: str, dtype: Any) -> None:
    tape = trace(with_gradient(LOOPS[name]), (20,), dtype=dtype)
    x = np.random.default_rng(3).uniform(0.2, 0.9, 20).astype(dtype)
    agree(tape, [x], 1e-11 if dtype is np.float64 else 1e-4)


def test_outputs_that_are_inputs_views_or_repeat() -> None:
    def f(x: Any, y: Any) -> Any:
        z = x + y
        return x, z, z.reshape(4), z, z[:1], z[0], y[1]

    agree(trace(f, (2, 2), (2, 2)), [np.arange(4.0).reshape(2, 2), np.ones((2, 2))])


def test_arrays_without_elements() -> None:
    tape = trace(lambda x: (x * 2.0, x[:, :2].reshape(6, 0), x.sum(), x.sum(axis=0)), (0, 3))
    agree(tape, [np.ones((0, 3))])


def test_each_run_returns_fresh_memory() -> None:
    made = FlatProgram(trace(lambda x: (x + 1.0, x * 2.0), (3,)))
    first = made.run([np.ones(3)])
    second = made.run([np.zeros(3)])
    assert first[0].tolist() == [2.0] * 3 and second[0].tolist() == [1.0] * 3


def test_a_failing_library_call_says_what_failed() -> None:
    def f(x: Any, index: Any) -> Any:
        for _ in range(3):
            x = x * 2.0
        return x[index]

    with ng.configure(tier="block"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "LONG", 0)
        compiled = ng.jit(f)
        assert compiled(np.ones(4), np.array([0, 3])).tolist() == [8.0, 8.0]
        with pytest.raises(IndexError, match="index 9 is out of bounds for axis 0 with size 4"):
            compiled(np.ones(4), np.array([0, 9]))


# ------------------------------------------------------------------------------------------ memory


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12)), max_size=40))
def test_no_two_live_buffers_overlap(buffers: list[tuple[int, int]]) -> None:
    sizes = [size for size, _ in buffers]
    last = [k + life for k, (_, life) in enumerate(buffers)]
    places, end = flat._places(list(range(len(buffers))), last, sizes, 64)
    for step in range(len(buffers)):
        live = sorted(
            (places[k], places[k] + sizes[k]) for k in range(step + 1) if last[k] >= step
        )
        assert all(stop <= start for (_, stop), (start, _) in pairwise(live))
        assert not live or (live[0][0] >= 64 and max(stop for _, stop in live) <= end)


def test_an_abandoned_buffer_is_used_again() -> None:
    count = 5000
    last = [k + 1 for k in range(count)]
    assert flat._places(list(range(count)), last, [80] * count, 0)[1] == 2 * 128


# ------------------------------------------------------------------------------------------ growth


def long_loop(n: int) -> Tape:
    def f(x: Any) -> Any:
        u, v = x[0], x[1]
        for _ in range(n):
            u, v = u + 0.01 * (u - u * v), v + 0.01 * (u * v - v)
        return u * v

    with ng.configure(max_pending=10**9):
        return trace(lambda x: ng.grad(f)(x), (2,))


def test_what_is_planned_does_not_grow_with_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[int] = []
    plan = flat.make_program
    monkeypatch.setattr(flat, "make_program", lambda tape: planned.append(1) or plan(tape))  # type: ignore[func-returns-value]
    counts = []
    for n in (50, 200):
        planned.clear()
        flat._patterns.clear()
        made = FlatProgram(long_loop(n))
        counts.append((len(planned), len(made.patterns)))
    assert counts[0] == counts[1] and counts[0][0] < 20


@pytest.mark.skipif(bounds.ON, reason="arguments say how long their memory is in that build")
def test_memory_of_an_equation() -> None:
    with ng.configure(check_tapes=False):
        FlatProgram(long_loop(30)).run([np.ones(2)])
        gc.collect()
        tracemalloc.start()
        made = Executable(long_loop(400))
        assert made.flat
        made.blocks().run([np.ones(2)])
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert held < 400 * len(made.tape)


def test_which_tapes_are_flat() -> None:
    assert Executable(long_loop(200)).flat
    assert not Executable(long_loop(5)).flat
    with ng.configure(max_pending=10**9):

        def wide(x: Any) -> Any:
            for _ in range(1200):
                x = x * 0.5
            return x

        assert not Executable(trace(wide, (1000,))).flat
