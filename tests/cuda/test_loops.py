"""Loops as one kernel, a thread a point, in the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_device import agree, marks, planned, run

import nbgrad as ng
from nbgrad.program.text import CudaKernel

pytestmark = marks
RNG = np.random.default_rng(9)


def rk4(x: Any, v: Any, dt: Any) -> Any:
    """Pendulums, each a point; the gradient goes back through stacks of what was carried."""

    def slope(x: Any, v: Any) -> tuple[Any, Any]:
        return v, -ng.sin(x) - 0.1 * v

    def step(carry: Any, _: Any) -> Any:
        x, v = carry
        a = slope(x, v)
        b = slope(x + 0.5 * dt * a[0], v + 0.5 * dt * a[1])
        c = slope(x + dt * b[0], v + dt * b[1])
        return (x + dt * (a[0] + 2.0 * b[0] + c[0]), v + dt * (a[1] + 2.0 * b[1] + c[1])), x * v

    (x, v), seen = ng.scan(step, (x, v), length=6)
    return x, v, seen


def driven(x: Any, us: Any, w: Any) -> Any:
    """Rows of numbers and of points, a counter, broadcast constants, from the end."""

    def step(carry: Any, row: Any) -> Any:
        x, count, total = carry
        u, scale = row
        new = ng.where(x > u, x * w + scale, ng.cos(x) - u)
        return (new, count + 1, total + new), (new, count * scale)

    start = (x, ng.asarray(0), x * 0.0)
    return ng.scan(step, start, (us, us[:, 0, 0]), reverse=True)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5)], ids=str)
def test_points_apart_are_one_kernel(shape: tuple[int, ...]) -> None:
    x, v = (RNG.uniform(0.5, 1.5, shape) for _ in range(2))
    dt = np.array(0.01)
    agree(rk4, x, v, dt)
    agree(rk4, *(a.astype(np.float32) for a in (x, v, dt)))
    program, _ = planned(rk4, [x, v, dt])
    assert all(isinstance(step, CudaKernel) for step in program.steps)

    def loss(x: Any, v: Any, dt: Any) -> Any:
        found = rk4(x, v, dt)
        return (found[0] * found[1]).sum() + found[2].sum()

    agree(lambda *xs: list(ng.grad(loss, argnums=(0, 1, 2))(*xs)), x, v, dt)


def test_rows_counters_and_broadcasts() -> None:
    x, us, w = (RNG.uniform(0.5, 1.5, s) for s in ((4, 3), (5, 4, 3), (3,)))
    agree(driven, x, us, w)
    program, _ = planned(driven, [x, us, w])
    assert sum(isinstance(s, CudaKernel) and "for step" in s.source for s in program.steps) == 1


def test_points_that_read_others_are_none() -> None:
    def heat(u: Any) -> Any:
        def step(u: Any, _: Any) -> Any:
            return u + 0.1 * (ng.roll(u, 1) - 2.0 * u + ng.roll(u, -1)), u.sum()

        return ng.scan(step, u, length=4)

    agree(heat, RNG.uniform(0.5, 1.5, 9))


def rotation(w: Any, h: Any) -> Any:
    def step(c: Any, _: Any) -> Any:
        return ng.stack([c[1] * w[0], c[2] - w[1], (c * w).sum()]), c[::-1]

    return ng.scan(step, h, length=5)


def newton(a: Any) -> Any:
    return ng.while_loop(lambda x: abs(x * x - a) > 1e-9, lambda x: 0.5 * (x + a / x), a)


def by_number(table: Any, x: Any, rows: Any) -> Any:
    return ng.scan(lambda c, i: (c + table[i] * c, c), x, rows)


def test_small_arrays_conditions_and_rows_by_number_are_of_one_thread() -> None:
    w, h = RNG.uniform(0.5, 1.5, 3), RNG.uniform(0.5, 1.5, 3)
    rows = np.array([0, 3, -1, 2])
    table, x = RNG.uniform(0.1, 0.2, 5), np.array(1.0)
    for f, args in ((rotation, (w, h)), (newton, (x + 1,)), (by_number, (table, x, rows))):
        agree(f, *args)
        program, _ = planned(f, args)
        assert all(isinstance(step, CudaKernel) for step in program.steps)
    agree(ng.grad(newton), x + 1)
    agree(ng.grad(lambda w, h: rotation(w, h)[0].sum()), w, h)
    agree(ng.grad(lambda t, x, i: by_number(t, x, i)[0].sum(), argnums=(0, 1)), table, x, rows)


def test_a_row_out_of_bounds_is_a_fault() -> None:
    args = [np.ones(5), np.array(1.0), np.array([1, 7])]
    program, args = planned(by_number, args)
    _, device = run(program, args)
    ((kernel, at),) = [
        (k, at) for k, at in zip(device.launches, device.starts, strict=True) if k.sizes
    ]
    fault = device.views["i8"].elements[at + len(kernel.args) - 1]
    assert (kernel.sizes, fault >> 8, fault & 0xFF) == ((5,), 7, 1)
