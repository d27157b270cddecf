"""Plans: each method gives the matrix of the others, refills it, and is what it was after a pickle."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import nbgrad as ng
from nbgrad.engine import tiers
from nbgrad.errors import GradcheckError

RNG = np.random.default_rng(8)
N = 14


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def arrow(x: Any) -> Any:
    """A long row, a long column and a diagonal."""
    return np.concatenate([(x * x).sum()[None], x[1:] * x[0] + x[1:] ** 2])


def pairs(x: Any) -> Any:
    """The energy of a graph."""
    return (np.cos(x[EDGES[0]] - x[EDGES[1]]) * np.arange(1.0, 1.0 + len(EDGES[0]))).sum()


EDGES = RNG.integers(0, N, (2, 20))
JACOBIANS: dict[str, Callable[[Any], Any]] = {
    "stencil": lambda x: (3 - 2 * x) * x - np.roll(x, 1) * np.sin(np.roll(x, -1)),
    "rows": lambda x: np.stack([x[1:] * x[:-1], x[1:] ** 2, x[:-1] * x[0]], axis=1).sum(axis=1),
    "arrow": arrow,
    "gather": lambda x: x[EDGES[0]] * x[EDGES[1]] ** 2,
    "two results": lambda x: (x[::2] ** 2, {"b": x[1:3] * x[0], "c": np.ones(2)}),
}
HESSIANS: dict[str, Callable[[Any], Any]] = {
    "chain": rosenbrock,
    "graph": pairs,
    "arrow": lambda x: (x[0] * x**2).sum(),
    "dense": lambda x: x.sum() ** 3,
    "empty": lambda x: (x * 3.0).sum(),
}


@pytest.fixture(autouse=True)
def _uncompiled() -> Iterator[None]:
    with ng.configure(tier="reference"):
        yield


def flat(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Results one after the other."""
    return lambda x: np.concatenate([np.asarray(y).reshape(-1) for y in ng.tree.leaves(f(x))])


@pytest.mark.parametrize("format", ["csr", "csc"])
@pytest.mark.parametrize("method", ["auto", "columns", "rows", "both"])
@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobian_by_each_method(name: str, method: str, format: str) -> None:
    f, x = JACOBIANS[name], RNG.normal(size=N)
    plan = ng.sparse.jacobian(f, np.zeros(N), method=method, format=format, check=True)
    expected = ng.jacobian(
        lambda x: ng.numpy.concatenate([y.reshape(-1) for y in ng.tree.leaves(f(x))])
    )(x)
    found = plan(x)
    assert found.format == format and found.has_sorted_indices
    assert np.allclose(found.toarray(), expected, atol=1e-12)


@pytest.mark.parametrize("order", ["natural", "largest-first", "smallest-last"])
@pytest.mark.parametrize("method", ["auto", "columns", "rows", "both", "star", "acyclic"])
@pytest.mark.parametrize("name", HESSIANS)
def test_hessian_by_each_method(name: str, method: str, order: str) -> None:
    f, x = HESSIANS[name], RNG.normal(size=N)
    plan = ng.sparse.hessian(f, np.zeros(N), method=method, order=order, check=True)
    assert np.allclose(plan(x).toarray(), ng.hessian(f)(x), atol=1e-10)


def test_products_that_methods_take() -> None:
    of_chain = {
        method: ng.sparse.hessian(rosenbrock, np.zeros(N), method=method).colors
        for method in ("columns", "star", "acyclic", "direct")
    }
    assert of_chain == {"columns": 3, "star": 3, "acyclic": 2, "direct": 0}
    assert ng.sparse.jacobian(arrow, np.zeros(N), method="columns").colors == N
    long = ng.sparse.jacobian(arrow, np.zeros(10 * N))
    assert (long.method, long.colors) == ("both", 3)
    assert ng.sparse.jacobian(JACOBIANS["stencil"], np.zeros(N)).method == "direct"


@pytest.mark.parametrize("method", ["direct", "columns"])
def test_matrix_is_refilled_in_place(method: str) -> None:
    plan = ng.sparse.jacobian(JACOBIANS["stencil"], np.zeros(N), method=method)
    x, y = RNG.normal(size=(2, N))
    matrix, other = plan(x), plan(y)
    data = matrix.data
    assert plan.into(matrix, y) is matrix and matrix.data is data
    assert np.array_equal(matrix.toarray(), other.toarray())
    assert np.array_equal(plan.values(y), data)
    assert matrix.indices is other.indices and not matrix.indices.flags.writeable
    with pytest.raises(ValueError, match="a call of this plan"):
        plan.into(sp.csr_array(matrix.toarray()), y)
    with pytest.raises(ValueError, match="contiguous array of"):
        plan.values(y, out=np.zeros(3))


@pytest.mark.parametrize("method", ["direct", "columns", "rows", "acyclic"])
def test_plan_pickles(method: str) -> None:
    plan = ng.sparse.hessian(rosenbrock, np.zeros(N), method=method)
    again = pickle.loads(pickle.dumps(plan))
    x = RNG.normal(size=N)
    assert np.array_equal(again(x).toarray(), plan(x).toarray())
    assert repr(again) == repr(plan)


def test_nested_x_and_arguments() -> None:
    def f(p: Any, data: Any, *, scale: float) -> Any:
        return p["a"] * data * scale + p["b"][0]

    x0 = {"a": np.ones(3), "b": [2.0, np.ones(2)]}
    plan = ng.sparse.jacobian(f, x0, args=(np.ones(3),), kwargs={"scale": 2.0})
    assert plan.shape == (3, 6)
    with pytest.raises(TypeError, match="nested otherwise"):
        plan(x0)
    with pytest.raises(TypeError, match="nested otherwise"):
        plan({"a": np.ones(3)}, np.ones(3))
    with pytest.raises(ValueError, match="has shape"):
        plan({"a": np.ones(4), "b": [2.0, np.ones(2)]}, np.ones(3))


def test_integers_are_differentiated_as_floats() -> None:
    plan = ng.sparse.jacobian(lambda x: x**2, np.array([1, 2, 3]))
    assert np.array_equal(plan(np.array([1, 2, 3])).diagonal(), [2.0, 4.0, 6.0])
    single = ng.sparse.jacobian(lambda x: x**2, np.ones(3, np.float32))
    assert single(np.ones(3, np.float32)).dtype == np.float32


def test_pattern_at_a_point_has_fewer_entries() -> None:
    f: Callable[[Any], Any] = lambda x: np.where(x > 0, x, np.roll(x, 1)) * x[0]
    x = np.linspace(-1.0, 1.0, N)
    everywhere, here = (ng.sparse.jacobian(f, x, at_point=on) for on in (False, True))
    assert here.nnz < everywhere.nnz
    assert np.allclose(here(x).toarray(), everywhere(x).toarray())


def test_data_dependent_places_are_taken_for_any() -> None:
    def f(x: Any) -> Any:
        return x[np.argsort(x)[:2]] * 2

    x = RNG.normal(size=5)
    plan = ng.sparse.jacobian(f, np.zeros(5))
    assert plan.nnz == 10
    assert np.array_equal(plan(x).toarray(), ng.jacobian(f)(x))
    assert ng.sparse.jacobian(f, x, at_point=True).nnz == 2


def test_check_finds_a_pattern_that_lacks_an_entry() -> None:
    with pytest.raises(GradcheckError, match="lacks an entry"):
        ng.sparse.jacobian(lambda x: x * x[::-1], np.arange(4.0), pattern=np.eye(4), check=True)
    plan = ng.sparse.jacobian(
        lambda x: x * x, np.ones(4), pattern=sp.eye_array(4), method="columns", check=True
    )
    assert plan.colors == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "star"}, "method='star': give one of 'auto'"),
        ({"order": "random"}, "order='random': give one of"),
        ({"format": "coo"}, "format='coo': give one of 'csr'"),
        ({"pattern": np.eye(3)}, "a pattern of shape"),
        ({"method": "direct"}, "cannot be computed without products"),
    ],
)
def test_refuses_what_nobody_can_mean(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ng.sparse.jacobian(lambda x: np.cumsum(x), np.ones(4), **options)


def test_refuses_arguments_that_have_no_derivative() -> None:
    with pytest.raises(TypeError, match="x0 is complex"):
        ng.sparse.jacobian(lambda x: x, np.ones(2, complex))
    with pytest.raises(TypeError, match="no array of numbers"):
        ng.sparse.jacobian(lambda x: x, np.array(["a"]))
    with pytest.raises(TypeError, match="no array to differentiate"):
        ng.sparse.jacobian(lambda x: np.ones(2), ())


def test_a_million_dense_entries_raise_before_they_are_there() -> None:
    with pytest.raises(MemoryError, match="something is not sparse"):
        ng.sparse.jacobian(lambda x: x * np.sin(x).sum(), np.ones(20_000))


def test_mode_of_the_caller_does_not_matter() -> None:
    with ng.no_grad():
        plan = ng.sparse.jacobian(lambda x: x * x, np.ones(3))
    assert plan.nnz == 3


def test_a_loop_of_unknown_length_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling the products of a solver of differential equations took half a minute before the first values."""
    monkeypatch.setattr(tiers, "JIT_WAIT", 0.0)
    compiled = []
    compile_ = tiers.Executable.compile
    monkeypatch.setattr(
        tiers.Executable, "compile", lambda self: compiled.append(self) or compile_(self)
    )

    def halved(x: Any) -> Any:
        return ng.while_loop(lambda y: (y * y).sum() > 1e-3, lambda y: 0.5 * y + 0.1 * y[::-1], x)

    x = np.arange(1.0, 5.0)
    with ng.configure(tier="auto", deterministic=False):
        plan = ng.sparse.jacobian(halved, x)
        assert not [e for e in compiled if e.work.endless]
        assert np.allclose(plan(x).toarray(), ng.jacobian(halved)(x))
    assert not [e for e in compiled if e.work.endless]
