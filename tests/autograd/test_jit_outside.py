"""State of odd kinds that a compiled function reads from outside: as it is now, or refused."""

from __future__ import annotations

import collections
import contextvars
import functools
import itertools
import random
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from random import gauss
from typing import Any

import numpy as np
import pytest
from numpy.random import standard_normal
from numpy.testing import assert_allclose
from scipy import stats
from subprocesses import run

import nbgrad as ng

X = np.array([1.0, 2.0, 3.0])
CALLS = (1, 60)  # cold, and hot
FACTOR: Any = 2.0
Case = tuple[Callable[[Any], Any], list[Callable[[], Any]]]


def check(case: Case, calls: int) -> None:
    f, changes = case
    compiled = ng.jit(f)
    for change in [lambda: None, *changes]:
        change()
        for _ in range(calls):
            found = compiled(X)
        wanted = f(X)
        assert_allclose(found, wanted)
        assert found.dtype == np.asarray(wanted).dtype


class Base:
    scale, options = 2.0, types.MappingProxyType({"a": 1.0})
    settings: dict[str, float] = {"b": 1.0}  # noqa: RUF012

    def apply(self, x: Any) -> Any:
        return x * self.scale * self.settings["b"]


class Shifted:
    """A descriptor."""

    def __get__(self, owner: Any, kind: Any) -> Any:
        return self if owner is None else owner.hidden + 1.0


def of_classes() -> Iterator[Case]:
    class Child(Base):
        shifted = Shifted()
        hidden = 1.0

    class Other(Base):
        def apply(self, x: Any) -> Any:
            return x * 7.0

    child = Child()
    yield (
        lambda x: child.apply(x),
        [
            lambda: setattr(child, "scale", 3.0),
            lambda: delattr(child, "scale"),
            lambda: setattr(Child, "scale", 5.0),
            lambda: Child.settings.__setitem__("b", 3.0),
            lambda: setattr(Child, "settings", {"b": 4.0}),
            lambda: setattr(Child, "apply", lambda self, x: x * 11.0),
            lambda: setattr(child, "apply", np.sin),
            lambda: delattr(child, "apply"),
            lambda: setattr(child, "__class__", Other),
        ],
    )
    other = Child()
    yield lambda x: x * other.shifted, [lambda: setattr(other, "hidden", 4.0)]

    class Meta(type):
        @property
        def size(cls) -> Any:
            return cls.inner  # type: ignore[attr-defined]

    class Sized(metaclass=Meta):
        inner = 2.0

    yield lambda x: x * Sized.size, [lambda: setattr(Sized, "inner", 3.0)]

    class Rows(list[Any]):
        gain = 2.0

    rows = Rows([1.0])
    yield (
        lambda x: x * rows.gain * rows[0],
        [lambda: setattr(rows, "gain", 3.0), lambda: rows.__setitem__(0, 4.0)],
    )


def of_functions() -> Iterator[Case]:
    held = types.SimpleNamespace(f=lambda x: x * 2, parts=[np.sin, np.cos], acts=[np.sin] * 2)
    yield lambda x: held.f(x), [lambda: setattr(held, "f", lambda x: x * 3)]
    yield lambda x: held.parts[0](x), [held.parts.reverse]
    yield lambda x: held.acts[0](held.acts[1](x)), [lambda: held.acts.__setitem__(1, np.exp)]
    gains = [2.0]

    def decorated(f: Any) -> Any:
        @functools.wraps(f)
        def wrapper(x: Any) -> Any:
            return f(x) * gains[0]

        return wrapper

    yield decorated(lambda x: x + 1), [lambda: gains.__setitem__(0, 3.0)]

    def set_factor() -> None:
        global FACTOR
        FACTOR = 3.0

    yield lambda x: x * globals()["FACTOR"], [set_factor]


def of_containers() -> Iterator[Case]:
    class Held:
        def __init__(self, v: float) -> None:
            self.v = v

    numbers, chain = {1.0}, collections.ChainMap({}, {"a": 1.0})
    yield lambda x: x * sum(numbers), [lambda: numbers.add(2.0), lambda: numbers.discard(1.0)]
    yield lambda x: x * chain["a"], [lambda: chain.__setitem__("a", 3.0)]
    users = collections.UserDict(a=1.0)
    yield lambda x: x * users["a"], [lambda: users.__setitem__("a", 3.0)]
    key = Held(2.0)
    keys = {key: 1}
    yield lambda x: x * sum(k.v for k in keys), [lambda: setattr(key, "v", 5.0)]
    ordered = {"a": 2.0, "b": 3.0}
    first = ordered.pop
    yield (
        lambda x: x ** next(iter(ordered.values())),
        [lambda: ordered.__setitem__("a", first("a"))],
    )
    objects = np.array([1.0, Held(2.0)], object)
    yield lambda x: x * objects[0], [lambda: objects.__setitem__(0, 4.0)]
    raw = bytearray(b"ab")
    yield lambda x: x * raw[0], [lambda: raw.__setitem__(0, 7)]
    reference, variable = weakref.ref(key), contextvars.ContextVar("variable", default=2.0)
    yield lambda x: x * reference().v, [lambda: setattr(key, "v", 6.0)]  # type: ignore[union-attr]
    yield lambda x: x * variable.get(), [lambda: variable.set(3.0)]


def of_numbers() -> Iterator[Case]:
    held: dict[str, Any] = {"k": 2}
    kinds = [2.0, np.float64(2), np.float32(2), np.int8(2), np.float32(3), 2 + 0j, True, np.True_]
    yield (
        lambda x: x.astype(np.float32) * held["k"],
        [functools.partial(held.__setitem__, "k", k) for k in kinds],
    )
    dtype = [np.dtype(np.float32)]
    yield lambda x: x.astype(dtype[0]), [lambda: dtype.__setitem__(0, np.dtype(np.complex64))]


def of_many() -> Iterator[Case]:
    layers = [types.SimpleNamespace(b=np.zeros(3), act=np.add) for _ in range(250)]
    many, pairs = [1.0] * 500, {k: (np.ones(3), 1.0) for k in range(301)}

    def run(x: Any) -> Any:
        for layer in layers:
            x = layer.act(x, layer.b)
        return x

    yield (
        run,
        [
            lambda: layers[-1].b.fill(1.0),
            lambda: setattr(layers[-2], "act", np.subtract),
            lambda: setattr(layers[-1], "b", X),
        ],
    )
    yield lambda x: x * sum(many), [lambda: many.__setitem__(-1, 5.0)]
    yield (
        lambda x: x * pairs[300][0] * pairs[300][1],
        [lambda: pairs[300][0].fill(2.0), lambda: pairs.__setitem__(300, (X, 3.0))],
    )


def of_other_libraries() -> Iterator[Case]:
    pd = pytest.importorskip("pandas")
    frame, series = pd.DataFrame({"a": X, "b": list("xyz")}), pd.Series(X)
    yield lambda x: x * frame["a"].to_numpy(), [lambda: frame.__setitem__("a", X * 2)]
    yield lambda x: x * series.iloc[0], [lambda: series.__setitem__(0, 5.0)]
    xr = pytest.importorskip("xarray")
    labelled = xr.DataArray(X)
    yield lambda x: x * float(labelled[0]), [lambda: labelled.__setitem__(0, 5.0)]


SOURCES = (of_classes, of_functions, of_containers, of_numbers, of_other_libraries)


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("cases", SOURCES)
def test_state_is_read_as_it_is(cases: Callable[[], Iterator[Case]], calls: int) -> None:
    global FACTOR
    before, settings = FACTOR, dict(Base.settings)
    try:
        for case in cases():
            check(case, calls)
    finally:
        FACTOR = before
        Base.settings.update(settings)


def test_state_in_many_places_is_read_to_the_last() -> None:
    for case in of_many():
        check(case, 1)


GENERATOR, COUNTER, LEGACY = np.random.default_rng(0), itertools.count(), np.random.RandomState(0)
PYTHONS, STREAM = random.Random(0), (float(k) for k in range(100))


NORMAL, UNIFORM, GAUSS = GENERATOR.normal, LEGACY.rand, PYTHONS.gauss
FROZEN = stats.norm(0.0, 1.0)
FROZEN.random_state = np.random.default_rng(1)


DRAWS: dict[str, Callable[[Any], Any]] = {
    "generator": lambda x: x * GENERATOR.normal(),
    "legacy": lambda x: x * LEGACY.rand(3),
    "pythons": lambda x: x * PYTHONS.gauss(0.0, 1.0),
    "method of a generator": lambda x: x * NORMAL(),
    "method of a legacy one": lambda x: x * UNIFORM(),
    "method of pythons": lambda x: x * GAUSS(0.0, 1.0),
    "numpys own": lambda x: x * np.random.rand(),  # noqa: NPY002
    "numpys own by its method": lambda x: x * standard_normal(),  # noqa: NPY002
    "pythons own": lambda x: x * random.random(),
    "pythons own by its method": lambda x: x * gauss(0.0, 1.0),
    "a library's": lambda x: x * stats.norm.rvs(),
    "a library's with a generator": lambda x: x * FROZEN.rvs(),
    "counter": lambda x: x * next(COUNTER),
    "stream": lambda x: x * next(STREAM),
}


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a thread"])
@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_inside_that_would_be_made_once_is_refused(name: str, beside: bool) -> None:
    draw, over = DRAWS[name], threading.Event()
    thread = threading.Thread(target=over.wait)
    if beside:
        thread.start()
    try:
        for f in (draw, draw, ng.grad(lambda x: draw(x).sum())):  # a normal number is one of two
            with pytest.raises((ng.errors.ConcretizationError, TypeError), match="as an argument"):
                ng.jit(f)(X)
    finally:
        over.set()
        if beside:
            thread.join()


class Answering:
    def __init__(self) -> None:
        self.__dict__["values"] = {"scale": 2.0}

    def __getattr__(self, name: str) -> Any:
        return self.values[name]  # a KeyError, where Python asks for an AttributeError


def test_objects_are_asked_for_nothing_that_they_need_not_have() -> None:
    settings = Answering()
    assert_allclose(ng.jit(lambda x: x * settings.values["scale"])(X), X * 2.0)


def test_draws_of_another_thread_are_not_the_function_s() -> None:
    asked, drawn, over = threading.Event(), threading.Event(), threading.Event()

    def draw() -> None:
        asked.wait()
        np.random.rand()  # noqa: NPY002
        drawn.set()
        over.wait()

    def f(x: Any) -> Any:
        asked.set(), drawn.wait()
        return x * 2.0

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        assert_allclose(ng.jit(f)(X), X * 2)
    finally:
        asked.set(), over.set()
        thread.join()


def test_a_generator_that_is_not_drawn_from_may_be_at_hand() -> None:
    held = types.SimpleNamespace(w=2.0, rng=GENERATOR, count=COUNTER)
    f = ng.jit(lambda x, draw=False: x * held.rng.normal() if draw else x * held.w)
    assert_allclose(f(X), X * 2)
    assert_allclose(ng.jit(lambda x: x * [1.0].count(1.0))(X), X)


def test_a_draw_that_loads_numpys_generator_is_seen() -> None:
    text = """
        import sys
        import numpy as np
        import nbgrad as ng
        assert "numpy.random" not in sys.modules
        try:
            ng.jit(lambda x: x * getattr(np, "ran" + "dom").rand(312))(np.ones(312))
        except ng.errors.ConcretizationError:
            print("seen")
    """
    assert run(text).strip() == "seen"
