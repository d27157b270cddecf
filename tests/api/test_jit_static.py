"""Static arguments of ``jit``: told apart by equality, refused where they are no settings."""

from __future__ import annotations

import dataclasses
import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

X = np.array([1.0, 2.0, 3.0])


class Equal:
    """Equal and hashed by its number, as a user's own settings may be."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal) and self.n == other.n

    def __hash__(self) -> int:
        return hash(self.n)


@dataclasses.dataclass(frozen=True)
class Frozen:
    n: int


def counted(**options: Any) -> tuple[Any, list[Any]]:
    seen: list[Any] = []

    def f(x: Any, setting: Any, *more: Any, scale: Any = 1) -> Any:
        seen.append((setting, more, scale))
        return x * getattr(setting, "n", 2) * scale

    return ng.jit(f, **options), seen


PAIRS = [
    (3, 4),
    ("a", "b"),
    (1, 1.0),
    (1, True),
    (0.0, -0.0),
    (float("nan"), 0.0),
    ((1, "a"), (1, "b")),
    ((1,), (True,)),
    (frozenset({1}), frozenset({2})),
    (Equal(1), Equal(2)),
    (Frozen(1), Frozen(2)),
    (Decimal("1.0"), Decimal("1.00")),
    (Fraction(1, 2), Fraction(1, 3)),
    (None, 0),
    (np.float64(1.0), np.float32(1.0)),
    (np.sin, np.cos),
    (float, int),
]


@pytest.mark.parametrize("pair", PAIRS, ids=[f"pair {k}" for k in range(len(PAIRS))])
@pytest.mark.parametrize("options", [{"static_argnums": 1}, {"static_argnames": ["setting"]}])
def test_each_value_is_a_trace_of_its_own(pair: Any, options: Any) -> None:
    f, seen = counted(**options)
    for setting in (*pair, *pair):
        assert_allclose(f(X, setting), X * getattr(setting, "n", 2))
    assert [type(s[0]) for s in seen] == [type(x) for x in pair]
    assert [repr(s[0]) for s in seen] == [repr(x) for x in pair]


def test_what_is_equal_is_not_traced_again() -> None:
    f, seen = counted(static_argnums=1)
    for _ in range(70):  # beyond the calls after which machine code serves it
        for made in (Equal(3), Frozen(3), (1, (2.5, "x"))):
            f(X, made)
    assert len(seen) == 3


@pytest.mark.parametrize(
    "options", [{"static_argnums": (1,)}, {"static_argnames": "setting"}], ids=str
)
def test_an_argument_that_is_named_either_way_may_be_passed_either_way(options: Any) -> None:
    for call in (lambda f, n: f(X, n), lambda f, n: f(X, setting=n)):
        f, seen = counted(**options)
        for n in (3.5, 4.5, 3.5):
            call(f, n)
        assert [s[0] for s in seen] == [3.5, 4.5]  # and not the placeholder of a traced number


def test_negative_numbers_count_from_the_end() -> None:
    f = ng.jit(lambda x, n: x * sum(range(n)), static_argnums=-1)
    assert_allclose(f(X, 4), 6 * X)
    g = ng.jit(lambda x, *n: x * len(range(*n)), static_argnums=(-1, -2))
    assert_allclose(g(X, 1, 5), 4 * X)


def test_as_a_decorator_with_settings() -> None:
    @ng.jit(static_argnames=("scale",))
    def f(x: Any, *, scale: float) -> Any:
        assert scale.__class__ is float
        return x * scale

    assert_allclose(f(X, scale=2.5), 2.5 * X)
    assert f.__name__ == "f" and isinstance(f, ng.Jitted)


def test_it_works_for_methods_and_inside_transforms() -> None:
    class Model:
        @ng.jit(static_argnames="power")
        def loss(self, x: Any, power: int) -> Any:
            return (x**power).sum()

    model = Model()
    assert_allclose(model.loss(X, 3), (X**3).sum())
    assert_allclose(ng.grad(lambda x: model.loss(x, power=3))(X), 3 * X**2)
    assert_allclose(
        ng.jit(ng.grad(ng.jit(lambda x, n: (x**n).sum(), static_argnums=1)))(X, 2), 2 * X
    )


REFUSED: list[Any] = [[1], {"a": 1}, {1}, X, ng.tensor(X), (1, X), (1, [2])]


@pytest.mark.parametrize("value", [*REFUSED, np.random.default_rng(0)])
def test_what_is_no_setting_is_refused(value: Any) -> None:
    f, _ = counted(static_argnums=1)
    with pytest.raises(TypeError, match=r"argument 'setting' is static.*static_argnums"):
        f(X, value)
    with pytest.raises(TypeError, match="argument 'setting' is static"):
        f(X, setting=value)


def test_a_traced_value_is_refused_as_a_static_argument() -> None:
    f, _ = counted(static_argnums=1)
    with pytest.raises(TypeError, match="argument 'setting' is static"):
        ng.jit(lambda x: f(x, x.sum()))(X)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"static_argnums": 5}, ValueError, "takes 2 positional"),
        ({"static_argnums": -3}, ValueError, "takes 2 positional"),
        ({"static_argnums": 1.5}, TypeError, "must be an int"),
        ({"static_argnums": "n"}, TypeError, "must be an int"),
        ({"static_argnames": "m"}, ValueError, "'m', and the function has 'n', 'x'"),
        ({"static_argnames": 1}, TypeError, "must be a str"),
    ],
)
def test_what_the_function_does_not_have_is_refused(
    options: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        ng.jit(lambda x, n: x, **options)
    with pytest.raises(error, match=message):
        ng.jit(**options)(lambda x, n: x)


def test_only_a_function_is_compiled() -> None:
    with pytest.raises(TypeError, match="a function is needed, and this is a float"):
        ng.jit(3.0)  # type: ignore[call-overload]


def of_module(x: Any, n: int) -> Any:
    return x * sum(range(n))


def test_the_settings_are_pickled_with_it() -> None:
    f = pickle.loads(pickle.dumps(ng.jit(of_module, static_argnums=1)))
    assert_allclose(f(X, 4), 6 * X)
    assert f.traces.static.places == {1}
