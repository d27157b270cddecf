"""The methods of compiled functions as machine code: what they serve, what they pass on, what they look at."""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.api.jit import methods
from nbgrad.api.short import HOT_CALLS

X = np.linspace(0.1, 1.0, 5)
SCALE: Any = 2.0


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    with ng.configure(deterministic=True):
        yield


def hot(f: Any, *args: Any) -> Any:
    compiled = ng.jit(f)
    for _ in range(HOT_CALLS + 2):
        compiled(*args)
    assert type(compiled).__dict__["__call__"] is methods.code["__call__"]
    assert compiled.quick[2] is not None
    return compiled


def served(f: Any) -> bool:
    """Whether all of a call is machine code: nothing nests its results, nor finds its arguments."""
    return bool(f.quick[1] is None and f.quick[3] is None)


NESTED = [
    lambda x: x * 2.0,
    lambda x: x.sum(),
    lambda x: (x.sum(), x * 2.0),
    lambda x: [x * 3.0],
    lambda x: (x.sum(), (x * 2.0, [x + 1.0, (x.sum() * 2.0,)]), ()),
]


@pytest.mark.parametrize("f", NESTED, ids=["one", "number", "tuple", "list", "nested"])
def test_tuples_and_lists_of_results(f: Any) -> None:
    compiled, expected = hot(f, X), f(X)
    assert served(compiled)
    assert repr(compiled(X)) == repr(expected)


def test_other_containers_are_left_to_python() -> None:
    compiled = hot(lambda x: {"sum": x.sum(), "all": (x * 2.0, None)}, X)
    assert not served(compiled)
    found = compiled(X)
    assert found["sum"] == X.sum() and found["all"][1] is None


def test_nested_arguments_are_found_by_python_in_a_call_of_machine_code() -> None:
    held = {"by": 2.0}

    def f(p: Any, x: Any) -> Any:
        return {"sum": (p["w"] * x).sum() * held["by"], "all": [p["w"] * x]}

    def check(p: Any) -> None:
        found, expected = compiled(p, X), f(p, X)
        np.testing.assert_allclose(found["sum"], expected["sum"], rtol=1e-15)
        np.testing.assert_array_equal(found["all"], expected["all"])

    compiled = hot(f, {"w": X}, X)
    for scale in (2.0, 3.0):
        check({"w": scale * X})
    check({"w": X, "v": X})
    for wrong in ({"v": X}, [X]):
        with pytest.raises((KeyError, TypeError)):
            check(wrong)
    held["by"] = 3.0
    check({"w": X})
    compiled = hot(f, {"w": X}, X)
    watched = ({"w": X}, compiled.quick, compiled.quick[3], None, X)
    before = [sys.getrefcount(x) for x in watched]
    for _ in range(300):
        compiled(watched[0], X)
        compiled(watched[0], X[::-1])
    assert max(np.subtract([sys.getrefcount(x) for x in watched], before)) < 150


def test_arguments_by_name_and_many_of_them() -> None:
    f = hot(lambda x, c: x * c, X, 2.0)
    np.testing.assert_array_equal(f(x=X, c=3.0), X * 3.0)
    np.testing.assert_array_equal(f(X, c=3.0), X * 3.0)
    np.testing.assert_array_equal(f.__call__(X, 3.0), X * 3.0)
    np.testing.assert_array_equal(f.__call__(X, c=3.0), X * 3.0)
    many = [np.full(3, float(k)) for k in range(40)]
    total = hot(lambda *xs: sum(xs[1:], xs[0]), *many)
    np.testing.assert_array_equal(total(*many), np.full(3, 780.0))
    out = np.zeros(3)
    for _ in range(HOT_CALLS + 2):
        total.into(*many, out=out)
    np.testing.assert_array_equal(out, np.full(3, 780.0))


def test_errors_of_the_long_way() -> None:
    f = hot(lambda x, c: x * c, X, 2.0)
    with pytest.raises(TypeError, match="argument"):
        f(X)
    with pytest.raises(TypeError, match="unexpected keyword"):
        f(X, 2.0, d=1)
    out = np.zeros(5)
    for _ in range(HOT_CALLS + 2):
        f.into(X, 2.0, out=out)
    with pytest.raises(TypeError, match="out"):
        f.into(X, 2.0)
    with pytest.raises(TypeError, match="must be a NumPy array"):
        f.into(X, 2.0, out=(out,))


def changed(f: Any, change: Any) -> Any:
    """What a hot *f* gives after a change of what it reads."""
    compiled = hot(f, X)
    assert served(compiled)
    before = compiled(X)
    change()
    after = compiled(X)
    np.testing.assert_array_equal(after, f(X))
    return compiled, before, after


def test_globals_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    name = sys.modules[__name__]
    f, before, after = changed(
        lambda x: x * SCALE, lambda: monkeypatch.setattr(name, "SCALE", 5.0)
    )
    np.testing.assert_array_equal(2.5 * before, after)
    # An equal number of the same class is no change; one of another class is.
    enter = f.quick[2]
    monkeypatch.setattr(name, "SCALE", float("2.0"))
    for _ in range(HOT_CALLS + 2):
        f(X)
    enter = f.quick[2]
    monkeypatch.setattr(name, "SCALE", float("2.0"))
    assert enter(X) is not None
    monkeypatch.setattr(name, "SCALE", 2)
    assert enter(X) is None
    monkeypatch.delattr(name, "SCALE")
    assert enter(X) is None
    with pytest.raises(NameError):
        f(X)


def test_closures_are_looked_at() -> None:
    scale: Any = 2.0

    def set_scale() -> None:
        nonlocal scale
        scale = 7.0

    f, before, after = changed(lambda x: x * scale, set_scale)
    np.testing.assert_array_equal(3.5 * before, after)
    enter = f.quick[2]
    scale = 7
    assert enter(X) is None


def test_other_state_is_looked_at_in_python() -> None:
    held = {"by": 2.0}
    f = hot(lambda x: x * held["by"], X)
    assert not served(f)
    np.testing.assert_array_equal(f(X), X * 2.0)
    held["by"] = 3.0
    np.testing.assert_array_equal(f(X), X * 3.0)


def test_the_switch_puts_python_back() -> None:
    f = hot(lambda x: (x.sum(), x * 2.0), X)
    expected = f(X)
    with ng.configure(twins="off"):
        assert type(f).__dict__["__call__"] is methods.python["__call__"]
        assert repr(f(X)) == repr(expected)
    assert type(f).__dict__["into"] is methods.code["into"]
    assert repr(f(X)) == repr(expected)


def test_methods_say_what_those_in_python_do() -> None:
    hot(lambda x: x * 2.0, X)
    assert inspect.getdoc(ng.Jitted.into) == inspect.getdoc(methods.python["into"])
    assert list(inspect.signature(ng.Jitted.into).parameters) == ["self", "args", "out", "kwargs"]


def test_an_object_that_nobody_has_initialised() -> None:
    hot(lambda x: x * 2.0, X)
    with pytest.raises(SystemError):
        ng.Jitted.__new__(ng.Jitted)(X)


def test_as_a_method_and_in_a_subclass() -> None:
    class Model:
        @ng.jit
        def run(self, x: Any) -> Any:
            return x * 2.0

    model = Model()
    for _ in range(HOT_CALLS + 2):
        np.testing.assert_array_equal(model.run(X), X * 2.0)
    f = ng.jit(lambda x: x * 2.0, donate_argnums=0)
    for _ in range(HOT_CALLS + 2):
        np.testing.assert_array_equal(f(X.copy()), X * 2.0)


def test_no_reference_is_kept() -> None:
    f = hot(lambda x, c: (x.sum(), [x * c, c * 2.0]), X, 2.0)
    g = ng.jit(lambda x: (x.sum(), x * 2.0))
    out = np.zeros(()), np.zeros(5)
    for _ in range(HOT_CALLS + 2):
        g.into(X, out=out)
    number, text = float("1.25"), "c"
    watched = (
        X,
        X.dtype,
        f,
        f.quick,
        g.quick_into,
        out,
        *out,
        number,
        text,
        None,
        True,
        tuple,
        list,
    )

    def work() -> None:
        f(X, number)
        f(x=X, c=number)
        f(X[::-1], number)
        g.into(X, out=out)
        g.into(x=X, out=out)

    for _ in range(50):
        work()
    gc.collect()
    before = [sys.getrefcount(x) for x in watched]
    for _ in range(500):
        work()
    gc.collect()
    after = [sys.getrefcount(x) for x in watched]
    assert max(np.subtract(after, before)) < 200 and min(np.subtract(after, before)) > -200
