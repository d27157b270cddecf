"""A jitted function is given arguments that are not what they look like: cold, and hot.

Each is told by class, elements, shape and layout, or goes the long way. What is given is compared
with NumPy on the same memory.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import itertools
import pickle
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from odd import (
    Derived,
    Double,
    Float,
    Integer,
    Liar,
    mapped,
    read_only,
    subclassed,
    unaligned,
)

import nbgrad as ng
from nbgrad.api.jit import jit
from nbgrad.api.outside import Reader
from nbgrad.backends.cpu.executor import Frame, fitting
from nbgrad.core.aval import make_aval

HOT = 60


def record(a: np.ndarray) -> Any:
    fields = np.zeros(a.shape, [("skip", "i1"), ("value", a.dtype)])
    fields["value"] = a
    return fields["value"]


def odd_arguments(folder: Any) -> dict[str, Any]:
    five, two = np.linspace(0.5, 2.5, 5), np.array([0.25, 4.0])
    return {
        "array": five,
        "another shape": two,
        "subclass": subclassed(five),
        "subclass of another shape": subclassed(two),
        "subclass of another dtype": subclassed(five.astype(np.float32)),
        "subclass that lies": subclassed(five, Liar),
        "recarray": five.view(np.recarray),
        "memmap": mapped(five, folder),
        "memmap of another shape": mapped(two, folder),
        "memmap of another dtype": mapped(five.astype(np.float32), folder),
        "byte-swapped": five.astype(">f8"),
        "metadata": five.astype(np.dtype(np.float64, metadata={"unit": "m"})),
        "unpickled": pickle.loads(pickle.dumps(five)),
        "read-only": read_only(five.copy()),
        "unaligned": unaligned(five),
        "backwards": five[::-1],
        "strided": np.linspace(0.5, 2.5, 10)[::2],
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "a field": record(five),
        "repeated": np.broadcast_to(np.float64(0.5), (5,)),
        "empty": five[:0],
        "empty matrix": np.empty((0, 3)),
        "0-d": np.array(1.5),
        "integers": np.arange(1, 6),
        "long long": np.arange(1, 6, dtype=np.longlong),
        "booleans": five > 1,
        "half": five.astype(np.float16),
        "complex": five + 1j,
        "NumPy float": np.float64(1.5),
        "NumPy float subclass": Double(1.5),
        "NumPy float32": np.float32(1.5),
        "NumPy integer": np.int16(3),
        "float": 1.5,
        "float subclass": Float(1.5),
        "complex number": 1.5j,
        "integer": 3,
        "integer subclass": Integer(3),
        "boolean": True,
        "list": [1.5, 2.5],
    }


def function(x: Any) -> Any:
    if isinstance(x, list):
        return [function(item) for item in x]
    return x * x + x


def same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, list):
        for f, w in zip(found, wanted, strict=True):
            same(f, w)
        return
    wanted = np.asarray(wanted)
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    rtol = 0 if wanted.dtype.kind in "biu" else 4 * np.finfo(wanted.dtype).eps
    np.testing.assert_allclose(found, wanted, rtol=rtol)


def expected(x: Any) -> Any:
    return function(np.asarray(x) if isinstance(x, np.ndarray) else x)


@pytest.mark.parametrize("nested", [False, True])
def test_odd_arguments_in_every_order(tmp_path: Any, nested: bool) -> None:
    given = odd_arguments(tmp_path)
    wanted = {name: expected(x) for name, x in given.items()}
    f = jit((lambda p: function(p["x"])) if nested else function)
    for name in (*given, *reversed(given), *given):
        found = f({"x": given[name]} if nested else given[name])
        same(found, wanted[name])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("first", ["array", "0-d", "NumPy float", "float", "subclass", "memmap"])
def test_an_odd_argument_of_a_hot_function(tmp_path: Any, first: str, nested: bool) -> None:
    given = odd_arguments(tmp_path)
    f = jit((lambda p: function(p["x"])) if nested else function)

    def call(x: Any) -> Any:
        return f({"x": x} if nested else x)

    for _ in range(HOT):
        call(given[first])
    for x in given.values():
        same(call(x), expected(x))
        same(call(given[first]), expected(given[first]))


@pytest.mark.parametrize("warm", [1, HOT])
def test_a_tensor_subclass_of_another_shape_or_dtype(warm: int) -> None:
    f = jit(lambda x: np.sin(x) + x)
    values = [np.ones(2), np.arange(5.0), np.ones((2, 3), np.float32), np.array(0.5), np.ones(0)]
    for a in values * 2:
        for _ in range(warm):
            found = f(Derived(ng.tensor(a)._node))
        np.testing.assert_allclose(found.numpy(), np.sin(a) + a, rtol=1e-6)
        assert found.dtype == a.dtype
        x = Derived(ng.tensor(a)._node).requires_grad_()
        f(x).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.cos(a) + 1, rtol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        np.array([1.0, None]),
        np.zeros(3, [("a", "f8")]),
        np.array(["a"]),
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros(2, "V8"),
    ],
    ids=["objects", "structured", "text", "dates", "void"],
)
def test_what_is_no_number_is_refused(bad: Any) -> None:
    f = jit(lambda x: x)
    for _ in range(HOT):
        f(np.ones(2))
    for x in (bad, subclassed(bad)):
        with pytest.raises(TypeError, match="numbers or booleans"):
            f(x)


def test_scalars_of_text_and_members_of_enumerations_are_settings() -> None:
    class Mode(float, enum.Enum):
        HALF = 0.5
        TWICE = 2.0

    f = jit(lambda x, mode: x * (3.0 if mode is Mode.TWICE or mode == "three" else 5.0))
    for mode, factor in ((Mode.TWICE, 3.0), (Mode.HALF, 5.0), (np.str_("three"), 3.0)):
        np.testing.assert_array_equal(f(np.ones(2), mode), [factor] * 2)


def test_the_executor_refuses_what_does_not_fit() -> None:
    aval = make_aval((3,), np.dtype(np.float64))
    frame = Frame(1, [], [], [], [], [aval])
    big = np.arange(6.0)
    for good in (big[:3], big[::2], pickle.loads(pickle.dumps(big[:3])), subclassed(big[:3])):
        assert frame.run([good]) == 0
    for bad in (big, big[:3].astype(np.float32), big[:3].astype(">f8"), subclassed(big), 1.0):
        with pytest.raises(TypeError, match=r"made for float64\[3\] as its value 0"):
            frame.run([bad])


def test_fitting_copies_only_where_it_must() -> None:
    whole, odd = np.arange(3.0), np.arange(3.0)[::-1]
    avals = [make_aval((3,), np.dtype(np.float64))] * 2
    first, second = fitting([whole, odd], avals)
    assert first is whole
    np.testing.assert_array_equal(second, odd)


FUNCTIONS = {
    "product": lambda a, s: a * s,
    "reflected": lambda a, s: s - a,
    "where": lambda a, s: np.where(a == 2, s, 0.0),
    "where beside": lambda a, s: np.where(a == 2, s, a),
    "arithmetic of numbers": lambda a, s: a * (s * 2.0 + 1),
    "power": lambda a, s: a * s**2,
    "function of a number": lambda a, s: a * np.sin(s),
    "function": lambda a, s: np.multiply(a, s) * np.multiply(s, 2.0),
    "sum": lambda a, s: (a * s).sum() * s,
    "results": lambda a, s: (a + s, abs(s) * a, -s / (a + 3)),
}
NUMBERS = [0.1, 1e308, 2.0, -0.0, 1 + 0.5j, np.float64(0.1), np.float32(0.1), Float(0.1)]
ARRAYS = [
    np.array([1, 2, 300], np.int16), np.array([1, 2, 3], np.uint8), np.arange(3),
    np.array([True, False]), np.linspace(1, 2, 3, dtype=np.float16),
    np.linspace(1, 2, 3, dtype=np.float32), np.linspace(1, 2, 3), np.array([1 + 1j, 2], np.complex64),
    np.array([1 + 1j, 2]), np.float32(1.5),
]  # fmt: skip


# Types are found while a function is traced; compiled ones, which look at them each time, are these.
COMPILED = ("product", "arithmetic of numbers", "results")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numbers_promote_as_numpy_says_at_every_position(name: str) -> None:
    with ng.configure(tier="auto" if name in COMPILED else "reference"):
        _promote(name)


def _promote(name: str) -> None:
    f = FUNCTIONS[name]
    forms = [
        (jit(f), lambda a, s: (a, s)),
        (jit(lambda p: f(*p)), lambda a, s: ((a, s),)),
        (jit(lambda a, p: f(a, p["s"][0])), lambda a, s: (a, {"s": [s]})),
    ]
    # A form each: eight numbers and three forms, so each number meets each form.
    turns = itertools.cycle(forms)
    for a, s in itertools.product(ARRAYS, NUMBERS):
        compiled, arguments = next(turns)
        if isinstance(s, Float) and name not in ("product", "reflected", "where", "function"):
            continue  # operators on it give Python's floats, which are weak again
        try:
            with np.errstate(all="ignore"):
                wanted = f(a, s)
        except (OverflowError, TypeError):
            continue  # Python's power overflows; NumPy's gives infinity
        found = compiled(*arguments(a, s))
        pairs = zip(found, wanted, strict=True) if name == "results" else [(found, wanted)]
        for y, w in pairs:
            assert y.dtype == np.asarray(w).dtype, (a.dtype, s)
            rtol = 8 * np.finfo(w.dtype).eps if y.dtype.kind in "fc" else 0
            np.testing.assert_allclose(y, w, rtol=rtol)


def test_a_hot_function_tells_a_number_from_an_array_of_no_axes() -> None:
    a = np.ones(3, np.float32)
    f = jit(lambda a, s: a * s)
    for first in (0.1, np.float64(0.1), np.array(0.1)):
        for _ in range(HOT):
            f(a, first)
        for s in (0.1, np.float64(0.1), np.array(0.1), Float(0.1), 0.1):
            assert f(a, s).dtype == (a * s).dtype


def test_operators_in_place_on_numbers_change_no_other_name() -> None:
    def f(a: Any, s: Any) -> Any:
        before = s
        s += a
        s *= 2
        return s, before

    for s in (0.5, np.float64(0.5), Float(0.5)):
        for a in (np.arange(3.0), 2.0):
            for y, w in zip(jit(f)(a, s), f(a, s), strict=True):
                np.testing.assert_array_equal(y, w)


def test_a_number_is_differentiated_as_an_array() -> None:
    a = np.linspace(1, 2, 3, dtype=np.float32)

    def loss(s: Any, a: Any) -> Any:
        return (s**2 * a).sum() * s

    for argument in (0.3, np.float64(0.3)):
        plain = ng.grad(loss)(argument, a)
        compiled = ng.jit(ng.grad(loss))(argument, a)
        assert plain.dtype == compiled.dtype == np.float64
        np.testing.assert_allclose(compiled, 3 * 0.3**2 * a.sum(), rtol=1e-6)
    x = ng.tensor(a, requires_grad=True)
    y = ng.jit(loss)(0.3, x)
    assert y.dtype == np.float32
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full(3, 0.027), rtol=1e-6)


def test_jit_inside_jit_keeps_numbers_weak() -> None:
    inner = ng.jit(lambda a, s: a * s)
    outer = ng.jit(lambda a, s: inner(a, s * 2.0) + np.float32(1))
    a = np.ones(3, np.float32)
    assert outer(a, 0.5).dtype == np.float32
    np.testing.assert_array_equal(outer(a, 0.5), [2.0] * 3)


class Level(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass(frozen=True)
class Setting:
    value: Any


Pair = namedtuple("Pair", "first")
UTC, CET = datetime.UTC, datetime.timezone(datetime.timedelta(hours=1))
# In each line settings that are equal, or that hold what is equal, and are not the same.
ALIKE: list[tuple[Any, ...]] = [
    (1, True, Level.ONE),
    (frozenset({1}), frozenset({True}), frozenset({1.0})),
    (frozenset({(1,)}), frozenset({(True,)})),
    (frozenset({frozenset({0})}), frozenset({frozenset({False})})),
    ((1, (2,)), (True, (2,)), [1, (2,)], Pair(1)),
    ({1: 2}, {True: 2}, {1.0: 2}),
    ({(1,): 2}, {(True,): 2}),
    ({0.0: 1}, {-0.0: 1}),
    ({frozenset({1}): 1}, {frozenset({True}): 1}),
    ({1: {1: 3}}, {1: {True: 3}}),
    (Setting(1), Setting(True), Setting(1.0), Setting((1,)), Setting((True,))),
    (Setting(frozenset({1})), Setting(frozenset({True}))),
    (Setting({0.0: 1}.keys().__iter__().__next__()), Setting(-0.0)),
    (range(0, 3, 2), range(0, 4, 2)),
    (range(0), range(5, 5)),
    (decimal.Decimal("1.0"), decimal.Decimal("1.00"), decimal.Decimal(1)),
    (datetime.datetime(2020, 1, 1, 12, tzinfo=UTC), datetime.datetime(2020, 1, 1, 13, tzinfo=CET)),
]


def shown(x: Any) -> Any:
    """What a function can see of a setting."""
    if isinstance(x, frozenset):
        return frozenset(map(shown, x)), "set"
    if isinstance(x, (tuple, list)):
        return type(x).__name__, tuple(map(shown, x))
    if isinstance(x, dict):
        return tuple((shown(k), shown(v)) for k, v in x.items())
    return (type(x).__name__, shown(x.value)) if isinstance(x, Setting) else f"{type(x)} {x!r}"


@pytest.mark.parametrize("line", range(len(ALIKE)))
@pytest.mark.parametrize("warm", [1, HOT])
def test_equal_settings_that_are_not_the_same_have_traces_of_their_own(
    line: int, warm: int
) -> None:
    f = jit(lambda x, setting: x * 0 + seen.setdefault(shown(setting), len(seen)))
    seen: dict[Any, int] = {}
    settings = ALIKE[line]
    for setting in (*settings, *reversed(settings)):
        for _ in range(warm):
            found = f(np.ones(1), setting)
        assert found[0] == seen[shown(setting)]
    assert len(seen) == len(settings)


@pytest.mark.parametrize("function", [ng.linalg.cholesky, ng.sin, ng.special.ndtr, np.matmul])
def test_what_nbgrad_itself_keeps_is_no_state_of_the_user(function: Any) -> None:
    """Each change of a table of ours would trace again, and each call would compare the tables."""
    assert Reader([function]).tests == []


def test_a_variable_of_an_enclosing_function_is_looked_at_wherever_its_cell_is_read() -> None:
    """By the test of its own, and by the one that is part of the building of results."""

    def enclosing() -> Any:
        scale, other = 2.0, [1.0]

        def f(x: Any) -> Any:
            return {"y": x * scale + other[0], "n": x.sum()}

        def change(value: float | None) -> None:
            nonlocal scale
            if value is None:
                del scale
            else:
                scale = value
                other[0] = -value

        return f, change

    f, change = enclosing()
    compiled, x = ng.jit(f), np.arange(3.0)
    with ng.configure(deterministic=True):
        for value in (2.0, 3.0, 2.0, 5.0):
            change(value)
            for _ in range(70):
                assert_array_equal(compiled(x)["y"], x * value - value)
            assert compiled.quick[0] is not None
        change(None)
        with pytest.raises(NameError, match="scale"):
            compiled(x)
        change(7.0)
        assert_array_equal(compiled(x)["y"], x * 7.0 - 7.0)
