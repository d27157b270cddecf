"""Functions that users tell Numba of in other ways than by ``njit``, and what is read of modules and tuples."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numba import cfunc, njit, types, vectorize
from numba.experimental import jitclass
from numba.extending import (
    intrinsic,
    overload,
    overload_attribute,
    overload_method,
    register_jitable,
)
from numpy.testing import assert_allclose

import nbgrad as ng


def sum(x: Any) -> Any:
    """Numba knows nothing of this: its name is met as a method's alone."""


def kind_of(x: Any, flag: bool = True) -> Any:
    raise NotImplementedError


@overload(kind_of, strict=False)
def _kind_of(x: Any, flag: Any = True) -> Any:
    if isinstance(x, types.Array):
        return lambda x, flag=True: x[0] * x[1]
    if isinstance(x, types.Float):
        return lambda x, flag=True: 3.0 * x * x if flag else x
    return lambda x, flag=True: 10.0 * x


@overload_method(types.Array, "chosen_by_type", strict=False)
def _chosen(a: Any) -> Any:
    return (lambda a: a[0] * a[1]) if isinstance(a.dtype, types.Float) else lambda a: a[2]


@overload_attribute(types.Array, "weight_by_type", strict=False)
def _weight(a: Any) -> Any:
    weight = 3.0 if isinstance(a.dtype, types.Float) else 5.0
    return lambda a: weight


@intrinsic
def whole_part(typing_context: Any, x: Any) -> Any:
    return types.int64(types.int64), lambda context, builder, sig, args: args[0]


@intrinsic
def is_float(typing_context: Any, x: Any) -> Any:
    found = isinstance(x, types.Float)
    return types.boolean(x), lambda c, b, sig, args: c.get_constant(types.boolean, found)


@register_jitable  # type: ignore[untyped-decorator]
def made(x: Any) -> Any:
    held = np.zeros(2)
    held[0] = math.sin(x[0])
    return held[0] * x[1]


@cfunc("float64(float64)")
def squared(x: float) -> Any:
    return x * x


@vectorize
def dynamic(x: Any, y: Any) -> Any:
    return x * y + x


@vectorize(["float64(float64, float64)"])
def fixed(x: float, y: float) -> Any:
    return x / y if x > 1.5 else y * y


CALLS: dict[str, Callable[[Any], Any]] = {
    "overload": lambda x: kind_of(x) + kind_of(x[1], flag=False) + kind_of(2) * x[2],
    "overload_method": lambda x: x.chosen_by_type() * x.weight_by_type * whole_part(x[2] * 3),
    "register_jitable": lambda x: made(x) * x[2],
    "cfunc": lambda x: squared(x[0]) * squared(3.0) * x[1],
    "vectorize": lambda x: (dynamic(x, x[::-1]) * fixed(x, 2)).sum() + fixed(x[1], 2.0) * x[0],
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_that_numba_is_told_of(name: str) -> None:
    """An overload that asks for floats chose another function for numbers that carry derivatives."""
    plain, x, h = njit(CALLS[name]), np.array([1.3, 0.7, 2.1]), 1e-6
    value, slope = ng.value_and_grad(ng.njit(plain))(x)
    assert_allclose(value, plain(x), rtol=1e-14)
    steps = h * np.eye(3)
    assert_allclose(slope, [(plain(x + s) - plain(x - s)) / (2 * h) for s in steps], rtol=1e-7)


helpers = ModuleType("helpers")


@njit  # type: ignore[untyped-decorator]
def drawn(x: float) -> Any:
    return x * np.random.normal()  # noqa: NPY002


@register_jitable  # type: ignore[untyped-decorator]
def drawn_there(x: float) -> Any:
    return x * np.random.normal()  # noqa: NPY002


both = (drawn, drawn)


@pytest.fixture
def module() -> Any:
    vars(helpers).update(drawn=drawn, K=2.0, A=np.ones(2))
    return helpers


def by_default(x: float, f: Any = drawn) -> Any:
    return f(x)


DRAWING: dict[str, Callable[[float], Any]] = {
    "module": lambda x: helpers.drawn(x),
    "register_jitable": lambda x: drawn_there(x),
    "tuple": lambda x: both[0](x),
    "default": by_default,
}


@pytest.mark.filterwarnings("ignore:First-class function type feature is experimental")
@pytest.mark.parametrize("name", DRAWING)
def test_draws_are_seen_wherever_they_are(name: str, module: Any) -> None:
    with pytest.raises(TypeError, match=r"draws by normal\(\) inside"):
        ng.grad(ng.njit(DRAWING[name]))(2.0)


def test_what_is_read_of_a_module_is_as_it_was(module: Any) -> None:
    """Numba keeps it: a derivative that was made later had what was there then."""
    w, a = (ng.njit(f) for f in (lambda x: helpers.K * x * x, lambda x: helpers.A[0] * x * x))
    helpers.K, helpers.A[0] = 5.0, 7.0
    for f, name in ((w, "K"), (a, "A")):
        with pytest.raises(TypeError, match=f"helpers.{name} changed after"):
            ng.grad(f)(2.0)


@jitclass([("k", types.float64), ("w", types.float64[:])])
class Box:
    def __init__(self, k: float) -> None:
        self.k, self.w = k, np.arange(3.0)

    def scaled(self, x: float) -> Any:
        return self.k * x * x

    def total(self, x: Any) -> Any:
        return (self.w * x).sum()


def test_instances_of_classes_of_numbas() -> None:
    """One made of a number that is differentiated ended the process: code of its constructor was not there."""
    assert_allclose(ng.grad(ng.njit(lambda x: Box(3.0).scaled(x)))(1.3), 7.8)
    with pytest.raises(TypeError, match="jitclass holds no number that is differentiated"):
        ng.grad(ng.njit(lambda x: Box(x).k))(1.3)
    with pytest.raises(TypeError, match="Numba fails at it"):  # its methods are not cloned
        ng.grad(ng.njit(lambda x: Box(3.0).total(x)))(np.ones(3))


def test_an_intrinsic_is_told_no_other_type() -> None:
    with pytest.raises(TypeError, match="Cannot cast"):
        ng.grad(ng.njit(lambda x: x * x if is_float(x) else x))(2.0)
