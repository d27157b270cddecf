"""``nbgrad.vmap`` against a loop over the rows: nesting, axes, other transforms, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.api import vmap as mapping

RNG = np.random.default_rng(3)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=(3,))
A = RNG.normal(size=(4, 3, 3)) + 3 * np.eye(3)


def f(x: Any) -> Any:
    return (np.sin(x) * x**2).sum() + np.prod(x)


def g(w: Any, x: Any) -> Any:
    return np.tanh(w * x).sum() ** 2 + (w[:-1] * x[1:]).sum()


def solved(a: Any) -> Any:
    return np.linalg.solve(a, np.ones(3) @ a) + np.linalg.inv(a)[0]


def rows(function: Callable[..., Any], *stacks: Any) -> Any:
    return np.stack([np.asarray(function(*each)) for each in zip(*stacks, strict=True)])


FUNCTIONS = {
    "value": f,
    "grad": ng.grad(f),
    "jacobian": ng.jacobian(lambda x: np.cumsum(x) * x[0]),
    "hessian": ng.hessian(f),
    "grad of grad": ng.grad(lambda x: (ng.grad(f)(x) ** 2).sum()),
    "grad of jit": ng.grad(ng.jit(f)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_map_is_a_loop(name: str) -> None:
    function = FUNCTIONS[name]
    expected = rows(function, X)
    for made in (ng.vmap(function), ng.jit(ng.vmap(function)), ng.vmap(ng.jit(function))):
        for _ in range(2):
            found = made(X)
            assert isinstance(found, np.ndarray)
            assert_allclose(found, expected, rtol=1e-12)
    twice = ng.vmap(ng.vmap(function))(np.stack([X, 2 * X]))
    assert_allclose(twice, [expected, rows(function, 2 * X)], rtol=1e-12)
    columns = ng.vmap(function, in_axes=1, out_axes=-1)(X.T.copy())
    assert_allclose(columns, np.moveaxis(expected, 0, -1), rtol=1e-12)


def test_per_sample_gradients_and_products_with_jacobians() -> None:
    expected = rows(lambda x: ng.grad(g)(W, x), X)
    assert_allclose(ng.vmap(ng.grad(g), in_axes=(None, 0))(W, X), expected)
    functional = ng.autograd.functional
    w, v = ng.tensor(W), ng.tensor(X[::-1].copy())
    for product in (functional.jvp, functional.vjp, functional.hvp):
        out = 1 if product is functional.vjp else 3

        def each(x: Any, d: Any, product: Any = product, out: int = out) -> Any:
            return product(lambda y: g(w, y), x, d.sum() if out == 1 else d)[1]

        found = ng.vmap(each)(ng.tensor(X), v)
        assert isinstance(found, ng.Tensor)
        for k in range(4):
            wanted = each(ng.tensor(X[k]), v[k])
            assert_allclose(found[k].numpy(), wanted.numpy(), rtol=1e-12)


def test_derivatives_through_a_map() -> None:
    """By what is mapped, and by what the function reads from outside, to second order."""

    def mapped(w: Any, x: Any) -> Any:
        return (ng.vmap(lambda r: g(w, r))(x) ** 2).sum()

    def looped(w: Any, x: Any) -> Any:
        return sum(g(w, x[k]) ** 2 for k in range(4))

    for number in (0, 1):
        assert_allclose(ng.grad(mapped, number)(W, X), ng.grad(looped, number)(W, X), rtol=1e-12)
        wanted = ng.hessian(looped, number)(W, X)
        assert_allclose(ng.hessian(mapped, number)(W, X), wanted, rtol=1e-11, atol=1e-11)
        compiled = ng.jit(ng.grad(mapped, number))
        assert_allclose(compiled(W, X), ng.grad(looped, number)(W, X), rtol=1e-12)


def test_tensors_are_differentiable_and_detached_where_they_were() -> None:
    t = ng.tensor(X, requires_grad=True)

    def parts(r: Any) -> Any:
        with ng.no_grad():
            frozen = r * 2
        return {"a": r.sum(), "b": (frozen, r.detach() * r)}

    found = ng.vmap(parts)(t)
    assert not found["b"][0].requires_grad
    (found["a"].sum() + (found["b"][0].sum() + found["b"][1]).sum()).backward()
    assert_allclose(t.grad.numpy(), 1 + X)
    with ng.no_grad():
        assert not ng.vmap(f)(t).requires_grad
    assert isinstance(ng.vmap(f)(X), np.ndarray)
    assert isinstance(ng.vmap(lambda r: r * t.sum())(X), ng.Tensor)


class Pair(NamedTuple):
    left: Any
    right: Any


def test_nested_data_keywords_and_settings() -> None:
    data = {"w": X, "b": [X[:, 0], W]}

    def function(p: Any, q: Any, scale: Any = 1.0, how: str = "sum", n: int = 1) -> Any:
        assert how == "mean" and n == 2
        return Pair(p["w"] * p["b"][0] + p["b"][1], [q.left + scale * n])

    axes = ({"b": [0, None], "w": 0}, 0)
    q = Pair(X, 1)
    found = ng.vmap(function, in_axes=(axes[0], Pair(0, None)))(
        data, q, scale=X[:, 1], how="mean", n=2
    )
    assert type(found) is Pair and type(found.right) is list
    assert_allclose(found.left, X * X[:, :1] + W)
    assert_allclose(found.right[0], X + 2 * X[:, 1:2])
    out = ng.vmap(lambda x: (x, W, x.sum()), out_axes=(1, None, 0))(X)
    assert_allclose(out[0], X.T)
    assert_allclose(out[1], W)
    assert_allclose(ng.vmap(lambda x: (x, W))(X)[1], np.stack([W] * 4))
    assert ng.vmap(lambda: 3.0, axis_size=3, in_axes=())().tolist() == [3.0] * 3
    assert ng.vmap(lambda x, y: x * y, (None, None), axis_size=2)(W, 2.0).shape == (2, 3)
    assert ng.vmap(f)(np.zeros((0, 3))).shape == (0,)
    assert ng.vmap(lambda k: k + 1)(np.arange(3)).dtype == np.int64


def test_matrices_are_one_call_on_stacks() -> None:
    assert_allclose(ng.vmap(solved)(A), rows(solved, A), rtol=1e-10)
    gradient = ng.grad(lambda a: solved(a).sum())
    assert_allclose(ng.vmap(gradient)(A), rows(gradient, A), rtol=1e-9)
    tape = ng.jit(ng.vmap(solved))
    tape(A)
    ((entry,),) = [e for traces in tape.traces.by_policy.values() for e in traces.values()]
    assert len(entry.tape) < 30  # of four matrices as of forty


def test_a_function_with_a_rule_of_the_user_is_called_for_each() -> None:
    class Seven(ng.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * 7

    assert_allclose(ng.grad(lambda x: ng.vmap(Seven.apply)(x).sum())(X), np.full((4, 3), 7.0))
    each = ng.grad(lambda r: Seven.apply(r).sum())
    assert_allclose(ng.vmap(each)(X), np.full((4, 3), 7.0))
    assert_allclose(ng.vmap(Seven.apply)(X), 2 * X)


REFUSED = [
    ("inconsistent sizes.*\n.*size 4: axis 0 of argument a.*\n.*size 3: axis 0 of argument b",
     lambda: ng.vmap(lambda a, b: a)(X, W), ValueError),
    ("in_axes has 3 entries, but there are 2 arguments",
     lambda: ng.vmap(lambda a, b: a, (0, 0, 0))(X, X), ValueError),
    ("mapped output but out_axes is None", lambda: ng.vmap(f, out_axes=None)(X), ValueError),
    ("rank should be at least 1, but is only 0", lambda: ng.vmap(g)(X, 3.0), ValueError),
    ("argument b along axis 2.*rank should be at least 3",
     lambda: ng.vmap(lambda a, b: a, (0, 2))(X, X), ValueError),
    ("at least one argument that is mapped", lambda: ng.vmap(f, None)(X), ValueError),
    ("is a dict for an array", lambda: ng.vmap(f, ({"a": 0},))(X), ValueError),
    (r"in_axes\[0\] is a dict with keys \['a'\] for a dict with keys \['b'\]",
     lambda: ng.vmap(lambda d: d["b"], ({"a": 0},))({"b": X}), ValueError),
    ("out_axes is a tuple of 3 for a tuple of 2",
     lambda: ng.vmap(lambda a: (a, a), out_axes=(0, 0, 0))(X), ValueError),
    ("out_axes is 5 for result 0", lambda: ng.vmap(lambda a: a, out_axes=5)(X), ValueError),
    ("in_axes must be an int, None", lambda: ng.vmap(f, "x"), TypeError),
    ("out_axes must be an int, None", lambda: ng.vmap(f, out_axes=(0, 1.5)), TypeError),
    ("depends on an element of a mapped argument",
     lambda: ng.vmap(lambda a: a if a.sum() > 0 else -a)(X), ng.errors.ConcretizationError),
    ("object", lambda: ng.vmap(f)(np.array([None, None])), TypeError),
    ("axis_size", lambda: ng.vmap(f, axis_size=3)(X), ValueError),
]  # fmt: skip


@pytest.mark.parametrize(("message", "call", "kind"), REFUSED, ids=[m[:30] for m, *_ in REFUSED])
def test_errors(message: str, call: Callable[[], Any], kind: type) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_a_write_to_what_is_outside_is_refused() -> None:
    total = ng.tensor(W)

    def adds(r: Any) -> Any:
        total.add_(r)
        return r

    with pytest.raises(Exception, match="writes to a tensor from outside"):
        ng.vmap(adds)(X)
    assert_allclose(total.numpy(), W)


def test_writes_into_elements_stay_inside() -> None:
    t = ng.tensor(X)

    def writes(r: Any) -> Any:
        r[0] = r[1] * 2
        return r

    expected = X.copy()
    expected[:, 0] = 2 * X[:, 1]
    assert_allclose(ng.vmap(writes)(t).numpy(), expected)
    assert_allclose(t.numpy(), X)


def test_a_checkpointed_part_is_called_for_each() -> None:
    """Also where jit stands between: its pack is a leaf of what is recorded, which a tape drops."""
    part = lambda r: ng.checkpoint(lambda y: np.sin(y) * y, ng.as_tensor(r))
    expected = np.cos(X) * X + np.sin(X)
    assert_allclose(ng.grad(lambda x: ng.vmap(part)(x).sum())(X), expected)
    assert_allclose(ng.vmap(ng.grad(lambda r: part(r).sum()))(X), expected)
    assert_allclose(ng.grad(lambda x: ng.jit(part)(x).sum())(X), expected)
    assert_allclose(ng.jit(ng.grad(lambda x: ng.jit(part)(x).sum()))(X), expected)


def test_a_map_of_the_same_structure_is_recorded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are met once; other numbers, sizes and flags are other structures."""
    met: list[int] = []
    original = mapping.batched

    def counted(tape: Any, nodes: Any, size: int, *rest: Any) -> Any:
        met.append(size)
        return original(tape, nodes, size, *rest)

    monkeypatch.setattr(mapping, "batched", counted)
    for scale in (1.5, 2.5, 1.5):
        for x in (X, 2 * X):
            found = ng.vmap(lambda r, scale=scale: np.sin(r * scale) * np.cumsum(r), 0)(x)
            assert_allclose(found, np.sin(x * scale) * np.cumsum(x, 1))
    assert len(met) == 2
    both = ng.vmap(lambda r, s: r * s + np.outer(r, s)[0], in_axes=(0, None))
    for s in (W, 2 * W):
        assert_allclose(both(X, s), X * s + X[:, :1] * s)
    assert_allclose(both(X[:2], W), X[:2] * W + X[:2, :1] * W)
    assert len(met) == 4
    same = ng.tensor(X[0])
    pairs = ng.vmap(lambda r: r * same + same)
    for _ in range(2):
        assert_allclose(pairs(ng.tensor(X)).numpy(), X * X[0] + X[0])
    swapped = ng.vmap(lambda k: (k * same, same - k))
    for _ in range(2):
        first, second = swapped(np.arange(3.0))
        assert_allclose(
            first.numpy() if isinstance(first, ng.Tensor) else first,
            np.outer(np.arange(3.0), X[0]),
        )
        assert second.shape == (3, 3)
