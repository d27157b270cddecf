"""Loops and branches against plain Python, in every mode: one table.

Each case is a function of a namespace (nbgrad, or one with loops of Python) and arrays; derivatives are
compared with finite differences of the plain one, and with the complex step where it is analytic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.core.interpret import inline
from nbgrad.core.node import leaf_node
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.trace import trace
from nbgrad.transforms.vmap import vmap

Array = Any


# ------------------------------------------------------------------------- loops as Python has them


def stacked(ys: list[Any]) -> Any:
    if isinstance(ys[0], (tuple, list)):
        return type(ys[0])(stacked([y[k] for y in ys]) for k in range(len(ys[0])))
    if isinstance(ys[0], dict):
        return {k: stacked([y[k] for y in ys]) for k in ys[0]}
    return None if ys[0] is None else np.stack(ys)


def rows_of(xs: Any, k: int) -> Any:
    if isinstance(xs, (tuple, list)):
        return type(xs)(rows_of(x, k) for x in xs)
    if isinstance(xs, dict):
        return {key: rows_of(x, k) for key, x in xs.items()}
    return None if xs is None else xs[k]


def first_of(xs: Any) -> Any:
    if isinstance(xs, (tuple, list, dict)):
        return first_of(next(iter(xs.values() if isinstance(xs, dict) else xs)))
    return xs


def plain_scan(
    f: Any, init: Any, xs: Any = None, length: Any = None, reverse: bool = False, **options: Any
) -> Any:
    count = len(first_of(xs)) if length is None else length
    carry, ys = init, [None] * count
    for k in reversed(range(count)) if reverse else range(count):
        carry, ys[k] = f(carry, rows_of(xs, k))
    return carry, stacked(ys)


def plain_fori(lower: int, upper: int, body: Any, init: Any, **options: Any) -> Any:
    for i in range(lower, upper):
        init = body(i, init)
    return init


def plain_while(cond: Any, body: Any, init: Any, max_steps: int | None = None) -> Any:
    steps = 0
    while steps != max_steps and cond(init):
        init = body(init)
        steps += 1
    return init


def plain_associative(fn: Any, x: Any, reverse: bool = False) -> Any:
    rows = list(x[::-1] if reverse else x)
    for k in range(1, len(rows)):
        rows[k] = fn(rows[k - 1][None], rows[k][None])[0]
    return np.stack(rows[::-1] if reverse else rows)


PLAIN = SimpleNamespace(
    scan=plain_scan,
    fori_loop=plain_fori,
    while_loop=plain_while,
    cond=lambda pred, yes, no, *xs: yes(*xs) if pred else no(*xs),
    switch=lambda k, fs, *xs: fs[min(max(int(k), 0), len(fs) - 1)](*xs),
    map=lambda f, xs: np.stack([f(x) for x in xs]),
    associative_scan=plain_associative,
    as_tensor=np.asarray,
)

# ------------------------------------------------------------------------------------------- cases


@dataclass(frozen=True)
class Case:
    f: Callable[..., Any]
    args: tuple[Array, ...]
    analytic: bool = True


RNG = np.random.default_rng(7)
W, H0, XS = RNG.normal(size=(3, 3)) / 2, RNG.normal(size=3), RNG.normal(size=(5, 3))
SMALL = RNG.uniform(0.3, 0.9, 4)


def recurrence(n: Any, w: Array, h: Array, xs: Array) -> Any:
    def step(h: Array, x: Array) -> Any:
        new = np.tanh(w @ h + x)
        return new, new * x + h

    last, ys = n.scan(step, h, xs)
    return (last**2).sum() + (ys**3).sum()


def backwards(n: Any, w: Array, h: Array, xs: Array) -> Any:
    def step(h: Array, x: Array) -> Any:
        return w @ h * x, np.sin(h)

    last, ys = n.scan(step, h, xs, reverse=True)
    return last.sum() + (ys[0] * ys[1]).sum()


def nested_data(n: Any, w: Array, h: Array, xs: Array) -> Any:
    def step(c: Any, row: Any) -> Any:
        h, (total, count) = c["h"], c["sums"]
        new = np.tanh(w @ h + row["x"] * row["t"])
        return {"h": new, "sums": (total + (new * new).sum(), count + 1)}, (new * count, None)

    init = {"h": h, "sums": (0.0, 0)}
    c, (ys, _) = n.scan(step, init, {"x": xs, "t": np.arange(5) / 3})
    return c["sums"][0] * c["sums"][1] + (ys**2).sum() + c["h"][0]


def of_indices(n: Any, table: Array, scale: Array) -> Any:
    table = n.as_tensor(table)

    def body(i: Any, c: Array) -> Any:
        return c * scale[0] + np.sin(table[i]) * table[i % 2] + i

    return n.fori_loop(1, 4, body, 0.5)


def powers(n: Any, x: Array) -> Any:
    return n.fori_loop(0, 3, lambda i, c: c * x * (1 + 0.1 * i), np.ones(4)).sum()


def nested_loops(n: Any, x: Array, w: Array) -> Any:
    def inner(c: Array, k: Any) -> Any:
        return c * np.cos(c * x[0]) + k * x, c.sum()

    def outer(c: Array, row: Array) -> Any:
        last, sums = n.scan(inner, c * row[:4].sum(), np.arange(3.0))
        return last / 2, sums

    last, sums = n.scan(outer, x, w)
    return last.sum() + (sums**2).sum()


def unrolled(n: Any, w: Array, h: Array, xs: Array) -> Any:
    last, ys = n.scan(lambda c, x: (np.sin(c) * x + w @ c, c * x), h, xs, unroll=2)
    return last.sum() + (ys**2).sum()


def unused(n: Any, w: Array, h: Array, xs: Array) -> Any:
    """A carry that nothing reads, a result that nobody wants, one that is a constant."""

    def step(c: Any, x: Array) -> Any:
        a, b, k = c
        return (np.sin(a) + x, b * w[0] + a, k), (a * a, b * 3.0, 1.5, k)

    (a, _, _), ys = n.scan(step, (h, h * 2, w), xs)
    return (a**2).sum() + ys[0].sum() + ys[2].sum() * ys[3][0, 0, 0]


def broadcasts(n: Any, x: Array, xs: Array) -> Any:
    """Cotangents of constants that are spread before they are summed."""

    def step(c: Array, row: Array) -> Any:
        return c * 0.5 + x[1] * row + x[0].sum() + x[None, :2].sum(), None

    return (n.scan(step, np.zeros(3), xs)[0] ** 2).sum()


def no_runs(n: Any, w: Array, h: Array) -> Any:
    last = n.fori_loop(0, 0, lambda i, c: w @ c, h)
    return (last**2).sum()


def roots(n: Any, a: Array) -> Any:
    """Newton's method: the number of runs depends on the data."""
    x = n.while_loop(
        lambda x: np.abs(x * x - a).max() > 1e-14, lambda x: (x + a / x) / 2, np.ones(4)
    )
    return (x**3).sum()


def growth(n: Any, w: Array, h: Array) -> Any:
    """Constants of the condition and of the body, nested data, and reading by number."""
    h = n.as_tensor(h)

    def body(c: Any) -> Any:
        x, k = c["x"], c["k"]
        return {"x": x * 1.1 + np.tanh(w @ x) * h[k % 3], "k": k + 1, "sum": c["sum"] + x[0]}

    start = {"x": h * 1.0, "k": 0, "sum": 0.0}
    c = n.while_loop(lambda c: (c["k"] < 5) & ((c["x"] ** 2).sum() < 50 + w[0, 0]), body, start)
    return (c["x"] ** 2).sum() * c["sum"] + c["k"]


def bounded(n: Any, x: Array) -> Any:
    return n.while_loop(lambda c: c[0] < 1e9, lambda c: c * x + np.sin(c), x, max_steps=3).sum()


def never(n: Any, x: Array) -> Any:
    return (n.while_loop(lambda c: c[0] > 1e9, lambda c: c * x, x * 2) ** 2).sum()


def inner_while(n: Any, x: Array, w: Array) -> Any:
    def outer(c: Array, row: Array) -> Any:
        found = n.while_loop(lambda v: (v * v).sum() < 30.0, lambda v: v * 1.7 + row, c)
        return found / 4, found.sum()

    last, sums = n.scan(outer, x, w)
    return last.sum() + (sums**2).sum()


def branch(n: Any, x: Array, xs: Array) -> Any:
    """A branch in a loop: both are taken."""

    def step(c: Array, row: Array) -> Any:
        new = n.cond(
            row[0] > 0,
            lambda c, r: np.sin(c) * r + x[0],
            lambda c, r: c * c / (1 + c * c) - r * x[1],
            c,
            row,
        )
        return new, n.cond(c.sum() > 0, lambda: c * 2, lambda: c * x[2])

    last, ys = n.scan(step, np.ones(3) / 2, xs)
    return last.sum() + (ys**2).sum()


def choices(n: Any, x: Array, w: Array) -> Any:
    def step(c: Array, k: Any) -> Any:
        fs = [lambda v: v * x, lambda v: np.cos(v) + w[0], lambda v: (v**2).sum() * x]
        return n.switch(k - 1, fs, c), None

    return n.scan(step, x, np.array([0, 2, 5, 1, 3]))[0].sum()


def loop_in_branch(n: Any, x: Array) -> Any:
    return n.map(
        lambda v: n.cond(
            v > 0.6,
            lambda: n.fori_loop(0, 3, lambda i, c: c * v + np.sin(c), v),
            lambda: n.while_loop(lambda c: c < 2.0, lambda c: c * 1.5 + v, v),
        ),
        x,
    ).sum()


def mapped(n: Any, x: Array, w: Array) -> Any:
    return (n.map(lambda row: np.tanh(row * x).sum() * row, w) ** 2).sum()


def products(n: Any, w: Array) -> Any:
    both = n.associative_scan(lambda a, b: a @ b, w)
    return both.sum() + (n.associative_scan(lambda a, b: a * b, w, reverse=True) ** 2).sum()


CASES = {
    "roots": Case(roots, (SMALL,), False),
    "growth": Case(growth, (W, H0), False),
    "bounded": Case(bounded, (SMALL,), False),
    "never": Case(never, (SMALL,), False),
    "inner_while": Case(inner_while, (SMALL, RNG.uniform(0.5, 1.5, (3, 4))), False),
    "branch": Case(branch, (SMALL, XS), False),
    "choices": Case(choices, (SMALL, RNG.normal(size=(2, 4)))),
    "loop_in_branch": Case(loop_in_branch, (SMALL,), False),
    "mapped": Case(mapped, (SMALL, RNG.normal(size=(3, 4)))),
    "products": Case(products, (RNG.normal(size=(5, 2, 2)),)),
    "recurrence": Case(recurrence, (W, H0, XS)),
    "backwards": Case(backwards, (W, H0, XS)),
    "nested_data": Case(nested_data, (W, H0, XS)),
    "of_indices": Case(of_indices, (SMALL, SMALL[:2])),
    "powers": Case(powers, (SMALL,)),
    "nested_loops": Case(nested_loops, (SMALL, RNG.normal(size=(3, 4)))),
    "unrolled": Case(unrolled, (W, H0, XS)),
    "unused": Case(unused, (W, H0, XS)),
    "broadcasts": Case(broadcasts, (SMALL, XS)),
    "no_runs": Case(no_runs, (W, H0)),
}
every_case = pytest.mark.parametrize("name", CASES)


def given(name: str) -> tuple[Case, Callable[..., Any], list[Array], tuple[int, ...]]:
    case = CASES[name]
    directions = [np.random.default_rng(k).normal(size=a.shape) for k, a in enumerate(case.args)]
    return case, lambda *args: case.f(ng, *args), directions, tuple(range(len(case.args)))


def slope(case: Case, directions: list[Array]) -> float:
    """The derivative along *directions*."""
    at = lambda s: case.f(PLAIN, *(a + s * v for a, v in zip(case.args, directions, strict=True)))
    if case.analytic:
        return float(np.imag(at(1e-30j)) / 1e-30)
    return float(8 * (at(1e-4) - at(-1e-4)) - (at(2e-4) - at(-2e-4))) / 1.2e-3


def curve(case: Case, directions: list[Array]) -> float:
    """The second derivative along *directions*: a difference of first ones, where they are exact."""
    args = [np.asarray(a) for a in case.args]
    if case.analytic:
        near = [
            slope(
                Case(case.f, tuple(a + s * v for a, v in zip(args, directions, strict=True))),
                directions,
            )
            for s in (1e-5, -1e-5)
        ]
        return (near[0] - near[1]) / 2e-5
    at = lambda s: case.f(PLAIN, *(a + s * v for a, v in zip(args, directions, strict=True)))
    near, far = (at(s) + at(-s) - 2 * at(0.0) for s in (1e-3, 2e-3))
    return float((16 * near - far) / 12e-6)


def along(gradients: Any, directions: list[Array]) -> float:
    return float(
        sum((np.asarray(g) * v).sum() for g, v in zip(gradients, directions, strict=True))
    )


@every_case
def test_values_and_gradients(name: str) -> None:
    case, f, directions, argnums = given(name)
    expected, rate = case.f(PLAIN, *case.args), slope(case, directions)
    for tier in ("reference", "fused"):
        with ng.configure(tier=tier):
            assert_allclose(float(f(*case.args)), expected, rtol=1e-12)
            assert_allclose(
                along(ng.grad(f, argnums)(*case.args), directions), rate, rtol=1e-9, atol=1e-11
            )
    tensors = [ng.tensor(a, requires_grad=True) for a in case.args]
    loss = f(*tensors)
    assert_allclose(loss.item(), expected, rtol=1e-12)
    loss.backward()
    found = [0.0 if t.grad is None else t.grad.numpy() for t in tensors]
    assert_allclose(along(found, directions), rate, rtol=1e-9, atol=1e-11)


@every_case
def test_forward_mode_and_second_order(name: str) -> None:
    case, f, directions, _ = given(name)
    rate, bend = slope(case, directions), curve(case, directions)
    tensors, vs = tuple(map(ng.tensor, case.args)), tuple(map(ng.tensor, directions))
    with ng.configure(tier="reference"):
        value, found = ng.autograd.functional.jvp(f, tensors, vs)
        assert_allclose(value.item(), case.f(PLAIN, *case.args), rtol=1e-12)
        assert_allclose(found.item(), rate, rtol=1e-9, atol=1e-11)
        products = ng.autograd.functional.hvp(f, tensors, vs)[1]
        second = along([p.numpy() for p in products], directions)
        assert_allclose(second, bend, rtol=1e-5, atol=1e-7)
        last = len(case.args) - 1

        def gradient(x: Any) -> Any:
            args = (*case.args[:last], x)
            g = ng.grad(f, last)(*args)
            return (g * directions[last]).sum()

        twice = ng.grad(gradient)(case.args[last])
        only = [v * (k == last) for k, v in enumerate(directions)]
        assert_allclose((twice * directions[last]).sum(), curve(case, only), rtol=1e-5, atol=1e-7)


@every_case
def test_compiled(name: str) -> None:
    case, f, directions, argnums = given(name)
    both = ng.jit(ng.value_and_grad(f, argnums))
    for _ in range(2):
        value, gradients = both(*case.args)
        assert_allclose(value, case.f(PLAIN, *case.args), rtol=1e-12)
        assert_allclose(
            along(gradients, directions), slope(case, directions), rtol=1e-9, atol=1e-11
        )
    inside = ng.grad(lambda *xs: ng.jit(f)(*xs) * 2.0, argnums)(*case.args)
    assert_allclose(along(inside, directions), 2 * slope(case, directions), rtol=1e-9, atol=1e-11)


@every_case
def test_batches(name: str) -> None:
    """Each operand alone is a batch, then all are; values and gradients."""
    case, f, directions, argnums = given(name)
    count = len(case.args)
    nodes = [leaf_node(np.array(a)) for a in case.args]
    both = ng.value_and_grad(f, argnums)

    def flat(*xs: Any) -> Any:
        value, gradients = both(*map(Tensor, xs))
        return [value, *gradients]

    traced = trace(flat, [n.aval for n in nodes])
    patterns = [tuple(j == k for j in range(count)) for k in range(count)] + [(True,) * count]
    for mapped in dict.fromkeys(patterns):
        pairs = zip(case.args, directions, mapped, strict=True)
        stacks = [np.stack([a, a + 0.1 * v]) if m else a for a, v, m in pairs]
        flags = (*mapped, *(False for _ in traced.constants))
        tape, extra, outs = vmap(traced.tape, 2, flags)
        given_nodes = [*map(leaf_node, map(np.array, stacks)), *traced.constants, *extra]
        found = [Tensor(n).numpy() for n in inline(tape, given_nodes)]
        for k in range(2):
            args = [s[k] if m else s for s, m in zip(stacks, mapped, strict=True)]
            value, gradients = both(*args)
            for mine, its, is_stack in zip(found, (value, *gradients), outs, strict=True):
                assert_allclose(mine[k] if is_stack else mine, its, rtol=1e-11, atol=1e-12)


# ------------------------------------------------------------------------------- what bodies may do


def test_closures_over_tracked_tensors_and_leaves_of_the_carry() -> None:
    w = ng.tensor(W, requires_grad=True)
    b = ng.tensor(0.5, requires_grad=True)

    def step(h: Any, x: Any) -> Any:
        return ng.tanh(w @ h + x * b), None

    last, none = ng.scan(step, H0, XS)
    assert none is None
    last.sum().backward()
    plain = lambda w, b: plain_scan(lambda h, x: (np.tanh(w @ h + x * b), None), H0, XS)[0].sum()
    gw, gb = ng.grad(plain, (0, 1))(W, 0.5)
    assert_allclose(w.grad.numpy(), gw, rtol=1e-11)
    assert_allclose(b.grad.numpy(), gb, rtol=1e-11)


def test_no_grad_and_detach_hold_in_bodies() -> None:
    def quiet(c: Any, x: Any) -> Any:
        with ng.no_grad():
            scale = ng.exp(x)
        return c * x.detach() + scale * x, None

    g = ng.grad(lambda x: ng.scan(quiet, 1.0, x)[0])(SMALL)
    weights = np.append(np.cumprod(SMALL[::-1])[::-1][1:], 1.0)
    assert_allclose(g, np.exp(SMALL) * weights, rtol=1e-12)
    with ng.no_grad():
        t = ng.tensor(SMALL, requires_grad=True)
        assert not ng.scan(lambda c, x: (c + x, None), 0.0, t)[0].requires_grad


def test_numbers_take_the_dtype_that_python_gives_them() -> None:
    ones = np.ones(3, np.float32)
    assert ng.scan(lambda c, x: (c + x, c), 0.0, ones)[0].dtype == np.float32
    assert ng.scan(lambda c, x: (c + x, c), 0, ones)[1].dtype == np.float32
    assert ng.scan(lambda c, x: (c + 1, c), 0, length=3)[0].dtype == np.int64
    assert ng.scan(lambda c, x: (c * 0.5, c), 1, length=3)[0].dtype == np.float64
    assert ng.scan(lambda c, x: (c * 1j, c), 1, length=3)[0].dtype == np.complex128
    both = ng.fori_loop(0, 2, lambda i, c: (c[1], c[0] * 0.5), (1, 2))
    assert [t.dtype for t in both] == [np.float64] * 2 and both[0].item() == 0.5

    @ng.jit
    def f(start: float, xs: Any) -> Any:
        return ng.scan(lambda c, x: (c + x * start, None), start, xs)[0]

    assert f(0.5, ones).dtype == np.float32 and f(0.5, ones) == 2.0


def test_a_body_is_traced_once_and_is_one_equation() -> None:
    calls = []

    def step(c: Any, x: Any) -> Any:
        calls.append(1)
        return c + x * c, None

    f = lambda x: ng.scan(step, np.float64(0.0), x)[0]
    for n in (10, 100_000):
        calls.clear()
        tape = trace(lambda x: f(Tensor(x)), [leaf_node(np.ones(n)).aval]).tape
        assert len(calls) == 1 and len(tape) <= 2


def test_no_rows_and_one_row() -> None:
    last, ys = ng.scan(lambda c, x: (c * x, c + 1), H0, XS[:0])
    assert_array_equal(last.numpy(), H0)
    assert ys.shape == (0, 3)
    g = ng.grad(lambda h: ng.scan(lambda c, x: (c * x, c), h, XS[:1])[0].sum())(H0)
    assert_allclose(g, XS[0])
    assert ng.scan(lambda c, x: (c, None), {}, length=3) == ({}, None)


def test_many_elements_read_by_number_are_linear() -> None:
    """The sum of n cotangents of x[i] makes no n arrays of n."""
    n = 20_000
    x = np.linspace(0.0, 1.0, n)

    def f(t: Any) -> Any:
        return ng.fori_loop(0, n, lambda i, c: c + ng.sin(t[i]), 0.0)

    g = ng.grad(f)(x)
    assert_allclose(g, np.cos(x), rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "kind", "match"),
    [
        (lambda: ng.scan(lambda c, x: (c, x), 0.0), ValueError, "how many runs"),
        (lambda: ng.scan(lambda c, x: (c, x), 0.0, np.float64(3)), ValueError, "has no rows"),
        (
            lambda: ng.scan(lambda c, x: (c, x), 0.0, (XS, XS[:3])),
            ValueError,
            r"xs\[1\] has 3 rows and xs\[0\] has 5",
        ),
        (lambda: ng.scan(lambda c, x: (c, x), 0.0, XS, length=4), ValueError, "length is 4"),
        (lambda: ng.scan(lambda c, x: (c, x), 0.0, length=-1), ValueError, "negative"),
        (lambda: ng.scan(lambda c, x: c, 0.0, XS), TypeError, "must return a pair"),
        (lambda: ng.scan(lambda c, x: (c, x), 0.0, XS, unroll=-1), ValueError, "unroll=-1"),
        (
            lambda: ng.scan(lambda c, x: ({"a": c["a"] * 1.5}, x), {"a": np.arange(3)}, XS),
            TypeError,
            r"carry\['a'\] goes in as int64\[3\] and comes out as float64\[3\].*start with float64",
        ),
        (
            lambda: ng.scan(lambda c, x: (c + x, x), 0.0, XS),
            TypeError,
            r"comes out as float64\[3\].*start with an array of shape \(3,\)",
        ),
        (
            lambda: ng.scan(lambda c, x: ((c, c), x), 0.0, XS),
            TypeError,
            "nested as it goes in",
        ),
        (lambda: ng.scan(lambda c, x: (c, "text"), 0.0, XS), TypeError, r"the result\[1\]"),
        (lambda: ng.fori_loop(0, 2, lambda i, c: c[:1], H0), TypeError, "value goes in as"),
        (lambda: ng.fori_loop(0, 2.5, lambda i, c: c, H0), TypeError, "integer"),
        (
            lambda: ng.while_loop(lambda c: c > 0, lambda c: c, H0),
            TypeError,
            "one boolean, not bool",
        ),
        (
            lambda: ng.while_loop(lambda c: c, lambda c: c, 1.0),
            TypeError,
            "one boolean, not float64",
        ),
        (
            lambda: ng.while_loop(lambda c: c[0] > 0, lambda c: c[1:], H0),
            TypeError,
            r"value goes in as float64\[3\] and comes out as float64\[2\]",
        ),
        (
            lambda: ng.while_loop(lambda c: c > 0, lambda c: c, 1.0, max_steps=-1),
            ValueError,
            "max_steps=-1",
        ),
        (lambda: ng.cond(H0 > 0, lambda: 1.0, lambda: 2.0), TypeError, "must be one boolean"),
        (lambda: ng.switch(0.5, [lambda: 1.0]), TypeError, "one integer"),
        (lambda: ng.switch(0, []), ValueError, "no branches"),
        (
            lambda: ng.jit(lambda x: ng.cond(x > 0, lambda: x, lambda: H0))(1.0),
            TypeError,
            r"the first returns float64\[3\] for result, branch 1 float64\[\]",
        ),
        (
            lambda: ng.jit(lambda x: ng.cond(x > 0, lambda: x, lambda: (x, x)))(1.0),
            TypeError,
            "nested alike",
        ),
        (lambda: ng.map(lambda x: x, 1.0), ValueError, "map: xs has no rows"),
        (
            lambda: ng.associative_scan(lambda a, b: a, (XS, XS[:3])),
            ValueError,
            r"\[3, 5\] elements along axis 0",
        ),
        (lambda: ng.associative_scan(lambda a, b: a, XS, axis=2), ValueError, "no axis 2"),
        (lambda: ng.associative_scan(lambda a, b: a.sum(), XS), ValueError, "of the same shapes"),
    ],
)
def test_errors(f: Any, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        f()


def test_rules_that_a_loop_cannot_hold_are_refused() -> None:
    class Double(ng.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    with pytest.raises(RuntimeError, match="Function"):
        ng.scan(lambda c, x: (c + Double.apply(x).sum(), None), 0.0, XS)

    def hooked(c: Any, x: Any) -> Any:
        y = x * 2
        y.register_hook(lambda g: g * 5)
        return c + y.sum(), None

    with pytest.raises(RuntimeError, match="hook"):
        ng.scan(hooked, 0.0, XS)


@pytest.mark.parametrize("word", ["if", "while", "and"])
def test_a_python_branch_on_a_traced_value_shows_what_to_write(word: str) -> None:
    def branching(x: Any) -> Any:
        if x > 0.5:
            return x
        return -x

    def looping(x: Any) -> Any:
        while x < 3.0:
            x = x * 2
        return x

    f, text = {
        "if": (branching, r"`if x > 0.5:` is nbgrad.cond\(x > 0.5, if_true, if_false"),
        "while": (looping, r"`while x < 3.0:` is nbgrad.while_loop\(lambda value: x < 3.0, body"),
        "and": (lambda x: x and 1.0, "nbgrad.where.*nbgrad.cond.*nbgrad.while_loop"),
    }[word]
    for call in (
        lambda: ng.jit(f)(1.0),
        lambda: ng.scan(lambda c, x: (f(x), None), 0.0, SMALL),
        lambda: ng.jit(lambda x: ng.cond(x > 0, f, f, x))(1.0),
    ):
        with pytest.raises(TypeError, match=text) as error:
            call()
        assert f"test_loops.py:{f.__code__.co_firstlineno}" in str(error.value).replace(
            f":{f.__code__.co_firstlineno + 1}", f":{f.__code__.co_firstlineno}"
        )


def test_only_the_branch_that_is_taken_runs() -> None:
    """In eager code that is Python's; in an operation the other would fail, or take for ever."""
    calls = []
    ng.cond(ng.tensor(1.0) > 0, lambda: calls.append(1) or 1.0, lambda: calls.append(2) or 1.0)
    assert calls == [1]
    endless = lambda x: ng.while_loop(lambda v: v > -1.0, lambda v: v + 1.0, x)
    f = ng.jit(lambda x: ng.cond(x < 10.0, lambda x: x * 3, endless, x))
    assert f(2.0) == 6.0
    assert ng.grad(f)(2.0) == 3.0
    g = lambda x: ng.cond(x < 10.0, lambda x: x * 3, endless, x)
    tape = trace(lambda x: g(Tensor(x))._node, [leaf_node(np.array(2.0)).aval]).tape
    batched, extra, _ = vmap(tape, 3, (True,))
    x = leaf_node(np.array([1.0, 2.0, 3.0]))
    assert_array_equal(Tensor(inline(batched, [x, *extra])[0]).numpy(), [3.0, 6.0, 9.0])


def test_branches_join_dtypes_and_switch_clamps() -> None:
    f = ng.jit(lambda x: ng.cond(x[0] > 0, lambda: x, lambda: 1.0 + 0 * x.sum()) * 1)
    with pytest.raises(TypeError, match="same"):
        f(np.ones(3, np.float32))
    g = ng.jit(lambda x: ng.cond(x > 0, lambda: x, lambda: 0))
    assert g(np.float32(-2)) == 0 and g(np.float32(-2)).dtype == np.float32
    h = ng.jit(lambda k: ng.switch(k, [lambda: 1.0, lambda: 2.0, lambda: 3.0]))
    assert [h(np.int64(k)) for k in (-5, 0, 1, 2, 9)] == [1.0, 1.0, 2.0, 3.0, 3.0]
    assert ng.switch(-3, [lambda: 1.0, lambda: 2.0]).item() == 1.0


@pytest.mark.parametrize("n", range(8))
@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scans_of_every_length(n: int, reverse: bool) -> None:
    x = np.random.default_rng(n).normal(size=(2, n))
    found = ng.associative_scan(lambda a, b: a + b, x, reverse=reverse, axis=1).numpy()
    rows = x[:, ::-1] if reverse else x
    expected = np.cumsum(rows, 1)
    assert_allclose(found, expected[:, ::-1] if reverse else expected, atol=1e-14)
    pairs = {"a": np.abs(x) / 3, "b": x}  # x -> a x + b, one after another
    join = lambda p, q: {"a": q["a"] * p["a"], "b": q["a"] * p["b"] + q["b"]}
    if n:
        found = ng.associative_scan(join, pairs, axis=-1)["b"].numpy()
        value = np.zeros(2)
        for k in range(n):
            value = pairs["a"][:, k] * value + x[:, k]
            assert_allclose(found[:, k], value, rtol=1e-12)
