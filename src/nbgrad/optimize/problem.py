"""``problem``: an objective with its exact derivatives, as functions of one vector of float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import modes
from nbgrad.errors import ConcretizationError
from nbgrad.optimize.points import Point, operator_of
from nbgrad.optimize.stating import Stated
from nbgrad.optimize.swept import Swept, array_of, number_of, requires_grad

sparse: Any = LazyModule("nbgrad.sparse")

Func = Callable[..., Any]
F8 = np.dtype(np.float64)


class Problem(Stated):
    """What :func:`problem` returns. Its functions take and return plain arrays of float64.

    Attributes
    ----------
    x0 : ndarray
        Where to start, as one vector.
    args : tuple
        Further arguments of the function.
    bounds : tuple of ndarray or None
        Lower and upper bounds, one number for each element of a vector.
    constraints : list
        As :func:`problem` took them, their functions being of a vector.

    Examples
    --------
    >>> import nbgrad as ng
    >>> p = ng.problem(lambda x: (x**2).sum(), [1.0, 2.0])
    >>> p.x0, p.bounds, p.constraints
    (array([1., 2.]), None, [])
    """

    def __reduce__(self) -> Any:
        return problem, self._made_of

    # ------------------------------------------------------------------------------------ functions

    def _vector(self, x: Any) -> Any:
        """X as the functions take it."""
        if x.__class__ is np.ndarray and x.shape == self._shape:
            return x if x.dtype is F8 else x.astype(F8)
        return self.space.packed(x, "x")

    def _at(self, x: Any) -> Point:
        """What is known at *x*, a vector: by its value, as it may be changed in place."""
        key = x.tobytes()
        point = self._point
        if point.key != key:
            point = self._point = Point(key)
        return point

    def value_and_grad(self, x: Any) -> tuple[Any, Any]:
        """The value and the gradient at *x*, by one sweep.

        Parameters
        ----------
        x : array_like
            One vector, or nested as the parameters.

        Returns
        -------
        value : float
        gradient : ndarray
            A fresh one.

        Raises
        ------
        ValueError
            If *x* has another size, or the function returns several values.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> ng.problem(lambda x: (x**2).sum(), [1.0, 2.0]).value_and_grad([3.0, 4.0])
        (np.float64(25.0), array([6., 8.]))
        """
        if x.__class__ is not np.ndarray or x.shape != self._shape or x.dtype is not F8:
            x = self._vector(x)
        key = x.tobytes()
        point = self._point
        if point.key != key or point.grad is None:
            point = self._swept(x, key, point)
        return point.value, point.grad.copy()

    def _prepared(self) -> Swept:
        """What computes value and gradient, and the constraints with them."""
        found: Swept = self.programs.both
        self._given = self.values
        if self.all is not None:
            found, self._given = self.all, ([c.values for c in self.constraints], *self.values)
        self._run = found
        return found

    def _swept(self, x: Any, key: bytes, point: Point) -> Point:
        run = self._run or self._prepared()
        try:
            found = run.call(x, *self._given)
        except ConcretizationError:
            found = run(x, *self._given)
        value, slope, limits = found if len(found) == 3 else (*found, None)
        if value.__class__ is not np.float64 or slope.__class__ is not np.ndarray:
            self._tracked = self._tracked or requires_grad(value)
            value, slope = number_of(value), array_of(slope)
        if point.key != key:
            point = Point(key)
        point.value, point.grad, point.limits = value, slope, limits
        self._point = point  # whole at last: other threads see it so or not at all
        return point

    def fun(self, x: Any) -> Any:
        """The value at *x*: a number, or a vector where the function returns several.

        Examples
        --------
        >>> import nbgrad as ng
        >>> float(ng.problem(lambda x: (x**2).sum(), [1.0, 2.0]).fun([3.0, 4.0]))
        25.0
        """
        if x.__class__ is not np.ndarray or x.shape != self._shape or x.dtype is not F8:
            x = self._vector(x)
        key = x.tobytes()
        point = self._point
        if point.key == key:
            if point.value is not None:
                return point.value
            if point.vector is not None:
                return point.vector.copy()
        if self.sweeps and self.result_shape == ():
            return self._swept(x, key, point).value
        found = self.programs.value(x, *self.values)
        self._tracked = self._tracked or requires_grad(found)
        if point.key != key:
            point = Point(key)
        if self.result_shape == ():
            found = point.value = number_of(found)
        else:
            point.vector = array_of(found)
            found = point.vector.copy()
        self._point = point
        return found

    def _limit(self, k: int, x: Any) -> Any:
        """Values and Jacobian of constraint *k* at a vector; None where they do not come with the rest."""
        if self.all is None or not self.sweeps:
            return None
        key = x.tobytes()
        point = self._point
        if point.key != key or point.limits is None:
            point = self._swept(x, key, point)
        value, slopes = point.limits[k]
        return np.atleast_1d(array_of(value)).copy(), array_of(slopes).copy()

    def grad(self, x: Any) -> Any:
        """The gradient at *x*: see :meth:`value_and_grad`.

        Examples
        --------
        >>> import nbgrad as ng
        >>> ng.problem(lambda x: (x**2).sum(), [1.0, 2.0]).grad([3.0, 4.0])
        array([6., 8.])
        """
        return self.value_and_grad(x)[1]

    def jac(self, x: Any) -> Any:
        """The Jacobian at *x*, of shape (m, n); of a function of one value its gradient.

        Examples
        --------
        >>> import nbgrad as ng
        >>> ng.problem(lambda x: x**2, [1.0, 2.0]).jac([3.0, 4.0])
        array([[6., 0.],
               [0., 8.]])
        """
        return self.grad(x) if self.result_shape == () else self.jac_matrix(x)

    def jac_matrix(self, x: Any) -> Any:
        """The Jacobian at *x*, of shape (m, n) in any case.

        Examples
        --------
        >>> import nbgrad as ng
        >>> ng.problem(lambda x: (x**2).sum(), [1.0, 2.0]).jac_matrix([3.0, 4.0])
        array([[6., 8.]])
        """
        x = self._vector(x)
        point = self._at(x)
        if point.jac is None:
            point.jac = array_of(self.programs.jac(x, *self.values))
        return point.jac.copy()

    def hess(self, x: Any) -> Any:
        """The Hessian at *x*, of shape (n, n).

        Examples
        --------
        >>> import nbgrad as ng
        >>> ng.problem(lambda x: (x**3).sum(), [1.0, 2.0]).hess([3.0, 4.0])
        array([[18.,  0.],
               [ 0., 24.]])
        """
        x = self._vector(x)
        point = self._at(x)
        if point.hess is None:
            point.hess = array_of(self.programs.hess(x, *self.values))
        return point.hess.copy()

    def hessp(self, x: Any, p: Any) -> Any:
        """The product of the Hessian at *x* with a vector, without the matrix.

        Examples
        --------
        >>> import nbgrad as ng
        >>> ng.problem(lambda x: (x**3).sum(), [1.0, 2.0]).hessp([3.0, 4.0], [1.0, 0.0])
        array([18.,  0.])
        """
        x, p = self._vector(x), self.space.packed(p, "p")
        return array_of(self.programs.hvp(x, p, *self.values))

    def jac_sparse(self, x: Any) -> Any:
        """The Jacobian at *x* as a sparse array: see :func:`nbgrad.sparse.jacobian`.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> p = ng.problem(lambda x: x[1:] * x[:-1], np.ones(1000))
        >>> p.jac_sparse(p.x0).nnz
        1998
        """
        return self._planned("jacobian", self.programs.vector, x)

    def hess_sparse(self, x: Any) -> Any:
        """The Hessian at *x* as a sparse array: see :func:`nbgrad.sparse.hessian`.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> p = ng.problem(lambda x: (x[1:] * x[:-1] ** 2).sum(), np.ones(1000))
        >>> p.hess_sparse(p.x0).nnz
        2997
        """
        return self._planned("hessian", self.programs.scalar, x)

    def _planned(self, name: str, f: Func, x: Any) -> Any:
        x = self._vector(x)
        plan = self._plans.get(name)
        if plan is None:
            before, modes.grad = modes.grad, True
            try:
                plan = self._plans[name] = getattr(sparse, name)(f, x, args=self.values)
            finally:
                modes.grad = before
        return plan(x, *self.values)

    def linear_operator(self, x: Any) -> Any:
        """The Jacobian at *x*, or of a function of one value the Hessian, as products with vectors.

        Returns
        -------
        scipy.sparse.linalg.LinearOperator
            No matrix is made.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> j = ng.problem(lambda x: x[0] * x, [1.0, 2.0]).linear_operator([3.0, 4.0])
        >>> j.shape, j @ np.array([1.0, 0.0]), j.T @ np.array([0.0, 1.0])
        ((2, 2), array([6., 4.]), array([4., 3.]))
        """
        return operator_of(self.programs, np.array(self._vector(x)), self.values)

    def lagrangian_hess(self, x: Any, v: Any = (), scale: float = 1.0) -> Any:
        """The Hessian at *x* of ``scale * fun + v @ constraints``.

        Parameters
        ----------
        x : array_like
        v : array_like
            A multiplier for each value of the constraints, in their order.
        scale : float
            Of the function.

        Examples
        --------
        >>> import nbgrad as ng
        >>> p = ng.problem(lambda x: (x**2).sum(), [1.0, 2.0],
        ...                constraints={"type": "eq", "fun": lambda x: x[0] * x[1] - 1.0})
        >>> p.lagrangian_hess([1.0, 1.0], [3.0])
        array([[2., 3.],
               [3., 2.]])
        """
        x, v = self._vector(x), np.atleast_1d(np.asarray(v, F8))
        counts = [len(c.value(x)) for c in self.constraints]
        if v.shape != (sum(counts),):
            raise ValueError(
                f"problem: v has shape {v.shape}, and the constraints have {sum(counts)} values"
            )
        found = scale * self.hess(x)
        parts = np.split(v, np.cumsum(counts)[:-1]) if counts else []
        for constraint, part in zip(self.constraints, parts, strict=True):
            found += constraint.hess(x, part)
        return found


def problem(
    fun: Func, x0: Any, args: Sequence[Any] = (), constraints: Any = (), bounds: Any = None
) -> Problem:
    """Return an objective with its exact derivatives, as solvers of vectors take them.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` of NumPy's and nbgrad's operations; it returns a number, or residuals. It is
        traced and compiled, or runs as it is where it looks at values.
    x0 : array_like, or nested data of such
        Where to start. What *fun* gets is nested as this is; a list of numbers is an array.
    args : tuple
        Further arguments. Data is better passed here than read from outside.
    constraints : dict, LinearConstraint, NonlinearConstraint, or a sequence of such
        As in :func:`scipy.optimize.minimize`; their functions take what *fun* takes, nested likewise.
    bounds : sequence of pairs, scipy.optimize.Bounds, or a pair of nested data
        As in SciPy, for each element of a vector; or a pair (lower, upper) nested as *x0*, in which a
        number stands for all of a leaf.

    Returns
    -------
    Problem
        With ``fun``, ``grad``, ``value_and_grad``, ``jac``, ``hess``, ``hessp``, ``linear_operator`` and
        ``lagrangian_hess``. They keep what was computed at the last vector, told by its value: a solver
        that asks for value, gradient and Hessian of one point, one after another, pays once.
        It pickles if *fun* does.

    Raises
    ------
    TypeError
        For parameters that are no real numbers.
    ValueError
        For parameters without numbers, and for bounds that are not nested as they are, or exclude
        each other.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.optimize
    >>> import nbgrad as ng
    >>> p = ng.problem(lambda v, c: (v["a"] - c) ** 2 + (v["b"] ** 2).sum(), {"a": 1.0, "b": np.ones(2)},
    ...                args=(3.0,))
    >>> found = scipy.optimize.minimize(p.fun, p.x0, jac=p.grad)
    >>> p.nested(found.x.round(6) + 0.0)
    {'a': np.float64(3.0), 'b': array([0., 0.])}
    """
    return Problem(fun, x0, args, constraints, bounds)
