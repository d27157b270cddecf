"""Values that equations define: ``custom_root``, ``custom_linear_solve``, ``fixed_point``, ``minimizer``.

A solver of the user's finds the value, and nothing of it is recorded; derivatives are those of the
equation at the value (transforms/implicit.py). While a function is traced, a solver that can be traced is
part of the tape, and one that looks at values is called when the program runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.grad import grad
from nbgrad.api.jacobian import hessian
from nbgrad.api.solving import LinearSolver, Vector, WithMore, equation, solution
from nbgrad.core.modes import modes
from nbgrad.errors import AutogradError, need_functions
from nbgrad.transforms.implicit import Linear, root

Func = Callable[..., Any]
TOLERANCE, STEPS = 1e-13, 10_000


def _linear(vector: Vector, solve: Func | None, transpose: Func | None) -> Linear:
    made = [None if f is None else LinearSolver(f, vector) for f in (solve, transpose)]
    return Linear(*made)


def defined(
    name: str,
    f: Func,
    start: Any,
    solve: Func,
    of: Func,
    linear: Sequence[Any],
    more: bool = False,
) -> Any:
    """The value that ``solve(of, start)`` finds, differentiated as a root of *f*; what is *more*, too."""
    vector = Vector(start, name)
    body, closed = equation(f, vector, name)
    given = WithMore(solve, name) if more else solve
    found = solution(given, of, start, vector, name)
    if modes.tracing or (modes.grad and any(n.requires_grad for n in closed)):
        found = root(found, *closed, body=body, linear=_linear(vector, *linear), sizes=())
    result = vector.result(found)
    if not isinstance(given, WithMore):
        return result
    return result, given.handed_out(vector.arrays and not (modes.tracing or found.requires_grad))


def custom_root(
    f: Func,
    initial_guess: Any,
    solve: Func,
    tangent_solve: Func | None = None,
    has_aux: bool = False,
) -> Any:
    """Return a root of ``f``, differentiable by everything that ``f`` reads from outside.

    Parameters
    ----------
    f : callable
        Takes one value, nested as *initial_guess*, and returns such.
    initial_guess : array_like, Tensor, or tuple, list or dict of such
        Real.
    solve : callable
        ``solve(f, initial_guess)`` returns the root. It may be any Python: nothing of it is recorded.
    tangent_solve : callable, optional
        ``tangent_solve(g, y)`` returns x with ``g(x) = y`` for a linear function *g*: the derivative of
        *f* at the root, or its transpose. By default its matrix is factorized.
    has_aux : bool
        Whether *solve* returns a pair, the root and something else, such as the number of steps. No
        derivative passes that.

    Returns
    -------
    object
        Nested as *initial_guess*; arrays, if that is and nothing is differentiated. With *has_aux* a
        pair, of this and what *solve* returned beside it.

    Raises
    ------
    TypeError, ValueError
        If *f* or *solve* returns another nest than *initial_guess*, or other shapes.

    Examples
    --------
    >>> import nbgrad as ng
    >>> def newton(f, x):
    ...     for _ in range(50):
    ...         x = x - f(x) / ng.grad(f)(x)
    ...     return x
    >>> root = lambda a: ng.custom_root(lambda x: x**3 - a, 1.0, newton)
    >>> round(float(ng.grad(root)(8.0)), 12)
    0.083333333333
    """
    need_functions("custom_root", f, solve)
    linear = tangent_solve, tangent_solve
    return defined("custom_root", f, initial_guess, solve, f, linear, has_aux)


def custom_linear_solve(
    matvec: Func,
    b: Any,
    solve: Func,
    transpose_solve: Func | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """Return x with ``matvec(x) = b``, differentiable by *b* and by what *matvec* reads from outside.

    Parameters
    ----------
    matvec : callable
        Linear; takes a value nested as *b*, and returns such.
    b : array_like, Tensor, or tuple, list or dict of such
        Real.
    solve : callable
        ``solve(matvec, b)`` returns x: any Python, of which nothing is recorded. It solves the systems
        of forward mode, too.
    transpose_solve : callable, optional
        The same for the transposed function, which the gradient asks for. By default the matrix is
        factorized.
    symmetric : bool
        Whether *matvec* is its own transpose, so that *solve* does for both.
    has_aux : bool
        Whether *solve* and *transpose_solve* return a pair, x and something else, such as a residual.

    Returns
    -------
    object
        Nested as *b*. With *has_aux* a pair, of this and what *solve* returned beside it.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> def solve(matvec, b):  # Jacobi's method
    ...     x, d = b, matvec(ng.ones(2))
    ...     for _ in range(3):
    ...         x = x + (b - matvec(x)) / d
    ...     return x
    >>> f = lambda d, b: ng.custom_linear_solve(lambda x: d * x, b, solve, symmetric=True).sum()
    >>> ng.grad(f, 1)(np.array([2.0, 4.0]), np.array([1.0, 1.0]))
    array([0.5 , 0.25])
    """
    need_functions("custom_linear_solve", matvec, solve)
    transpose = solve if symmetric else transpose_solve
    vector = Vector(b, "custom_linear_solve")

    def residual(x: Any) -> Any:
        return vector.less(matvec(x), b)

    linear: tuple[Any, ...] = (solve, transpose)
    if has_aux:
        linear = tuple([f and WithMore(f, "custom_linear_solve") for f in linear])
    return defined("custom_linear_solve", residual, b, solve, matvec, linear, has_aux)


def fixed_point(
    f: Func,
    init: Any,
    solve: Func | None = None,
    *,
    tangent_solve: Func | None = None,
    tol: float = TOLERANCE,
    max_steps: int = STEPS,
) -> Any:
    """Return x with ``x = f(x)``, differentiable by everything that ``f`` reads from outside.

    Parameters
    ----------
    f : callable
        Takes one value, nested as *init*, and returns such.
    init : array_like, Tensor, or tuple, list or dict of such
        Where to start.
    solve : callable, optional
        ``solve(f, init)`` returns the fixed point. By default *f* is applied until its value moves by
        less than *tol*, relative to the largest element.
    tangent_solve : callable, optional
        As in :func:`custom_root`, for ``f(x) - x``.
    tol, max_steps
        Of the default solver.

    Returns
    -------
    object
        Nested as *init*.

    Raises
    ------
    RuntimeError
        If the default solver does not converge.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> x = lambda a: ng.fixed_point(lambda x: np.cos(a * x), 0.5)
    >>> round(float(x(1.0)), 10), round(float(ng.grad(x)(1.0)), 10)
    (0.7390851332, -0.2974743415)
    """
    need_functions("fixed_point", f)
    vector = Vector(init, "fixed_point")
    given = solve or _Iterated(tol, max_steps)
    return defined(
        "fixed_point",
        lambda x: vector.less(f(x), x),
        init,
        given,
        f,
        (tangent_solve, tangent_solve),
    )


def minimizer(
    fun: Func,
    init: Any,
    solve: Func | None = None,
    *,
    tangent_solve: Func | None = None,
    tol: float = 1e-10,
    max_steps: int = 100,
) -> Any:
    """Return where ``fun`` is least, differentiable by everything that ``fun`` reads from outside.

    Parameters
    ----------
    fun : callable
        Takes one value, nested as *init*, and returns a real number; twice differentiable.
    init : array_like, Tensor, or tuple, list or dict of such
        Where to start.
    solve : callable, optional
        ``solve(fun, init)`` returns the minimizer, where the gradient is zero: any Python, such as a
        call of SciPy's. By default Newton's method, damped.
    tangent_solve : callable, optional
        As in :func:`custom_root`, for the gradient of *fun*.
    tol, max_steps
        Of the default solver: the largest element of the gradient, relative to 1 and the value.

    Returns
    -------
    object
        Nested as *init*.

    Raises
    ------
    RuntimeError
        If the default solver does not converge.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> best = lambda c: ng.minimizer(lambda x: ((x - c) ** 2 * np.array([1.0, 4.0])).sum() + x[0] ** 4,
    ...                               np.zeros(2))
    >>> j = ng.jacobian(best)(np.array([1.0, 2.0]))
    >>> round(float(j[1, 1]), 12), bool(0 < j[0, 0] < 1)
    (1.0, True)
    """
    need_functions("minimizer", fun)
    given = solve or _Newton(tol, max_steps)
    return defined("minimizer", grad(fun), init, given, fun, (tangent_solve, tangent_solve))


class _Iterated:
    """Apply a function until its value stays."""

    def __init__(self, tol: float, steps: int) -> None:
        self.tol, self.steps = tol, steps

    def __call__(self, f: Func, x: Any) -> Any:
        vector = Vector(x, "fixed_point")
        now = vector.values(x)
        for _ in range(self.steps):
            before, now = now, vector.values(f(vector.nested_values(now)))
            if not np.isfinite(now).all():
                break
            if np.abs(now - before).max(initial=0) <= self.tol * max(
                1, np.abs(now).max(initial=0)
            ):
                return vector.nested_values(now)
        raise AutogradError(
            f"fixed_point: no fixed point was found in {self.steps} steps to a tolerance of {self.tol}: "
            "start nearer, ask for more steps, or pass a solver"
        )


class _Newton:
    """Newton's method for a minimum, with steps that make the function less."""

    def __init__(self, tol: float, steps: int) -> None:
        self.tol, self.steps = tol, steps

    def __call__(self, fun: Func, x: Any) -> Any:
        vector = Vector(x, "minimizer")

        def flat(v: Any) -> Any:
            return fun(vector.nested_values(v))

        now = vector.values(x)
        slope, curve = grad(flat), hessian(flat)
        for _ in range(self.steps):
            value, g = float(flat(now)), np.asarray(slope(now))
            if np.abs(g).max(initial=0) <= self.tol * max(1.0, abs(value)):
                return vector.nested_values(now)
            now = _lower(flat, now, value, g, np.asarray(curve(now)))
            if now is None:
                break
        raise AutogradError(
            f"minimizer: no minimum was found in {self.steps} steps to a tolerance of {self.tol}: start "
            "nearer, ask for more steps, or pass a solver"
        )


def _lower(flat: Func, x: Any, value: float, g: Any, h: Any) -> Any:
    """The next point of Newton's method, on which the function is less; None if there is none."""
    shift, eye = 0.0, np.eye(len(x))
    for _ in range(60):
        try:
            np.linalg.cholesky(h + shift * eye)
        except np.linalg.LinAlgError:
            shift = max(2 * shift, 1e-3 * max(1.0, np.abs(h).max()))
            continue
        step = -np.linalg.solve(h + shift * eye, g)
        t = 1.0
        while t > 1e-12:
            if float(flat(x + t * step)) <= value + 1e-4 * t * (g @ step) + 1e-14 * abs(value):
                return x + t * step
            t /= 2
        return None
    return None
