"""Rolls: NumPy's elements to the bit, and derivatives that are rolls back, for all dtypes and places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

DTYPES = [np.float64, np.float32, np.complex128, np.int64, np.int16, np.bool_]
SPECIAL = [-0.0, 0.0, np.nan, np.inf, -np.inf, 5e-324, -5e-324]
CASES: list[tuple[Any, Any]] = [
    (1, 0), (-1, 1), (1, -1), (7, 0), (-20, 1), (0, 1), (16, 0), ((1, -2), (0, 1)), ((1, 1), (1, 1)), (3, None),
]  # fmt: skip


def bits(x: Any) -> Any:
    return np.ascontiguousarray(x).view(np.uint8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rolls_are_numpys_to_the_bit(dtype: Any) -> None:
    rng = np.random.default_rng(2)
    with np.errstate(all="ignore"):
        x = rng.integers(-3, 4, (16, 24)).astype(dtype)
        if x.dtype.kind == "f":
            x[::3] = rng.choice(SPECIAL, x[::3].shape)
    every = ng.jit(lambda u: [ng.numpy.roll(u, *case) for case in CASES])(x)
    for found, case in zip(every, CASES, strict=True):
        wanted = np.roll(x, *case)
        assert_array_equal(bits(found), bits(wanted))
        assert_array_equal(bits(ng.numpy.roll(ng.tensor(x), *case).numpy()), bits(wanted))


def test_sums_of_rolls_are_numpys_to_the_bit() -> None:
    x = np.random.default_rng(3).normal(size=(17, 33))

    def near(m: Any, u: Any) -> Any:
        rolls = m.roll(u, 1, 0) + m.roll(u, -1, 0) + m.roll(u, 1, 1) + m.roll(u, -1, 1)
        return u + 0.2 * (rolls - 4.0 * u) + m.roll(m.roll(u, 1, 0), -1, 1)

    assert_array_equal(ng.jit(lambda u: near(ng.numpy, u))(x), near(np, x))
    columns = ng.jit(lambda u: near(ng.numpy, u).sum(0))(x)
    assert_allclose(columns, near(np, x).sum(0), rtol=1e-12, atol=1e-13)


def loss(u: Any) -> Any:
    r = ng.numpy.roll
    v = u * r(u, 1, 0) + np.sin(r(u, -1, 1)) * r(u, 3, 1)
    return (r(v, (1, -1), (0, 1)) * u).sum()


@pytest.mark.parametrize("wrap", [lambda f: f, ng.jit], ids=["plain", "jit"])
def test_derivatives_of_rolls(wrap: Any) -> None:
    rng = np.random.default_rng(4)
    x, t = rng.normal(size=(2, 9, 11))
    e = 1e-5
    slope = (loss(x + e * t) - loss(x - e * t)) / (2 * e)
    assert_allclose((wrap(ng.grad(loss))(x) * t).sum(), slope, rtol=1e-7)
    assert_allclose(wrap(lambda x, t: ng.jvp(loss, (x,), (t,))[1])(x, t), slope, rtol=1e-7)
    along = (ng.grad(loss)(x + e * t) - ng.grad(loss)(x - e * t)) / (2 * e)
    assert_allclose(wrap(lambda x, t: ng.hvp(loss, (x,), (t,)))(x, t), along, rtol=1e-6, atol=1e-8)


def test_rolls_of_batches() -> None:
    x = np.random.default_rng(5).normal(size=(3, 16, 20))
    for case in CASES:
        found = ng.vmap(lambda u, c=case: ng.numpy.roll(u, *c))(x)
        assert_array_equal(found, np.stack([np.roll(row, *case) for row in x]))
    found = ng.vmap(ng.grad(loss))(x)
    assert_allclose(found, np.stack([ng.grad(loss)(row) for row in x]), rtol=1e-12, atol=1e-14)


def test_a_stencil_of_rolls_copies_nothing_and_tests_nothing_inside() -> None:
    def heat(u: Any) -> Any:
        r = ng.numpy.roll
        return u + 0.2 * (r(u, 1, 0) + r(u, -1, 0) + r(u, 1, 1) + r(u, -1, 1) - 4.0 * u)

    x = np.ones((40, 50))
    for f in (heat, ng.grad(lambda u: (heat(u) ** 2).sum())):
        source = ng.jit(f).source(x)
        assert "copy" not in source
        last = source[source.rindex("for j in range(a, b):") :].split("for edge")[0]
        assert last.count("[") == 6 and " if " not in last  # five reads, and the result
