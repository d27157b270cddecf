"""``jet`` against the Taylor series of mpmath: each elementwise function of the registry that it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from special_oracles import ORACLES

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.registry import primitives
from nbgrad.ops.kinds.elementwise import arity

ORDER = 8
load_vocabulary()
MP: dict[str, Callable[..., Any]] = {
    **{name: getattr(mp, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: getattr(mp, name) for name in ("exp", "log", "sqrt", "cbrt", "log10", "expm1", "log1p")},
    **{f"arc{name}": getattr(mp, f"a{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{"add": mp.fadd, "subtract": mp.fsub, "multiply": mp.fmul, "divide": mp.fdiv, "power": mp.power},
    **{"arctan2": mp.atan2, "hypot": mp.hypot, "degrees": mp.degrees, "radians": mp.radians},
    **{"rad2deg": mp.degrees, "deg2rad": mp.radians, "absolute": abs, "fabs": abs},
    "negative": lambda x: -x,
    "positive": lambda x: x,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "exp2": lambda x: mp.power(2, x),
    "log2": lambda x: mp.log(x) / mp.log(2),
    "logaddexp": lambda x, y: mp.log(mp.exp(x) + mp.exp(y)),
    "logaddexp2": lambda x, y: mp.log(mp.power(2, x) + mp.power(2, y)) / mp.log(2),
    **{name: oracle.exact for name, oracle in ORACLES.items() if oracle.exact is not None},
}  # fmt: skip
FIXED = {name: oracle.fixed for name, oracle in ORACLES.items()}
# Of these mpmath differentiates numerically what takes it seconds.
SLOW = ("gammainc", "betainc", "stdtr", "inv", "ndtri", "k0", "k1", "kv", "y1", "yv")
NAMES = sorted(
    name
    for name, prim in primitives.items()
    if prim.kind == "elementwise" and prim.jvp is not None and prim.public and name in MP
    if not any(part in name for part in SLOW)
)


def points(name: str) -> list[float]:
    """One number of the domain for each operand: a whole one for one that does not move."""
    prim = primitives[name]
    count = arity(prim)
    domain = prim.domain * count if len(prim.domain) < count or count == 1 else prim.domain
    found = [lo + (0.43 if k else 0.61) * (hi - lo) for k, (lo, hi) in enumerate(domain[:count])]
    return [float(round(x)) if k in FIXED.get(name, ()) else x for k, x in enumerate(found)]


def exact(f: Callable[..., Any], xs: list[float], moving: list[float]) -> list[float]:
    """Derivatives of ``f(xs + t moving)`` at t = 0."""
    with mp.workdps(17):
        found = mp.taylor(
            lambda t: f(*(x + t * v for x, v in zip(xs, moving, strict=True))), 0, ORDER
        )
        return [float(mp.re(c) * math.factorial(k)) for k, c in enumerate(found)]


def along(f: Callable[..., Any], xs: Any, moving: Any, order: int = ORDER) -> list[Any]:
    """The same by ``jet``, where operands that do not move are no arguments."""
    places = [k for k, v in enumerate(moving) if v]

    def g(*given: Any) -> Any:
        every = list(xs)
        for k, x in zip(places, given, strict=True):
            every[k] = x
        return f(*every)

    series = [(moving[k], *[0.0 * moving[k]] * (order - 1)) for k in places]
    y, terms = ng.jet(g, [xs[k] for k in places], series)
    return [y, *terms]


def public(name: str) -> Callable[..., Any]:
    return getattr(ng.special if primitives[name].namespace == "special" else ng.numpy, name)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NAMES)
def test_elementwise_functions_to_order_eight(name: str) -> None:
    xs = points(name)
    moving = [0.0 if k in FIXED.get(name, ()) else 1.0 + 0.5 * k for k in range(len(xs))]
    found = [float(np.asarray(c)) for c in along(public(name), xs, moving)]
    wanted = exact(MP[name], xs, moving)
    for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert abs(a - b) <= 1e-9 * max(
            abs(c) / math.factorial(j) for j, c in enumerate(wanted)
        ) * math.factorial(k), (k, a, b)


A, B = np.array([[2.0, 1.0], [0.5, 3.0]]), np.array([[0.0, 1.0], [1.0, 2.0]])
C = np.array([1.0, 2.0])


def solved(x: Any) -> Any:
    return ng.linalg.solve(A + x * B, C * x).sum()


def solved_exactly(t: Any) -> Any:
    return sum(mp.lu_solve(mp.matrix(A) + t * mp.matrix(B), mp.matrix(C) * t))


def determined(t: Any) -> Any:
    return mp.det(mp.matrix(A) + t * mp.matrix(B))


def scanned(x: Any) -> Any:
    step = lambda c, r: (c * ng.sin(x) + r, c * c)
    last, rows = ng.scan(step, x, np.array([0.1, 0.2, 0.3]))
    return last + rows.sum()


def scanned_exactly(t: Any) -> Any:
    c, total = t, mp.mpf(0)
    for r in (0.1, 0.2, 0.3):
        c, total = c * mp.sin(t) + mp.mpf(r), total + c * c
    return c + total


def repeated(x: Any) -> Any:
    step = lambda c: (c[0] + 1, ng.exp(-c[1]) * x)
    return ng.while_loop(lambda c: c[0] < 3, step, (0, x))[1]


def repeated_exactly(t: Any) -> Any:
    c = t
    for _ in range(3):
        c = mp.exp(-c) * t
    return c


def chosen(x: Any) -> Any:
    return ng.cond(x > 0, lambda x: ng.sin(x) * x, lambda x: x, x)


PROGRAMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "quotient": (lambda x: ng.sin(x) / (1 + x * x), lambda t: mp.sin(t) / (1 + t * t)),
    "whole powers": (lambda x: x**7 - 2 * x**2, lambda t: t**7 - 2 * t**2),
    "negative power": (lambda x: x**-3, lambda t: t**-3),
    "power of itself": (lambda x: x**x, lambda t: t**t),
    "nested": (lambda x: ng.exp(ng.sin(ng.exp(x))), lambda t: mp.exp(mp.sin(mp.exp(t)))),
    "several uses": (lambda x: ng.tanh(x * x) * x + ng.log(x), lambda t: mp.tanh(t * t) * t + mp.log(t)),
    "linear solve": (solved, solved_exactly),
    "determinant": (lambda x: ng.linalg.det(A + x * B), determined),
    "inverse": (lambda x: ng.linalg.inv(A + x * B)[0, 1], lambda t: ((mp.matrix(A) + t * mp.matrix(B)) ** -1)[0, 1]),
    "products": (lambda x: (A * x) @ (B + x) @ C @ C, lambda t: (mp.matrix(C).T * mp.matrix(A) * t * (mp.matrix(B) + mp.ones(2) * t) * mp.matrix(C))[0]),
    "largest": (lambda x: ng.stack([x, x * x, x**3]).max(), lambda t: max(t, t * t, t**3)),
    "sorted": (lambda x: ng.sort(ng.stack([x, x * x, x**3]))[0] * x, lambda t: min(t, t * t, t**3) * t),
    "cumulative": (lambda x: ng.cumprod(ng.stack([x, ng.sin(x), x]))[2], lambda t: t * mp.sin(t) * t),
    "convolution": (lambda x: ng.numpy.convolve(ng.stack([x, x * x]), ng.stack([ng.sin(x), x]))[1], lambda t: t * t + t * t * mp.sin(t)),
    "scan": (scanned, scanned_exactly),
    "while_loop": (repeated, repeated_exactly),
    "cond": (chosen, lambda t: mp.sin(t) * t),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_to_order_eight(name: str) -> None:
    f, g = PROGRAMS[name]
    y, terms = ng.jet(f, (0.7,), ((1.0, *[0.0] * (ORDER - 1)),))
    wanted = exact(g, [0.7], [1.0])
    for k, (a, b) in enumerate(zip([y, *terms], wanted, strict=True)):
        assert abs(a - b) <= 1e-11 * max(abs(b), math.factorial(k)), k


@pytest.mark.parametrize("name", ["quotient", "scan", "linear solve"])
def test_programs_compiled(name: str) -> None:
    jet = lambda x: ng.jet(PROGRAMS[name][0], (x,), ((1.0, 0.0, 0.0),))
    y, terms = ng.jit(jet)(0.7)
    assert_allclose([y, *terms], [*(float(np.asarray(c)) for c in (jet(0.7)[0], *jet(0.7)[1]))])


def test_curves_that_bend() -> None:
    """The second derivative of f(x(t)) is f''(x) x'^2 + f'(x) x''; normalized it is half of that."""
    x, v, w = np.array([0.3, 0.8]), np.array([1.0, -2.0]), np.array([0.5, 3.0])
    y, (first, second) = ng.jet(np.sin, (x,), ((v, w),))
    assert_allclose(y, np.sin(x))
    assert_allclose(first, np.cos(x) * v)
    assert_allclose(second, -np.sin(x) * v**2 + np.cos(x) * w)
    _, (first, second) = ng.jet(np.sin, (x,), ((v, w / 2),), normalized=True)
    assert_allclose(first, np.cos(x) * v)
    assert_allclose(second, (-np.sin(x) * v**2 + np.cos(x) * w) / 2)


def test_nested_data_and_what_is_beside_the_result() -> None:
    f = lambda p, q: ({"o": p["a"] * q, "c": np.ones(2)}, "beside")
    p, q = {"a": np.array([1.0, 2.0])}, 3.0
    y, terms, aux = ng.jet(
        f, (p, q), (({"a": np.ones(2)}, {"a": np.zeros(2)}), (1.0, 0.0)), has_aux=True
    )
    assert aux == "beside" and list(y) == ["o", "c"]
    assert_allclose(terms[0]["o"], [4.0, 5.0])
    assert_allclose(terms[1]["o"], [2.0, 2.0])
    assert_allclose(terms[1]["c"], np.zeros(2))
    y, terms = ng.jet(ng.sin, (ng.tensor(0.5),), ((1.0,),))
    assert isinstance(y, ng.Tensor) and isinstance(terms[0], ng.Tensor)


def test_transforms_pass_through() -> None:
    third = lambda x: ng.jet(ng.sin, (x,), ((1.0, 0.0, 0.0),))[1][2]
    assert_allclose(ng.grad(third)(0.5), np.sin(0.5))
    assert_allclose(ng.vmap(third)(np.array([0.5, 0.6])), -np.cos([0.5, 0.6]))
    assert_allclose(ng.jvp(third, (0.5,), (2.0,))[1], 2 * np.sin(0.5))
    y = ng.jet(ng.grad(lambda x: x**5), (2.0,), ((1.0, 0.0),))[1]
    assert_allclose(y, [5 * 4 * 8, 5 * 4 * 3 * 4])
    x = ng.tensor(0.5, requires_grad=True)
    third(x).backward()
    assert_allclose(x.grad.item(), np.sin(0.5))  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["nested", "quotient", "linear solve", "scan"])
def test_the_cost_is_polynomial(name: str) -> None:
    """Equations to order 2k are fewer than 16 times those to order k, and far fewer than 2^k times."""
    f = PROGRAMS[name][0]

    def size(order: int) -> int:
        traced = ng.make_tape(lambda x: ng.jet(f, (x,), ((1.0, *[0.0] * (order - 1)),)))(0.7)
        return len(traced.tape) if hasattr(traced, "tape") else len(str(traced).splitlines())

    assert size(8) < 16 * size(4) < 256 * size(2)


REFUSED: dict[str, tuple[str, Callable[[], Any]]] = {
    "no tuple": ("primals must be a tuple", lambda: ng.jet(ng.sin, 1.0, ((1.0,),))),  # type: ignore[arg-type]
    "no series": ("series 0 must be a tuple of terms", lambda: ng.jet(ng.sin, (1.0,), (1.0,))),  # type: ignore[arg-type]
    "number": ("1 primals and 2 series", lambda: ng.jet(ng.sin, (1.0,), ((1.0,), (1.0,)))),
    "orders": ("series 1 has 2 terms and series 0 has 1", lambda: ng.jet(ng.add, (1.0, 2.0), ((1.0,), (1.0, 0.0)))),
    "shape": (r"term 2 of series 0 has shape \(3,\)", lambda: ng.jet(ng.sin, (1.0,), ((1.0, np.ones(3)),))),
    "nested": (r"term 1 of series 0 is a float where", lambda: ng.jet(lambda p: p["a"], ({"a": 1.0},), ((1.0,),))),
    "integer": ("argument 0 is int64", lambda: ng.jet(ng.sin, (1,), ((1.0,),))),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_errors_name_the_place(case: str) -> None:
    message, call = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_no_terms_and_constants() -> None:
    assert ng.jet(ng.sin, (0.0,), ((),)) == (0.0, [])
    assert ng.jet(lambda x: 3.0, (0.0,), ((1.0, 0.0),)) == (3.0, [0.0, 0.0])
    assert [float(t) for t in ng.jet(ng.floor, (0.5,), ((1.0, 1.0),))[1]] == [0.0, 0.0]
