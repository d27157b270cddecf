"""Derivatives of roots and lengths, which are not defined at 0 and yet often cancel there.

A function of a distance r may be smooth where r is not: r**2, exp(-r**2), a Matern kernel. Its
derivative by s = r**2 is c / 2r, with c its derivative by r, and where both are 0 the limit is
half of dc/dr. So the rules here write c / r as one operation that says so (``kink``), and
transforms/kinks.py finds the limit when the derivative is differentiated again: the first one is
multiplied by 0 there, whatever it is. Where c is not 0 the second derivative is infinite: NaN.

``pull`` operations get that limit as the param ``limit``: a node, 0 where nothing is to be added.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.node import Node
from nbgrad.core.registry import primitives
from nbgrad.ops.cotangents import add_up, conjugate, is_number, materialize, times
from nbgrad.ops.kinds import common_loop, elementwise

FLOATS = common_loop(floating=True)
REALS = common_loop(floating=True, ordered=True)


def _quotient(c: Any, r: Any) -> Any:
    safe = np.where(c == 0, np.ones((), np.result_type(r)), r)
    return np.where(c == 0, np.zeros((), np.result_type(c, r)), c / safe)


def _both(t: Any, y: Any) -> Any:
    """The product, 0 where either is: in a dead branch the quotient is, and the tangent infinite."""
    return t * y if is_number(t) else primitives["mutual_multiply"](t, y)


def _again_jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
    """(n / r)' = (n' - (n / r) r') / r."""
    tn, tr = tangents
    n = add_up([tn, None if tr is None else -_both(tr, y)])
    return None if n is None else again(n, xs[1])


def _again_vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
    first = again(ct, xs[1])
    return [first if wants[0] else None, -again(_both(ct, y), xs[1]) if wants[1] else None]


again = elementwise(
    "again",
    public=False,
    expr="({x} / {y} if {x} != {t}(0) else {t}(0))",
    reference=_quotient,
    loop=REALS,
    vjp=_again_vjp,
    jvp=_again_jvp,
    domain=((0.5, 2.0),),
    grad_name="Sqrt",
    kink="again",
    doc="Quotient by a root, 0 where the first is 0.",
)


def _slope_jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
    tc, tr = tangents
    half = None if tc is None else 0.5 * tc
    return _again_jvp((half, tr), y, xs, params)


def _slope_vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
    first, second = _again_vjp(ct, y, xs, params, wants)
    return [None if first is None else 0.5 * first, second]


slope = elementwise(
    "slope",
    public=False,
    expr="({x} * ({t}(0.5) / {y}) if {x} != {t}(0) else {t}(0))",
    reference=lambda c, r: np.where(c == 0, np.zeros((), np.result_type(c, r)), c * (0.5 / r)),
    loop=REALS,
    vjp=_slope_vjp,
    jvp=_slope_jvp,
    domain=((0.5, 2.0),),
    grad_name="Sqrt",
    kink="slope",
    doc="c / 2r, 0 where c is 0: the derivative by r**2 of what has the derivative c by r.",
)


def _safe_slope(c: Any, r: Any) -> Any:
    return np.where(r == 0, np.zeros((), np.result_type(c, r)), c * (0.5 / r))


safe_slope = elementwise(
    "safe_slope",
    public=False,
    expr="({x} * ({t}(0.5) / {y}) if {y} != {t}(0) else {t}(0))",
    reference=_safe_slope,
    loop=REALS,
    vjp=_slope_vjp,
    jvp=_slope_jvp,
    domain=((0.5, 2.0),),
    grad_name="Norm",
    kink="safe_slope",
    doc="c / 2r, 0 where r is 0.",
)
length = elementwise(
    "length",
    public=False,
    expr="math.sqrt({x})",
    reference=lambda x: np.sqrt(x),
    loop=REALS,
    vjp=lambda ct, y, xs, params, wants: [safe_slope(ct, y)],
    jvp=lambda tangents, y, xs, params: safe_slope(tangents[0], y),
    domain=((0.5, 2.0),),
    grad_name="Norm",
    doc="Square root of a sum of squares: its derivative at 0 is 0, not infinite.",
)


def root_vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
    """The rule of sqrt, real or complex."""
    if y.dtype.kind == "c" or settings.current.nan_policy == "ieee":
        return [times(ct, conjugate(0.5 / y))]
    return [slope(ct, y)]


def root_jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
    (t,) = tangents
    if y.dtype.kind == "c" or settings.current.nan_policy == "ieee":
        return times(t, 0.5 / y)
    return slope(t, y)


spot = elementwise(
    "spot",
    public=False,
    expr="({x} if {y} != {y} else {t}(0))",
    reference=lambda n, r: np.where(r != r, n, np.zeros((), np.result_type(n, r))),
    loop=FLOATS,
    vjp=lambda ct, y, xs, params, wants: [None, None],
    jvp=lambda tangents, y, xs, params: None,
    domain=((0.5, 2.0),),
    kink="spot",
    doc="The limit of n / r where both are 0, and 0 elsewhere.",
)


def at_zero(ct: Any, c: Any, r: Any) -> Any:
    """What pulling by *c* adds where *r* is 0: where it is *ct* that vanishes there with it."""
    held = c if is_number(c) else primitives["detach"](c)
    return spot(times(ct, held), r)


# ------------------------------------------------------------------------------------------ hypot


def _hypot_pull(c: Any, x: Any, y: Any) -> Any:
    return _quotient_of(c, x, np.hypot(x, y))


def _quotient_of(c: Any, x: Any, r: Any) -> Any:
    return np.where(
        c == 0, np.zeros((), np.result_type(c, x)), c * (x / np.where(r == 0, np.inf, r))
    )


def _turns(x: Node, y: Node) -> tuple[Node, Node]:
    """Derivatives of x / hypot(x, y); not (1 - out**2) / length, which cancels where y is small."""
    where = primitives["where"]
    r = primitives["hypot"](x, y)
    r = where(primitives["equal"](r, 0), math.inf, r)
    across = y / r
    return across * (across / r), -(x / r) * (across / r)


def _hypot_pull_jvp(tangents: Any, out: Any, xs: Any, params: Any) -> Any:
    tc, tx, ty = tangents
    c, x, y = xs
    terms = [] if tc is None else [hypot_pull(tc, x, y)]
    by_x, by_y = _turns(x, y)
    terms += [times(t, _product(c, d)) for t, d in ((tx, by_x), (ty, by_y)) if t is not None]
    if tx is not None and "limit" in params:
        terms.append(times(tx, params["limit"]))
    return add_up(terms)


def _hypot_pull_vjp(ct: Any, out: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
    c, x, y = xs
    by_x, by_y = _turns(x, y)
    along = [times(ct, _product(c, by_x))] if wants[1] else []
    if wants[1] and "limit" in params:
        along.append(times(ct, params["limit"]))
        along.append(at_zero(ct, c, primitives["hypot"](x, y)))
    first = hypot_pull(ct, x, y) if wants[0] else None
    return [first, add_up(along), times(ct, _product(c, by_y)) if wants[2] else None]


def _product(c: Any, d: Any) -> Any:
    return c * d if is_number(c) else times(c, d)


hypot_pull = elementwise(
    "hypot_pull",
    public=False,
    expr="",
    reference=_hypot_pull,
    loop=common_loop(floating=True, ordered=True),
    vjp=_hypot_pull_vjp,
    jvp=_hypot_pull_jvp,
    domain=((0.5, 2.0),),
    grad_name="Hypot",
    kink="hypot",
    doc="c x / hypot(x, y), 0 at (0, 0): the derivative by x of what has the derivative c by hypot.",
)


# --------------------------------------------------------------------------------- absolute value


def _absolute_pull(c: Any, x: Any) -> Any:
    return np.where(c == 0, np.zeros((), np.result_type(c, x)), c * np.sign(x))


def _absolute_pull_jvp(tangents: Any, out: Any, xs: Any, params: Any) -> Any:
    tc, tx = tangents
    c, x = xs
    terms = [] if tc is None else [absolute_pull(tc, x)]
    if tx is not None:
        terms.append(_absolute_along(tx, c, x, params))
    return add_up(terms)


def _absolute_along(t: Any, c: Any, x: Any, params: Any) -> Any:
    """What moving x by *t* does to c x / |x|."""
    terms = []
    if x.dtype.kind == "c":
        turned = primitives["sign"].jvp([materialize(t, x.aval)], primitives["sign"](x), [x], {})
        terms.append(_product(c, turned))
    return add_up(terms + _absolute_limits(t, c, x, params))


def _absolute_limits(t: Any, c: Any, x: Any, params: Any) -> list[Any]:
    if "limit" not in params:
        return []
    return [times(t, params["limit"]), at_zero(t, c, primitives["absolute"](x))]


def _absolute_pull_vjp(ct: Any, out: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
    c, x = xs
    first = None
    if wants[0]:
        first = times(ct, conjugate(primitives["sign"](x)))
    return [first, _absolute_turned(ct, c, x, params) if wants[1] else None]


def _absolute_turned(ct: Any, c: Any, x: Any, params: Any) -> Any:
    """The adjoint of that: turning x, a real-linear map, is its own."""
    terms = []
    if x.dtype.kind == "c":
        spread = x  # not in the limits, which are found by the operand that others read
        if not x.ndim and not is_number(ct):
            spread = primitives["broadcast_to"](x, shape=ct.shape)
        pulled = _product(conjugate(c), materialize(ct, spread.aval))
        terms.append(primitives["sign"].jvp([pulled], primitives["sign"](spread), [spread], {}))
    return add_up(terms + _absolute_limits(ct, c, x, params))


absolute_pull = elementwise(
    "absolute_pull",
    public=False,
    expr="({x} if {y} > {t}(0) else (-{x} if {y} < {t}(0) else {y} * {t}(0)))",
    reference=_absolute_pull,
    loop=common_loop(floating=True),
    vjp=_absolute_pull_vjp,
    jvp=_absolute_pull_jvp,
    domain=((0.5, 2.0), (-2.0, -0.5)),
    grad_name="Abs",
    kink="absolute",
    doc="c x / |x|, 0 at 0: the derivative by x of what has the derivative c by |x|.",
)
