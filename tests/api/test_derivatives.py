"""Derivatives as functions: each against finite differences, in each way that it is used."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import subprocesses
from numpy.testing import assert_allclose

import nbgrad as ng

X, Y = np.array([0.5, -1.5, 0.8]), np.array([2.0, 0.3, -1.0])
A = np.array([[1.0, 2.0, -1.0], [0.5, 0.3, 0.0]])


def vector(p: Any) -> Any:
    return {"s": ng.sin(p["x"]) * p["y"], "m": (A @ (p["x"] ** 2), p["y"].sum())}


def scalar(p: Any) -> Any:
    return (ng.exp(p["x"] * p["y"]) * p["x"]).sum() + (A @ p["y"]).prod() * p["x"][0]


def branching(p: Any) -> Any:
    """Branches on a value, which a plain run may do."""
    return {"s": p["x"] * p["y"] if p["x"].sum() < 0 else p["x"] ** 3, "m": (p["x"], p["y"].sum())}


POINT = {"x": X, "y": Y}
RNG = np.random.default_rng(7)
V = {"x": RNG.normal(size=3), "y": RNG.normal(size=3)}
W = {"s": RNG.normal(size=3), "m": (RNG.normal(size=2), RNG.normal())}
W3 = {"s": RNG.normal(size=3), "m": (RNG.normal(size=3), RNG.normal())}


def flat(tree: Any) -> Any:
    return np.concatenate([np.ravel(np.asarray(x)) for x in ng.tree.leaves(tree)])


def along(f: Callable[[Any], Any], p: Any, v: Any, h: float = 1e-6) -> Any:
    """The derivative of *f* along *v* by central differences."""
    at = [ng.tree.map(lambda a, b, s=s: a + s * b, p, v) for s in (h, -h)]
    plus, minus = (flat(f(q)) for q in at)
    return (plus - minus) / (2 * h)


@pytest.mark.parametrize(("f", "w"), [(vector, W), (branching, W3)], ids=["vector", "branching"])
def test_first_derivatives(f: Any, w: Any) -> None:
    wanted = along(f, POINT, V)
    result, tangent = ng.jvp(f, (POINT,), (V,))
    assert_allclose(flat(result), flat(f(POINT)), rtol=1e-14)
    assert_allclose(flat(tangent), wanted, rtol=1e-7)
    result, push = ng.linearize(f, POINT)
    assert_allclose(flat(result), flat(f(POINT)), rtol=1e-14)
    assert_allclose(flat(push(V)), wanted, rtol=1e-7)
    result, pull = ng.vjp(f, POINT)
    assert_allclose(flat(result), flat(f(POINT)), rtol=1e-14)
    (found,) = pull(w)
    assert list(found) == ["x", "y"] and isinstance(found["x"], np.ndarray)
    assert_allclose(flat(found) @ flat(V), flat(w) @ wanted, rtol=1e-7)


def uses(linear: Any) -> dict[str, Callable[[Any], Any]]:
    """The ways in which a linear function is called."""
    compiled = ng.jit(lambda g, t: g(t))
    return {
        "again": linear,
        "pickled": pickle.loads(pickle.dumps(linear)),
        "copied": copy.deepcopy(linear),
        "argument of jit": lambda t: compiled(linear, t),
        "mapped": lambda t: ng.tree.map(
            lambda x: x[1],
            ng.vmap(linear)(ng.tree.map(lambda x: np.stack([np.zeros_like(x), x]), t)),
        ),
        "tensors": lambda t: ng.tree.map(
            lambda x: x.numpy(), linear(ng.tree.map(lambda x: ng.tensor(x), t))
        ),
    }


@pytest.mark.parametrize("use", uses(None))
def test_linear_functions_are_data(use: str) -> None:
    push, pull = ng.linearize(vector, POINT)[1], ng.vjp(vector, POINT)[1]
    transposed = ng.linear_transpose(
        lambda p: {"s": p["x"] * 2.0, "m": (A @ p["y"], p["x"].sum())}, V
    )
    for linear, t in ((push, V), (pull, W), (transposed, W)):
        wanted = linear(t)
        assert_allclose(flat(uses(linear)[use](t)), flat(wanted), rtol=1e-13)
        doubled = ng.tree.map(lambda x: 2 * x, t)
        assert_allclose(flat(uses(linear)[use](doubled)), 2 * flat(wanted), rtol=1e-13)


def test_a_linear_function_is_pickled_to_a_fresh_process(tmp_path: Any) -> None:
    pull = ng.vjp(lambda x: ng.special.erf(x) * np.cumsum(x), X)[1]
    (tmp_path / "pull").write_bytes(pickle.dumps(pull))
    code = f"""
import pickle
pull = pickle.load(open({str(tmp_path / "pull")!r}, "rb"))
print(pull([1.0, 2.0, 3.0])[0].tolist())
"""
    found = subprocesses.run(code)
    assert_allclose(eval(found), pull([1.0, 2.0, 3.0])[0], rtol=1e-14)


def test_jit_tells_linear_functions_apart() -> None:
    traces = []

    @ng.jit
    def apply(linear: Any, x: Any) -> Any:
        traces.append(1)
        return linear(x)

    for point in (0.5, 1.5, 2.5):
        assert_allclose(apply(ng.linearize(ng.sin, point)[1], 1.0), np.cos(point))
    assert len(traces) == 1
    assert_allclose(apply(ng.linearize(ng.exp, 0.5)[1], 1.0), np.exp(0.5))
    assert len(traces) == 1  # a product with what it holds, as that of the sine
    assert_allclose(apply(ng.linearize(lambda x: ng.exp(x) + 2 * x, 0.5)[1], 1.0), np.exp(0.5) + 2)
    assert len(traces) == 2
    _, pull = ng.jit(lambda x: ng.vjp(ng.sin, x))(X)
    assert_allclose(pull(Y)[0], np.cos(X) * Y)


SECOND: dict[str, Callable[[Any, Any], Any]] = {
    "hvp": lambda p, v: ng.hvp(scalar, (p,), (v,)),
    "vhp": lambda p, v: ng.vhp(scalar, (p,), (v,)),
    "jvp of grad": lambda p, v: ng.jvp(ng.grad(scalar), (p,), (v,))[1],
    "grad of jvp": lambda p, v: ng.grad(lambda q: ng.jvp(scalar, (q,), (v,))[1])(p),
    "vjp of grad": lambda p, v: ng.vjp(ng.grad(scalar), p)[1](v)[0],
    "linearize of grad": lambda p, v: ng.linearize(ng.grad(scalar), p)[1](v),
    "grad of linearize": lambda p, v: ng.grad(lambda q: ng.linearize(scalar, q)[1](v))(p),
    "jit of hvp": lambda p, v: ng.jit(lambda q, w: ng.hvp(scalar, (q,), (w,)))(p, v),
    "jvp of vjp": lambda p, v: ng.jvp(lambda q: ng.vjp(scalar, q)[1](1.0)[0], (p,), (v,))[1],
}


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(name: str) -> None:
    found = SECOND[name](POINT, V)
    assert type(found) is dict and isinstance(found["x"], np.ndarray)
    assert_allclose(flat(found), along(ng.grad(scalar), POINT, V), rtol=1e-7)
    found = SECOND[name]({"x": ng.tensor(X), "y": ng.tensor(Y)}, V)
    assert isinstance(found["x"], ng.Tensor) and not found["x"].requires_grad


def test_a_gradient_passes_products_to_third_order() -> None:
    third = along(lambda p: ng.hvp(scalar, (p,), (V,)), POINT, W := {"x": Y, "y": X})
    found = ng.jvp(lambda p: ng.hvp(scalar, (p,), (V,)), (POINT,), (W,))[1]
    assert_allclose(flat(found), third, rtol=1e-6)
    by_v = ng.jacobian(lambda v: ng.hvp(lambda x: (x**4).sum(), (X,), (v,)))(Y)
    assert isinstance(by_v, np.ndarray)
    assert_allclose(by_v, np.diag(12 * X**2))
    x = ng.tensor(X, requires_grad=True)
    ng.hvp(lambda x: (x**4).sum(), (x,), (Y,)).sum().backward()
    assert_allclose(x.grad.numpy(), 24 * X * Y)  # type: ignore[union-attr]


def test_the_gauss_newton_product() -> None:
    model = lambda p: {"r": ng.sin(p["x"]) * p["y"]}
    loss = lambda z: (ng.cosh(z["r"]) * 2).sum()
    jacobian = ng.tree.map(np.asarray, ng.jacobian(model)(POINT)["r"])
    J = np.concatenate([jacobian["x"], jacobian["y"]], axis=1)
    H = np.diag(2 * np.cosh(np.sin(X) * Y))
    found = ng.ggn(model, loss, (POINT,), (V,))
    assert_allclose(flat(found), J.T @ H @ J @ flat(V), rtol=1e-12)
    two = ng.ggn(lambda a, b: a * b, lambda z: (z**2).sum(), (X, Y), (Y, X))
    assert isinstance(two, tuple) and len(two) == 2


def test_arguments_by_number_and_by_name() -> None:
    f = lambda a, b, c: a * b**2 * c
    assert ng.vjp(f, 2.0, 3.0, 4.0, argnums=-1)[1](1.0) == 18.0
    assert ng.vjp(f, 2.0, 3.0, 4.0, argnums=(0, 2))[1](1.0) == (36.0, 18.0)
    assert ng.vjp(f, 2.0, 3.0, 4.0, argnames=("b",))[1](1.0) == {"b": 48.0}
    assert ng.jvp(f, (2.0, 3.0, 4.0), (1.0,), argnums=1)[1] == 48.0
    assert ng.linearize(f, 2.0, 3.0, 4.0, argnums=(1, 0))[1](1.0, 0.0) == 48.0
    assert ng.hvp(f, (2.0, 3.0, 4.0), (1.0,), argnums=1) == 16.0
    assert ng.hvp(f, (2.0, 3.0, 4.0), (1.0, 0.0), argnums=(0, 1)) == (0.0, 24.0)
    assert ng.hvp(f, (2.0, 3.0, 4.0), (1.0, 0.0, 0.0)) == (0.0, 24.0, 9.0)


def test_what_is_returned_beside_the_result() -> None:
    f = lambda x: ((x**2).sum(), {"aux": x * 2, "n": 3})
    for aux in (
        ng.vjp(f, X, has_aux=True)[2],
        ng.jvp(f, (X,), (Y,), has_aux=True)[2],
        ng.linearize(f, X, has_aux=True)[2],
        ng.hvp(f, (X,), (Y,), has_aux=True)[1],
        ng.elementwise_grad(f, has_aux=True)(X)[1],
        ng.holomorphic_grad(lambda z: (z**2, {"aux": 2 * X, "n": 3}), has_aux=True)(1j)[1],
    ):
        assert_allclose(aux["aux"], 2 * X)
        assert aux["n"] == 3


def test_elementwise_and_analytic_functions() -> None:
    found = ng.elementwise_grad(ng.special.erf)(X)
    assert_allclose(found, 2 / np.sqrt(np.pi) * np.exp(-(X**2)), rtol=1e-14)
    assert_allclose(ng.elementwise_grad(ng.elementwise_grad(ng.sin))(X), -np.sin(X))
    assert_allclose(ng.elementwise_grad(lambda a, b: a * b, (0, 1))(X, Y), (Y, X))
    assert_allclose(ng.holomorphic_grad(ng.sin)(1 + 2j), np.cos(1 + 2j))
    assert_allclose(ng.elementwise_grad(ng.sin, holomorphic=True)(X * 1j), np.cos(X * 1j))


def test_constant_results_and_zero_cotangents() -> None:
    _, pull = ng.vjp(lambda x: (x * 2, np.ones(2)), X)
    assert_allclose(pull((Y, np.ones(2)))[0], 2 * Y)
    _, push = ng.linearize(lambda x: (x * 2, np.ones(2)), X)
    assert_allclose(push(Y)[1], np.zeros(2))
    assert_allclose(ng.hvp(lambda x: 3.0, (X,), (Y,)), np.zeros(3))
    assert_allclose(ng.hvp(lambda x: x.sum(), (X,), (Y,)), np.zeros(3))


def test_complex_numbers_follow_the_convention_of_gradients() -> None:
    z, w = X + 1j * Y, Y - 1j * X
    assert_allclose(ng.vjp(lambda z: z**2, z)[1](w)[0], w * np.conj(2 * z))
    assert_allclose(ng.jvp(lambda z: z**2, (z,), (w,))[1], w * 2 * z)
    assert_allclose(ng.linear_transpose(lambda z: 1j * z, z)(w)[0], -1j * w)


@pytest.mark.skipif(sys.platform == "win32", reason="has no resource module")
def test_calls_do_not_record_on_one_another() -> None:
    """A linear function holds no graph: what it was made of can go."""
    pull = ng.vjp(lambda x: x**2, ng.tensor(X, requires_grad=True).detach())[1]
    assert all(isinstance(x, (np.ndarray, ng.Tensor)) for x in pull.held)
    assert not any(x.requires_grad for x in pull.held if isinstance(x, ng.Tensor))
    assert not pull(Y)[0].requires_grad


square = lambda x: x * x
REFUSED: dict[str, tuple[str, Callable[[], Any]]] = {
    "no tuple": ("primals must be a tuple", lambda: ng.jvp(square, X, X)),  # type: ignore[arg-type]
    "tangents": ("tangents must be a tuple", lambda: ng.hvp(square, (1.0,), 1.0)),  # type: ignore[arg-type]
    "lengths": ("1 primals and 2 tangents", lambda: ng.jvp(square, (X,), (X, X))),
    "chosen": ("2 tangents for 1 arguments", lambda: ng.jvp(square, (X,), (X, X), argnums=0)),
    "shape": (r"tangent 0 has shape \(2,\); it must have shape \(3,\)", lambda: ng.jvp(square, (X,), (X[:2],))),
    "nested": (r"tangent 0\['a'\] is a list", lambda: ng.jvp(lambda p: p["a"][0], ({"a": (X,)},), ({"a": [X]},))),
    "complex": ("tangent 0 is complex128; it must be real", lambda: ng.jvp(square, (X,), (X * 1j,))),
    "text": ("tangent 0 is a str", lambda: ng.jvp(square, (X,), ("a",))),
    "cotangent": (r"pullback of vjp: the argument\[1\] has shape", lambda: ng.vjp(lambda x: (x, x), X)[1]((X, 1.0))),
    "number of cotangents": ("takes 1 arguments, not 2", lambda: ng.vjp(square, X)[1](X, X)),
    "number of tangents": ("takes 2 arguments, not 1", lambda: ng.linearize(ng.multiply, X, X)[1](X)),
    "integer": ("argument 0 is int64", lambda: ng.vjp(square, 3)),
    "integers out": ("result of the function is int64", lambda: ng.vjp(lambda x: x.argmax(), X)),
    "keys": (r"the argument is a dict with keys \['b'\]", lambda: ng.vjp(lambda x: {"a": x}, X)[1]({"b": X})),
    "no scalar": ("scalar-output", lambda: ng.hvp(square, (X,), (X,))),
    "square": ("derivative that depends on them", lambda: ng.linear_transpose(square, X)),
    "affine": ("is not 0 where they are", lambda: ng.linear_transpose(lambda x: x + 1.0, X)),
    "sign": ("depends on them|not 0", lambda: ng.linear_transpose(lambda x: abs(x), X)),
    "primal": ("argument .* is a str", lambda: ng.linear_transpose(square, "a")),
    "no array": ("elementwise_grad: the function returned a list", lambda: ng.elementwise_grad(lambda x: [x])(X)),
    "real": ("needs complex arguments", lambda: ng.holomorphic_grad(square)(1.0)),
    "argnums": ("vjp: argnums contains 3", lambda: ng.vjp(square, X, argnums=3)),
    "argnames": ("jvp: argnames contains 'q'", lambda: ng.jvp(lambda x: x, (X,), (X,), argnames="q")),
    "aux": ("linearize: with has_aux=True", lambda: ng.linearize(square, X, has_aux=True)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_errors_name_the_place(case: str) -> None:
    message, call = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize("track", [False, True])
def test_what_nothing_is_made_of_has_derivatives_of_its_own_shape(track: bool) -> None:
    """What such a function records tells nothing of the argument: programs were those of the first."""
    w = ng.tensor(X, requires_grad=track)
    for x in (X, np.ones(5), np.ones((2, 2), np.float32)):
        found = ng.jacobian(lambda x: w * w)(x)
        assert np.shape(found) == X.shape + x.shape
        assert ng.jvp(lambda x: np.sum(X**2), (x,), (x,))[1] == 0


@pytest.mark.parametrize("derivative", [ng.grad, ng.value_and_grad, ng.jacobian, ng.hessian])
def test_errors_bear_the_name_that_was_called(derivative: Any) -> None:
    with pytest.raises(TypeError, match=f"^{derivative.__name__}: argument 0 is int64"):
        derivative(lambda x: x * x)(3)
