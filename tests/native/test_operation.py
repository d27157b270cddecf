"""A function compiled by Numba as an operation: every transform gives what it gives of the same in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import nbgrad as ng


@ng.njit
def branching(x: Any, y: Any) -> Any:
    s = 0.0
    for i in range(x.shape[0]):
        t = x[i] * y * x[i] + math.sin(x[i])
        if t > 0.5:
            s += t
        else:
            s -= t * 2
    return s


def traced(x: Any, y: Any) -> Any:
    t = x * y * x + ng.sin(x)
    return ng.where(t > 0.5, t, -t * 2).sum()


X = np.linspace(0.1, 2, 5)


def looped(f: Any) -> Any:
    def step(c: Any, _: Any) -> Any:
        return c + 0.1 * f(X * c, 0.3), None

    return ng.grad(lambda c: ng.scan(step, c, None, length=20)[0])(0.1)


CASES: dict[str, Callable[[Any], Any]] = {
    "gradients": lambda f: ng.grad(f, argnums=(0, 1))(X, 0.3),
    "jvp": lambda f: ng.jvp(lambda x: f(x, 0.3), (X,), (np.cos(X),)),
    "hessian": lambda f: ng.hessian(lambda x: f(x, 0.3))(X),
    "mixed": lambda f: ng.grad(lambda y: (ng.grad(f)(X, y) ** 2).sum())(0.3),
    "third": lambda f: ng.grad(lambda x: (ng.hessian(lambda x: f(x, 0.3))(x) ** 2).sum())(X),
    "jit": lambda f: ng.jit(ng.value_and_grad(f))(X, 0.3),
    "vmap": lambda f: ng.vmap(ng.grad(f), in_axes=(0, None))(np.outer(np.arange(12.0), X), 0.3),
    "scan": looped,
}


@pytest.mark.parametrize("name", CASES)
def test_every_transform(name: str) -> None:
    found, expected = CASES[name](branching), CASES[name](traced)
    for a, b in zip(ng.tree.leaves(found), ng.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12)


def test_outside_of_tracking_it_is_numbas() -> None:
    assert branching(X, 0.3) == branching.dispatcher(X, 0.3)


def test_code_of_numbas_calls_it() -> None:
    twice = numba.njit(lambda x: 2 * branching(x, 0.3))
    assert twice(X) == 2 * branching(X, 0.3)


@ng.njit
def several(x: Any, n: int, p: Any) -> Any:
    a, b = p
    y = np.zeros((n, 2))
    for i in range(n):
        y[i, 0] = x[i] ** 2 * a
        y[i, 1] = max(y[i, 0], b) / (1 + abs(x[i]))
    return y, y[0, 0], n * 2


def test_arrays_tuples_and_integers() -> None:
    def loss(x: Any, a: Any) -> Any:
        y, first, number = several(x, 3, (a, 0.7))
        return (y**2).sum() * first + number

    def same(x: Any, a: Any) -> Any:
        z = x[:3] ** 2 * a
        y = ng.stack([z, ng.maximum(z, 0.7) / (1 + abs(x[:3]))], 1)
        return (y**2).sum() * z[0] + 6

    for found in (ng.grad(loss, argnums=(0, 1)), ng.jit(ng.grad(loss, argnums=(0, 1)))):
        for a, b in zip(found(X, 0.5), ng.grad(same, argnums=(0, 1))(X, 0.5), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12)


@ng.njit
def choosy(x: Any) -> Any:
    if x[0] > 1:
        raise ValueError("too large")
    return x[0] * 2


@pytest.mark.parametrize(
    "f", [ng.grad(choosy), ng.jit(ng.grad(choosy)), choosy], ids=["grad", "jit", "eager"]
)
def test_what_the_function_raises_is_raised(f: Any) -> None:
    f(ng.tensor(X))
    with pytest.raises(ValueError, match="too large"):
        np.asarray(f(ng.tensor(X + 2)))


@ng.njit
def refuses(x: Any) -> Any:
    if x[0] > 1:
        raise KeyError("another")
    total = 0.0
    for k in range(x.size):
        total += x[k] * x[k]
    return total


@ng.njit
def said(x: Any) -> Any:
    if x[0] > 1:
        raise ValueError("with", x.size)
    return x[0] * x[0]


def in_a_loop(x: Any) -> Any:
    return ng.scan(lambda c, _: (c * (1 + 1e-3 * refuses(c)), None), x, None, length=2)[0].sum()


@pytest.mark.parametrize(
    ("f", "kind", "words"),
    [(refuses, KeyError, "another"), (said, ValueError, "with"), (in_a_loop, KeyError, "another")],
    ids=["its own", "with values", "in a loop"],
)
def test_a_compiled_program_raises_what_its_function_does(f: Any, kind: Any, words: str) -> None:
    """Not what another function raised before, nor that something was."""
    g = ng.jit(ng.grad(f))
    g(X)
    with pytest.raises(ValueError, match="too large"):
        ng.grad(choosy)(X + 2)
    with pytest.raises(kind, match=words):
        g(X + 2)
    into = np.zeros(X.shape)
    with pytest.raises(kind, match=words):
        g.into(X + 2, out=into)


@ng.njit
def parted(a: Any, k: int) -> Any:
    return a[k:], k, a[0]


def test_a_constant_cotangent_is_a_float() -> None:
    def loss(a: Any) -> Any:
        rest, _, first = parted(a, 2)
        return rest.sum() + 3 * first

    np.testing.assert_array_equal(np.asarray(ng.grad(loss)(X)), [3, 0, 1, 1, 1])


@ng.njit
def squares(*xs: Any) -> Any:
    total = 0.0
    for x in xs:
        total += x * x
    return total


def test_any_number_of_arguments_some_of_them_constant() -> None:
    assert ng.hessian(squares)(0.5, 0.2).item() == 2.0


@ng.njit
def writing(x: Any) -> Any:
    x[0] = 1.0
    return x.sum()


def adding(x: Any) -> Any:
    x += 1.0
    return x.sum()


@ng.njit
def of_a_set(x: Any) -> Any:
    found = set()
    for v in x:
        found.add(v)
    total = 0.0
    for v in found:
        total += v
    return total


@ng.njit
def writing_unseen(x: Any, way: int) -> Any:
    if way == 0:
        x.flat[0] = 1.0
    elif way == 1:
        np.fill_diagonal(x, 1.0)
    elif way == 2:
        np.dot(x, x, x)
    elif way == 3:
        for v in np.nditer(x):
            v[()] = 1.0
    return x.sum()


def test_a_write_that_types_do_not_see_is_refused_and_does_no_harm() -> None:
    x = ng.tensor(np.arange(4.0).reshape(2, 2))
    for way in range(4):
        with pytest.raises(TypeError, match="writes into an argument"):
            np.asarray(writing_unseen(x, way))
    assert np.asarray(writing_unseen(x, 4)) == 6.0
    np.testing.assert_array_equal(x, np.arange(4.0).reshape(2, 2))


@ng.njit
def contiguous(x: Any) -> Any:
    a = x * x
    np.ascontiguousarray(a)[0] = 1.0
    return a.sum()


def test_what_is_contiguous_is_not_copied() -> None:
    np.testing.assert_array_equal(ng.grad(contiguous)(X), [0.0, *2 * X[1:]])


def test_refusals_say_why_and_where() -> None:
    with pytest.raises(TypeError, match=r"of_a_set cannot be differentiated .* Numba fails"):
        ng.grad(of_a_set)(X)
    with pytest.raises(TypeError, match=r"writes into an argument.*test_operation.py, line \d+"):
        ng.grad(writing)(X)
    with pytest.raises(TypeError, match=r"at x \+= 1 where x is an argument"):
        ng.grad(ng.njit(adding))(X)
    with pytest.raises(TypeError, match="cannot stand beside tensors"):
        branching(ng.tensor(X), [0.3])
    with pytest.raises(TypeError, match="type list cannot stand beside tensors"):
        ng.grad(branching, 1)(X, [0.3])


@ng.njit
def twice(f: Any, x: Any) -> Any:
    return f(f(x))


def test_functions_as_arguments_and_the_second_derivative_of_gamma() -> None:
    """Warnings are errors here: Numba warns of tuples that begin with a function."""
    gamma = ng.njit(lambda x: math.gamma(x + 1.0))
    found = ng.grad(ng.grad(lambda x: twice(gamma, x)))(2.5)
    h, slope = 1e-4, ng.grad(lambda x: ng.special.gamma(1 + ng.special.gamma(1 + x)))
    np.testing.assert_allclose(found, (slope(2.5 + h) - slope(2.5 - h)) / (2 * h), rtol=1e-6)


KIND = np.dtype([("rate", np.float64), ("count", np.int8), ("weights", np.float32, (2, 2))])


@ng.njit
def of_records(x: Any, table: Any, one: Any, write: bool) -> Any:
    total = one["rate"] * x**2
    for row in table:
        for _ in range(row["count"]):
            total += row["rate"] * x * row["weights"][1, 0]
    if write:
        one["rate"] = 3.0
    return total


def test_records_are_settings_that_are_not_written() -> None:
    table = np.zeros(3, KIND)[::2]
    table["rate"], table["count"], table["weights"] = [0.5, 2.0], [3, 2], np.eye(2)[::-1]
    one = np.array((1.5, 0, np.zeros((2, 2))), KIND)[()]
    derive = ng.grad(lambda x: of_records(x, table, one, False))
    for f in (derive, ng.jit(derive)):
        assert f(0.5).item() == 2 * 1.5 * 0.5 + 0.5 * 3 + 2.0 * 2
    assert ng.grad(derive)(0.5).item() == 3.0
    with pytest.raises(TypeError, match="writes into an argument"):
        np.asarray(of_records(ng.tensor(0.5), table, one, True))
    assert one["rate"] == 1.5


def test_a_rule_of_the_users_own() -> None:
    cube = ng.njit(lambda x: x * x * x)
    cube.defvjp(lambda ct, y, x: (3 * x * x * ct,))
    assert np.asarray(ng.grad(ng.grad(cube))(2.0)) == 12.0
    assert np.asarray(ng.jit(ng.grad(cube))(2.0)) == 12.0
    assert "rule that it was given" in cube.explain(2.0)


@ng.njit
def endless(x: Any, n: int) -> Any:
    return x if n < 0 else endless(x + 1.0, n + 1) * x


@pytest.mark.parametrize(
    "f",
    [lambda x: endless(x, 3).item(), ng.grad(lambda x: endless(x, 3))],
    ids=["value", "grad"],
)
def test_endless_recursion_is_an_error(f: Any) -> None:
    with pytest.raises(RecursionError):
        np.asarray(f(ng.tensor(0.5)))


@ng.njit
def lengthy(x: Any, n: int) -> Any:
    s = x
    while n > 0:
        s = math.sin(s) * x
        n -= 1
        if n < -5:
            return endless(s, -1)
    return s


def test_a_tape_has_a_budget() -> None:
    with ng.configure(tape_bytes=1 << 20), pytest.raises(MemoryError, match="tape_bytes"):
        np.asarray(ng.grad(lengthy)(0.5, 1_000_000))
    assert (
        abs(np.asarray(ng.grad(lengthy)(0.5, 1)) - (math.sin(0.5) + 0.5 * math.cos(0.5))) < 1e-15
    )


def test_a_ufunc_takes_an_array_and_a_number_that_are_active() -> None:
    """Numba made a loop of its own of such a call, and failed at it."""
    space: dict[str, Any] = {"np": np}
    exec("def f(x, b): return np.maximum(b, x).sum() * x", space)  # without a source: by numbers
    b, f = np.array([0.0, 0.5, 2.0]), ng.njit(numba.njit(space["f"]))
    found = ng.grad(f, argnums=(0, 1))(0.75, b)
    assert found[0] == 2 * 0.75 + 3.5
    np.testing.assert_array_equal(found[1], [0.0, 0.0, 0.75])
