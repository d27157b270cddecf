"""Loops in which one number goes round on the way back: its cotangent multiplies each run's derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import nbgrad as ng

XS = np.random.default_rng(0).normal(size=30)
W = np.random.default_rng(1).normal(size=3)


def scanned(w, start, xs):
    step = lambda c, x: (ng.numpy.tanh(w[0] * c + w[1] * x) + w[2] * c, None)
    return ng.scan(step, start, xs)[0]


def in_python(w, start, xs):
    c = start
    for x in xs:
        c = ng.numpy.tanh(w[0] * c + w[1] * x) + w[2] * c
    return c


def iterated(w, start, xs):
    step = lambda s: (
        ng.numpy.tanh(w[0] * s[0] + w[1] * ng.as_tensor(xs)[s[1]]) + w[2] * s[0],
        s[1] + 1,
    )
    return ng.while_loop(lambda s: s[1] < len(xs), step, (start, 0))[0]


def complex_step(f, *args):
    """Derivatives by each argument of a function that NumPy computes."""
    found = []
    for k, x in enumerate(args):
        x = np.asarray(x, float)
        row = np.empty(x.shape)
        for at in np.ndindex(x.shape):
            moved = x.astype(complex)
            moved[at] += 1e-30j
            row[at] = f(*args[:k], moved, *args[k + 1 :]).imag / 1e-30
        found.append(row)
    return found


def by_numpy(w, start, xs):
    c = start
    for x in xs:
        c = np.tanh(w[0] * c + w[1] * x) + w[2] * c
    return np.asarray(c)


@pytest.mark.parametrize("loop", [scanned, iterated])
@pytest.mark.parametrize("wrap", [lambda f: f, ng.jit])
def test_gradients_agree_with_the_complex_step(loop, wrap):
    found = wrap(ng.grad(loop, (0, 1, 2)))(W, 0.3, XS)
    for a, b in zip(found, complex_step(by_numpy, W, 0.3, XS), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("loop", [scanned, iterated])
def test_second_derivatives_are_those_of_the_loop_in_python(loop):
    expected = ng.hessian(in_python)(W, 0.3, XS)
    np.testing.assert_allclose(ng.hessian(loop)(W, 0.3, XS), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_dtypes_stay(dtype):
    w, xs = W.astype(dtype), XS.astype(dtype)
    found = ng.grad(scanned, (0, 2))(w, np.array(0.3, dtype), xs)
    assert [g.dtype for g in found] == [np.dtype(dtype)] * 2
    mixed = ng.grad(scanned)(W.astype("f4"), np.array(0.3), XS)
    assert mixed.dtype == np.float32


def test_what_has_no_part_in_the_result_has_a_gradient_of_zero():
    """Though the derivative of the run by it is infinite: the cotangent that comes is zero."""

    def f(x):
        step = lambda c, k: (ng.numpy.where(k > 2, 0.0 * c + 1.0, ng.numpy.sqrt(c)), None)
        return ng.scan(step, x, np.arange(5))[0]

    assert float(ng.grad(f)(0.0)) == 0.0
    assert float(ng.jit(ng.grad(f))(0.0)) == 0.0


def test_checkpoints_change_no_bit_and_batches_are_those_of_one():
    whole = ng.grad(scanned)(W, 0.3, XS)
    kept = lambda w: ng.scan(
        lambda c, x: (ng.numpy.tanh(w[0] * c + w[1] * x) + w[2] * c, None), 0.3, XS, checkpoint=7
    )[0]
    assert np.array_equal(ng.grad(kept)(W), whole)
    many = ng.vmap(ng.grad(scanned), in_axes=(0, None, None))(np.stack([W, 2 * W]), 0.3, XS)
    np.testing.assert_allclose(many[0], whole, rtol=1e-12)
    np.testing.assert_allclose(many[1], ng.grad(scanned)(2 * W, 0.3, XS), rtol=1e-12)
