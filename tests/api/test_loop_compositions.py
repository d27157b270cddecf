"""Loops and branches under compositions of transforms, with data of every kind, in every place."""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

X = np.array([[0.3, 0.7, 0.9], [0.8, 0.2, 0.4], [0.6, 1.1, 0.5]])
Pair = namedtuple("Pair", "a b")


@dataclasses.dataclass
class State:
    a: Any
    b: Any


def scanned(x: Any) -> Any:
    return ng.scan(lambda c, r: (ng.sin(c) * r + c, c * r), x[0], x)[0]


def scanned_plainly(x: Any) -> Any:
    c = x[0]
    for r in x:
        c = np.sin(c) * r + c
    return c


def repeated(x: Any) -> Any:
    return ng.while_loop(lambda c: c < 5.0, lambda c: c * (1 + x[1] ** 2) + 0.1, x[0] ** 2)


def repeated_plainly(x: Any) -> Any:
    c = x[0] ** 2
    while c < 5.0:
        c = c * (1 + x[1] ** 2) + 0.1
    return c


def branching(x: Any) -> Any:
    return ng.cond(x[0] > 0.5, lambda: (x**3).sum(), lambda: x[1] * x[0])


def branching_plainly(x: Any) -> Any:
    return (x**3).sum() if x[0] > 0.5 else x[1] * x[0]


PAIRS = {
    "scan": (scanned, scanned_plainly),
    "while_loop": (repeated, repeated_plainly),
    "cond": (branching, branching_plainly),
}
every_pair = pytest.mark.parametrize("name", PAIRS)


def differences(f: Callable[[Any], Any], x: Any, step: float = 1e-5) -> Any:
    return np.array([(f(x + step * d) - f(x - step * d)) / (2 * step) for d in np.eye(len(x))])


@every_pair
def test_vmap_grad_and_jit_in_any_order(name: str) -> None:
    f, plain = PAIRS[name]
    values, slopes = [plain(x) for x in X], [differences(plain, x) for x in X]
    assert_allclose(ng.vmap(f)(X), values, rtol=1e-12)
    assert_allclose(ng.jit(ng.vmap(f))(X), values, rtol=1e-12)
    for gradient in (
        ng.vmap(ng.grad(f)),
        ng.jit(ng.vmap(ng.grad(f))),
        ng.vmap(ng.jit(ng.grad(f))),
        ng.grad(lambda xs: ng.vmap(f)(xs).sum()),
    ):
        assert_allclose(gradient(X), slopes, rtol=1e-6, atol=1e-8)
    jacobian = ng.autograd.functional.jacobian
    for strategy in ("forward-mode", "reverse-mode"):
        found = jacobian(f, ng.tensor(X[1]), strategy=strategy).numpy()
        assert_allclose(found, slopes[1], rtol=1e-6, atol=1e-8)


@every_pair
def test_hessians_and_third_derivatives(name: str) -> None:
    f, plain = PAIRS[name]
    x, step = X[2], 1e-3
    up, down = ([differences(plain, x + s * d, step) for d in np.eye(3)] for s in (step, -step))
    hessian = ng.hessian(f)(x)
    assert_allclose(hessian, (np.array(up) - down) / (2 * step), rtol=2e-3, atol=2e-3)
    assert_allclose(ng.vmap(ng.hessian(f))(X)[2], hessian, rtol=1e-9, atol=1e-10)
    along = lambda s: f(ng.stack([s, s * 0.5 + 0.3, s * 0.1]))
    twice = ng.grad(ng.grad(along))
    rate = (twice(1.1 + 1e-5) - twice(1.1 - 1e-5)) / 2e-5
    assert_allclose(ng.grad(twice)(1.1), rate, rtol=1e-6, atol=1e-7)


def test_writing_to_the_carry() -> None:
    def step(c: Any, r: Any) -> Any:
        c += r
        c[0] = c[1] * r[0]
        c *= 2
        return c, c

    def plain(rows: Any) -> Any:
        c = np.ones(3)
        for r in rows:
            c = c + r
            c = np.array([c[1] * r[0], c[1], c[2]]) * 2
        return c.sum()

    start = np.ones(3)
    f = lambda rows: ng.scan(step, start, rows)[0].sum()
    assert_allclose(f(X).item(), plain(X))
    slopes = differences(lambda flat: plain(flat.reshape(3, 3)), X.reshape(-1))
    assert_allclose(ng.grad(f)(X).reshape(-1), slopes, rtol=1e-6)
    assert (start == 1).all()


@pytest.mark.parametrize("loop", ["scan", "while_loop"])
def test_complex_carries(loop: str) -> None:
    z = X[0] + 1j * X[1]

    def f(z: Any) -> Any:
        if loop == "scan":
            return abs(ng.scan(lambda c, r: (c * r + ng.exp(c), None), 1j, z)[0])
        return abs(ng.while_loop(lambda c: abs(c) < 9, lambda c: c * (1.5 + z[0]) + z[1], z[2]))

    def plain(z: Any) -> Any:
        c = 1j if loop == "scan" else z[2]
        if loop == "scan":
            for r in z:
                c = c * r + np.exp(c)
        while loop != "scan" and abs(c) < 9:
            c = c * (1.5 + z[0]) + z[1]
        return abs(c)

    both = [differences(lambda s: plain(z + k * s), np.zeros(3)) for k in (1, 1j)]  # noqa: B023
    assert_allclose(ng.grad(f)(z), both[0] + 1j * both[1], rtol=1e-6)


def test_dtypes_are_kept_by_derivatives() -> None:
    x = X.astype(np.float32)
    one = np.float32(1)
    f = lambda x: ng.scan(lambda c, r: (c * r[0], c), one, x)[0]
    assert ng.grad(f)(x).dtype == np.float32
    g = lambda x: ng.while_loop(lambda c: c < 5, lambda c: c * x + one, one)
    assert ng.grad(g)(np.float32(1.1)).dtype == np.float32
    c, y = ng.scan(lambda c, r: (c | (r > 0.9), c), False, X[:, 2])
    assert c.dtype == bool and y.dtype == bool
    assert ng.while_loop(lambda c: c < 1000, lambda c: c * 3 + 1, 7).item() == 1822


def test_graphs_of_tensors() -> None:
    w = ng.tensor([0.5, 0.6], requires_grad=True)
    f = lambda w: ng.scan(lambda c, r: (c * w[0] + r * w[1], c), 1.0, X[:, 0])
    y = f(w)[1]
    seen: list[Any] = []
    y.register_hook(lambda g: seen.append(g.shape))
    y.sum().backward(retain_graph=True)
    first = w.grad.numpy().copy()
    y.sum().backward()
    assert_allclose(w.grad.numpy(), 2 * first)
    assert seen == [(3,), (3,)]
    (g,) = ng.autograd.grad(f(w)[0], [w], create_graph=True)
    w.grad = None
    (g**2).sum().backward()
    square = lambda w: (ng.grad(lambda w: f(w)[0])(w) ** 2).sum()
    assert_allclose(w.grad.numpy(), differences(square, np.array([0.5, 0.6])), rtol=1e-6)
    with ng.detect_anomaly():
        f(w)[0].backward()
        ng.while_loop(lambda c: c < 3, lambda c: c + w[0], w[1]).backward()
    ng.checkpoint(lambda w: f(w)[0], w).backward()


def test_empty_arrays_and_empty_carries() -> None:
    c, y = ng.scan(lambda c, r: (c * 2, c), np.zeros((0, 3)), np.zeros((4, 0)))
    assert c.shape == (0, 3) and y.shape == (4, 0, 3)
    f = lambda x: ng.scan(lambda c, r: (c * 2 + r.sum(), c), 1.0, x)[0]
    assert ng.grad(f)(np.zeros((4, 0))).shape == (4, 0)
    assert ng.map(lambda r: r * 2, np.zeros((0, 2))).shape == (0, 2)
    assert ng.scan(lambda c, r: ((), r), (), X)[1].shape == X.shape


def test_what_is_not_taken_adds_no_nan() -> None:
    f = lambda x: ng.cond(x > 0, lambda: ng.sqrt(x) / x, lambda: x * 2)
    in_loop = lambda x: ng.scan(lambda c, _: (c * f(x), None), 1.0, length=1)[0]
    pair = np.array([0.0, 1.0])
    assert ng.grad(f)(0.0) == ng.jit(ng.grad(f))(0.0) == ng.jit(ng.grad(in_loop))(0.0) == 2.0
    assert ng.vmap(ng.grad(f))(pair)[0] == ng.jit(ng.vmap(ng.grad(f)))(pair)[0] == 2.0
    assert ng.vmap(ng.grad(ng.grad(f)))(pair)[0] == 0.0


def test_nested_data_of_every_kind() -> None:
    found, _ = ng.scan(lambda c, _: (Pair(c.b, c.a * 1.0), None), Pair(1.0, 2.0), length=3)
    assert isinstance(found, Pair) and found.a.item() == 2.0
    found, _ = ng.scan(lambda c, _: (State(c.b, c.a * 1.0), None), State(1.0, 2.0), length=3)
    assert isinstance(found, State)
    found, _ = ng.scan(
        lambda c, _: ({"n": None, "a": c["a"] + 1}, None), {"n": None, "a": 1.0}, length=3
    )
    assert found["n"] is None and found["a"].item() == 4.0
    f = lambda p: ng.scan(lambda c, r: (c * p["w"] + r @ p["v"], None), 0.0, X)[0]
    g = ng.grad(f)({"w": 0.5, "v": np.ones(3)})
    assert_allclose(g["v"], X[0] / 4 + X[1] / 2 + X[2])


def test_transforms_in_bodies() -> None:
    x = X[0]
    inner = ng.jit(lambda c, r: (c * r, c))
    assert_allclose(ng.grad(lambda x: ng.scan(inner, 1.0, x)[0])(x), np.prod(x) / x)
    cubes = lambda x: ng.scan(lambda c, r: (c * ng.grad(lambda r: r**3)(r), None), 1.0, x)[0]
    assert_allclose(ng.grad(cubes)(x), 54 * np.prod(x) ** 2 / x)
    assert_allclose(ng.jit(cubes)(x), 27 * np.prod(x) ** 2)
    squares = lambda x: ng.scan(lambda c, r: (c + ng.vmap(lambda v: v * r)(x).sum(), None), 0.0, x)
    assert_allclose(ng.grad(lambda x: squares(x)[0])(x), 2 * x.sum() * np.ones(3))


def test_each_of_a_batch_has_its_own_number_of_runs_and_branch() -> None:
    f = lambda x: ng.while_loop(
        lambda c: c[0] < x * 10, lambda c: (c[0] * 1.5 + x, c[1] + 1), (x, 0), max_steps=4
    )

    def plain(x: float) -> tuple[float, int]:
        c, n = x, 0
        while n < 4 and c < x * 10:
            c, n = c * 1.5 + x, n + 1
        return c, n

    given = np.array([0.1, 1.0, 50.0, -1.0])
    values, counts = ng.vmap(f)(given)
    assert_allclose(values, [plain(x)[0] for x in given])
    assert_allclose(counts, [plain(x)[1] for x in given])
    fs = [lambda v: v * 2, lambda v: ng.sin(v), lambda v: v * v * v]
    g = lambda k, v: ng.switch(k, fs, v)
    k, v = np.array([0, 2, 1, 5]), np.array([0.1, 0.2, 0.3, 0.4])
    assert_allclose(ng.vmap(g)(k, v), [0.2, 0.008, np.sin(0.3), 0.064])
    assert_allclose(ng.vmap(ng.grad(g, 1))(k, v), [2, 0.12, np.cos(0.3), 0.48])
    assert_allclose(ng.vmap(g, in_axes=(None, 0))(1, v), np.sin(v))
    assert_allclose(ng.vmap(g, in_axes=(0, None))(k, 0.3), [0.6, 0.027, np.sin(0.3), 0.027])


def test_bounds_that_are_not_known_are_a_while_loop() -> None:
    f = lambda n, x: ng.fori_loop(n - n, n, lambda i, c: c * x + i, 1.0)
    compiled = ng.jit(f)
    for n in (0, 1, 4):
        plain = lambda x: f(n, x).item()  # noqa: B023
        assert_allclose(compiled(np.int64(n), 1.3), plain(1.3), rtol=1e-13)
        slope = (plain(1.3 + 1e-6) - plain(1.3 - 1e-6)) / 2e-6
        assert_allclose(ng.jit(ng.grad(f, 1))(np.int64(n), 1.3), slope, rtol=1e-6, atol=1e-8)
    with pytest.raises(TypeError, match=r"fori_loop: value.* goes in as"):
        ng.jit(lambda n: ng.fori_loop(0, n, lambda i, c: c[:1], np.ones(3)))(np.int64(2))


GENERATOR = np.random.default_rng(0)


def test_random_draws_in_a_body_are_refused() -> None:
    local = np.random.default_rng(1)
    draws = [
        lambda c, x: (c + np.random.rand(), None),  # noqa: NPY002
        lambda c, x: (c + GENERATOR.normal(), None),
        lambda c, x: (c + local.uniform(), None),
        lambda c, x: (c + ng.rand(1)[0], None),
    ]
    for f in draws:
        with pytest.raises(TypeError, match="random draw"):
            ng.scan(f, 0.0, X)
    with pytest.raises(TypeError, match="random draw"):
        ng.fori_loop(0, 3, lambda i, c: c + local.normal(), 0.0)
    noise = np.random.default_rng(0).normal(size=3)
    assert ng.scan(lambda c, x: (c + x, None), 0.0, noise)[0].dtype == float


@pytest.mark.parametrize("steps", [0, 3])
def test_a_carry_that_the_body_forgets_moves_with_its_beginning(steps: int) -> None:
    """Where the body never runs, the result is what it began with."""

    def by_while(x: Any) -> Any:
        _, y = ng.while_loop(lambda s: s[0] < steps, lambda s: (s[0] + 1, s[1] * 0 + 2.0), (0, x))
        return y

    def by_scan(x: Any) -> Any:
        return ng.scan(lambda c, _: (c * 0 + 2.0, None), x, None, length=steps)[0]

    def forgotten(x: Any) -> Any:
        one = ng.ones(2)
        return ng.while_loop(lambda s: s[0] < steps, lambda s: (s[0] + 1, one), (0, x))[1]

    x = np.array([0.3, -0.7])
    expected = np.eye(2) * (steps == 0)
    for f in (by_while, by_scan, forgotten):
        for jacobian in (ng.jacfwd, ng.jacrev):
            assert_allclose(jacobian(f)(x), expected)
        hessian = ng.hessian(lambda x, f=f: (f(x) ** 2 * x).sum())(x)
        assert_allclose(hessian, np.diag(6 * x) if steps == 0 else np.zeros((2, 2)), atol=1e-12)


def test_jacobians_of_loops_of_products_can_be_differentiated() -> None:
    """The seeds of a Jacobian are unit arrays before a loop, and not after its first step."""
    m, x = np.array([[0.3, 0.5], [-0.2, 0.7]]), np.array([0.4, -0.7])
    step = lambda c: (m @ c) * c
    loops: list[Any] = [
        lambda x: ng.scan(lambda c, _: (step(c), None), x * 1.0, length=3)[0],
        lambda x: ng.fori_loop(0, 3, lambda _, c: step(c), x * 1.0),
        lambda x: ng.while_loop(
            lambda s: s[1] < 3, lambda s: (step(s[0]), s[1] + 1), (x * 1.0, 0)
        )[0],
        lambda x: ng.cond(x[0] > 0, lambda c: step(step(step(c))), lambda c: c, x * 1.0),
    ]
    plain = lambda x: step(step(step(x)))
    with ng.configure(tier="reference"):
        for derivative in (ng.jacfwd, ng.jacrev):
            ofs = lambda f: lambda y: (ng.as_tensor(derivative(f)(y)) * X[:2, :2]).sum()  # noqa: B023
            wanted = derivative(plain)(x), ng.grad(ofs(plain))(x), ng.hessian(ofs(plain))(x)
            for f in loops:
                found = derivative(f)(x), ng.grad(ofs(f))(x), ng.hessian(ofs(f))(x)
                for a, b in zip(found, wanted, strict=True):
                    assert_allclose(a, b, rtol=1e-12, atol=1e-14)
