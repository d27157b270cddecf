"""Small reductions with short axes, run again and again: written out, and still those of NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.program.loops import Loop
from nbgrad.program.program import make_program

RNG = np.random.default_rng(0)


def sources(f, *args):
    """The kernels of a run of the loop that *f* is."""
    program = make_program(ng.make_tape(f)(*args)._tape)
    return [s.source for step in program.steps if isinstance(step, Loop) for s in step.inner.steps]


def looped(f):
    """A loop in which every run computes *f* of what is carried, in kernels of a run's own."""
    return lambda *xs: ng.scan(lambda c, _: (c, f(*c)), xs, length=3)[1]


def spread(x, y, axis):
    """Differences of all pairs, as of points in space, summed along *axis*."""
    return ((x[:, None, :] - y[None, :, :]) ** 3).sum(axis=axis)


BODIES = {
    "over points": (lambda x, y: spread(x, y, 0), (20, 3), (24, 3)),
    "over the others": (lambda x, y: spread(x, y, 1), (20, 3), (24, 3)),
    "over coordinates": (lambda x, y: spread(x, y, 2), (20, 2), (24, 2)),
    "over points and coordinates": (lambda x, y: spread(x, y, (0, 2)), (20, 4), (24, 4)),
    "over both of points": (lambda x, y: spread(x, y, (0, 1)), (20, 3), (24, 3)),
    "short in front": (lambda x, y: (x[:, :, None] * y[:, None, :]).sum(axis=0), (3, 30), (3, 21)),
    "two short ones": (lambda x, y: (x[:, :, None] * y[:, None, :]).sum(axis=1), (90, 3), (90, 2)),
    "three in a row": (lambda x, y: (x * y).sum(axis=1), (40, 3, 4), (40, 3, 4)),
    "transposed": (lambda x, y: (x.T[:, :, None] - y[:, None, :]).sum(axis=1), (25, 3), (3, 22)),
    "maximum": (lambda x, y: (x[:, None, :] - y[None]).max(axis=1), (20, 3), (24, 3)),
    "product": (lambda x, y: (x[:, None, :] - y[None]).prod(axis=2), (20, 3), (24, 3)),
    "mean": (lambda x, y: (x[:, None, :] - y[None]).mean(axis=0), (20, 3), (24, 3)),
    "backwards": (lambda x, y: (x[::-1, None, ::-1] * y[None]).sum(axis=0), (20, 3), (24, 3)),
    "no sum": (lambda x, y: x[:, None, :] * y[None], (20, 3), (24, 3)),
    "no sum of numbers": (lambda x, y: (x[:, None, :] > y[None]) * 1.0, (20, 2), (24, 2)),
    "a diagonal band": (lambda x, y: (x[1:, None] + y[None, :-1]).sum(axis=2), (20, 3), (24, 3)),
}


SOME = ["over points", "over coordinates", "three in a row", "maximum"]


@pytest.mark.parametrize(
    ("dtype", "name"), [("f8", n) for n in BODIES] + [(d, n) for d in ("f4", "i8") for n in SOME]
)
def test_values_are_those_of_numpy(dtype, name):
    f, *shapes = BODIES[name]
    given = [RNG.normal(size=s) if dtype[0] == "f" else RNG.integers(-4, 5, s) for s in shapes]
    xs = [x.astype(dtype) for x in given]
    found = ng.jit(looped(f))(*xs)
    expected = f(*xs)
    assert found.dtype == expected.dtype
    tolerance = {"f8": 1e-12, "f4": 2e-5, "i8": 0}[dtype]
    scale = np.abs(expected).max()
    for row in found:
        np.testing.assert_allclose(row, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", ["over points", "over the others"])
def test_gradients_of_loops_are_those_of_one_run(name):
    f, *shapes = BODIES[name]
    x, y = (RNG.normal(size=s) for s in shapes)

    def loss(x, y):
        step = lambda c, _: (c * 0.5 + f(x, y + c).sum() * 1e-4, None)
        return ng.scan(step, 0.1, length=5)[0]

    def python(x, y):
        c = 0.1
        for _ in range(5):
            c = c * 0.5 + f(x, y + c).sum() * 1e-4
        return c

    for a, b in zip(
        ng.jit(ng.grad(loss, (0, 1)))(x, y), ng.grad(python, (0, 1))(x, y), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-15)


def test_short_loops_are_written_out_and_the_inner_one_is_next_to_each_other():
    x, y = RNG.normal(size=(20, 3)), RNG.normal(size=(24, 3))
    source = sources(looped(BODIES["over points"][0]), x, y)[0]
    rows, inner, first = (
        source.index("for at2 in"),
        source.index("for at0 in", 250),
        source.index("v0_0"),
    )
    assert rows < inner < first < source.index("v0_2 = x0[at2 * 3 + 2]")
    assert "%" not in source


def test_not_a_number_and_infinity_are_kept():
    x, y = RNG.normal(size=(20, 3)), RNG.normal(size=(24, 3))
    x[3, 1], y[5, 2] = np.nan, np.inf
    found = ng.jit(looped(BODIES["over the others"][0]))(x, y)[1]
    np.testing.assert_allclose(found, BODIES["over the others"][0](x, y), rtol=1e-12)
