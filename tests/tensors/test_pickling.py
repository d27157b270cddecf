"""What transforms make of functions goes to other processes, by whatever pickles it."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nbgrad as ng

X = np.array([1.0, 2.0])


def f(x: Any) -> Any:
    """The sum of cubes."""
    return (x**3).sum()


@ng.jit
def decorated(x: Any) -> Any:
    return (x**3).sum()


@ng.jit
@ng.grad
def twice(x: Any) -> Any:
    return (x**3).sum()


class Scaled:
    """A callable with a state."""

    factor = 3.0

    def __call__(self, x: Any) -> Any:
        return (x**3).sum() * self.factor

    @ng.jit
    def method(self, x: Any) -> Any:
        return x * self.factor


HELD: dict[str, Callable[[Any], Any]] = {
    "jit": ng.jit(f),
    "grad": ng.grad(f),
    "value_and_grad": ng.value_and_grad(f, argnums=(0,)),
    "jacobian": ng.jacobian(f),
    "hessian": ng.hessian(f, argnums=0),
    "jit of grad": ng.jit(ng.grad(f)),
    "grad of jit": ng.grad(ng.jit(f)),
    "decorated": decorated,
    "decorated twice": twice,
    "grad of an object": ng.grad(Scaled()),
}


@pytest.mark.parametrize("name", HELD)
def test_pickles_cold_and_hot(name: str) -> None:
    g = HELD[name]
    expected = g(X)
    for _ in range(2):
        back = pickle.loads(pickle.dumps(g))
        found = back(X)
        for a, b in zip(
            found if isinstance(found, tuple) else (found,),
            expected if isinstance(expected, tuple) else (expected,),
            strict=True,
        ):
            assert_array_equal(a, b)
        for _ in range(60):
            g(X)


def test_a_decorated_function_stays_itself() -> None:
    for g in (decorated, twice):
        assert pickle.loads(pickle.dumps(g)) is g and copy.deepcopy(g) is g
    assert pickle.loads(pickle.dumps(HELD["grad"])) is not HELD["grad"]


@pytest.mark.parametrize("name", HELD)
def test_cloudpickle_takes_lambdas_and_closures(name: str) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    g = HELD[name]
    scale = 2.0
    closure = ng.grad(lambda x: (g(x)[0] if isinstance(g(x), tuple) else g(x)).sum() * scale)
    assert_array_equal(cloudpickle.loads(cloudpickle.dumps(closure))(X), closure(X))


def test_they_look_like_the_function() -> None:
    g = ng.grad(f)
    assert (g.__name__, g.__doc__, g.__wrapped__) == ("f", f.__doc__, f)
    assert inspect.signature(g) == inspect.signature(f) and repr(g).startswith("<nbgrad.grad of")
    assert_array_equal(Scaled().method(X), 3.0 * X)
    assert_array_equal(Scaled.method(Scaled(), X), 3.0 * X)
    g.note = "users may keep notes"
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(ng.grad(lambda x: x))


SCRIPT = """
import multiprocessing
import numpy as np
import nbgrad as ng

def f(x):
    return ((x - 0.5) ** 2).sum()

g, h = ng.jit(f), ng.jit(ng.grad(f))

@ng.jit
@ng.grad
def decorated(x):
    return ((x - 0.5) ** 2).sum()

if __name__ == "__main__":
    xs = [np.array([1.0, k]) for k in range(3)]
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            for function in (g, h, decorated, ng.value_and_grad(f)):
                print(pool.map(function, xs[:1]))
    from scipy.optimize import differential_evolution

    search = {"updating": "deferred", "maxiter": 2, "polish": False, "seed": 1}
    found = differential_evolution(g, [(0, 1)] * 2, workers=2, **search)
    print(found.fun < 0.1)
"""


def test_processes_of_the_standard_library_and_scipy(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    once = ["[np.float64(0.5)]", "[array([ 1., -1.])]", "[array([ 1., -1.])]"]
    once.append("[(np.float64(0.5), array([ 1., -1.]))]")
    assert done.stdout.splitlines() == [*once, *once, "True"]


def test_joblib_and_loky() -> None:
    joblib = pytest.importorskip("joblib")
    try:
        for backend in ("loky", "threading"):
            parallel = joblib.Parallel(n_jobs=2, backend=backend)
            names = ("jit", "grad", "jit of grad")
            found = parallel(joblib.delayed(HELD[name])(X) for name in names)
            for a, name in zip(found, names, strict=True):
                assert_array_equal(a, HELD[name](X))
    finally:  # its threads would be there in the tests that follow
        joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
