"""Arithmetic on elements: + - * / // % **, sign, roots, ``exp`` and ``log``."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.ops.basis import cast
from nbgrad.ops.elements import kinks
from nbgrad.ops.elements.comparison import (
    equal,
    greater_equal,
    logical_and,
)
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds import ranges
from nbgrad.ops.kinds.algebra import Product, Sum
from nbgrad.ops.kinds.cotangents import add_up, is_number, materialize, times
from nbgrad.ops.kinds.cotangents import conjugate as conjugated
from nbgrad.ops.kinds.elementwise import elementwise
from nbgrad.ops.kinds.promotion import common_loop

ANY = ((-2.0, 2.0),)
NONZERO = ((0.5, 2.0), (-2.0, -0.5))
POSITIVE = ((0.5, 2.0),)


add = elementwise(
    "add",
    expr="{x} + {y}",
    reference=np.add,
    algebra=Sum((1, 1)),
    partials=lambda out, x, y: (1, 1),
    dtypes="fiuc",
    bounds=ranges.corners(operator.add),
    doc="Sum of two arrays.",
)
subtract = elementwise(
    "subtract",
    expr="{x} - {y}",
    reference=np.subtract,
    algebra=Sum((1, -1)),
    partials=lambda out, x, y: (1, -1),
    dtypes="fiuc",
    grad_name="Sub",
    bounds=ranges.corners(operator.sub),
    doc="Difference of two arrays.",
)
multiply = elementwise(
    "multiply",
    expr="{x} * {y}",
    reference=np.multiply,
    algebra=Product(),
    partials=lambda out, x, y: (y, x),
    dtypes="fiuc",
    grad_name="Mul",
    square=kinks.Square(half=lambda xs, params: xs[0] is xs[1], factors=(0, 1)),
    bounds=ranges.corners(operator.mul),
    doc="Product of two arrays.",
)


def _strong_multiply(x: Any, y: Any) -> Any:
    product, zero = np.multiply(x, y), x == 0
    if zero.__class__ is np.bool_ and product.__class__ is not np.ndarray:
        # Numbers, which loops in Python have many of: a quarter of the time.
        return product.__class__(0) if zero else product
    return np.where(zero, np.zeros((), product.dtype), product)


def _mutual_multiply(x: Any, y: Any) -> Any:
    return np.where(y == 0, np.zeros((), np.result_type(x, y)), _strong_multiply(x, y))


def _mutual(ct: Any, x: Any) -> Any:
    return ct * x if is_number(ct) else mutual_multiply(ct, x)


def _mutual_vjp(ct: Any, out: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
    others = xs[::-1]
    return [_mutual(ct, conjugated(x)) if w else None for x, w in zip(others, wants, strict=True)]


def _mutual_jvp(tangents: Any, out: Any, xs: Any, params: Any) -> Any:
    pairs = zip(tangents, xs[::-1], strict=True)
    return add_up([_mutual(t, x) for t, x in pairs if t is not None])


mutual_multiply = elementwise(
    "mutual_multiply",
    public=False,
    expr="({x} * {y} if {x} != {t}(0) and {y} != {t}(0) else {t}(0))",
    reference=_mutual_multiply,
    algebra=Product(zeros=(0, 1)),
    dtypes="fc",
    loop=common_loop(),
    vjp=_mutual_vjp,
    jvp=_mutual_jvp,
    grad_name="Mul",
    doc="Product that is exactly zero where either operand is, whatever the other.",
)


def _strong_vjp(ct: Any, out: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
    """A cotangent of zero stays zero at the next order too: there it is the partial by y."""
    x, y = xs
    first = times(ct, conjugated(y)) if wants[0] else None
    return [first, _mutual(ct, conjugated(x)) if wants[1] else None]


def _strong_jvp(tangents: Any, out: Any, xs: Any, params: Any) -> Any:
    (t, u), (x, y) = tangents, xs
    first = [times(t, y)] if t is not None else []
    return add_up(first + ([_mutual(u, x)] if u is not None else []))


strong_multiply = elementwise(
    "strong_multiply",
    public=False,
    expr="({x} * {y} if {x} != {t}(0) else {t}(0))",
    reference=_strong_multiply,
    algebra=Product(zeros=(0,)),
    loop=common_loop(),
    vjp=_strong_vjp,
    jvp=_strong_jvp,
    dtypes="fiuc",
    grad_name="Mul",
    doc="Product that is exactly zero where the first operand is, whatever the second.",
)

divide = elementwise(
    "divide",
    expr="{x} / {y}",
    reference=np.divide,
    complex_expr="divide_{c}({x}, {y})",
    partials=lambda out, x, y: (divide(1, y), -(out / y)),  # Python's 1 / 0 raises
    domain=NONZERO,
    grad_name="Div",
    square=kinks.FACTOR,
    doc="Quotient of two arrays.",
)
floor_divide = elementwise(
    "floor_divide",
    expr="{to}(floor_divide_{c}({x}, {y}))",
    reference=np.floor_divide,
    partials=lambda out, x, y: (0, 0),
    domain=((0.6, 0.9), (1.6, 1.9)),
    dtypes="fiu",
    bounds=ranges.quotient,
    doc="Largest integer not above the quotient; derivative zero.",
)
remainder = elementwise(
    "remainder",
    expr="{to}(remainder_{c}({x}, {y}))",
    reference=np.remainder,
    partials=lambda out, x, y: (1, -floor_divide(x, y)),
    domain=((0.6, 0.9), (1.6, 1.9)),
    dtypes="fiu",
    bounds=ranges.remainder,
    doc="Remainder with the sign of the divisor, as Python's %.",
)
negative = elementwise(
    "negative",
    expr="-{x}",
    reference=np.negative,
    algebra=Sum((-1,)),
    partials=lambda out, x: (-1,),
    dtypes="fiuc",
    grad_name="Neg",
    square=kinks.FACTOR,
    bounds=ranges.corners(operator.neg),
    doc="Minus the operand.",
)
positive = elementwise(
    "positive",
    expr="{x}",
    reference=np.positive,
    partials=lambda out, x: (1,),
    dtypes="fiuc",
    grad_name="Clone",
    bounds=ranges.same,
    doc="The operand itself, as a new value.",
    alias=True,
)


def _turning(t: Any, out: Any, x: Any) -> Any:
    """What moving *x* by *t* does to its direction; a real number has only two of them."""
    if x.dtype.kind != "c":
        return None
    t, length = materialize(t, out.aval), absolute(x)
    along = cast(conjugate(out) * t, dtype=length.dtype)
    return (t - out * along) / where(equal(length, 0), math.inf, length)


sign = elementwise(
    "sign",
    # What is neither is 0, of either sign, or NaN.
    expr="({t}(1) if {x} > {t}(0) else ({t}(-1) if {x} < {t}(0) else {x} + {t}(0)))",
    reference=np.sign,
    # As a real-linear map it is its own adjoint.
    vjp=lambda ct, y, xs, params, wants: (_turning(ct, y, xs[0]),),
    jvp=lambda tangents, y, xs, params: _turning(tangents[0], y, xs[0]),
    domain=NONZERO,
    dtypes="fiu",
    grad_name="Sgn",
    bounds=ranges.corners(lambda x: (x > 0) - (x < 0)),
    doc="-1, 0 or 1, derivative zero; of a complex number its direction z / |z|, and 0 at 0.",
)
conjugate = elementwise(
    "conjugate",
    expr="{x}",
    complex_expr="conj_{c}({x})",
    reference=np.conjugate,
    vjp=lambda ct, y, xs, params, wants: (ct if is_number(ct) else conjugate(ct),),
    jvp=lambda tangents, y, xs, params: conjugate(materialize(tangents[0], y.aval)),
    dtypes="fiu",
    grad_name="Conj",
    bounds=ranges.same,
    doc="Complex conjugate; real numbers stay as they are.",
)


def _absolute_jvp(tangents: Any, out: Any, xs: Any, params: Any) -> Any:
    t, (x,) = materialize(tangents[0], xs[0].aval), xs
    return (
        t * conjugate(kinks.absolute_pull(1.0, x))
        if x.dtype.kind == "c"
        else kinks.absolute_pull(t, x)
    )


absolute = elementwise(
    "absolute",
    expr="abs({x})",
    reference=np.absolute,
    vjp=lambda ct, out, xs, params, wants: (kinks.absolute_pull(ct, xs[0]),),
    jvp=_absolute_jvp,
    domain=NONZERO,
    dtypes="fiuc",
    grad_name="Abs",
    square=kinks.ABSOLUTE,
    bounds=ranges.turning(abs),
    doc="Absolute value; derivative 0 at 0.",
)
square = elementwise(
    "square",
    expr="{x} * {x}",
    reference=np.square,
    partials=lambda out, x: (2 * x,),
    dtypes="fiuc",
    grad_name="Pow",
    square=kinks.Square(half=lambda xs, params: 1),
    bounds=ranges.turning(lambda x: x * x),
    doc="The operand times itself.",
)
sqrt = elementwise(
    "sqrt",
    expr="math.sqrt({x})",
    complex_expr="sqrt_{c}({x})",
    reference=np.sqrt,
    partials=lambda out, x: (0.5 / out,),
    vjp=kinks.root_vjp,
    jvp=kinks.root_jvp,
    domain=POSITIVE,
    square=kinks.Square(root=kinks.squared_root),
    doc="Square root; derivative +inf at 0.",
)


def _integer_power_text(params: dict[str, Any]) -> str:
    """Repeated multiplication, with the shared powers bound by the compiler's CSE."""
    n = abs(params["n"])
    text = "{t}(1)" if n == 0 else _power_of(n)
    return text if params["n"] >= 0 else f"({{t}}(1) / ({text}))"


def _complex_power_text(params: dict[str, Any]) -> str:
    text = _integer_power_text({"n": abs(params["n"])})
    if params["n"] >= 0:
        return text
    nothing = "{t}(complex(math.nan, math.nan))"  # as NumPy has it
    return f"(divide_{{c}}({{t}}(1), {text}) if {{x}} != {{t}}(0) else {nothing})"


def _power_of(n: int) -> str:
    if n == 1:
        return "{x}"
    half = _power_of(n // 2)
    product = f"(({half}) * ({half}))"
    return f"({product} * {{x}})" if n % 2 else product


def _integer_power_loop(kinds: Sequence[Any]) -> tuple[Any, ...]:
    kind = kinds[0]
    return (np.dtype(kind), np.power.resolve_dtypes((kind, int, None))[-1])


def _integer_power_partials(out: Any, x: Any, n: int) -> tuple[Any]:
    if n in (0, 1):
        return (n,)
    return (2 * x,) if n == 2 else (n * integer_power(x, n=n - 1),)


integer_power = elementwise(
    "integer_power",
    public=False,
    expr=_integer_power_text,
    complex_expr=_complex_power_text,
    reference=lambda x, n: np.power(x, n),
    loop=_integer_power_loop,
    partials=_integer_power_partials,
    domain=NONZERO,
    dtypes="fiuc",
    cases=tuple({"n": n} for n in (-3, -1, 0, 1, 2, 3, 7)),
    grad_name="Pow",
    square=kinks.Square(half=lambda xs, params: max(params["n"], 0) // 2 * (params["n"] % 2 == 0)),
    bounds=ranges.integer_power,
    doc="The operand to a fixed small integer power.",
)


def _power_partials(out: Any, x: Any, y: Any) -> tuple[Any, Any]:
    base = where(equal(y, 0), 0.0, y * power(x, y - 1))
    settled = logical_and(equal(x, 0), greater_equal(y, 0))
    if out.dtype.kind == "c" and x.__class__ in (int, float):
        x = complex(x)  # whose logarithm is not a number if it is negative
    return base, where(settled, 0.0, out * log(x))


power = elementwise(
    "power",
    expr="pow_{c}({x}, {y})",
    reference=np.power,
    partials=_power_partials,
    domain=POSITIVE,
    grad_name="Pow",
    bounds=ranges.power,
    doc="First operand to the power of the second; 0**0 is 1, and d/dy is 0 at x = 0, y >= 0.",
)

exp = elementwise(
    "exp",
    expr="exp_{c}({x})",
    dtypes="fc",
    reference=np.exp,
    partials=lambda out, x: (out,),
    doc="Exponential.",
)
log = elementwise(
    "log",
    expr="log_{c}({x})",
    dtypes="fc",
    reference=np.log,
    partials=lambda out, x: (1 / x,),
    domain=POSITIVE,
    doc="Natural logarithm.",
)
