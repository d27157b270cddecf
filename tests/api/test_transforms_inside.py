"""Transforms inside others, in bodies, and around what has a backward of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

X, V = np.array([0.4, -0.7]), np.array([0.75, -0.5])
A = np.array([[1.0, 2.0], [3.0, 4.0]])


def wave(x: Any) -> Any:
    return np.sin(x) * x


SLOPE = np.sin(X) + X * np.cos(X)
CURVE = 2 * np.cos(X) - X * np.sin(X)
functional = ng.autograd.functional


class Sine(ng.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return np.sin(x) * x

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        (x,) = ctx.saved_tensors
        return ct * (np.sin(x) + x * np.cos(x))


def by_vjp() -> Any:
    g = ng.custom_vjp(wave)
    g.defvjp(lambda x: (wave(x), x), lambda x, ct: (ct * (np.sin(x) + x * np.cos(x)),))
    return g


def by_jvp() -> Any:
    g = ng.custom_jvp(wave)
    g.defjvp(lambda p, t: (wave(p[0]), t[0] * (np.sin(p[0]) + p[0] * np.cos(p[0]))))
    return g


OWN = {
    "checkpoint": ng.checkpoint(wave),
    "Function": Sine.apply,
    "custom_vjp": by_vjp(),
    "custom_jvp": by_jvp(),
}
# Derivatives at a point that does not move along a direction that is traced.
AHEAD = {
    "jvp": lambda f, v: ng.jvp(f, (X,), (v,))[1],
    "linearize": lambda f, v: ng.linearize(f, X)[1](v),
    "vjp": lambda f, v: ng.vjp(f, X)[1](v)[0],
    "transposed": lambda f, v: ng.linear_transpose(ng.linearize(f, X)[1], X)(v)[0],
    "functional.jvp": lambda f, v: functional.jvp(f, ng.as_tensor(X), ng.as_tensor(v))[1],
    "functional.vjp": lambda f, v: functional.vjp(f, ng.as_tensor(X), ng.as_tensor(v))[1],
}
AROUND = {
    "plain": lambda g: g(V),
    "jit": lambda g: ng.jit(g)(V),
    "vmap": lambda g: ng.vmap(g)(np.stack([V, V]))[1],
    "map": lambda g: ng.map(g, np.stack([V, V]))[1],
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("ahead", AHEAD)
def test_derivatives_at_a_constant_along_a_traced_direction(ahead: str, around: str) -> None:
    for name, f in {"plain": wave, **OWN}.items():
        if around == "map" and name == "Function":
            continue  # a body holds no backward of a Function
        found = AROUND[around](lambda v, f=f: AHEAD[ahead](f, v))
        assert not ng.as_tensor(found).requires_grad
        assert_allclose(ng.as_tensor(found).numpy(), SLOPE * V, rtol=1e-13, err_msg=name)


@pytest.mark.parametrize("around", AROUND)
def test_second_derivatives_along_a_traced_direction(around: str) -> None:
    for name in ("checkpoint", "custom_vjp"):
        f = OWN[name]
        scalar = lambda x, f=f: ng.as_tensor(f(x)).sum()
        found = AROUND[around](lambda v, g=scalar: ng.hvp(g, (X,), (v,)))
        assert_allclose(ng.as_tensor(found).numpy(), CURVE * V, rtol=1e-12, err_msg=name)


def test_gradients_outside_with_a_traced_cotangent() -> None:
    x = ng.tensor(X, requires_grad=True)
    y = wave(x)
    row = lambda v: ng.autograd.grad(y, x, grad_outputs=v * 2, retain_graph=True)[0]
    assert_allclose(ng.vmap(row)(np.eye(2)), np.diag(2 * SLOPE), rtol=1e-13)


# --------------------------------------------------------------------- checkpoints inside bodies

LOOPS = {
    "scan": lambda f, x: ng.scan(lambda c, _: (f(c), None), x, length=2)[0],
    "fori_loop": lambda f, x: ng.fori_loop(0, 2, lambda i, c: f(c), x),
    "while_loop": lambda f, x: ng.while_loop(
        lambda s: s[0] < 2, lambda s: (s[0] + 1, f(s[1])), (0, x)
    )[1],
    "cond": lambda f, x: ng.cond(x[0] > 0, lambda c: f(f(c)), lambda c: c, x),
    "switch": lambda f, x: ng.switch(
        (x[0] > 0).astype(int), [lambda c: c, lambda c: f(f(c)), lambda c: c], x
    ),
    "map": lambda f, x: ng.map(lambda r: f(f(r)), x),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("policy", [None, ng.checkpoint_policies.everything_saveable])
def test_checkpoints_inside_bodies(loop: str, policy: Any) -> None:
    f = ng.checkpoint(wave, policy=policy)
    g = lambda x, f=f: (LOOPS[loop](f, ng.as_tensor(x)) * V).sum()
    plain = lambda x: (LOOPS[loop](wave, ng.as_tensor(x)) * V).sum()
    assert_allclose(ng.grad(g)(X), ng.grad(plain)(X), rtol=1e-13)
    assert_allclose(ng.hessian(g)(X), ng.hessian(plain)(X), rtol=1e-12)
    with ng.configure(tier="reference"):
        assert_allclose(ng.jit(ng.grad(g))(X), ng.grad(plain)(X), rtol=1e-13)


# ------------------------------------------------------------------------------ series


@pytest.mark.parametrize("name", ["checkpoint", "custom_vjp", "custom_jvp"])
def test_series_through_what_has_rules_of_its_own(name: str) -> None:
    jet = lambda f: lambda x: ng.jet(f, (x,), ((V, X),))[1][1]
    assert_allclose(jet(OWN[name])(X), jet(wave)(X), rtol=1e-13)
    assert_allclose(ng.jit(jet(OWN[name]))(X), jet(wave)(X), rtol=1e-13)


def test_series_refuse_a_function_that_is_called_with_values() -> None:
    with pytest.raises(NotImplementedError, match=r"jet: Sine has a backward.*nest nbgrad.jvp"):
        ng.jet(Sine.apply, (X,), ((V,),))


# --------------------------------------------------------------------------- whose graph it is


@pytest.mark.parametrize(
    "outer",
    [
        lambda f: functional.vjp(f, ng.tensor(X), ng.ones(2))[1],
        lambda f: functional.jvp(f, ng.tensor(X), ng.ones(2))[1],
        lambda f: functional.jacobian(f, ng.tensor(X)) @ np.ones(2),
        lambda f: ng.grad(lambda x: ng.as_tensor(f(x)).sum())(X),
        lambda f: ng.grad(lambda x: ng.checkpoint(f, x).sum())(X),
        lambda f: functional.vjp(ng.checkpoint(f), ng.tensor(X), ng.ones(2))[1],
    ],
    ids=list("abcdef"),
)
def test_what_a_gradient_tape_gives_is_differentiable_again(outer: Any) -> None:
    def slope(x: Any) -> Any:
        with ng.GradientTape() as tape:
            y = ng.as_tensor(x) * 1.0
            tape.watch(y)
            loss = wave(y).sum()
        return tape.gradient(loss, y)

    assert_allclose(ng.as_tensor(outer(slope)).detach().numpy(), CURVE, rtol=1e-12)


@pytest.mark.parametrize("kind", ["custom_vjp", "custom_jvp"])
def test_rules_of_functions_that_are_derivatives(kind: str) -> None:
    """What a function differentiates inside is by its argument detached, and is no tensor from outside."""
    inner = ng.grad(lambda x: ng.as_tensor(wave(x)).sum())
    g = getattr(ng, kind)(inner)
    if kind == "custom_vjp":
        g.defvjp(lambda x: (inner(x), x), lambda x, ct: (ng.vjp(inner, x)[1](ct)[0],))
    else:
        g.defjvp(lambda ps, ts: ng.jvp(inner, ps, ts))
    assert_allclose(ng.linearize(g, X)[1](V), CURVE * V, rtol=1e-12)
    assert_allclose(ng.vjp(g, X)[1](V)[0], CURVE * V, rtol=1e-12)
    x = ng.tensor(X) * 1.0  # pending, and part of it read by what is differentiated before
    x[1] += g(x)[0] * 0.0
    assert not g(x).requires_grad


@pytest.mark.parametrize("constant", [X, ng.tensor(X)], ids=["array", "tensor"])
@pytest.mark.parametrize("ahead", AHEAD)
def test_bodies_that_differentiate_at_constants_require_no_grad(ahead: str, constant: Any) -> None:
    for f in (wave, OWN["checkpoint"]):
        inner = lambda f=f: AHEAD[ahead](lambda x: f(x * constant), V)
        found = ng.scan(lambda c, _, g=inner: (c + g(), None), ng.zeros(2), length=2)[0]
        assert not found.requires_grad
        with ng.configure(tier="reference"):
            assert_allclose(found.numpy(), 2 * ng.as_tensor(inner()).detach().numpy(), rtol=1e-13)


# ------------------------------------------------------------------------------ transposes of loops

LINEAR = {
    "while_loop": lambda x: ng.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, A @ s[1]), (0, x)
    )[1],
    "checkpoint": lambda x: ng.scan(lambda c, _: (A @ c, None), x, length=3, checkpoint=2)[0],
    "scan": lambda x: ng.scan(lambda c, _: (A @ c, None), x, length=3)[0],
}


@pytest.mark.parametrize("name", LINEAR)
def test_transposes_of_linear_loops(name: str) -> None:
    expected = np.linalg.matrix_power(A, 3).T @ V
    assert_allclose(ng.linear_transpose(LINEAR[name], X)(V)[0], expected)
    assert_allclose(ng.jit(lambda v: ng.linear_transpose(LINEAR[name], X)(v)[0])(V), expected)
    push = ng.linearize(lambda x: np.sin(LINEAR[name](x)), X)[1]
    assert_allclose(
        ng.linear_transpose(push, X)(V)[0],
        ng.vjp(lambda x: np.sin(LINEAR[name](x)), X)[1](V)[0],
    )


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda c: c * c, "has a derivative that depends"),
        (lambda c: c + 1.0, "is not 0 where"),
        (lambda c: np.sin(c), "has a derivative that depends"),
    ],
    ids=list("abc"),
)
def test_loops_that_are_not_linear_are_refused(step: Any, words: str) -> None:
    for loop in ("while_loop", "scan"):
        with pytest.raises(TypeError, match=words):
            ng.linear_transpose(lambda x, loop=loop: LOOPS[loop](step, ng.as_tensor(x)), X)


@pytest.mark.parametrize("name", OWN)
def test_transposes_of_derivatives_that_rules_give(name: str) -> None:
    """What a rule gives may be detached; it is linear in its direction all the same."""
    push = ng.linearize(OWN[name], X)[1]
    assert_allclose(ng.linear_transpose(push, X)(V)[0], SLOPE * V, rtol=1e-13)
    assert_allclose(ng.jacobian(push)(V), np.diag(SLOPE), rtol=1e-13)
    back = ng.vjp(OWN[name], X)[1]
    assert_allclose(ng.linear_transpose(lambda v: back(v)[0], X)(V)[0], SLOPE * V, rtol=1e-13)
    inner = ng.custom_jvp(lambda x: OWN[name](x))
    inner.defjvp(lambda ps, ts: ng.jvp(OWN[name], ps, ts))
    push = ng.linearize(inner, X)[1]
    assert_allclose(ng.linear_transpose(push, X)(V)[0], SLOPE * V, rtol=1e-13)


# ------------------------------------------------------------------- batches, one row after another


@pytest.mark.parametrize("size", [0, 1, 3])
def test_batches_of_what_users_wrote_keep_apart_what_is_not_mapped(size: int) -> None:
    w = ng.tensor(X, requires_grad=True)
    stack = np.ones((size, 2))
    for f in (wave, OWN["checkpoint"], OWN["Function"], OWN["custom_vjp"]):
        mapped = ng.vmap(
            lambda a, b, f=f: (f(a * b), f(b), a), in_axes=(0, None), out_axes=(0, None, 1)
        )
        rows, shared, given = mapped(stack, w)
        assert (rows.shape, shared.shape, given.shape) == ((size, 2), (2,), (2, size))
        (rows.sum() + shared.sum()).backward()
        assert_allclose(w.grad.numpy(), (size + 1) * SLOPE, rtol=1e-13)
        w.grad = None
        with pytest.raises(ValueError, match="out_axes is None"):
            ng.vmap(lambda a, f=f: f(a * w), out_axes=None)(stack)
