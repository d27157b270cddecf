"""Nested data as arguments and results of every transform: each structure with each of them."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

X, Y = np.array([0.5, -1.5]), np.array(2.0)


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Open:
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Any
    y: Any = None


@dataclasses.dataclass(slots=True)
class Slots:
    x: Any
    y: Any


@dataclasses.dataclass
class Positive:
    """What is tested when it is made holds neither for gradients nor for what is traced."""

    x: Any
    y: Any

    def __post_init__(self) -> None:
        if not isinstance(self.y, ng.Tensor) and np.any(self.y < 0):
            raise ValueError("y is not positive")


@dataclasses.dataclass
class Derived:
    x: Any
    y: Any
    product: Any = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.product = self.x * self.y

    @functools.cached_property
    def doubled(self) -> Any:
        return self.x * 2


@ng.tree.register_dataclass(meta_fields=["power"])
@dataclasses.dataclass
class Meta:
    x: Any
    y: Any
    power: int = 2


class Plain:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y


ng.tree.register(
    Plain, lambda p: ((p.x, p.y), "rest"), lambda rest, parts: Plain(*parts), names=(".x", ".y")
)


class Subclass(dict):  # type: ignore[type-arg]
    def __init__(self) -> None:
        super().__init__()


def subclass(x: Any, y: Any) -> Any:
    made = Subclass()
    made.update(x=x, y=y)
    return made


# How to make a structure of two leaves, and how to read them.
by_name = lambda p: (p.x, p.y)
by_key = lambda p: (p["x"], p["y"])
STRUCTURES: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any], Any]]] = {
    "tuple": (lambda x, y: (x, y), tuple),
    "list": (lambda x, y: [x, y], tuple),
    "dict": (lambda x, y: {"x": x, "y": y}, by_key),
    "dict of other keys": (lambda x, y: {1: x, (2, "b"): y}, lambda p: (p[1], p[2, "b"])),
    "ordered": (lambda x, y: OrderedDict(x=x, y=y), by_key),
    "default": (lambda x, y: defaultdict(list, x=x, y=y), by_key),
    "class of dicts": (subclass, by_key),
    "named tuple": (Pair, by_name),
    "open dataclass": (Open, by_name),
    "frozen dataclass": (Frozen, by_name),
    "dataclass with slots": (Slots, by_name),
    "tested dataclass": (Positive, by_name),
    "dataclass with settings": (Meta, by_name),
    "registered class": (Plain, by_name),
    "nested": (
        lambda x, y: {"a": [(x, None)], "b": Frozen(Pair(None, y))},
        lambda p: (p["a"][0][0], p["b"].x.y),
    ),
}
KINDS = pytest.mark.parametrize("name", STRUCTURES)


def function(read: Any) -> Callable[[Any], Any]:
    def f(p: Any) -> Any:
        x, y = read(p)
        return (ng.sin(x) * y**2).sum()

    return f


WANTED = np.cos(X) * Y**2, 2 * Y * np.sin(X).sum()  # the second is negative


@KINDS
def test_gradients_are_nested_as_the_argument_is(name: str) -> None:
    make, read = STRUCTURES[name]
    f = function(read)
    for transformed in (ng.grad(f), ng.jit(ng.grad(f)), lambda p: ng.value_and_grad(f)(p)[1]):
        given = make(X, Y)
        found = transformed(given)
        assert type(found) is type(given)
        for leaf, wanted in zip(read(found), WANTED, strict=True):
            assert isinstance(leaf, (np.ndarray, np.generic)) and leaf.shape == wanted.shape
            assert_allclose(leaf, wanted, rtol=1e-14)
    found = ng.grad(f)(make(ng.tensor(X), ng.tensor(Y)))
    assert all(isinstance(leaf, ng.Tensor) for leaf in read(found))


@KINDS
def test_jit_takes_and_returns_nested_data_hot_and_cold(name: str) -> None:
    make, read = STRUCTURES[name]

    def f(p: Any) -> Any:
        x, y = read(p)
        return make(x * y, y + 1.0)

    compiled = ng.jit(f)
    for k in range(60):
        given = make(X * k, Y + k)
        found = compiled(given)
        assert type(found) is type(given)
        x, y = read(found)
        assert_allclose(x, X * k * (Y + k))
        assert_allclose(y, Y + k + 1)


@KINDS
def test_vmap_takes_and_returns_nested_data(name: str) -> None:
    make, read = STRUCTURES[name]
    xs, ys = np.array([X, 2 * X, 3 * X]), np.array([1.0, 2.0, 3.0])
    found = ng.vmap(lambda p: make(read(p)[0] * read(p)[1], read(p)[1]))(make(xs, ys))
    assert_allclose(read(found)[0], xs * ys[:, None])
    axes = (make(1, 0),)
    found = ng.vmap(lambda p: make(read(p)[0] * read(p)[1], read(p)[1]), axes)(make(xs.T, ys))
    assert_allclose(read(found)[0], xs * ys[:, None])
    if name != "tuple":
        with pytest.raises(ValueError, match="in_axes"):
            ng.vmap(read, ((1, 0, 0),))(make(xs.T, ys))
    found = read(ng.vmap(ng.grad(function(read)))(make(xs, ys)))
    assert_allclose(found[0], np.cos(xs) * ys[:, None] ** 2)


@KINDS
def test_matrices_of_derivatives_are_nested_twice(name: str) -> None:
    make, read = STRUCTURES[name]
    found = read(ng.jacobian(lambda p: make(read(p)[0] * read(p)[1], read(p)[1] ** 2))(make(X, Y)))
    (x_x, x_y), (y_x, y_y) = map(read, found)
    assert_allclose(x_x, np.eye(2) * Y)
    assert_allclose(x_y, X)
    assert_allclose(y_x, np.zeros(2))
    assert_allclose(y_y, 2 * Y)
    (x_x, x_y), (y_x, y_y) = map(read, read(ng.hessian(function(read))(make(X, Y))))
    assert_allclose(x_x, np.diag(-np.sin(X) * Y**2))
    assert_allclose(x_y, 2 * Y * np.cos(X))
    assert_allclose(y_x, x_y)
    assert_allclose(y_y, 2 * np.sin(X).sum())


@KINDS
def test_the_inverses(name: str) -> None:
    make, read = STRUCTURES[name]
    given = make(X, Y)
    leaves, structure = ng.tree.flatten(given)
    assert len(leaves) == structure.size == len(structure.paths) == 2
    again = ng.tree.unflatten(structure, leaves)
    assert type(again) is type(given) and all(
        a is b for a, b in zip(read(again), (X, Y), strict=True)
    )
    assert ng.tree.structure(again) == structure and hash(ng.tree.structure(again)) == hash(
        structure
    )
    doubled = ng.tree.map(lambda a, b: a + b, given, again)
    assert_allclose(read(doubled)[0], 2 * X)
    flat, unravel = ng.tree.ravel(given)
    assert_allclose(flat, [*X, Y])
    for back in (unravel(flat), ng.tree.unravel(flat, given)):
        assert_allclose(read(back)[0], X)
        assert read(back)[1] == Y


@pytest.mark.parametrize("name", [n for n in STRUCTURES if n != "class of dicts"])
def test_a_gradient_passes_ravel_and_unravel(name: str) -> None:
    make, read = STRUCTURES[name]
    unravel = ng.tree.ravel(make(X, Y))[1]
    found = ng.grad(lambda flat: function(read)(unravel(flat)))(np.array([*X, Y]))
    assert_allclose(found, [*WANTED[0], WANTED[1]])
    found = ng.grad(lambda p: (ng.tree.ravel(p)[0] ** 3).sum())(make(X, Y))
    assert_allclose(read(found)[0], 3 * X**2)
    assert ng.tree.ravel(pickle.loads(pickle.dumps(unravel))(np.ones(3)))[0].sum() == 3.0


def test_attributes_that_a_class_derives_follow_the_fields() -> None:
    f = lambda p: p.product**2 + p.doubled
    given = Derived(3.0, 2.0)
    assert given.doubled == 6.0
    for transformed in (ng.grad(f), ng.jit(ng.grad(f))):
        found = transformed(Derived(np.float64(3.0), np.array(2.0)))
        assert (found.x, found.y) == (2 * 6 * 2 + 2, 2 * 6 * 3)


def test_a_dictionary_keeps_the_order_of_insertion() -> None:
    given = {"b": 1.0, "a": 2.0}
    assert list(ng.grad(lambda p: p["a"] * p["b"])(given)) == ["b", "a"]
    assert ng.tree.leaves(given) == [1.0, 2.0]
    assert ng.tree.map(lambda a, b: (a, b), given, {"a": 3.0, "b": 4.0}) == {
        "b": (1.0, 4.0),
        "a": (2.0, 3.0),
    }


def test_settings_of_a_dataclass_tell_traces_apart() -> None:
    traces = []

    @ng.jit
    def f(p: Meta) -> Any:
        traces.append(p.power)
        return Meta(p.x**p.power, p.y, p.power)

    for power in (2, 3, 2):
        for _ in range(60):
            found = f(Meta(X, Y, power))
            assert_allclose(found.x, X**power)
            assert found.power == power
    assert traces == [2, 3]


def test_arguments_by_number_and_by_name() -> None:
    def f(x: Any, y: Any, z: Any = 1.0) -> Any:
        return x * y**2 * z

    assert ng.grad(f, -1)(2.0, 3.0) == 12.0
    assert ng.grad(f, (0, -1))(2.0, 3.0) == (9.0, 12.0)
    assert ng.grad(f, (0, -2))(2.0, 3.0) == (9.0, 9.0)  # the same argument
    assert ng.grad(f, [0])(2.0, 3.0) == (9.0,)
    assert ng.grad(f, ())(2.0, 3.0) == ()
    assert ng.grad(f, argnames="z")(2.0, 3.0, z=4.0) == 18.0
    assert ng.grad(f, argnames="y")(2.0, 3.0) == 12.0
    assert ng.grad(f, argnames=("y", "z"))(2.0, 3.0, z=4.0) == {"y": 48.0, "z": 18.0}
    assert ng.grad(f, 0, argnames="z")(2.0, 3.0, z=4.0) == (36.0, 18.0)
    assert ng.grad(f, (0,), argnames=("z",))(2.0, 3.0, z=4.0) == ((36.0,), {"z": 18.0})
    assert ng.jacobian(f, argnames="z")(2.0, 3.0, z=4.0) == 18.0
    assert ng.hessian(f, argnames=("y", "z"))(2.0, 3.0, z=4.0)["y"]["z"] == 12.0


def test_what_is_returned_beside_the_result() -> None:
    def f(p: Any, scale: Any) -> Any:
        return (p["x"] ** 2).sum() * scale, {"square": p["x"] ** 2, "name": "f", "list": [scale]}

    found, aux = ng.grad(f, has_aux=True)({"x": X}, 2.0)
    assert_allclose(found["x"], 4 * X)
    assert isinstance(aux["square"], np.ndarray) and aux["name"] == "f" and aux["list"] == [2.0]
    assert_allclose(aux["square"], X**2)
    (value, aux), _ = ng.value_and_grad(f, has_aux=True)({"x": ng.tensor(X)}, 2.0)
    assert isinstance(value, ng.Tensor) and isinstance(aux["square"], ng.Tensor)
    assert not aux["square"].requires_grad
    for transform in (ng.jacobian, ng.hessian):
        assert transform(f, has_aux=True)({"x": X}, 2.0)[1]["name"] == "f"
    # A gradient of an outer transform passes what the inner one returns beside its result.
    outer = ng.grad(lambda x: ng.grad(lambda y: (y * x, y * x**2), has_aux=True)(3.0)[1])
    assert outer(2.0) == 12.0
    assert ng.jit(lambda x: ng.grad(lambda y: (y * x, y * x**2), has_aux=True)(x))(2.0) == (
        2.0,
        8.0,
    )


def square(p: Any) -> Any:
    return p**2


REFUSED: dict[str, tuple[str, Callable[[], Any]]] = {
    "position": ("argnums contains 2, .* 1 positional", lambda: ng.grad(square, 2)(1.0)),
    "negative": ("argnums contains -2", lambda: ng.grad(square, -2)(1.0)),
    "name": ("argnames contains 'q', .* with p", lambda: ng.grad(square, argnames="q")(1.0)),
    "no number": ("argnums must be an integer", lambda: ng.grad(square, "p")),  # type: ignore[arg-type]
    "boolean": ("argnums must be an integer", lambda: ng.grad(square, True)),
    "fraction": ("argnums must be an integer", lambda: ng.jacobian(square, (0.5,))),  # type: ignore[arg-type]
    "no name": ("argnames=.* must be names", lambda: ng.grad(square, argnames=(0,))),  # type: ignore[arg-type]
    "text": (
        r"argument 0\['a'\]\[1\] is a str",
        lambda: ng.grad(lambda p: p["a"][0])({"a": [1.0, "b"]}),
    ),
    "integer": (r"argument 0\.x is int64", lambda: ng.grad(lambda p: p.x)(Pair(1, 2.0))),
    "of a keyword": (r"argument q\.y is a str", lambda: ng.grad(by_name, argnames="q")(q=Open(1.0, "a"))),
    "no pair": ("must return a pair, .* not a Tensor", lambda: ng.grad(square, has_aux=True)(1.0)),
    "result": (r"result\['a'\] is a str", lambda: ng.jacobian(lambda x: {"a": "b"})(X)),
    "tree": (
        r"tree 2\['a'\] is a list of 1 where the first tree has a list of 2",
        lambda: ng.tree.map(max, {"a": [1, 2]}, {"a": [1]}),
    ),
    "keys": (r"tree 2 is a dict with keys \['b'\]", lambda: ng.tree.map(max, {"a": 1}, {"b": 1})),
    "number in place of a tree": ("tree 2 is a float", lambda: ng.tree.map(max, (1, 2), 1.0)),
    "None": (r"tree 2\[0\] is a float where", lambda: ng.tree.map(max, (None, 2), (1.0, 2))),
    "size": ("3 leaves for a structure that has 1", lambda: ng.tree.unflatten(ng.tree.structure(1), [1, 2, 3])),
    "structure": ("takes the structure", lambda: ng.tree.unflatten("*", [1])),  # type: ignore[arg-type]
    "length": ("has 2 numbers in all, .* shape \\(3,\\)", lambda: ng.tree.unravel(np.ones(3), X)),
    "complex": ("complex numbers for a leaf", lambda: ng.tree.unravel(X * 1j, X)),
    "leaf": (r"leaf \[0\] is a str", lambda: ng.tree.ravel(["a"])),
    "class": ("takes a class", lambda: ng.tree.register(1, tuple, tuple)),  # type: ignore[arg-type]
    "twice": ("registered as nested data already", lambda: ng.tree.register(Plain, tuple, tuple)),  # type: ignore[arg-type]
    "known": ("is known to nbgrad", lambda: ng.tree.register(list, tuple, tuple)),  # type: ignore[arg-type]
    "no dataclass": ("takes a dataclass", lambda: ng.tree.register_dataclass(Plain)),
    "no field": ("has the fields", lambda: ng.tree.register_dataclass(Open, ["x"], ["z"])),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_errors_name_the_place(case: str) -> None:
    message, call = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=message):
        call()
