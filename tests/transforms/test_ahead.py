"""Loops whose runs end with what the next one begins with: computed once, in every mode the same."""

from __future__ import annotations

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.ops.control.scan import scan as operation

RNG = np.random.default_rng(0)
P, V, M = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2)) / 10, RNG.uniform(0.5, 1.0, 5)
A = RNG.normal(size=(40, 40)) / 20
X = RNG.normal(size=40)
H = 0.1


def pull(p, m):
    d = p[None, :, :] - p[:, None, :]
    w = m[None, :] / ((d * d).sum(axis=2) + 0.1) ** 1.5
    return (d * w[:, :, None]).sum(axis=1)


def leapfrog(state, m):
    p, v = state
    v = v + H / 2 * pull(p, m)
    p = p + H * v
    return p, v + H / 2 * pull(p, m)


def leaping(p, v, m, **keeping):
    (p, v), last = ng.scan(lambda s, _: (leapfrog(s, m), s[0]), (p, v), length=6, **keeping)
    return (p * p).sum() + (v * v).sum() + (last**3).sum()


def in_python(p, v, m):
    total, state = 0.0, (p, v)
    for _ in range(6):
        total, state = total + (state[0] ** 3).sum(), leapfrog(state, m)
    return (state[0] ** 2).sum() + (state[1] ** 2).sum() + total


def loops(f, *args):
    eqns = ng.make_tape(f)(*args)._tape.eqns
    return [e.params for e in eqns if e.prim is operation]


def carried(f, *args):
    """How many values each loop of *f* carries."""
    return [params["rounds"].carry for params in loops(f, *args)]


def test_leapfrog_steps_carry_the_forces_on():
    assert carried(leaping, P, V, M) == [3]
    (params,) = loops(leaping, P, V, M)
    assert sum(e.prim.name == "divide" for e in params["body"].tape.eqns) == 1


def test_values_and_gradients_are_those_of_the_loop_in_python():
    assert np.allclose(leaping(P, V, M).numpy(), in_python(P, V, M), rtol=1e-13)
    expected = ng.grad(in_python, (0, 1, 2))(P, V, M)
    found = ng.grad(leaping, (0, 1, 2))(P, V, M)
    compiled = ng.jit(ng.grad(leaping, (0, 1, 2)))(P, V, M)
    for a, b, c in zip(expected, found, compiled, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11)
        np.testing.assert_allclose(c, a, rtol=1e-11)


def test_second_derivatives_tangents_and_batches():
    t = RNG.normal(size=P.shape)
    both = lambda f: ng.hvp(lambda p: f(p, V, M), (P,), (t,))
    np.testing.assert_allclose(both(leaping), both(in_python), rtol=1e-10)
    one = lambda f: ng.jvp(lambda p: f(p, V, M), (P,), (t,))[1]
    np.testing.assert_allclose(one(leaping), one(in_python), rtol=1e-11)
    ps = np.stack([P, 1.1 * P, P + t / 10])
    many = ng.vmap(ng.grad(leaping), in_axes=(0, None, None))(ps, V, M)
    for p, found in zip(ps, many, strict=True):
        np.testing.assert_allclose(found, ng.grad(leaping)(p, V, M), rtol=1e-11)


@pytest.mark.parametrize(
    "keeping", [{"checkpoint": 2}, {"checkpoint": "sqrt"}, {"max_bytes": 1300}]
)
def test_what_is_kept_changes_no_bit(keeping):
    whole = ng.grad(leaping)(P, V, M)
    assert np.array_equal(whole, ng.grad(lambda p: leaping(p, V, M, **keeping))(P))


def descent(x, length=5, reverse=False, rates=None):
    """A product that a run ends with, and the next begins with; the rate may be another each time."""

    def step(x, rate):
        x = x - (0.1 if rate is None else rate) * (A @ x)
        return x, (A @ x).sum()

    x, sums = ng.scan(step, x, rates, length=length, reverse=reverse)
    return (x * x).sum() + (sums * sums).sum()


def descent_in_python(x, rates):
    total = 0.0
    for rate in rates:
        x = x - rate * (A @ x)
        total = total + (A @ x).sum() ** 2
    return (x * x).sum() + total


@pytest.mark.parametrize("reverse", [False, True])
def test_products_are_carried_though_rows_differ(reverse):
    rates = np.linspace(0.1, 0.2, 5)
    f = lambda x: descent(x, None, reverse, rates)
    assert carried(f, X) == [2]
    expected = ng.grad(lambda x: descent_in_python(x, rates[::-1] if reverse else rates))(X)
    np.testing.assert_allclose(ng.grad(f)(X), expected, rtol=1e-12)


def test_what_reads_a_row_is_not_carried():
    xs = RNG.normal(size=(5, 40))

    def step(x, row):
        return x - 0.1 * (A @ (x * row)), (A @ (x * row)).sum()

    assert carried(lambda x: ng.scan(step, x, xs)[0], X) == [1]


def test_few_runs_and_cheap_values_stay_as_they_are():
    assert carried(lambda x: descent(x, length=3), X) == [1]
    cheap = lambda x: ng.scan(lambda x, _: (x * 0.5 + 1.0, x * 0.25), x, length=9)
    assert carried(cheap, X) == [1]
    assert float(descent(X, length=0)) == float((X * X).sum())


def test_parts_that_change_places_are_followed():
    """The product of one part is that of the other part in the next run."""

    def step(state, _):
        a, b = state
        return (b, a * 0.5 + b), (A @ a).sum() + (A @ b).sum()

    f = lambda a: ng.scan(step, (a, 2 * a), length=6)[1].sum()
    assert carried(f, X) == [3]

    def python(a):
        total, state = 0.0, (a, 2 * a)
        for _ in range(6):
            state, y = step(state, None)
            total = total + y
        return total

    np.testing.assert_allclose(f(X).numpy(), python(X), rtol=1e-12)
    np.testing.assert_allclose(ng.grad(f)(X), ng.grad(python)(X), rtol=1e-11)


def test_what_is_read_from_outside_keeps_its_gradient():
    w = ng.tensor(A, requires_grad=True)

    def step(x, _):
        x = x - 0.1 * (w @ x)
        return x, (w @ x).sum()

    x, ys = ng.scan(step, X, length=5)
    ((x * x).sum() + ys.sum()).backward()

    def python(w):
        x, total = X, 0.0
        for _ in range(5):
            x = x - 0.1 * (w @ x)
            total = total + (w @ x).sum()
        return (x * x).sum() + total

    np.testing.assert_allclose(w.grad.numpy(), ng.grad(python)(A), rtol=1e-11, atol=1e-13)


def test_a_loop_within_fori_loop_and_within_no_grad():
    f = lambda p: ng.fori_loop(0, 6, lambda i, s: leapfrog(s, M), (p, V))[0].sum()
    assert carried(f, P) == [3]
    with ng.no_grad():
        assert not ng.fori_loop(0, 6, lambda i, s: leapfrog(s, M), (P, V))[0].requires_grad
