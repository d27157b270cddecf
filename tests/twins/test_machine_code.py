"""Recording, walking and calling by machine code: what it serves, what it leaves to Python.

That both record and find the same is compared throughout the suite, see ``machine``.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from machine import same_as_walked
from subprocesses import run

import nbgrad as ng
from nbgrad.api.short import HOT_CALLS
from nbgrad.backends.cpu import entry
from nbgrad.core import linearize, ports
from nbgrad.core.node import next_sequence
from nbgrad.core.ports import shortcuts
from nbgrad.machine import builtin, layout
from nbgrad.ops.elements import arithmetic, trigonometric
from nbgrad.twins import capture


def chain(x: Any) -> Any:
    for _ in range(3):
        x = ng.tanh(ng.sin(x) * 1.25 + 2) * x
    return x.sum()


@pytest.fixture
def x() -> ng.Tensor:
    return ng.tensor(np.linspace(0.1, 1.0, 7), requires_grad=True)


# ---------------------------------------------------------------------------------------- walking


def _pending(x: Any) -> list[Any]:
    return [chain(x)._node]


def _several(x: Any) -> list[Any]:
    y = ng.exp(x)
    return [(y * x)._node, y._node, ng.cos(y)._node]


def _retained(x: Any) -> list[Any]:
    y = chain(x)
    y.backward(retain_graph=True)
    x.grad = None
    return [y._node]


def _computed_inside(x: Any) -> list[Any]:
    y = ng.exp(x)
    y.retain_grad()
    y.detach().numpy()
    return [(y * x).sum()._node]


def _freed(x: Any) -> list[Any]:
    y = ng.exp(x)
    y.sum().backward()
    return [(y * 2.0)._node]


@pytest.mark.parametrize("graph", [_pending, _several, _retained, _computed_inside, _freed])
def test_graphs_that_machine_code_walks(graph: Any, x: ng.Tensor) -> None:
    backward = ports.compiled.backward
    assert backward is not None
    found = backward(graph(x))  # the suite's own comparison runs here
    assert found is not None
    assert found.operands != []


def _leaf(x: Any) -> Any:
    return [x._node]


def _twice(x: Any) -> Any:
    y = chain(x)._node
    return [y, y]


def _dropped(x: Any) -> Any:
    y = ng.exp(x)
    y.sum().backward()
    y.tolist()
    return [(y * 2.0)._node]


def _in_a_tuple(x: Any) -> Any:
    return (chain(x)._node,)


def _too_large(x: Any) -> Any:
    with ng.configure(max_pending=10 * capture.NODES):
        y = x
        for _ in range(capture.NODES + 1):
            y = y + 1.0
    return [y._node]


@pytest.mark.parametrize("graph", [_leaf, _twice, _dropped, _in_a_tuple, _too_large])
def test_graphs_that_are_left_to_python(graph: Any, x: ng.Tensor) -> None:
    roots = graph(x)
    forward, backward = ports.compiled.forward, ports.compiled.backward
    assert forward is not None and backward is not None
    assert backward(roots) is None
    assert linearize.capture(roots, differentiate=True).key
    gc.collect()
    assert backward(_pending(x)) is not None  # the memory of the walk is free again


def test_graphs_that_take_more_room_are_walked_as_by_python(x: ng.Tensor) -> None:
    for roots in (_too_large(x), _too_large(x.detach())):
        for differentiate in (True, False):
            names = ("backward", "further_back") if differentiate else ("forward", "further")
            small, large = (getattr(ports.compiled, name) for name in names)
            assert small(_leaf(x)) is None
            assert large(roots) is None  # no room was not what was missing
            assert small(roots) is None
            found = large(roots)
            assert found is not None
            same_as_walked(found, roots, differentiate)
            del found  # it refers to the nodes


def test_a_traced_graph_is_left_to_python() -> None:
    seen = []

    def f(a: Any) -> Any:
        y = ng.exp(a) * 2.0
        assert ports.compiled.forward is not None
        seen.append(ports.compiled.forward([y._node]))
        return y

    ng.jit(f)(np.ones(3))
    assert seen == [None]


# -------------------------------------------------------------------------------------- recording


@pytest.fixture
def record(x: ng.Tensor) -> Any:
    """Multiplication and sine of tensors of the aval of *x*."""
    assert shortcuts.make is not None
    signatures = {
        kind: (x * operand)._node.sig
        for kind, operand in (("alike", x), ("number", 2.0), ("whole", 2))
    }
    tables = [{x._node.aval: signatures[kind]} for kind in ("alike", "number", "whole")]
    return shortcuts.make(tuple(tables), False)


@pytest.mark.parametrize("other", ["itself", 1.5, 3])
def test_operands_that_machine_code_records(record: Any, x: ng.Tensor, other: Any) -> None:
    y = record(x, x if other == "itself" else other)
    assert y._node.sig.prim is arithmetic.multiply
    assert y.requires_grad
    expected = x.detach().numpy() * (x.detach().numpy() if other == "itself" else other)
    np.testing.assert_array_equal(y.detach().numpy(), expected)


class Derived(ng.Tensor):
    __slots__ = ()


def test_operands_that_are_left_to_python(record: Any, x: ng.Tensor) -> None:
    for other in (True, 1j, np.float64(2.0), np.ones(7), [1.0], None, "x", x._node):
        assert record(x, other) is None
    for tensor in (ng.ones(3), ng.ones(7, dtype=np.float32), ng.ones((1, 7)), Derived(x._node)):
        assert record(x, tensor) is None
        assert record(tensor, x) is None
    assert record(Derived(x._node), 2.0) is None
    assert record(2.0, x) is None
    assert record(None) is None


def test_modes_that_are_left_to_python(record: Any, x: ng.Tensor) -> None:
    with ng.no_grad():
        assert record(x, 2.0) is None
        assert not (x * 2.0).requires_grad
    with ng.autograd.detect_anomaly():
        assert record(x, 2.0) is None
        assert (x * 2.0)._node.line is not None
    with ng.configure(max_pending=3):
        y = x
        for depth in range(1, 4):
            y = record(y, 2.0)
            assert y._node.depth == depth
        assert record(y, 2.0) is None
        assert (y * 2.0)._node.value is not None
    assert record(x, 2.0) is not None


def test_a_given_signature_is_recorded(record: Any, x: ng.Tensor) -> None:
    sig = x.sum()._node.sig
    total = record(x, sig)
    assert total.shape == ()
    assert total.item() == x.detach().numpy().sum()


def test_sequence_numbers_are_shared(record: Any, x: ng.Tensor) -> None:
    before = next_sequence()
    first, second = record(x, 2.0)._node.seq, ng.sin(x)._node.seq
    assert before < first < second < next_sequence()


# ---------------------------------------------------------------------------------------- calling


def _hot(f: Any, *args: Any) -> Any:
    """*f* compiled, called until its calls are machine code; and that code."""
    compiled = ng.jit(f)
    for _ in range(HOT_CALLS + 1):
        compiled(*args)
    return compiled, compiled.quick[2]


def test_a_hot_function_is_called_by_machine_code() -> None:
    a, b = np.linspace(0.0, 1.0, 6).reshape(2, 3), np.arange(3.0)
    weights = np.array([3.0, 4.0, 5.0])  # a constant of the program
    f, enter = _hot(lambda a, b: (a * b, {"sum": (a * np.exp(weights)).sum()}), a, b)
    assert enter(a, b) is not None
    for scale in (1.0, 2.0):
        product, others = f(scale * a, b)
        np.testing.assert_array_equal(product, scale * a * b)
        assert isinstance(others["sum"], np.float64)
        np.testing.assert_allclose(others["sum"], (scale * a * np.exp(weights)).sum(), rtol=1e-14)
    assert not np.shares_memory(f(a, b)[0], f(a, b)[0])


def test_results_without_elements_and_without_axes() -> None:
    empty, one = np.empty((0, 3)), np.array(2.0)
    f, enter = _hot(lambda a, b: (a * 2.0, b * 3.0), empty, one)
    assert enter(empty, one) is not None
    assert f(empty, one)[0].shape == (0, 3)
    assert f(empty, one)[1] == 6.0


ODD: dict[str, Any] = {
    "another shape": np.arange(4.0),
    "another rank": np.arange(3.0)[None],
    "another dtype": np.arange(3),
    "single precision": np.arange(3, dtype=np.float32),
    "strides": np.arange(6.0)[::2],
    "backwards": np.arange(3.0)[::-1],
    "byte order": np.arange(3.0).astype(">f8"),
    "unaligned": np.frombuffer(b"\0" + np.arange(3.0).tobytes(), np.uint8)[1:].view(np.float64),
    "masked": np.ma.masked_array(np.arange(3.0)),
    "scalar": np.float64(2.0),
    "number": 2.0,
    "tensor": ng.arange(3.0),
}


@pytest.mark.parametrize("kind", ODD)
def test_arguments_that_are_left_to_python(kind: str) -> None:
    f, enter = _hot(lambda a: a * 3.0, np.ones(3))
    argument = ODD[kind]
    assert enter(argument) is None
    result = f(argument)
    expected = np.asarray(argument.numpy() if kind == "tensor" else argument) * 3.0
    np.testing.assert_array_equal(np.asarray(result), expected)
    assert enter(np.ones(3), np.ones(3)) is None
    assert enter() is None
    np.testing.assert_array_equal(f(np.ones(3)), 3.0)


def test_read_only_arguments_and_one_given_twice() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    f, enter = _hot(lambda a, b: a * b, np.ones(3), np.ones(3))
    assert enter(a, a) is not None
    np.testing.assert_array_equal(f(a, a), a * a)


def test_settings_reach_a_hot_function() -> None:
    def f(a: Any) -> Any:
        return ng.grad(lambda x: ng.where(x > 0, ng.sqrt(x), 0.0).sum())(a)

    a = np.array([4.0, 0.0])
    hot, _ = _hot(f, a)
    with ng.configure(nan_policy="ieee"):
        assert np.isnan(hot(a)[1])
    assert hot(a).tolist() == [0.25, 0.0]
    with ng.configure(tier="reference"):
        assert hot(a).tolist() == [0.25, 0.0]
    root, _ = _hot(lambda a: ng.grad(lambda x: ng.sqrt(x).sum())(a), np.ones(2))
    with ng.configure(nan_policy="raise"), pytest.raises(RuntimeError, match="nan_policy"):
        root(a)
    assert root(a).tolist() == [0.25, np.inf]


def test_a_failing_library_call_raises_from_a_hot_function() -> None:
    good = np.array([[2.0, 0.0], [0.0, 3.0]])
    hot, enter = _hot(ng.linalg.cholesky, good)
    assert enter(good[None]) is None
    for _ in range(2):
        with pytest.raises(np.linalg.LinAlgError):
            hot(-good)
        np.testing.assert_allclose(hot(good), np.sqrt(good))


# ------------------------------------------------------------------------------------- references


def _counts(*objects: Any) -> list[int]:
    return [sys.getrefcount(x) for x in objects]


def test_machine_code_keeps_no_references(x: ng.Tensor) -> None:
    number, whole = float("1.25"), int("123456789")
    hot, enter = _hot(lambda a: (a * 2.0, a.sum()), np.ones(5))
    a = np.ones(5)

    def work() -> None:
        y = (ng.sin(x) * number + whole).sum()
        y.backward(retain_graph=True)
        y.backward()
        x.grad = None
        (ng.sin(x) * 2.0).detach().numpy()
        hot(a)
        enter(a[::-1])
        hot(ODD["strides"])

    for _ in range(300):  # until all that turns hot is
        work()
    sig = ng.sin(x)._node.sig
    watched = (x, x._node, x._node.aval, sig, number, whole, next_sequence, a, a.dtype, ng.Tensor)
    gc.collect()
    before = _counts(*watched, None)
    for _ in range(800):
        work()
    gc.collect()
    # Not one for each call; caches may have kept some.
    assert max(np.subtract(_counts(*watched, None), before)) < 400


# ---------------------------------------------------------------------------------------- layouts


def test_layouts_are_found() -> None:
    assert builtin.available() and entry.available()
    node = ng.ones(2)._node
    words = (ctypes.c_void_p * (node.__sizeof__() // 8)).from_address(id(node))
    assert words[capture.places()["sig"]] == id(node.sig)
    assert layout.word_with((1, 2), id(object()), 32) == 0


def test_without_known_layouts_everything_is_python() -> None:
    output = run(
        """
        from nbgrad.machine import builtin
        builtin.available = lambda: False
        import nbgrad as ng
        from nbgrad.core import linearize, ports
        from nbgrad.core.ports import shortcuts
        x = ng.tensor(np.linspace(0.1, 1.0, 5), requires_grad=True)
        f = ng.jit(ng.value_and_grad(lambda a: (np.sin(a) * 2.0).sum()))
        for _ in range(200):
            (ng.sin(x) * 2.0).sum().backward()
            gradient, x.grad = x.grad.numpy(), None
            value, other = f(np.linspace(0.1, 1.0, 5))
        assert ports.compiled.forward is None and shortcuts.make is None
        assert np.allclose(gradient, 2 * np.cos(np.linspace(0.1, 1.0, 5)), rtol=1e-14)
        print(np.array_equal(gradient, other))
        """
    )
    assert output == "True\n"


# ------------------------------------------------------------------------- finalizers and threads


def test_a_finalizer_that_evaluates_during_a_walk() -> None:
    output = run(
        """
        import gc, weakref
        import nbgrad as ng
        from nbgrad.twins import record as quick, capture as walk
        walk.install(); quick.install()
        x = ng.tensor(np.linspace(0.1, 1.0, 5), requires_grad=True)
        done = []
        def evaluate():
            y = (ng.sin(x) * 2.0).sum()
            y.backward()
            gradient = x.grad.numpy().copy()
            return gradient
        class Cycle:
            def __init__(self): self.me = self
            def __del__(self):
                done.append(float((ng.cos(x.detach()) + 1.0).sum().item()))
        for _ in range(50): evaluate(); x.grad = None
        f = ng.jit(lambda a: (a * 2.0, a.sum()))
        for _ in range(60): f(np.ones(5))
        gc.set_threshold(1, 1, 1)
        for _ in range(300):
            Cycle()
            x.grad = None
            assert np.allclose(evaluate(), 2 * np.cos(np.linspace(0.1, 1.0, 5)), rtol=1e-14)
            Cycle()
            assert f(np.ones(5))[1] == 5.0
        gc.collect()
        print(len(done) == 600, len(set(done)))
        """
    )
    assert output == "True 1\n"


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_threads_share_hot_functions_and_tensors(layer: str) -> None:
    output = run(
        """
        import threading
        import nbgrad as ng
        sys.setswitchinterval(1e-5)
        a = np.linspace(0.1, 1.0, 300)
        f = ng.jit(ng.value_and_grad(lambda v: (np.sin(v) * np.exp(v)).sum()))
        def eager(v):
            x = ng.tensor(v, requires_grad=True)
            (ng.sin(x) * ng.exp(x)).sum().backward()
            return x.grad.numpy()
        for _ in range(100): f(a); eager(a)
        expected = [f(a * s)[1] for s in range(8)]
        wrong = []
        def work(s):
            for _ in range(400):
                if not np.array_equal(f(a * s)[1], expected[s]): wrong.append(("jit", s))
                if not np.allclose(eager(a * s), expected[s], rtol=1e-13): wrong.append(("eager", s))
        threads = [threading.Thread(target=work, args=(s,)) for s in range(8)]
        for t in threads: t.start()
        for t in threads: t.join()
        print(wrong)
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert output == "[]\n"


def test_primitives_of_the_tables() -> None:
    """The tables that methods and functions hand over are the ones they fill."""
    x = ng.ones(3)
    assert ng.sin(x)._node.sig.prim is trigonometric.sin
    assert (x * 2.0)._node.sig.prim is (2.0 * x)._node.sig.prim is arithmetic.multiply


# ------------------------------------------------------------------------------------- structures


class Pair(NamedTuple):
    first: Any
    second: Any


CALLS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "number": (lambda a, c: a * c, (np.arange(3.0), 2.5), {}),
    "NumPy's number": (lambda a, c: a * c, (np.arange(3.0), np.float64(2.5)), {}),
    "number alone": (lambda c: c * 2.0, (1.5,), {}),
    "keywords": (lambda a, *, c, d: a * c + d, (np.arange(3.0),), {"d": 1.0, "c": np.ones(3)}),
    "settings": (lambda a, n, how: a**n if how == "up" else a, (np.arange(3.0), 2, "up"), {}),
    "nested": (
        lambda p, q: p["w"] @ p["b"][0] + q.first * q.second,
        ({"w": np.ones((2, 3)), "b": [np.arange(3.0)]}, Pair(np.ones(2), 3.0)),
        {},
    ),
    "nothing given": (lambda a, b=None: a * 2.0 if b is None else b, (np.arange(3.0), None), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_of_any_structure_go_the_short_way(name: str) -> None:
    f, args, kwargs = CALLS[name]
    compiled = ng.jit(f)
    expected = f(*args, **kwargs)
    for _ in range(HOT_CALLS + 5):
        np.testing.assert_allclose(compiled(*args, **kwargs), expected, rtol=1e-15)
    _, match, enter, *_ = compiled.quick
    assert enter(*(args if match is None else match(args, kwargs))) is not None


def test_other_arguments_than_the_last_are_other_calls() -> None:
    f = ng.jit(lambda a, n, *, p: a * n + p["x"])
    a = np.arange(3.0)
    calls: list[tuple[Any, Any, Any]] = [
        (a, 2, {"x": 1.0}),
        (a, 3, {"x": 1.0}),
        (a, 2.0, {"x": 1.0}),
        (a, True, {"x": 1.0}),
        (a, 2, {"x": a}),
        (a, 2, {"x": 4}),
        (2.0, 2, {"x": 1.0}),
        (a.astype(np.float32), 2, {"x": 1.0}),
    ]
    for _ in range(3):
        for b, n, p in calls:
            for _ in range(HOT_CALLS + 2):
                found = f(b, n, p=p)
            np.testing.assert_array_equal(found, b * n + p["x"])
            assert found.dtype == (b * n + p["x"]).dtype if isinstance(b, np.ndarray) else True
    with pytest.raises(TypeError):
        f(a, 2)
    with pytest.raises(KeyError):
        f(a, 2, p={"y": 1.0})
