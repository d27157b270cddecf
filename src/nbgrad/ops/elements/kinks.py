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
from nbgrad.core.frozen import Value
from nbgrad.core.node import Node
from nbgrad.core.registry import primitives
from nbgrad.ops.kinds.cotangents import add_up, conjugate, is_number, materialize, times
from nbgrad.ops.kinds.elementwise import elementwise
from nbgrad.ops.kinds.promotion import common_loop

FLOATS = common_loop(floating=True)
REALS = common_loop(floating=True, ordered=True)


class Kink(Value):
    """What transforms/kinks.py has to know of an operation on a cotangent c and more.

    Attributes
    ----------
    length : str
        The distance of the other operands by which c is divided: the ``length`` of its Square. Empty where the second operand is the distance.
    share : float
        How much of dc/dr the limit is.
    first : bool
        It is part of a first derivative; not, if only rules of other such operations record it.
    infinite : bool
        Where c is not 0 the value itself says so.
    straight : bool
        Real operands have no curvature at either side.
    shown : str
        What anomaly detection calls it; empty if it says nothing.
    """

    length: str = ""
    share: float = 1.0
    first: bool = True
    infinite: bool = False
    straight: bool = False
    shown: str = ""


class Square(Value):
    """What squares of roots are, for transforms/squares.py, and which roots are alike.

    Attributes
    ----------
    length : str
        It is a distance, 0 only where all its operands are, in whatever order: one word for all
        operations that compute the same.
    root : callable
        ``root(scaled, *xs)``: the square of the result, times a factor. ``scaled(x, n)`` is x times
        that factor to the power n.
    half : callable
        ``half(xs, params)``: the result is the first operand to the power of twice that; 0 if not.
    factors : tuple of int
        Operands in each of which it is linear: the result is that operand times the others.
    """

    length: str = ""
    root: Any = None
    half: Any = None
    factors: tuple[int, ...] = ()


FACTOR = Square(factors=(0,))


def _quotient(c: Any, r: Any) -> Any:
    safe = np.where(c == 0, np.ones((), np.result_type(r)), r)
    return np.where(c == 0, np.zeros((), np.result_type(c, r)), c / safe)


def _both(t: Any, y: Any) -> Any:
    """The product, 0 where either is: in a dead branch the quotient is, and the tangent infinite."""
    return t * y if is_number(t) else primitives["mutual_multiply"](t, y)


def _quotient_rules(share: float) -> tuple[Any, Any]:
    """VJP and JVP of share * n / r."""

    def part(t: Any) -> Any:
        return None if t is None else t if share == 1 else share * t

    def jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
        """(n / r)' = (n' - (n / r) r') / r."""
        tn, tr = tangents
        n = add_up([part(tn), None if tr is None else -_both(tr, y)])
        return None if n is None else again(n, xs[1])

    def vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
        first = part(again(ct, xs[1])) if wants[0] else None
        return [first, -again(_both(ct, y), xs[1]) if wants[1] else None]

    return vjp, jvp


def _by_root(name: str, text: str, reference: Any, kink: Kink, grad_name: str, doc: str) -> Any:
    """A quotient by a distance, which is its second operand."""
    vjp, jvp = _quotient_rules(kink.share)
    return elementwise(
        name,
        public=False,
        expr=text,
        reference=reference,
        loop=REALS,
        vjp=vjp,
        jvp=jvp,
        domain=((0.5, 2.0),),
        grad_name=grad_name,
        kink=kink,
        doc=doc,
    )


def _slope(c: Any, r: Any) -> Any:
    return np.where(c == 0, np.zeros((), np.result_type(c, r)), c * (0.5 / r))


def _safe_slope(c: Any, r: Any) -> Any:
    nothing = np.logical_or(r == 0, c == 0)
    return np.where(nothing, np.zeros((), np.result_type(c, r)), c * (0.5 / r))


again = _by_root(
    "again",
    "({x} / {y} if {x} != {t}(0) else {t}(0))",
    _quotient,
    Kink(first=False),
    "Sqrt",
    "Quotient by a root, 0 where the first is 0.",
)
slope = _by_root(
    "slope",
    "({x} * ({t}(0.5) / {y}) if {x} != {t}(0) else {t}(0))",
    _slope,
    Kink(share=0.5, infinite=True, shown="sqrt"),
    "Sqrt",
    "c / 2r, 0 where c is 0: the derivative by r**2 of what has the derivative c by r.",
)
safe_slope = _by_root(
    "safe_slope",
    "({x} * ({t}(0.5) / {y}) if {y} != {t}(0) and {x} != {t}(0) else {t}(0))",
    _safe_slope,
    Kink(share=0.5, shown="norm, or the deviation"),
    "Norm",
    "c / 2r, 0 where r or c is 0.",
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
    square=Square(root=lambda scaled, x: scaled(x, 2)),
    doc="Square root of a sum of squares: its derivative at 0 is 0, not infinite.",
)
rooted = elementwise(
    "rooted",
    public=False,
    expr="({x} if {x} >= {t}(0) else {t}(math.nan))",
    reference=lambda x: np.where(x >= 0, x, np.full((), np.nan, x.dtype)),
    loop=REALS,
    partials=lambda out, x: (primitives["where"](primitives["equal"](out, out), 1.0, math.nan),),
    domain=((0.5, 2.0),),
    grad_name="Pow",
    doc="The square of the square root: NaN, with its derivative, where the operand is negative.",
)


def squared_root(scaled: Any, x: Any) -> Any:
    """The square of sqrt, real or complex, times a factor."""
    return scaled(x if x.dtype.kind == "c" else rooted(x), 2)


def squared_length(scaled: Any, *xs: Any) -> Any:
    """The sum of squares of real operands, or of the parts of a complex one, times a factor."""
    parts = [scaled(x, 1) for x in xs]
    if parts[0].dtype.kind == "c":
        real = np.zeros(0, parts[0].dtype).real.dtype
        return primitives["cast"](parts[0] * conjugate(parts[0]), dtype=real)
    return add_up([primitives["square"](x) for x in parts])


ABSOLUTE = Square("absolute", squared_length)
HYPOT = Square("hypot", squared_length)


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
    kink=Kink(first=False),
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
    expr="({x} * direction_{c}({y}, {z}) if {x} != {t}(0) else {t}(0))",
    reference=_hypot_pull,
    loop=common_loop(floating=True, ordered=True),
    vjp=_hypot_pull_vjp,
    jvp=_hypot_pull_jvp,
    domain=((0.5, 2.0),),
    grad_name="Hypot",
    kink=Kink(length="hypot", shown="hypot"),
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
    expr="({x} if {y} > {t}(0) or {x} == {t}(0) else (-{x} if {y} < {t}(0) else {x} * ({y} * {t}(0))))",
    reference=_absolute_pull,
    loop=common_loop(floating=True),
    vjp=_absolute_pull_vjp,
    jvp=_absolute_pull_jvp,
    domain=((0.5, 2.0), (-2.0, -0.5)),
    grad_name="Abs",
    kink=Kink(length="absolute", straight=True, shown="absolute"),
    doc="c x / |x|, 0 at 0: the derivative by x of what has the derivative c by |x|.",
)
