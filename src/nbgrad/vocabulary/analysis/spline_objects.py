"""Piecewise polynomials as objects: coefficients found once, evaluated at many places."""

from __future__ import annotations

from typing import Any

from nbgrad.core.boxes import Tensor, box
from nbgrad.core.node import Node
from nbgrad.core.operands import unwrap
from nbgrad.core.registry import register_object
from nbgrad.vocabulary.analysis import piecewise
from nbgrad.vocabulary.analysis.interpolation import spread
from nbgrad.vocabulary.analysis.splines import coefficients, polynomial_pieces, spline_data
from nbgrad.vocabulary.shapes import as_node, moveaxis, reshape
from nbgrad.vocabulary.support import repeats


class PPoly:
    """A piecewise polynomial: coefficients for each interval between breakpoints.

    Parameters
    ----------
    c : array_like or Tensor, shape (degree + 1, intervals, ...)
        Coefficients of powers of the distance to the interval's start, the highest first.
    x : array_like or Tensor, shape (intervals + 1,)
        Increasing breakpoints.
    extrapolate : bool, "periodic" or None
        Outside, the end polynomials go on (also if None), the result is NaN if False, or the
        function is periodic.
    axis : int
        Where the places' dimensions stand in the result.
    """

    def __init__(self, c: Any, x: Any, extrapolate: Any = None, axis: int = 0) -> None:
        self._c, self._x = as_node(unwrap(c)), as_node(unwrap(x))
        if self._x.ndim != 1 or self._c.shape[1:2] != (self._x.shape[0] - 1,):
            raise ValueError(
                f"PPoly: x of shape {self._x.shape} must hold one breakpoint more than c of shape "
                f"{self._c.shape} has intervals (its second dimension)"
            )
        self.extrapolate = True if extrapolate is None else extrapolate
        self.axis = axis

    @property
    def c(self) -> Tensor:
        """The coefficients."""
        return box(self._c)

    @property
    def x(self) -> Tensor:
        """The breakpoints."""
        return box(self._x)

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Tensor:
        """The *nu*-th derivative at places *x*, differentiable in them and the coefficients."""
        at = as_node(unwrap(x))
        beyond = self.extrapolate if extrapolate is None else extrapolate
        flat = reshape(self._c, (*self._c.shape[:2], -1))
        found = polynomial_pieces(flat, self._x, at, int(nu), beyond)
        return box(spread(reshape(found, (*at.shape, *self._c.shape[2:])), at, self.axis))

    def derivative(self, nu: int = 1) -> PPoly:
        """The *nu*-th derivative as a piecewise polynomial."""
        return self._made(piecewise.derivative(self._c, nu))

    def antiderivative(self, nu: int = 1) -> PPoly:
        """The *nu*-th integral from the first breakpoint as a piecewise polynomial."""
        c = self._c
        for _ in range(repeats("antiderivative", "nu", nu)):
            c = piecewise.antiderivative(c, self._x)
        # The integral of a periodic function is not periodic.
        return self._made(c, False if self.extrapolate == "periodic" else None)

    def integrate(self, a: Any, b: Any, extrapolate: Any = None) -> Tensor:
        """The integral from *a* to *b*."""
        beyond = self.extrapolate if extrapolate is None else extrapolate
        if beyond != "periodic":
            whole = self.antiderivative()
            return whole(b, extrapolate=beyond) - whole(a, extrapolate=beyond)
        return self._over_periods(b) - self._over_periods(a)

    def _over_periods(self, t: Any) -> Tensor:
        """The integral of a periodic function from the first breakpoint to *t*.

        What is left of *t* after whole periods is rounded: it may lie outside by its last digit,
        where the end polynomials go on.
        """
        c = piecewise.antiderivative(self._c, self._x)
        whole = self._made(c, extrapolate=True)
        first, last = self.x[0], self.x[-1]
        turns = ((as_tensor(t) - first) // (last - first)).detach()
        rest = as_tensor(t) - turns * (last - first)
        return turns * whole(last) + whole(rest)

    def _made(self, c: Node, extrapolate: Any = None) -> PPoly:
        beyond = self.extrapolate if extrapolate is None else extrapolate
        return PPoly(box(c), self.x, beyond, self.axis)


def as_tensor(x: Any) -> Tensor:
    """*x* as a tensor, with its history if it is one."""
    return box(as_node(unwrap(x)))


class CubicSpline(PPoly):
    """Cubic spline through values *y* over increasing knots *x*; see :func:`cubic_spline`.

    The coefficients are found once, and evaluations share them.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([0.0, 1.0, 2.0, 3.0])
    >>> y = ng.tensor([0.0, 1.0, 8.0, 27.0], requires_grad=True)
    >>> spline = ng.interpolate.CubicSpline(x, y)
    >>> round(spline(1.5).item(), 12), round(spline(1.5, nu=1).item(), 12)
    (3.375, 6.75)
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        axis: int = 0,
        bc_type: Any = "not-a-knot",
        extrapolate: Any = None,
    ) -> None:
        values = as_node(unwrap(y))
        knots, matrix, k = spline_data(unwrap(x), values, axis, bc_type)
        c = coefficients(knots, matrix, unwrap(bc_type))
        rest = moveaxis(values, k, 0).shape[1:]
        if extrapolate is None:
            extrapolate = "periodic" if bc_type == "periodic" else True
        c = reshape(c, (4, knots.shape[0] - 1, *rest))
        super().__init__(box(c), box(knots), extrapolate, k)


register_object("interpolate", "PPoly", PPoly)
register_object("interpolate", "CubicSpline", CubicSpline)
