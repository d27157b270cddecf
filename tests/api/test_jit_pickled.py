"""Compiled lambdas and closures are pickled as their tapes; functions of modules by reference."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

X = np.array([0.5, 1.5, 2.5])
WEIGHTS = np.array([1.0, 2.0, 3.0])


def returned(f: Any) -> Any:
    return pickle.loads(pickle.dumps(f))


def closure(**options: Any) -> Any:
    weights, scale = WEIGHTS.copy(), 2.0

    def f(x: Any, p: Any = 1.0, *, mode: str = "a") -> Any:
        """Weigh."""
        y = np.sin(x) * weights * scale + p
        return {"y": y, "total": y.sum()} if mode == "a" else y

    return ng.jit(f, **options)


def test_a_closure_over_arrays_goes_as_its_tapes() -> None:
    f = closure()
    wanted = [f(X), f(X, 2.5), f(X, mode="b"), f(X, p=np.float64(2.0))]
    g = returned(f)
    found = [g(X), g(X, 2.5), g(X, mode="b"), g(X, p=np.float64(2.0))]
    for a, b in zip(found[:2], wanted[:2], strict=True):
        assert a.keys() == b.keys()
        assert_allclose(a["y"], b["y"], rtol=1e-14)
    assert_allclose(found[2], wanted[2], rtol=1e-14)
    assert (g.__name__, g.__doc__) == ("f", "Weigh.")
    for _ in range(60):  # hot, and pickled again
        g(X)
    assert_allclose(returned(g)(X)["y"], wanted[0]["y"], rtol=1e-14)


def test_it_can_be_differentiated_mapped_and_compiled_again() -> None:
    h = ng.jit(lambda x: (np.sin(x) * WEIGHTS).sum())
    h(X)
    g = returned(h)
    assert_allclose(ng.grad(g)(X), np.cos(X) * WEIGHTS)
    assert_allclose(ng.hessian(g)(X), np.diag(-np.sin(X) * WEIGHTS), atol=1e-14)
    assert_allclose(ng.jit(ng.grad(g))(X), np.cos(X) * WEIGHTS)
    assert_allclose(ng.vmap(g)(np.stack([X, 2 * X])), [h(X), h(2 * X)])
    t = ng.tensor(X, requires_grad=True)
    g(t).backward()
    assert_allclose(t.grad.numpy(), np.cos(X) * WEIGHTS)


def test_what_was_cut_stays_cut() -> None:
    def f(x: Any) -> Any:
        x = ng.as_tensor(x)
        with ng.no_grad():
            scale = x * 2
        return (x * scale + x.detach() * x).sum()

    h = ng.jit(lambda x: f(x))
    h(X)
    assert_allclose(ng.grad(returned(h))(X), ng.grad(f)(X))
    assert_allclose(ng.grad(f)(X), 3 * X)


def test_transforms_of_lambdas_go_as_tapes_as_well() -> None:
    f = ng.jit(ng.value_and_grad(lambda x: (x**3).sum()))
    wanted = f(X)
    for a, b in zip(returned(f)(X), wanted, strict=True):
        assert_allclose(a, b)


def test_loops_random_settings_and_static_arguments_go_along() -> None:
    f = ng.jit(lambda x, n: ng.scan(lambda c, r: (c * r + n, c), x[0], x), static_argnames="n")
    wanted = f(X, 2.5)
    found = returned(f)(X, 2.5)
    assert_allclose(found[0], wanted[0])
    assert_allclose(found[1], wanted[1])
    g = ng.jit(lambda x, n: x * n)
    for n in range(8):  # settings, then a number
        g(X, n)
    back = returned(g)
    for n in range(8):
        assert_array_equal(back(X, n), X * n)


def test_what_was_not_traced_is_refused_by_name() -> None:
    f = closure()
    f(X)
    g = returned(f)
    for bad in (X[:2], X.astype(np.float32), X[None]):
        with pytest.raises(TypeError, match=r"serves only such arguments: \(float64\[3\]\)"):
            g(bad)
    with pytest.raises(TypeError, match="serves only such arguments"):
        g(X, mode="b")
    assert_allclose(g(X)["y"], f(X)["y"])


def test_what_no_tape_stands_for_is_refused_when_it_is_pickled() -> None:
    with pytest.raises(pickle.PicklingError, match=r"has not been called yet.*cloudpickle"):
        pickle.dumps(ng.jit(lambda x: x))
    weight = ng.tensor(WEIGHTS, requires_grad=True)
    f = ng.jit(lambda x: (x * weight).sum())
    f(X)
    with pytest.raises(pickle.PicklingError, match="tensors that require grad from outside"):
        pickle.dumps(f)

    class Twice(ng.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    g = ng.jit(lambda x: Twice.apply(x))
    g(ng.tensor(X, requires_grad=True))
    with pytest.raises(pickle.PicklingError, match="whose backward is no tape"):
        pickle.dumps(g)


def test_what_it_read_from_outside_is_as_it_was() -> None:
    held = {"scale": 2.0}
    f = ng.jit(lambda x: x * held["scale"])
    f(X)
    g = returned(f)
    held["scale"] = 5.0
    assert_array_equal(g(X), 2 * X)
    assert_array_equal(f(X), 5 * X)
    assert_array_equal(returned(f)(X), 5 * X)


def test_copies_are_of_the_function() -> None:
    f = ng.jit(lambda x: x * 2)
    for made in (copy.copy(f), copy.deepcopy(f)):
        assert_array_equal(made(X), 2 * X)  # which was never called before it was copied


def test_another_process_plays_the_tapes(tmp_path: Path) -> None:
    f = closure()
    f(X)
    path = tmp_path / "f.pickle"
    path.write_bytes(pickle.dumps(f))
    code = "import pickle, sys; import numpy as np; f = pickle.load(open(sys.argv[1], 'rb'))"
    code += "; print(float(f(np.array([0.5, 1.5, 2.5]))['total']))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert_allclose(float(done.stdout), f(X)["total"])
