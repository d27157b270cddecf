"""Fewer entries of the same derivatives: what is recorded for one operation alone, and what a loop adds to."""

from __future__ import annotations

import math
import re
from typing import Any

import numba
import numpy as np
import pytest

import nbgrad as ng
from nbgrad.machine import lljit
from nbgrad.native import routes
from nbgrad.native.gathering import gathered


@pytest.fixture(autouse=True)
def by_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {name: made for name, made in routes.ROUTES.items() if name != "source"}
    monkeypatch.setattr(routes, "ROUTES", others)


# What a variable held is read once it has been added to: by another, from an array, a tuple, a call.


@numba.njit
def kept(x, n):
    s, t, u = 0.0, 0.0, 0.0
    for i in range(n):
        before = s
        s += x[i] * x[i]
        if i % 3 == 1:
            t = t + before * x[0]
            continue
        if s > 4.0:
            u += s
        t += math.sin(x[i])
    return s * t + u * u


@numba.njit
def turned(x, n):
    a, b, s = 0.0, 0.0, x[0]
    for i in range(n):
        a, b = b, a + x[i] * x[1]
        s += a * x[i]
    first = s
    for i in range(n):
        s += b * x[i] * first
    return s * a + b * first


@numba.njit
def outer(x, n):
    c = np.zeros(n)
    total, last = 0.0, 0.0
    for i in range(n):
        s = 0.0
        for j in range(i + 1):
            s += x[j] * x[i]
            if s > 3.0:
                last = s
                break
        c[i] = s
        total += s * last
        s += total
        c[0] += s
    for i in range(n):
        total += c[i] * c[n - 1 - i]
    return total, last


@numba.njit
def best(x, n):
    s, most = 0.0, 0.0
    for i in range(n):
        s += x[i] if x[i] > 0 else 0.5 * x[i]
        most = max(most, s)
        s = s * 0.5 + most if i == 2 else s
    return s * most


@pytest.mark.parametrize("f", [kept, turned, outer, best])
def test_what_is_read_later_has_a_place_of_its_own(f: Any) -> None:
    wrapped, x = ng.njit(f), np.random.default_rng(3).uniform(0.2, 1.5, 9)

    def total(x: Any) -> Any:
        found = wrapped(x, 9)
        return found[0] + 0.5 * found[1] if isinstance(found, tuple) else found

    found, h = ng.grad(total)(x), 1e-6
    for k in range(9):
        step = np.zeros(9)
        step[k] = h
        difference = (total(x + step) - total(x - step)) / (2 * h)
        np.testing.assert_allclose(found[k], difference, rtol=2e-7, atol=1e-7)


def test_what_a_loop_adds_to_is_16_bytes_each_time() -> None:
    """Also where branches add other multiples of what is recorded for that alone."""

    @ng.njit
    def squares(x):
        s = 0.0
        for i in range(x.shape[0]):
            t = x[i] * x[i]
            s = s + t if t > 1.0 else s - 2.0 * t
        return s

    x = np.random.default_rng(0).uniform(0.0, 2.0, 1 << 14)
    with ng.configure(tape_bytes=16 * x.size):
        found = ng.grad(squares)(x)
    np.testing.assert_array_equal(found, np.where(x * x > 1.0, 2.0 * x, -4.0 * x))


def test_a_partial_of_0_hides_an_infinite_one() -> None:
    @ng.njit
    def f(x, c, n):
        s = 0.0
        for _ in range(n):
            t = math.sqrt(x)
            s = s + t * c if n < 3 else s + t
        return s

    assert ng.grad(f)(0.0, 0.0, 2).item() == 0.0
    assert np.isinf(ng.grad(f)(0.0, 0.0, 4))


TEXT = """
define i64 @f(double %p, i64 %at, i64 %n, ptr %to) {
entry:
  br label %loop

loop:                                             ; preds = %next, %entry
  %s = phi i64 [ 0, %entry ], [ %sum, %next ]
  %k = phi i64 [ 0, %entry ], [ %k1, %next ]
  switch i64 %k, label %next [
    i64 1, label %next
    i64 2, label %end
  ]

next:                                             ; preds = %loop, %loop
  %t = call i64 @nbgrad_push2_float64(double %p, i64 %at, double 2.000000e+00, i64 %n)
  %sum = call i64 @nbgrad_push2_float64(double 1.000000e+00, i64 %s, double %p, i64 %t)
  %k1 = add i64 %k, 1
  LATER
  br label %loop

end:                                              ; preds = %loop
  ret i64 %s
}
declare i64 @nbgrad_push2_float64(double, i64, double, i64)
"""


@pytest.mark.parametrize(
    ("later", "onto", "through"),
    [
        ("", True, True),
        ("store i64 %t, ptr %to", True, False),
        ("store i64 %sum, ptr %to", False, True),
        ("store i64 %s, ptr %to", False, True),
        (
            "%u = call i64 @nbgrad_push2_float64(double %p, i64 %s, double %p, i64 %sum)",
            False,
            True,
        ),
    ],
)
def test_what_text_becomes(later: str, onto: bool, through: bool) -> None:
    lljit.llvm()
    found = gathered(TEXT.replace("LATER", later))
    numba.core.codegen.ll.parse_assembly(found)
    assert ("call i64 @nbgrad_onto" in found) == onto
    assert ("%t = " not in found) == through


def test_places_that_are_one_are_added_up() -> None:
    """As LLVM finds where it unrolls a loop."""
    lljit.llvm()
    one = "double 3.000000e+00, i64 %at, double 4.000000e+00, i64 %at, double 1.000000e+00, i64 %t"
    text = TEXT.replace("LATER", "").replace("double 1.000000e+00, i64 %s, double %p, i64 %t", one)
    found = gathered(
        text.replace("%sum = call i64 @nbgrad_push2", "%sum = call i64 @nbgrad_push3")
    )
    numba.core.codegen.ll.parse_assembly(found)
    made = dict(re.findall(r"(%\S+) = fadd double (.*)", found))
    first, second = made
    assert made[first] == "3.000000e+00, 4.000000e+00"
    assert made[second] == f"{first}, %p"
    assert f"@nbgrad_push2_float64(double {second}, i64 %at, double 2.000000e+00, i64 %n)" in found
