"""Derivatives generated from source against finite differences of the plain Python function."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from structured_words import Derivative, is_operand, leaves, spec
from structures import STRUCTURES

from nbgrad.machine.request import SHAPE, UNSAID
from nbgrad.structured.ir import Refused
from nbgrad.structured.whole import read

Arrays = list[npt.NDArray[Any]]


def floats(args: Sequence[Any]) -> Arrays:
    found = [np.asarray(x) for a in args for x in leaves(a) if is_operand(x)]
    return [x for x in found if x.dtype.kind == "f"]


def replaced(args: Any, flow: Any) -> Any:
    """The arguments with other floats."""
    if isinstance(args, tuple):
        return tuple(replaced(a, flow) for a in args)
    if not is_operand(args) or np.asarray(args).dtype.kind != "f":
        return args
    value = next(flow)
    return value.copy() if isinstance(args, np.ndarray) else type(args)(value)


def differences(f: Callable[..., Any], args: Sequence[Any], step: float) -> Arrays:
    """The gradient of the sum of all results by central differences."""

    def total(at: Arrays) -> float:
        results = leaves(f(*replaced(tuple(args), iter(at))))
        return sum(float(np.sum(y, dtype=np.float64)) for y in results)

    found = []
    base = floats(args)
    for n, x in enumerate(base):
        g = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = [b.copy() for b in base]
                moved[n][place] += sign * step
                ends.append(total(moved))
            g[place] = (ends[0] - ends[1]) / (2 * step)
        found.append(g)
    return found


def sampled(args: Sequence[Any]) -> Arrays:
    rng = np.random.default_rng(1)
    return [np.asarray(rng.standard_normal(x.shape), x.dtype) for x in floats(args)]


@pytest.mark.parametrize("name", STRUCTURES)
def test_first_and_second_derivatives(name: str) -> None:
    f, args = STRUCTURES[name]
    single = any(x.dtype == np.float32 for x in floats(args))
    near = {"rtol": 2e-2, "atol": 2e-2} if single else {"rtol": 1e-5, "atol": 1e-6}
    dx, shapes = sampled(args), [np.shape(y) for y in leaves(f(*args))]
    pulled = Derivative(f, args, 1, True)

    def back(at: Sequence[Any]) -> tuple[Arrays, Arrays]:
        zeros = [np.zeros(s, c) for s, c in zip(shapes, pulled.codes, strict=True)]
        found = [np.full_like(x, 9.0) for x in (*dx, *dx)]
        assert pulled(at, [*dx, *zeros, *[z + 1 for z in zeros]], found) == 0
        return found[: len(dx)], found[len(dx) :]

    second, first = back(args)
    for mine, theirs in zip(first, differences(f, args, 1e-2 if single else 1e-6), strict=True):
        np.testing.assert_allclose(mine, theirs, **near)
    step, base = (1e-2 if single else 1e-5), floats(args)
    ends = [
        back(
            replaced(tuple(args), iter([x + s * step * d for x, d in zip(base, dx, strict=True)]))
        )[1]
        for s in (1, -1)
    ]
    for mine, up, down in zip(second, *ends, strict=True):
        slope = (up - down) / (2 * step)
        np.testing.assert_allclose(
            mine,
            slope,
            rtol=0.1 if single else 1e-4,
            atol=near["atol"] * max(1, np.abs(slope).max()),
        )


@pytest.mark.parametrize("name", ["recurrence", "left_early", "predator_prey", "single_precision"])
def test_values_have_the_bits_of_the_compiled_function_and_tangents_agree_with_the_way_back(
    name: str,
) -> None:
    f, args = STRUCTURES[name]
    expected = [np.asarray(y) for y in leaves(numba.njit(f)(*args))]
    pushed, pulled, dx = Derivative(f, args, 1, False), Derivative(f, args, 0, True), sampled(args)
    values = [np.full(y.shape, -7.0, c) for y, c in zip(expected, pushed.codes, strict=True)]
    tangents = [np.empty_like(v) for v in values]
    assert pushed(args, dx, [*values, *tangents]) == 0
    for mine, theirs in zip(values, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    cts = [np.empty_like(x) for x in dx]
    assert pulled(args, [np.ones_like(v) for v in values], cts) == 0
    along = sum(float(np.sum(t, dtype=np.float64)) for t in tangents)
    across = sum(float(np.sum(c * d, dtype=np.float64)) for c, d in zip(cts, dx, strict=True))
    assert along == pytest.approx(across, rel=1e-4 if name == "single_precision" else 1e-9)


def divided(x, y):
    return x / y


def shape_of_words(a):
    return a.copy()


def test_statuses() -> None:
    raises = Derivative(divided, (1.0, 2.0), 0, False, divides=False)
    found = np.zeros(())
    assert raises((1.0, 2.0), [], [found]) == 0
    assert found == 0.5
    assert raises((1.0, 0.0), [], [found]) == UNSAID
    copies = Derivative(shape_of_words, (np.ones(3),), 0, False)
    assert copies((np.ones(3),), [], [np.zeros(4)]) == SHAPE


def spread_again(a, b, c):
    x = a * b + c
    y = c + b
    y = np.sin(y) * x - b * a
    return (x * y + b * c).sum()


def test_extents_are_tested_once_and_nothing_is_kept_that_was_not_read() -> None:
    rng = np.random.default_rng(0)
    ones = [np.ones(1)] * 3
    value, back = (Derivative(spread_again, ones, 0, reverse) for reverse in (False, True))
    # Of a * b, of that and c, and of c and b: two operands, each not the common extent and not 1.
    assert value.text.source.count("!=") == 3 * 2 * 2
    assert back.text.kept == 0
    for shapes in itertools.product((1, 3), repeat=3):
        args, ds = ([rng.standard_normal(s) for s in shapes] for _ in range(2))
        found, cts = np.zeros(()), [np.empty_like(x) for x in args]
        assert value(args, [], [found]) == back(args, [np.ones(())], cts) == 0
        np.testing.assert_allclose(found, spread_again(*args), rtol=1e-13)
        along = spread_again(*[x + 1e-30j * d for x, d in zip(args, ds, strict=True)]).imag * 1e30
        across = sum(float((c * d).sum()) for c, d in zip(cts, ds, strict=True))
        np.testing.assert_allclose(across, along, rtol=1e-11, atol=1e-12)
    for shapes in (2, 3, 1), (1, 2, 3), (3, 1, 2):
        assert value([np.ones(s) for s in shapes], [], [np.zeros(())]) == UNSAID


def out_of_bounds(a, n):
    return a[n] * a[0]


def test_bounds_are_checked_where_that_is_asked_for() -> None:
    checked = Derivative(out_of_bounds, (np.ones(3), 1), 0, True, checks=True)
    found = [np.zeros(3)]
    assert checked((np.ones(3), -3), [np.ones(())], found) == 0
    np.testing.assert_array_equal(found[0], [2.0, 0.0, 0.0])
    for n in (3, -4):
        assert checked((np.ones(3), n), [np.ones(())], found) == UNSAID


def writes(a):
    a[0] = 1.0
    return a[1]


def ordered(a):
    return np.sort(a)


def swaps(a):
    b, c = a.copy(), a.copy()
    for _ in range(3):
        b, c = c, b
    return b[0]


def overlaps(a):
    b = a.copy()
    b[1:] = b[:-1]
    return b[0]


def recursive(x):
    return COMPILED(x - 1.0) if x > 0 else x


COMPILED = numba.njit(recursive)


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (writes, "writes into an argument"),
        (ordered, "the call of sort"),
        (swaps, "another array in each run"),
        (overlaps, "another view of the same array"),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(f: Any, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        read(f, [spec(np.ones(4))], True, False)
    first = f.__code__.co_firstlineno
    assert first < refused.value.line <= first + 5


def test_recursion_is_refused() -> None:
    with pytest.raises(Refused, match="recursion"):
        read(COMPILED.py_func, [spec(1.0)], True, False)
