"""Functions whose derivative users write, in every transform: ``custom_vjp``, ``custom_jvp``, clipping."""

from __future__ import annotations

import functools
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.core.aval import make_aval
from nbgrad.errors import AutogradError, ConcretizationError
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.jvp import jvp
from nbgrad.transforms.trace import trace

functional = ng.autograd.functional


@ng.custom_vjp
def by_vjp(x: Any, y: Any) -> Any:
    return np.sin(x) * y


def _fwd(x: Any, y: Any) -> Any:
    return np.sin(x) * y, (x, np.cos(x), y)


def _bwd(kept: Any, ct: Any) -> Any:
    x, cosine, y = kept
    return 2 * ct * cosine * y, ct * np.sin(x)


by_vjp.defvjp(_fwd, _bwd)


@ng.custom_jvp
def by_jvp(x: Any, y: Any) -> Any:
    return np.sin(x) * y


@by_jvp.defjvp
def _rule(primals: Any, tangents: Any) -> Any:
    (x, y), (dx, dy) = primals, tangents
    return by_jvp(x, y), 2 * np.cos(x) * dx * y + np.sin(x) * dy


@ng.custom_jvp
def by_jvps(x: Any, y: Any) -> Any:
    return np.sin(x) * y


by_jvps.defjvps(lambda t, out, x, y: 2 * np.cos(x) * t * y, lambda t, out, x, y: np.sin(x) * t)

# The rules are twice the derivative by x, so that one sees whose it is.
RULES = {"vjp": by_vjp, "jvp": by_jvp, "jvps": by_jvps}
X, Y = np.array([0.3, -0.7, 1.1]), np.array([1.5, 2.0, -0.4])


def plain(f: Any) -> Any:
    return f


@pytest.fixture(params=RULES)
def rule(request: Any) -> Any:
    return RULES[request.param]


@pytest.mark.parametrize("inner", [plain, ng.jit])
@pytest.mark.parametrize("outer", [plain, ng.jit])
class TestRules:
    """Of arrays and of tensors, eagerly, around jit and inside it."""

    def test_value(self, rule: Any, inner: Any, outer: Any) -> None:
        f = outer(lambda x, y: inner(rule)(x, y) + 0)
        assert_allclose(f(X, Y), np.sin(X) * Y, rtol=1e-14)
        assert_allclose(f(ng.tensor(X), Y).numpy(), np.sin(X) * Y, rtol=1e-14)
        assert_allclose(f(0.3, 2.0), np.sin(0.3) * 2, rtol=1e-14)

    def test_gradient(self, rule: Any, inner: Any, outer: Any) -> None:
        g = outer(ng.grad(lambda x, y: (inner(rule)(x, y) ** 2).sum(), (0, 1)))
        for given in ((X, Y), (ng.tensor(X), ng.tensor(Y))):
            dx, dy = g(*given)
            assert_allclose(dx, 4 * np.sin(X) * np.cos(X) * Y**2, rtol=1e-13)
            assert_allclose(dy, 2 * np.sin(X) ** 2 * Y, rtol=1e-13)

    def test_tangent_and_jacobian(self, rule: Any, inner: Any, outer: Any) -> None:
        f = inner(rule)
        args, v = (ng.tensor(X), ng.tensor(Y)), (ng.tensor(Y), ng.tensor(X))
        _, t = functional.jvp(outer(f), args, v)
        assert_allclose(t, 2 * np.cos(X) * Y * Y + np.sin(X) * X, rtol=1e-13)
        assert_allclose(outer(ng.jacobian(f))(X, Y), np.diag(2 * np.cos(X) * Y), rtol=1e-13)
        rows = outer(ng.jacobian(lambda x, y: f(x, y).sum()[None]))(X, Y)
        assert_allclose(rows, [2 * np.cos(X) * Y], rtol=1e-13)

    def test_order_two(self, rule: Any, inner: Any, outer: Any) -> None:
        f = inner(rule)
        second = outer(ng.grad(ng.grad(f)))(0.3, 1.5)
        # Of 2 cos(x) y, whose own derivative no rule of ours changes.
        assert_allclose(second, -2 * np.sin(0.3) * 1.5, rtol=1e-13)
        (xx, xy), (yx, yy) = outer(ng.hessian(f, (0, 1)))(0.3, 1.5)
        assert_allclose([xx, xy, yy], [second, 2 * np.cos(0.3), 0], rtol=1e-13)
        assert_allclose(yx, np.cos(0.3), rtol=1e-13)

    def test_vmap(self, rule: Any, inner: Any, outer: Any) -> None:
        f = inner(rule)
        each = outer(ng.vmap(ng.grad(f, (0, 1))))
        assert_allclose(each(X, Y)[0], 2 * np.cos(X) * Y, rtol=1e-13)
        total = outer(ng.grad(lambda x, y: ng.vmap(f, (None, 0))(x, y).sum()))
        assert_allclose(total(0.3, Y), 2 * np.cos(0.3) * Y.sum(), rtol=1e-13)
        curved = outer(ng.vmap(ng.grad(ng.grad(f)), (0, None)))
        assert_allclose(curved(X, 1.5), -2 * np.sin(X) * 1.5, rtol=1e-13)

    def test_backward(self, rule: Any, inner: Any, outer: Any) -> None:
        x, y = ng.tensor(X, requires_grad=True), ng.tensor(Y)
        for _ in range(2):
            x.grad = None
            outer(inner(rule))(x, y).sum().backward()
            assert_allclose(x.grad, 2 * np.cos(X) * Y, rtol=1e-13)
        assert y.grad is None


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
def test_tiers(tier: str, rule: Any) -> None:
    with ng.configure(tier=tier):
        f = ng.jit(ng.grad(lambda x: (rule(x, Y) ** 2).sum()))
        assert_allclose(f(X), 4 * np.sin(X) * np.cos(X) * Y**2, rtol=1e-12)


def test_the_derivative_agrees_with_differences() -> None:
    """Of a rule that is right: log(1 + exp x), without overflow, to order two."""

    @ng.custom_vjp
    def softplus(x: Any) -> Any:
        return np.logaddexp(0.0, x)

    softplus.defvjp(lambda x: (np.logaddexp(0.0, x), x), lambda x, ct: (ct / (1 + np.exp(-x)),))
    x = ng.tensor(X, requires_grad=True)
    assert ng.autograd.gradcheck(softplus, x, check_forward_ad=True)
    assert ng.autograd.gradgradcheck(softplus, x)
    assert ng.autograd.gradgradcheck(ng.jit(softplus), x)


def test_nests_of_arguments_and_results() -> None:
    @ng.custom_vjp
    def f(p: Any, scale: float) -> Any:
        return {"a": p["w"] @ p["b"][0] * scale, "n": 3, "both": (p["w"], None)}

    def fwd(p: Any, scale: float) -> Any:
        return f(p, scale), (p, scale)

    def bwd(kept: Any, ct: Any) -> Any:
        p, scale = kept
        assert ct["n"] is None and ct["both"][1] is None
        return (
            {
                "w": ct["a"][:, None] * p["b"][0] * scale + ct["both"][0],
                "b": [p["w"].T @ ct["a"] * scale, None],
            },
            None,
        )

    f.defvjp(fwd, bwd)

    def loss(w: Any, b: Any, scale: float = 2.0) -> Any:
        out = f({"w": w, "b": [b, 1.0]}, scale)
        assert out["n"] == 3
        return (out["a"] ** 2).sum() + (out["both"][0] ** 3).sum()

    def straight(w: Any, b: Any) -> Any:
        return ((w @ b * 2.0) ** 2).sum() + (w**3).sum()

    w, b = np.arange(6.0).reshape(2, 3) / 3, np.array([0.5, -1.0, 2.0])
    wanted = ng.grad(straight, (0, 1))(w, b)
    for g in (ng.grad(loss, (0, 1)), ng.jit(ng.grad(loss, (0, 1))), ng.grad(ng.jit(loss), (0, 1))):
        for mine, its in zip(g(w, b), wanted, strict=True):
            assert_allclose(mine, its, rtol=1e-13)
    curve = ng.hessian(straight)(w, b)
    assert_allclose(ng.hessian(loss)(w, b), curve, rtol=1e-12)
    assert_allclose(ng.hessian(ng.jit(loss))(w, b), curve, rtol=1e-12)


def test_eager_rules_may_look_at_values() -> None:
    """A function of another library's, on arrays; a rule that branches."""

    @ng.custom_vjp
    def f(x: Any) -> Any:
        return ng.tensor(np.exp(x.numpy())) if isinstance(x, ng.Tensor) else np.exp(x)

    def bwd(y: Any, ct: Any) -> Any:
        return (ct * y if float(y.sum()) > 0 else ct * 0,)

    f.defvjp(lambda x: (f(x),) * 2, bwd)
    assert_allclose(ng.grad(lambda x: f(x).sum())(X), np.exp(X), rtol=1e-14)
    _, t = functional.jvp(f, ng.tensor(X), ng.tensor(Y))
    assert_allclose(t, np.exp(X) * Y, rtol=1e-14)
    with pytest.raises(AutogradError, match="left the graph"):
        ng.hessian(lambda x: f(x).sum())(X)
    compiled = ng.jit(lambda x: x * 2)
    assert_allclose(ng.grad(lambda x: f(compiled(x)).sum())(X), 2 * np.exp(2 * X), rtol=1e-14)
    with pytest.raises(ConcretizationError):
        ng.jit(ng.grad(lambda x: f(x).sum()))(X)


def test_a_rule_that_cannot_be_traced_serves_jit_around_values() -> None:
    @ng.custom_vjp
    def f(x: Any) -> Any:
        return x * x

    f.defvjp(lambda x: (x * x, x), lambda x, ct: (ct * 2 * float(x),))
    assert ng.jit(f)(3.0) == 9.0
    assert ng.grad(ng.jit(f))(3.0) == 6.0
    x = ng.tensor(3.0, requires_grad=True)
    ng.jit(f)(x).backward()
    assert x.grad.item() == 6.0


def test_jit_keeps_the_rule_and_calls_it_once() -> None:
    calls = []

    @ng.custom_vjp
    def f(x: Any) -> Any:
        return x * x

    def bwd(x: Any, ct: Any) -> Any:
        calls.append(1)
        return (ct * 20 * x,)

    f.defvjp(lambda x: (x * x, x), bwd)
    g = ng.jit(lambda x: f(x).sum())
    for _ in range(4):
        assert_allclose(ng.grad(g)(X), 20 * X)
    assert len(calls) == 1  # of four passes


def test_jit_sees_that_a_rule_has_changed() -> None:
    @ng.custom_vjp
    def f(x: Any) -> Any:
        return x * x

    f.defvjp(lambda x: (x * x, x), lambda x, ct: (ct * 20 * x,))
    g = ng.jit(ng.grad(lambda x: f(x)))
    assert g(3.0) == 60.0
    f.defvjp(lambda x: (x * x, x), lambda x, ct: (ct * 2 * x,))
    assert g(3.0) == 6.0


def test_settings_come_first() -> None:
    @ng.custom_vjp
    def plainly(x: Any, n: Any) -> Any:
        return x**n

    f = ng.custom_vjp(lambda g, x, n: g(x) * n, nondiff_argnums=(0, 2))
    f.defvjp(lambda g, x, n: (g(x) * n, x), lambda g, n, x, ct: (ct * n * g(x) * 10,))
    for t in (plain, ng.jit):
        assert_allclose(t(ng.grad(lambda x: f(np.sin, x, 3)))(0.5), 30 * np.sin(0.5), rtol=1e-14)
    h = ng.custom_jvp(lambda x, n: x**n, nondiff_argnums=1)
    h.defjvp(lambda n, p, t: (p[0] ** n, 10 * n * p[0] ** (n - 1) * t[0]))
    for t in (plain, ng.jit):
        assert_allclose(t(ng.grad(lambda x: h(x, 3)))(0.5), 30 * 0.25, rtol=1e-14)
    w = ng.tensor(2.0, requires_grad=True)
    k = ng.custom_vjp(lambda x, w: x * w, nondiff_argnums=1)
    k.defvjp(lambda x, w: (x * w, None), lambda w, _, ct: (ct * w,))
    with pytest.raises(AutogradError, match="from outside"):
        k(ng.tensor(1.0), w)


def test_values_from_outside_have_no_silent_zero() -> None:
    def outer(w: Any, x: Any, f_of: Any) -> Any:
        f = f_of(lambda x: x * w)
        return f(x)

    def by_v(f: Any) -> Any:
        made = ng.custom_vjp(f)
        made.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * 5,))
        return made

    def by_j(f: Any) -> Any:
        made = ng.custom_jvp(f)
        made.defjvp(lambda p, t: (f(*p), t[0] * 5))
        return made

    def refuses(t: Any, made: Any) -> None:
        f = lambda w, x: outer(w, x, made)
        for g in (ng.grad(f), ng.grad(ng.grad(f)), ng.jacobian(f)):
            with pytest.raises(AutogradError, match="from outside"):
                t(g)(2.0, 3.0)
        with pytest.raises(AutogradError, match="from outside"):
            functional.jvp(t(f), (ng.tensor(2.0), ng.tensor(3.0)), (ng.tensor(1.0),) * 2)

    for made in (by_v, by_j):
        for t in (plain, ng.jit):
            refuses(t, made)
        known = functools.partial(outer, ng.tensor(2.0), f_of=made)
        assert ng.jit(ng.grad(lambda x, f=known: f(x)))(3.0) == 5.0


def test_what_is_not_defined_or_returned_wrongly() -> None:
    f = ng.custom_vjp(lambda x: x * 2)
    with pytest.raises(AutogradError, match=r"no rule is defined.*defvjp"):
        f(1.0)
    with pytest.raises(TypeError, match="two functions"):
        f.defvjp(None, None)
    f.defvjp(lambda x: x * 2, lambda kept, ct: (ct,))
    with pytest.raises(TypeError, match=r"fwd .*pair"):
        ng.grad(f)(1.0)
    f.defvjp(lambda x: (x * 2, None), lambda kept, ct: ct)
    with pytest.raises(TypeError, match="tuple of 1"):
        ng.grad(f)(1.0)
    f.defvjp(lambda x: (x * 2, None), lambda kept, ct: (ct, ct))
    with pytest.raises(TypeError, match="tuple of 1, one for each argument, not 2"):
        ng.jit(ng.grad(f))(1.0)
    f.defvjp(lambda x: (x * 2, None), lambda kept, ct: (np.ones(3),))
    with pytest.raises(AutogradError, match=r"shape \(3,\) in the place of \(\)"):
        ng.grad(f)(1.0)
    f.defvjp(lambda x: (x * 2, None), lambda kept, ct: ({"a": ct},))
    with pytest.raises(TypeError):
        ng.grad(f)(1.0)
    with pytest.raises(TypeError, match="expected a function"):
        ng.custom_vjp(3)
    g = ng.custom_vjp(lambda x: x, nondiff_argnums=4)
    g.defvjp(lambda x: (x, None), lambda kept, ct: (ct,))
    with pytest.raises(TypeError, match="nondiff_argnums contains 4"):
        g(1.0)
    k = ng.custom_vjp(lambda x, *, y=1: x)
    k.defvjp(lambda x: (x, None), lambda kept, ct: (ct,))
    with pytest.raises(TypeError, match="given by name alone"):
        k(1.0)


def test_tangent_rules_that_are_none() -> None:
    h = ng.custom_jvp(lambda x: x * 2)
    with pytest.raises(AutogradError, match=r"no rule is defined.*defjvp"):
        h(1.0)
    h.defjvp(lambda p, t: p[0])
    with pytest.raises(TypeError, match="pair"):
        functional.jvp(h, ng.tensor(1.0), ng.tensor(1.0))
    h.defjvps(None, None)
    with pytest.raises(TypeError, match="1 arguments, and defjvps was given 2"):
        ng.grad(h)(1.0)
    with pytest.raises(TypeError, match="takes a function, or None"):
        h.defjvps(3)
    h.defjvp(lambda p, t: (p[0] * 2, p[0]))  # not linear in the tangent
    for g in (ng.grad(h), ng.jit(ng.grad(h)), ng.grad(ng.jit(h))):
        with pytest.raises(NotImplementedError, match="forward AD"):
            g(1.0)


def test_none_stands_for_zeros() -> None:
    f = ng.custom_vjp(lambda x, y: x * y)
    f.defvjp(lambda x, y: (x * y, y), lambda y, ct: (ct * y, None))
    h = ng.custom_jvp(lambda x, y: x * y)
    h.defjvps(lambda t, out, x, y: t * y, None)
    for rule in (f, h):
        for t in (plain, ng.jit):
            dx, dy = t(ng.grad(rule, (0, 1)))(2.0, 3.0)
            assert (dx, dy) == (3.0, 0.0)


def test_rules_are_pickled_by_name_or_by_parts() -> None:
    assert pickle.loads(pickle.dumps(by_vjp)) is by_vjp
    made = ng.custom_vjp(_value)
    made.defvjp(_fwd, _bwd)
    other = pickle.loads(pickle.dumps(made))
    assert ng.grad(other)(0.3, 1.5) == ng.grad(by_vjp)(0.3, 1.5)
    assert "custom_vjp" in repr(other)


def _value(x: Any, y: Any) -> Any:
    return np.sin(x) * y


def test_a_method_and_names() -> None:
    class Model:
        @ng.custom_vjp
        def scaled(self, x: Any) -> Any:
            return 3 * x

        scaled.defvjp(lambda self, x: (3 * x, None), lambda kept, ct: (None, 30 * ct))

    m = Model()
    assert m.scaled(2.0) == 6.0
    assert ng.grad(m.scaled)(2.0) == 30.0
    assert ng.jit(ng.grad(m.scaled))(2.0) == 30.0
    y = m.scaled(x=ng.tensor(2.0, requires_grad=True))
    assert "scaled" in repr(y.grad_fn)


# ------------------------------------------------------------------------------- stopping, clipping


def test_stop_gradient() -> None:
    f = lambda x: (x * ng.stop_gradient({"a": x * 2, "n": 1})["a"]).sum()
    for g in (ng.grad(f), ng.jit(ng.grad(f)), ng.grad(ng.jit(f))):
        assert_allclose(g(X), 2 * X)
    assert ng.stop_gradient(3.0) == 3.0 and ng.stop_gradient(X) is X
    _, t = functional.jvp(f, ng.tensor(X), ng.ones(3))
    assert_allclose(t, (2 * X).sum())
    assert_allclose(ng.vmap(ng.grad(lambda x: x * ng.stop_gradient(x)))(X), X)


@pytest.mark.parametrize("t", [plain, ng.jit])
def test_clip_gradient(t: Any) -> None:
    f = lambda x: (ng.clip_gradient(x, -1.0, 0.5) ** 2).sum()
    assert_allclose(t(ng.grad(f))(X), np.clip(2 * X, -1.0, 0.5))
    low = lambda x: (ng.clip_gradient(x, low=-1.0) ** 2).sum()
    assert_allclose(t(ng.grad(low))(X), np.clip(2 * X, -1.0, None))
    assert_allclose(functional.jvp(f, ng.tensor(X), ng.ones(3))[1], (2 * X).sum())

    def long(x: Any, y: Any, norm: float) -> Any:
        a, b = ng.clip_gradient([x, y], norm=norm)
        return (a**2).sum() + (b**2).sum()

    whole = np.sqrt(((2 * X) ** 2).sum() + ((2 * Y) ** 2).sum())
    for norm in (1.0, 100.0):
        dx, dy = t(ng.grad(functools.partial(long, norm=norm), (0, 1)))(X, Y)
        scale = min(1.0, norm / whole)
        assert_allclose(dx, 2 * X * scale, rtol=1e-13)
        assert_allclose(dy, 2 * Y * scale, rtol=1e-13)
    nothing = t(ng.grad(lambda x: (ng.clip_gradient(x, norm=1.0) * 0.0).sum()))
    assert_allclose(nothing(X), 0 * X)


def test_bounds_that_are_none() -> None:
    for given in ({}, {"low": 0.0, "norm": 1.0}):
        with pytest.raises(TypeError, match="clip_gradient: pass low="):
            ng.clip_gradient(X, **given)
    with pytest.raises(ValueError, match="greater"):
        ng.clip_gradient(X, 1.0, 0.0)
    with pytest.raises(ValueError, match="negative"):
        ng.clip_gradient(X, norm=-1.0)


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_a_rule_may_call_its_own_function_several_times(kind: str) -> None:
    """Each call in a rule is traced with its own rules: levels, and so orders, are bounded."""
    runs = 0
    if kind == "jvp":

        @ng.custom_jvp
        def f(x):
            nonlocal runs
            runs += 1
            return x * x * x

        @f.defjvp
        def f_jvp(primals, tangents):
            (x,), (dx,) = primals, tangents
            return f(x), (f(x + 1.0) - f(x - 1.0) - 2.0) / 2.0 * dx
    else:

        @ng.custom_vjp
        def f(x):
            nonlocal runs
            runs += 1
            return x * x * x

        f.defvjp(
            lambda x: (f(x), (f(x + 1.0), f(x - 1.0))),
            lambda kept, ct: ((kept[0] - kept[1] - 2.0) / 2.0 * ct,),
        )
    assert ng.jit(ng.grad(f))(2.0) == pytest.approx(12.0)
    assert ng.jit(ng.grad(ng.grad(f)))(2.0) == pytest.approx(12.0)
    stacks = ng.vmap(ng.grad(f))(np.array([1.0, 2.0]))
    np.testing.assert_allclose(stacks, [3.0, 12.0])
    assert runs < 3000


def test_a_rule_within_itself_beyond_the_orders_that_are_traced_says_so() -> None:
    @ng.custom_jvp
    def f(x):
        return np.sin(x)

    f.defjvp(lambda xs, ts: (f(xs[0]), f(xs[0] + np.pi / 2) * ts[0]))
    derivative = f
    for _ in range(3):
        derivative = ng.grad(derivative)
    assert ng.jit(derivative)(0.5) == pytest.approx(-np.cos(0.5))
    for _ in range(9):
        derivative = ng.grad(derivative)
    with pytest.raises(ng.errors.AutogradError, match="traced as many times within itself"):
        ng.jit(derivative)(0.5)


class _Refusal(Exception):  # which cannot be copied
    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class _Large:
    pass


@pytest.mark.parametrize("kind", [ValueError, _Refusal])
def test_a_rule_that_fails_is_kept_without_its_frames(kind: Any) -> None:
    seen = []

    @ng.custom_jvp
    def f(x: Any) -> Any:
        return x * x

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        local = _Large()
        seen.append(weakref.ref(local))
        raise kind("no", "rule")

    tape = trace(lambda x: f(Tensor(x)), [make_aval(X.shape, X.dtype)]).tape
    gc.collect()
    assert [found() for found in seen] == [None]
    depths = []
    for _ in range(3):  # nor do those pile up that it meets as it is raised
        with pytest.raises(kind, match="no") as caught:
            jvp(tape, tape.inputs)
        depths.append(len(caught.traceback))
    assert depths[0] == depths[1] == depths[2]
    assert f"{__file__}:" in "".join(caught.value.__notes__)
