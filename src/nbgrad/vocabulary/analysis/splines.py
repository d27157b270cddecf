"""Cubic splines, differentiable in the places, the knots, their values and the end conditions."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import single_axis
from nbgrad.core.node import Node
from nbgrad.core.values import value_of
from nbgrad.errors import ConcretizationError
from nbgrad.ops.arrays.indexing import take
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.elements.comparison import logical_or
from nbgrad.ops.elements.selection import where
from nbgrad.ops.linalg.tridiagonal import solve_tridiagonal
from nbgrad.vocabulary.analysis.interpolation import interval, spread
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import as_dtype, sum
from nbgrad.vocabulary.reductions.scans import diff, window
from nbgrad.vocabulary.shapes import as_node, broadcast_to, concatenate, moveaxis, reshape, stack

End = tuple[int, Any] | str  # order and value of a derivative, or "not-a-knot"
ENDS = {"natural": (2, 0.0), "clamped": (1, 0.0), "not-a-knot": "not-a-knot"}


def _conditions(bc_type: Any, n: int) -> tuple[End, End] | None:
    """What holds at both ends, None if the function is periodic; as in SciPy."""
    if isinstance(bc_type, str):
        if bc_type == "periodic":
            return None
        bc_type = (bc_type, bc_type)
    if len(bc_type) != 2:
        raise ValueError("cubic_spline: `bc_type` must contain 2 elements for start and end")
    found = []
    for end in bc_type:
        if isinstance(end, str):
            if end not in ENDS:
                raise ValueError(
                    f"cubic_spline: bc_type {end!r} is not one of {[*ENDS, 'periodic']}, nor a "
                    "tuple (order, value) for an end"
                )
            end = ENDS[end]
        elif end[0] not in (1, 2):
            raise ValueError("cubic_spline: the order of an end's derivative must be 1 or 2")
        found.append(end)
    return found[0], found[1]


def _at(x: Node, k: int) -> Node:
    """Row *k* of *x*, as a row."""
    k %= x.shape[0]
    return window(x, 0, k, k + 1)


class _System:
    """Equations for the slopes at the knots, one row for each: tridiagonal."""

    def __init__(self, dx: Node, slope: Node) -> None:
        self.dx, self.slope = dx, slope
        self.column = reshape(dx, (-1, 1))
        n = dx.shape[0] + 1
        self.left, self.right = window(dx, 0, 0, n - 2), window(dx, 0, 1, n - 1)
        a, b = window(self.column, 0, 0, n - 2), window(self.column, 0, 1, n - 1)
        before, after = window(slope, 0, 0, n - 2), window(slope, 0, 1, n - 1)
        self.inner = 3.0 * (b * before + a * after)
        self.middle = 2.0 * (self.left + self.right)

    def end(self, condition: End, last: bool) -> tuple[Node, Node, Node]:
        """Coefficients of the end's slope and of its neighbour's, and the right-hand side."""
        near, far = (-1, -2) if last else (0, 1)
        h, slope = _at(self.dx, near), _at(self.slope, near)
        if isinstance(condition, str):
            if self.dx.shape[0] == 1:
                return h * 0 + 1, h * 0, slope  # two points: the straight line
            if self.dx.shape[0] == 2:
                return h * 0 + 1, h * 0 + 1, 2.0 * slope  # three points: the parabola
            next_h, d = _at(self.dx, far), h + _at(self.dx, far)
            column, next_column, width = (reshape(v, (1, 1)) for v in (h, next_h, d))
            right = (column + 2.0 * width) * next_column * slope
            right = (right + column * column * _at(self.slope, far)) / width
            return next_h, d, right
        order, value = condition
        value = broadcast_to(reshape(as_dtype(value, slope.dtype), (1, -1)), slope.shape)
        if order == 1:
            return h * 0 + 1, h * 0, value
        column = reshape(h, (1, 1))
        bend = 0.5 * value * column * column
        return 2.0 * h, h, 3.0 * column * slope + (bend if last else -bend)

    def solved(self, ends: tuple[End, End]) -> Node:
        first, second = self.end(ends[0], last=False), self.end(ends[1], last=True)
        below = concatenate([self.right, second[1]])
        diagonal = concatenate([first[0], self.middle, second[0]])
        above = concatenate([first[1], self.left])
        right = concatenate([first[2], self.inner, second[2]])
        return solve_tridiagonal(below, diagonal, above, right)

    def periodic(self) -> Node:
        """Slopes of a periodic function: the last is the first.

        The cyclic system is bordered: with one slope held at 0, and at 1, it is tridiagonal.
        """
        dx, slope, n = self.dx, self.slope, self.dx.shape[0] + 1
        if n == 2:
            return concatenate([slope, slope])
        h0, h1 = _at(dx, -1), _at(dx, 0)  # the intervals around the first knot
        right0 = 3.0 * (reshape(h1, (1, 1)) * _at(slope, -1) + reshape(h0, (1, 1)) * _at(slope, 0))
        if n == 3:
            # Both equations of the two slopes are the same but for their names.
            inverse = 1.0 / self.column
            flat = sum(slope * inverse, 0, keepdims=True) / sum(inverse)
            return concatenate([flat, flat, flat])
        count = n - 2  # slopes at the inner knots
        diagonal, below = self.middle, window(self.right, 0, 1, count)
        above = window(self.left, 0, 0, count - 1)
        start, stop = _at(self.right, 0), _at(self.left, -1)
        zeros = np.zeros(count - 2, dx.dtype)
        edge = reshape(concatenate([-start, as_node(zeros), -stop]), (-1, 1))
        both = solve_tridiagonal(
            below, diagonal, above, concatenate([self.inner, as_dtype(edge, slope.dtype)], 1)
        )
        k = self.inner.shape[1]
        held, unit = window(both, 1, 0, k), window(both, 1, k, k + 1)
        lead, trail = reshape(h0, (1, 1)), reshape(h1, (1, 1))
        # Row of the first knot: h1 s[-2] + 2 (h0 + h1) s[0] + h0 s[1] = right0.
        fixed = right0 - trail * _at(held, -1) - lead * _at(held, 0)
        weight = 2.0 * (lead + trail) + trail * _at(unit, -1) + lead * _at(unit, 0)
        first = fixed / weight
        return concatenate([first, held + unit * first, first])


def coefficients(x: Node, y: Node, bc_type: Any) -> Node:
    """Coefficients of the cubic on each interval, highest first: shape (4, n - 1, k)."""
    dx = diff(x)
    column = reshape(dx, (-1, 1))
    slope = diff(y, axis=0) / column
    system = _System(dx, slope)
    ends = _conditions(bc_type, x.shape[0])
    s = system.periodic() if ends is None else system.solved(ends)
    n = x.shape[0]
    s0, s1, y0 = window(s, 0, 0, n - 1), window(s, 0, 1, n), window(y, 0, 0, n - 1)
    t = (s0 + s1 - 2.0 * slope) / column
    return stack([t / column, (slope - s0) / column - t, s0, y0])


def polynomial_pieces(c: Node, x: Node, at: Node, nu: int, extrapolate: Any) -> Node:
    """The *nu*-th derivative at places *at* of the polynomials *c* (highest first) between *x*."""
    n = x.shape[0]
    if nu < 0:
        raise ValueError(f"the order of a derivative cannot be negative ({nu})")
    first, last = reshape(window(x, 0, 0, 1), ()), reshape(window(x, 0, n - 1, n), ())
    inside = at
    if extrapolate == "periodic":
        inside = first + arithmetic.remainder(at - first, last - first)
    k = interval(x, inside)
    step = reshape(inside - take(x, k), (-1, 1))
    rows = reshape(k, (-1,))
    degree = c.shape[0] - 1
    found: Any = None
    for power in range(degree, nu - 1, -1):
        factor = float(np.prod(np.arange(power - nu + 1, power + 1)))
        piece = take(reshape(_at(c, degree - power), c.shape[1:]), rows) * factor
        found = piece if found is None else found * step + piece
    if found is None:
        found = take(reshape(_at(c, 0), c.shape[1:]), rows) * 0.0
    if extrapolate is False:
        outside = reshape(logical_or(at < first, at > last), (-1, 1))
        found = where(outside, np.nan, found)
    return found


def spline_data(x: Any, y: Any, axis: int, bc_type: Any) -> tuple[Node, Node, int]:
    """Knots, values as a matrix with a row for each knot, and the axis; checked as in SciPy."""
    values = as_node(y)
    knots = as_dtype(x, float)
    values = as_dtype(values, complex if values.dtype.kind == "c" else float)
    k = single_axis("cubic_spline", axis, values.ndim)
    if knots.ndim != 1 or knots.shape[0] < 2:
        raise ValueError("cubic_spline: `x` must be 1-dimensional and contain 2 elements or more")
    if knots.shape[0] != values.shape[k]:
        raise ValueError(
            f"cubic_spline: the length of `y` along axis {axis} doesn't match the length of `x`"
        )
    matrix = reshape(moveaxis(values, k, 0), (knots.shape[0], -1))
    try:
        array, rows = value_of(knots), value_of(matrix)
    except ConcretizationError:  # traced: nothing is known of them
        return knots, matrix, k
    if not np.all(np.diff(array) > 0):
        raise ValueError("cubic_spline: `x` must be a strictly increasing sequence")
    if not np.isfinite(array).all() or not np.isfinite(rows).all():
        raise ValueError("cubic_spline: `x` and `y` must contain only finite values")
    if bc_type == "periodic" and not np.allclose(rows[0], rows[-1], rtol=1e-15, atol=1e-15):
        raise ValueError(
            "cubic_spline: the first and last `y` must be the same when bc_type='periodic'"
        )
    return knots, matrix, k


def _scipy_spline(
    x: Any,
    y: Any,
    xnew: Any,
    bc_type: Any = "not-a-knot",
    axis: int = 0,
    nu: int = 0,
    extrapolate: Any = None,
) -> Any:
    from scipy.interpolate import CubicSpline

    return CubicSpline(x, y, axis, bc_type, extrapolate)(xnew, nu)


_KNOTS = np.array([0.0, 0.8, 1.5, 2.9, 3.4])
_PLACES = np.array([[0.3, 1.1], [2.2, 3.7]])


@function(
    "interpolate",
    _scipy_spline,
    cases=lambda d: [
        call(_KNOTS, d(5), _PLACES),
        call(_KNOTS, d(2, 5), _PLACES, "natural", axis=1, nu=1),
        call(_KNOTS, d(5), _PLACES[0], ((1, 0.5), "not-a-knot"), nu=2, extrapolate=False),
        call(_KNOTS[:3], d(3), _PLACES[0]),
        call(_KNOTS[:3], d(3), _PLACES[0], "clamped"),
        call(_KNOTS[:2], d(2), _PLACES[0]),
    ],
    complex=True,
)
def cubic_spline(
    x: Any,
    y: Any,
    xnew: Any,
    bc_type: Any = "not-a-knot",
    axis: int = 0,
    nu: int = 0,
    extrapolate: Any = None,
) -> Node:
    """Cubic spline through *y* over increasing knots *x*, or its *nu*-th derivative, at *xnew*.

    Parameters
    ----------
    x, y : array_like
        Knots, and values along *axis*.
    xnew : array_like
        Places of any shape.
    bc_type : str or pair
        ``"not-a-knot"``, ``"natural"``, ``"clamped"``, ``"periodic"``, or a condition for either
        end: one of these names or ``(order, value)`` of a derivative.
    nu : int
        Which derivative.
    extrapolate : bool, "periodic" or None
        What holds outside: the end polynomials go on (also if None), NaN if False, or the
        function is periodic (also if None, for a periodic spline).

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> y = ng.tensor([0.0, 1.0, 4.0, 9.0], requires_grad=True)
    >>> ng.interpolate.cubic_spline(np.arange(4.0), y, 1.5).item()
    2.25
    """
    knots, matrix, k = spline_data(x, y, axis, bc_type)
    if extrapolate is None:
        extrapolate = "periodic" if bc_type == "periodic" else True
    at = as_dtype(xnew, float)
    found = polynomial_pieces(
        coefficients(knots, matrix, bc_type), knots, at, int(nu), extrapolate
    )
    rest = tuple(n for j, n in enumerate(as_node(y).shape) if j != k)
    return spread(reshape(found, (*at.shape, *rest)), at, k)
