"""What a compiled function reads of objects, closures and globals: as it is now, or refused."""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import threading
import types
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

X = np.array([1.0, 2.0])
TABLE = np.array([1.0, 1.0])
FACTOR = 2.0
CALLS = (1, 60)  # cold, and hot


def _helper(x: Any) -> Any:
    return x * TABLE * FACTOR


class Model:
    shared = np.array([5.0, 5.0])

    def __init__(self) -> None:
        self.w, self.n, self.parts = np.array([1.0, 2.0]), 2, [np.array([1.0, 1.0])]
        self.history: list[float] = []

    def formula(self, x: Any) -> Any:
        return (self.w * x * self.shared + self.parts[0]).sum() * self.power

    @property
    def power(self) -> Any:
        return self.n**2

    loss = ng.jit(formula)

    @ng.jit
    def __call__(self, x: Any) -> Any:
        return self.formula(x)


class Slotted:
    __slots__ = ("w",)

    def __init__(self) -> None:
        self.w = np.array([1.0, 2.0])

    @ng.jit
    def loss(self, x: Any) -> Any:
        return (self.w * x).sum()


def _changes(model: Model) -> list[Callable[[], Any]]:
    def replaced() -> None:
        model.w = model.w * 3

    def scaled() -> None:
        model.w *= 2

    def longer() -> None:
        model.w, Model.shared = np.ones(1), Model.shared + 1

    return [
        lambda: model.w.__setitem__(0, 10.0),
        replaced,
        scaled,
        lambda: setattr(model, "n", 3),
        lambda: setattr(model, "n", 3.0),
        lambda: model.parts[0].fill(7.0),
        lambda: model.parts.insert(0, np.array([2.0, 0.0])),
        lambda: setattr(Model, "shared", np.array([1.0, -1.0])),
        lambda: Model.shared.fill(2.0),
        lambda: setattr(model, "shared", np.array([3.0, 4.0])),
        longer,
    ]


@pytest.mark.parametrize("calls", CALLS)
def test_a_compiled_method_reads_its_object_as_it_is(calls: int) -> None:
    before, model, other = Model.shared.copy(), Model(), Model()
    other.w = np.array([-1.0, 4.0])
    apply = ng.jit(lambda f, x: f(x))
    try:
        for change in [lambda: None, *_changes(model)]:
            change()
            for _ in range(calls):
                found = model.loss(X)
            assert_allclose(found, model.formula(X))
            assert_allclose(other.loss(X), other.formula(X))
            assert_allclose(model(X), model.formula(X))
            assert_allclose(apply(model.loss, X), model.formula(X))
            assert_allclose(apply(functools.partial(Model.formula, model), X), model.formula(X))
    finally:
        Model.shared = before
    slotted = Slotted()
    assert slotted.loss(X) == 5.0
    slotted.w[0] = 3.0
    assert slotted.loss(X) == 7.0
    slotted.w = -X
    assert slotted.loss(X) == -5.0


def test_what_a_method_does_not_read_costs_no_trace() -> None:
    traces = []
    model = Model()

    @ng.jit
    def loss(model: Any, x: Any) -> Any:
        traces.append(1)
        return model.formula(x)

    for k in range(5):
        loss(model, X)
        model.history.append(float(k))
        model.step = k
    assert len(traces) == 1


@pytest.mark.parametrize("calls", CALLS)
def test_closures_and_globals_are_read_as_they_are(calls: int) -> None:
    global TABLE, FACTOR
    table, factor = TABLE, FACTOR
    w, scale, tensor, options = X.copy(), 2.0, ng.tensor(X), {"shift": [np.zeros(2)]}

    def f(x: Any, b: Any = np.zeros(2)) -> Any:  # noqa: B008
        return _helper(x * w * scale) + tensor * x + options["shift"][0] + b

    compiled = ng.jit(f)

    def check() -> None:
        for _ in range(calls):
            found = compiled(X)
        assert_allclose(found, np.asarray(f(ng.tensor(X))))

    try:
        check()
        w[1] = 7.0
        check()
        w = np.array([0.5, 0.25])
        check()
        scale = 3
        check()
        tensor += 1
        check()
        options["shift"][0][:] = 4.0
        check()
        options["shift"] = [X]
        check()
        f.__defaults__[0][0] = 9.0
        check()
        TABLE[0] = -3.0
        check()
        TABLE = np.array([4.0, 5.0])
        check()
        FACTOR = np.float64(0.5)
        check()
    finally:
        TABLE, FACTOR = table, factor
        TABLE[:] = 1.0


class Shared:
    table = np.array([1.0, 2.0])

    @classmethod
    def of_class(cls, x: Any) -> Any:
        return x * cls.table

    def __call__(self, x: Any) -> Any:
        return x * self.table


@pytest.mark.parametrize("calls", CALLS)
def test_what_modules_classes_and_containers_hold_is_read_as_it_is(calls: int) -> None:
    module = types.ModuleType("a_module_of_the_users")
    exec("def scaled(x):\n    return x * W * S", vars(module))
    module.W, module.S = X.copy(), 2.0  # type: ignore[attr-defined]
    queue, weight = deque([X.copy()]), X.copy()
    bound = functools.partial(lambda a, x: a * x, weight)
    before, shared = Shared.table, Shared()
    cases: list[tuple[Any, Callable[[], Any]]] = [
        (lambda x: x * module.W, lambda: module.W.__imul__(2)),  # type: ignore[attr-defined]
        (lambda x: x * module.W, lambda: setattr(module, "W", module.W + 1)),  # type: ignore[attr-defined]
        (lambda x: module.scaled(x), lambda: setattr(module, "S", 3.0)),
        (Shared.of_class, lambda: Shared.table.__imul__(2)),
        (Shared.of_class, lambda: setattr(Shared, "table", Shared.table + 1)),
        (lambda x: x * Shared.table, lambda: setattr(Shared, "table", Shared.table + 1)),
        (shared, lambda: setattr(Shared, "table", Shared.table + 1)),
        (lambda x: x * queue[0], lambda: queue[0].__imul__(2)),
        (bound, lambda: weight.__imul__(2)),
        (ng.grad(lambda x: (x * x * weight).sum()), lambda: weight.__imul__(2)),
        (ng.grad(ng.jit(lambda x: (x * x * weight).sum())), lambda: weight.__imul__(2)),
    ]
    try:
        for f, change in cases:
            compiled = ng.jit(f)
            for step in (lambda: None, change, change):
                step()
                for _ in range(calls):
                    found = compiled(X)
                assert_allclose(found, np.asarray(f(X)))
    finally:
        Shared.table = before


@pytest.mark.parametrize("calls", CALLS)
def test_a_tracked_tensor_that_no_gradient_passes_to_may_be_read(calls: int) -> None:
    w = ng.tensor(X, requires_grad=True)

    def silent(x: Any) -> Any:
        with ng.no_grad():
            return x * w

    for f in (lambda x: x * w.detach(), silent):
        compiled = ng.jit(f)
        for _ in range(3):
            for _ in range(calls):
                assert_allclose(compiled(X), X * w.detach().numpy())
            with ng.no_grad():
                w.sub_(0.5)


def test_states_that_return_are_not_traced_again() -> None:
    traces, mode = [], types.SimpleNamespace(training=True)

    @ng.jit
    def f(x: Any) -> Any:
        traces.append(1)
        return x * (2 if mode.training else 3)

    for k in range(20):
        mode.training = k % 2 == 0
        assert_array_equal(f(X), X * (3 - mode.training))
    assert len(traces) == 2


def test_an_array_that_nobody_can_write_to_is_not_compared() -> None:
    w = X.copy()
    w.flags.writeable = False
    f = ng.jit(lambda x: x * w)
    assert_array_equal(f(X), X * X)
    w.flags.writeable = True
    w[0] = 5.0
    assert_array_equal(f(X), X * w)


@pytest.mark.parametrize("n", [1000, 20000])
def test_large_and_strided_arrays_are_compared_to_their_last_element(n: int) -> None:
    base = np.arange(2.0 * n)
    whole, every = base[:n], base[::2]
    f, g = ng.jit(lambda x: (x * whole).sum()), ng.jit(lambda x: (x * every).sum())
    x = np.ones(n)
    for k in (0, n - 1, 2 * n - 2):
        base[k] += 1.0
        assert f(x) == whole.sum() and g(x) == every.sum()
    whole[:] = np.nan
    assert np.isnan(f(x)) and np.isnan(f(x))


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass(frozen=True)
class Frozen:
    scale: Any


@dataclasses.dataclass
class Open:
    scale: float


@dataclasses.dataclass(frozen=True, eq=False)
class Holder:
    w: Any


def test_immutable_settings_are_told_apart_by_value() -> None:
    traces = []

    @ng.jit
    def f(x: Any, setting: Any) -> Any:
        traces.append(1)
        if isinstance(setting, frozenset):
            return x * (2 if type(next(iter(setting))) is bool else 3)
        return x * (setting.value if isinstance(setting, enum.Enum) else setting.scale)

    for setting, wanted in (
        (Colour.RED, 1),
        (Colour.BLUE, 2),
        (Frozen(2.0), 2.0),
        (Frozen(3.0), 3.0),
        (Frozen(1), 1),
        (Frozen(True), 1),
        (frozenset({1}), 3),
        (frozenset({True}), 2),
    ):
        assert_array_equal(f(X, setting), X * wanted)
    assert len(traces) == 8
    f(X, Frozen(2.0))
    assert len(traces) == 8
    held = Holder(X.copy())
    g = ng.jit(lambda x, holder: x * holder.w)
    g(X, held)
    held.w[0] = 7.0
    assert_array_equal(g(X, held), X * held.w)


def test_functions_made_anew_are_traced_once_for_what_they_hold() -> None:
    traces = []

    @ng.jit
    def apply(f: Any, x: Any) -> Any:
        traces.append(1)
        return f(x)

    def scaled(by: Any) -> Any:
        return lambda x: x * by

    w = X.copy()
    for _ in range(3):
        for by in (2.0, 3.0, w):
            assert_array_equal(apply(scaled(by), X), X * by)
    assert len(traces) == 3
    w[0] = 6.0
    assert_array_equal(apply(scaled(w), X), X * w)
    assert_array_equal(apply(np.tanh, X), np.asarray(np.tanh(ng.tensor(X))))


STATEFUL = {
    "generator": lambda: np.random.default_rng(0),
    "old generator": lambda: np.random.RandomState(0),
    "iterator": lambda: iter([1.0]),
    "counter": itertools.count,
    "lock": threading.Lock,
    "method of one": lambda: np.random.default_rng(0).normal,
    "method of a list": lambda: [].append,
    "set": lambda: {1},
    "namespace": lambda: types.SimpleNamespace(a=1.0),
    "open dataclass": lambda: Open(1.0),
    "bytearray": bytearray,
}


@pytest.mark.parametrize("name", STATEFUL)
def test_what_can_change_unseen_is_refused_by_the_name_of_the_argument(name: str) -> None:
    f = ng.jit(lambda x, setting, *more, **others: x)
    thing = STATEFUL[name]()
    for args, kwargs, where in (
        ((X, thing), {}, "'setting'"),
        ((X,), {"setting": {"a": [thing]}}, "'setting'"),
        ((X, 1), {"other": thing}, "'other'"),
    ):
        with pytest.raises(TypeError, match=f"argument {where}: it is a .*(Pass|pass)"):
            f(*args, **kwargs)
