"""Jacobians by batched seeds: in chunks, by rows and columns, recorded and as one program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.core.aval import make_aval
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.ops.arrays.units import units
from nbgrad.ops.kinds.forms import Host
from nbgrad.transforms import jacobian as batched

RNG = np.random.default_rng(5)
A, X = RNG.normal(size=(7, 6)), RNG.normal(size=(2, 3))


def wide(x: Any) -> Any:
    return np.sin(A @ x.reshape(6)) * x[0, 0] + np.cumsum(x.reshape(6))[-1]


def narrow(x: Any) -> Any:
    return np.stack([(np.tanh(x) * x).sum(), np.prod(x), x[1, 2] ** 3])


def differences(f: Any, x: Any, h: float = 1e-6) -> Any:
    columns = [
        (f(x + h * u) - f(x - h * u)) / (2 * h) for u in np.eye(x.size).reshape(-1, *x.shape)
    ]
    return np.stack(columns, -1).reshape(*np.shape(f(x)), *x.shape)


@pytest.mark.parametrize("seeds", [1, 2, 4, 100])
@pytest.mark.parametrize("f", [wide, narrow], ids=["columns", "rows"])
def test_chunks_of_any_size(f: Any, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one program, recorded in jit, with a graph, and its derivative."""
    monkeypatch.setattr(batched, "_chunk", lambda one, seed: seeds)
    point = X + 1.0

    def g(x: Any) -> Any:
        for _ in range(min(seeds, 5)):  # a structure that no other test has a program for
            x = x - 1 / min(seeds, 5)
        return f(x)

    expected = differences(g, point)
    for tier in ("reference", "fused") if seeds == 2 else ("reference",):
        with ng.configure(tier=tier):
            for jacobian in (ng.jacobian(g), ng.jit(ng.jacobian(g))):
                assert_allclose(jacobian(point), expected, rtol=1e-6, atol=1e-8)
    with ng.configure(tier="reference"):
        second = differences(ng.jacobian(g), point)
        assert_allclose(ng.jacobian(ng.jacobian(g))(point), second, rtol=1e-6, atol=1e-7)
        mapped = ng.vmap(ng.jacobian(g))(np.stack([point, point + 0.1]))
        assert_allclose(mapped[0], expected, rtol=1e-6, atol=1e-8)


def test_a_chunk_has_no_more_bytes_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched, "MAX_BYTES", 1 << 12)
    made: list[int] = []
    original = batched.batched
    monkeypatch.setattr(
        batched,
        "batched",
        lambda tape, nodes, size, *a: made.append(size) or original(tape, nodes, size, *a),
    )
    x = RNG.normal(size=40)
    found = ng.jacobian(lambda x: np.sin(x) * x[::-1] * 1.25)(x)
    assert 1 < len(made) <= batched.MAX_CHUNKS and sum(made) == 40
    rows = np.zeros((40, 40))
    rows[range(40), range(40)] += np.cos(x) * x[::-1] * 1.25
    rows[range(40), range(39, -1, -1)] += np.sin(x) * 1.25
    assert_allclose(found, rows, rtol=1e-12)


def test_equations_do_not_grow_with_the_columns() -> None:
    """Nor is there a product with all units."""

    def loss(w: Any) -> Any:
        return np.log1p(np.exp(-(A @ w))).sum()

    compiled = ng.jit(ng.hessian(loss))
    w = RNG.normal(size=6)
    p = 1 / (1 + np.exp(A @ w))
    assert_allclose(compiled(w), A.T @ ((p * (1 - p))[:, None] * A), rtol=1e-12)
    ((entry,),) = [e for traces in compiled.traces.by_policy.values() for e in traces.values()]
    names = [eqn.prim.name for eqn in entry.tape.eqns]
    assert names.count("matmul") == 2 and len(names) < 60


def test_units_are_ones_in_one_place() -> None:
    aval = make_aval((2, 3), np.dtype(np.float32))
    assert np.asarray(ng.Tensor(units(aval, 1, 3)).numpy()).reshape(2, 6).tolist() == [
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
    ]
    assert units(make_aval((1 << 24,), np.dtype(np.float32)), 0, 1).dtype == np.float32


def test_complex_and_no_elements() -> None:
    z = RNG.normal(size=3) + 1j * RNG.normal(size=3)
    found = ng.jacobian(lambda z: z**2 * z[0], holomorphic=True)(z)
    expected = np.diag(2 * z * z[0])
    expected[:, 0] += z**2
    assert_allclose(found, expected, rtol=1e-12)
    assert ng.jacobian(lambda x: x * 2)(np.zeros(0)).shape == (0, 0)
    assert ng.jacobian(lambda x: x[:0])(np.zeros(3)).shape == (0, 3)
    assert ng.jacobian(lambda x: np.ones(2) * x.sum())(np.zeros(0)).shape == (2, 0)


def test_the_mode_may_be_chosen() -> None:
    for f in (wide, narrow):
        expected = ng.jacobian(f)(X)
        for mode in (ng.jacfwd, ng.jacrev):
            assert_allclose(mode(f)(X), expected, rtol=1e-12, atol=1e-13)
            assert_allclose(ng.jit(mode(f))(X), expected, rtol=1e-12, atol=1e-13)
    f = lambda x: (np.sin(x) * x).sum() ** 2
    wanted = ng.hessian(f)(X)
    for outer in (ng.jacfwd, ng.jacrev):
        for inner in (ng.jacfwd, ng.jacrev):
            assert_allclose(outer(inner(f))(X), wanted, rtol=1e-12)
    assert ng.jacfwd(lambda x, s: (x * s, s), has_aux=True)(X, 2.0)[1] == 2.0
    with pytest.raises(TypeError, match="jacrev: argument 0 is bool"):
        ng.jacrev(f)(np.array([True]))
    z = np.array([1 + 2j, 0.5j])
    holomorphic = [m(lambda z: z**3, holomorphic=True)(z) for m in (ng.jacfwd, ng.jacrev)]
    assert_allclose(holomorphic[0], np.diag(3 * z**2))
    assert_allclose(holomorphic[1], np.diag(3 * z**2))


def test_an_operation_without_a_rule_for_batches_is_run_for_each_direction() -> None:
    double = Primitive(
        name="double_without_batch",
        kind="opaque",
        evaluate=lambda x: 2 * x,
        prepare=lambda xs, params: (xs, xs[0].aval, ()),
        rules=Rules(
            lambda ct, y, xs, params, wants: [double(ct)], lambda ts, y, xs, params: double(ts[0])
        ),
        lower=Host(),
        grad_name="Double",
        doc="Twice the operand.",
        registered=False,
    )
    f = lambda x: ng.Tensor(double((x * x)._node))
    x = np.array([1.0, 3.0])
    for mode in (ng.jacfwd, ng.jacrev, ng.jacobian):
        assert_allclose(mode(f)(x), np.diag(4 * x))
    with pytest.raises(NotImplementedError, match="double_without_batch has no rule for batches"):
        ng.vmap(f)(x)


STENCILS = {
    "differences": lambda x: np.diff(x) ** 2,
    "three points": lambda x: x[:-2] * x[1:-1] + np.sin(x[2:]),
    "one side": lambda x: x[3:] ** 2 * 1.5,
    "periodic": lambda x: x * np.roll(x, 1),  # wide: it wraps around
    "longer": lambda x: np.pad(x, (2, 1)) ** 3,
    "elements": lambda x: np.exp(-x) * x,
    "steps": lambda x: x[::2] * x[1::2],  # wide: the distance grows
    "wide": lambda x: np.cumsum(x) * x[::-1],
    "all read one": lambda x: x * x[5],
    "written": lambda x: np.concatenate([x[1:] * x[:-1], x[:1] * 0.0]),
    "strips": lambda x: (x.reshape(32, 3) ** 2).reshape(96),
}


@pytest.mark.parametrize("name", STENCILS)
def test_bands_are_what_all_columns_are(name: str) -> None:
    f = STENCILS[name]
    x = RNG.normal(size=96)
    loss = lambda x: (np.tanh(f(x)) * f(x)).sum()
    with ng.configure(tier="reference"):
        found, curve = ng.jacfwd(f)(x), ng.jit(ng.hessian(loss))(x)
        assert_allclose(found, differences(f, x), rtol=1e-6, atol=1e-8)
        assert_allclose(ng.jit(ng.jacfwd(f))(x), found, rtol=1e-13, atol=1e-13)
        assert_allclose(curve, differences(ng.grad(loss), x), rtol=1e-5, atol=1e-6)
        assert_allclose(curve, ng.jacrev(ng.grad(loss))(x), rtol=1e-12, atol=1e-12)


def test_a_band_takes_as_many_directions_as_it_has_diagonals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    original = batched.batched
    monkeypatch.setattr(
        batched,
        "batched",
        lambda tape, nodes, size, *a: made.append(size) or original(tape, nodes, size, *a),
    )

    def rosenbrock(x: Any) -> Any:
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    x = RNG.normal(size=111)
    found = ng.hessian(rosenbrock)(x)
    assert made == [3]
    assert_allclose(found, differences(ng.grad(rosenbrock), x), rtol=1e-5, atol=1e-4)
    third = ng.grad(lambda x: ng.hessian(rosenbrock)(x).sum())(x)
    expected = differences(lambda x: ng.hessian(rosenbrock)(x).sum(), x)
    assert_allclose(third, expected, rtol=1e-5, atol=1e-3)
    with ng.configure(nan_policy="ieee"):
        assert_allclose(ng.hessian(rosenbrock)(x), found, rtol=1e-12)
    assert made[-1] == 111  # 0 times infinity is NaN then, wherever it stands
