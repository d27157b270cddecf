"""The tape of partials: one entry an expression, zeros that stay, and values in the run of the sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import mpmath
import numba
import numpy as np
import pytest
import subprocesses

import nbgrad as ng
from nbgrad.api import tracked
from nbgrad.machine import merging
from nbgrad.native import routes
from nbgrad.native.pushing import OF_THREAD
from nbgrad.native.specialized import Specialized
from nbgrad.transforms import together


@pytest.fixture(autouse=True)
def by_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {name: made for name, made in routes.ROUTES.items() if name != "source"}
    monkeypatch.setattr(routes, "ROUTES", others)  # in their order again at the end


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The runs of compiled functions: whether in reverse, and whether with values."""
    found: list[Any] = []
    run = Specialized.run

    def noted(self: Any, *args: Any, **params: Any) -> Any:
        found.append((params["reverse"], params["values"]))
        return run(self, *args, **params)

    monkeypatch.setattr(Specialized, "run", noted)
    with ng.configure(tier="reference"):
        yield found


@numba.njit
def expressions(x, y):
    s = x
    for k in range(6):
        t = ((s * 0.3 + y) * s - y) * s + 1.5 + math.sin(s) * k
        u = t * t + t * x
        s = s / (1.0 + u) + t if t > 1.6 else t - 2.0 * s * y
    return s * s + math.exp(-y) * math.sqrt(x), s


def test_expressions_of_any_depth() -> None:
    """The sweep against tangents and differences, at orders 1 and 2."""
    f = ng.njit(expressions)
    x, y = 0.7, 0.4

    def first(x: Any, y: Any) -> Any:
        return f(x, y)[0]

    gradient = np.array(ng.grad(first, argnums=(0, 1))(x, y))
    tangents = [ng.jvp(first, (x, y), d)[1] for d in ((1.0, 0.0), (0.0, 1.0))]
    np.testing.assert_allclose(gradient, np.array(tangents), rtol=1e-12)
    h = 1e-6
    differences = [
        (expressions(x + h, y)[0] - expressions(x - h, y)[0]) / (2 * h),
        (expressions(x, y + h)[0] - expressions(x, y - h)[0]) / (2 * h),
    ]
    np.testing.assert_allclose(gradient, differences, rtol=1e-7)
    second = np.array(ng.hessian(first, argnums=(0, 1))(x, y))
    rows = [
        np.subtract(
            *[ng.grad(first, argnums=(0, 1))(x + e, y + d) for e, d in (s, (-s[0], -s[1]))]
        )
        for s in ((h, 0.0), (0.0, h))
    ]
    np.testing.assert_allclose(second, np.array(rows) / (2 * h), rtol=1e-6)


@numba.njit
def sines(x):
    s = np.empty(x.shape[0])
    for k in range(x.shape[0]):
        s[k] = math.sin(x[k]) if x[k] != 2.0 else math.cos(x[k])
    return s


def test_sines_of_any_angle() -> None:
    """They are kernels' and not libm's, near 0 and far."""
    plain = [0.0, -0.0, 1e-310, 0.5, -3.0, 2.0, 1e6, 1.1e6, -1e22, np.inf, np.nan]
    # Where the rest of the angle is small, and where libm's begin.
    turns = [float(k * mpmath.pi / 2) for k in (1, 2, 3, 1021, 7638, 7639)]
    x = np.array([*plain, *turns, -11999.5, 12000.5])
    with np.errstate(invalid="ignore"):
        sin, cos = np.sin(x), np.cos(x)
    expected = np.where(x == 2.0, cos, sin), np.where(x == 2.0, -sin, cos)
    value, pull = ng.vjp(ng.njit(sines), x)
    for way in (ng.jvp(ng.njit(sines), (x,), (np.ones(19),)), (value, pull(np.ones(19))[0])):
        for found, of in zip(way, expected, strict=True):
            np.testing.assert_allclose(found, of, rtol=4e-16)
            assert np.array_equal(np.signbit(found)[:9], np.signbit(of)[:9])


def test_entries_are_one_an_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polynomials of eight operations are within a budget of four entries; the tape is asked for once a loop."""
    texts: list[str] = []

    def noted(module: Any, **ways: Any) -> None:
        optimize(module, **ways)
        texts.append(str(module))

    optimize = merging.optimize
    monkeypatch.setattr(merging, "optimize", noted)
    monkeypatch.setattr(routes, "_again", lambda key: None)  # it may be on disk

    @ng.njit
    def polynomial(x, n):
        for _ in range(n):
            if x < 0.3:
                x = x * (x * (x * 0.1 - 0.2) + 0.3) * 0.5 + 0.25
            else:
                x = x * (x * (x * 0.3 - 0.1) + 0.2) * 0.3
        return x

    n = 1 << 14
    with ng.configure(tape_bytes=4 * 24 * n):
        found = ng.grad(polynomial)(0.3, n)
    assert np.isfinite(found)
    assert [text.count(f"call ptr @{OF_THREAD}(") for text in texts] == [1]


def test_a_budget_of_nothing_is_an_error() -> None:
    """In a process that has no tape yet: the first has room for little."""
    said = subprocesses.run("""
import numba, nbgrad as ng
ng.configure(tape_bytes=0)
@numba.njit
def power(n, x):  # it calls itself, which is not read from source
    return x if n == 0 else power(n - 1, x) * x * 1.01
@ng.njit
def powers(x):
    total = 0.0
    for _ in range(400):
        total += power(20, x)
    return total
try:
    ng.grad(powers)(0.5)
except MemoryError as error:
    print("tape_bytes" in str(error))
ng.configure(tape_bytes=1 << 30)
print(ng.grad(powers)(0.5).item() > 0)
""")
    assert said.split() == ["True", "True"]


def test_zeros_stay() -> None:
    """An operation that the result does not depend on has no infinite partial to multiply by 0."""

    @ng.njit
    def f(x, c):
        return math.sqrt(x) * c + x * 3.0 + math.log(x + 1.0) * c * c

    assert ng.grad(f)(0.0, 0.0).item() == 3.0
    assert np.isinf(ng.grad(f)(0.0, 1.0))


def test_adjoints_begin_at_zero_each_time() -> None:
    """After runs of other sizes, of another order, and ones that raised or were NaN."""

    @ng.njit
    def f(x, stop):
        total = 0.0
        for i in range(x.shape[0]):
            total += x[i] * x[i] * x[0]
            if i == stop:
                raise ValueError("stopped")
        return total

    x = np.linspace(0.5, 2.0, 50)
    expected = 2 * x * x[0]
    expected[0] += (x * x).sum()
    for _ in range(2):
        np.testing.assert_allclose(ng.grad(f)(x, -1), expected, rtol=1e-13)
        ng.grad(f)(x[:3], -1)
        ng.hessian(lambda x: f(x, -1))(x[:5])
        with pytest.raises(ValueError, match="stopped"):
            ng.grad(f)(x, 7)
        assert np.isnan(ng.grad(f)(np.full(9, np.nan), -1)).all()
        assert np.isnan(ng.grad(f)(np.full(9, np.inf), -1)).sum() == 0


@ng.njit
def several(x, n):
    out = np.zeros(n)
    for i in range(n):
        out[i] = x * i
    return out, x * x, n + 1


def test_values_come_with_the_sweep(runs: list[Any]) -> None:
    """In eager gradients and in compiled ones; apart where the cotangent waits for the value."""
    value, slope = ng.value_and_grad(lambda x: several(x, 3)[1])(3.0)
    assert (value.item(), slope.item(), runs) == (9.0, 6.0, [(True, True)])
    value, slope = ng.value_and_grad(lambda x: several(x, 3)[1] ** 2)(3.0)
    assert (value.item(), slope.item(), runs[1:]) == (81.0, 108.0, [(False, False), (True, False)])
    runs.clear()
    out, pull = ng.vjp(lambda x: several(x, 4)[0], 2.0)
    np.testing.assert_array_equal(out, [0.0, 2.0, 4.0, 6.0])
    assert pull(np.ones(4))[0].item() == 6.0


def test_values_come_with_the_sweep_in_programs() -> None:
    def f(x: Any) -> Any:
        out, square, n = several(x, 4)
        return out.sum() + square * 2.0, (out, n)

    for ready in (ng.jit(ng.value_and_grad(f, has_aux=True)), ng.value_and_grad(f, has_aux=True)):
        for x in (2.0, 3.0):
            (value, (out, n)), slope = ready(x)
            assert (value.item(), n.item(), slope.item()) == (6 * x + 2 * x * x, 5, 6.0 + 4 * x)
            np.testing.assert_array_equal(out, x * np.arange(4))


def test_arguments_are_read_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """By gradients of a compiled function itself: what is kept for later is a copy, and so is what is no row of floats."""
    copied: list[Any] = []
    constant = tracked.constant
    monkeypatch.setattr(tracked, "constant", lambda x: copied.append(x) or constant(x))

    @ng.njit
    def f(x):
        s = 0.0
        for i in range(x.shape[0]):
            s += x[i] * x[i]
        return s

    x = np.arange(6.0)
    x.flags.writeable = False
    value, slope = ng.value_and_grad(f)(x)
    np.testing.assert_array_equal((value, *slope), (55.0, *(2.0 * x)))
    np.testing.assert_array_equal(ng.grad(f)(x), slope)
    assert copied == []
    for y in (x[::2], x.astype(">f8"), np.arange(3)):
        np.testing.assert_array_equal(ng.grad(f)(y), 2.0 * np.asarray(y))
    assert len(copied) == 3
    x = np.arange(6.0)
    _, pull = ng.vjp(f, x)
    inside = ng.jit(lambda y: ng.grad(f)(x).sum() * y)
    np.testing.assert_array_equal(ng.hessian(f)(x), 2.0 * np.eye(6))
    assert inside(2.0) == 60.0
    x[:] = 0.0
    assert inside(2.0) == 0.0  # which a new trace finds
    np.testing.assert_array_equal(pull(1.0)[0], 2.0 * np.arange(6.0))


def test_many_calls_are_planned_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values come with sweeps for so many pairs; each goes through the whole tape."""
    f, scales = ng.njit(lambda x, k: x * x * k), np.random.default_rng(0).normal(size=300)
    tried: list[Any] = []
    as_one = together._as_one
    monkeypatch.setattr(together, "_as_one", lambda *a: tried.append(a) or as_one(*a))

    def total(x: Any) -> Any:
        return sum(np.cos(f(x * float(k), 2.0)) for k in scales)

    value, slope = ng.jit(ng.value_and_grad(total))(0.3)
    terms = 2.0 * (0.3 * scales) ** 2
    np.testing.assert_allclose(value, np.cos(terms).sum(), rtol=1e-12)
    np.testing.assert_allclose(slope, (-np.sin(terms) * 4.0 * 0.3 * scales**2).sum(), rtol=1e-12)
    assert 0 < len(tried) <= 2 * together.MOST
