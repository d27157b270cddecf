"""``minimize`` as SciPy has it, by the compiled methods; its result is differentiable."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.api.grad import grad
from nbgrad.api.implicit import defined
from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import modes
from nbgrad.core.tree import flatten, unflatten
from nbgrad.solvers.losses import LEAST, loss_of
from nbgrad.solvers.methods import METHODS, flat
from nbgrad.solvers.minimizing import Asked, method_of
from nbgrad.tensors.tensor import Tensor

optimize = LazyModule("scipy.optimize")
later = LazyModule("nbgrad.solvers.later")


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: str = "nb-bfgs",
    bounds: Any = None,
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Minimise a function of a vector by a compiled solver.

    The function, its derivatives and the loop of the solver are machine code: no Python runs in an iteration, but
    where the function cannot be traced.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, a number; of nbgrad or NumPy operations.
    x0 : array_like
        Where to start: real, of one dimension.
    args : tuple
        What else *fun* takes: arrays and tensors, by which the result can be differentiated, and settings.
    method : {"nb-bfgs", "nb-lbfgs", "nb-newton-cg", "nb-trust"}
        BFGS; with limited memory, and within bounds; Newton's method by products with the Hessian, or by the Hessian
        in a region of trust. The steps are those of SciPy's ``BFGS``, ``L-BFGS-B``, ``Newton-CG``, ``trust-exact``.
    bounds : sequence of pairs, or scipy.optimize.Bounds, optional
        For ``"nb-lbfgs"``.
    tol : float, optional
        The tolerance that the method ends by.
    callback : callable, optional
        Called after each iteration, as SciPy does: with ``intermediate_result=`` if it has a parameter of that
        name, else with the point; it may raise ``StopIteration``.
    options : dict, optional
        ``maxiter``, ``maxfun``, ``max_time`` in seconds; ``gtol``, ``ftol``, ``xtol``, ``xrtol``, ``c1``, ``c2``,
        ``maxcor``, ``initial_trust_radius``, ``max_trust_radius``, ``eta`` of the methods that have them in SciPy.

    Returns
    -------
    scipy.optimize.OptimizeResult
        If *args*, or what *fun* reads from outside, require grad, or inside ``jit`` and ``vmap``, ``x`` and ``fun``
        are tensors, differentiable by the implicit function theorem.

    Raises
    ------
    ValueError
        For an unknown method, a start of another dimension or without elements, or that is complex.
    TypeError
        For an option that the method does not have.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> rosenbrock = lambda x, a: (a * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    >>> found = ng.solvers.minimize(rosenbrock, [-1.2, 1.0], args=(100.0,))
    >>> found.x.round(5), found.success
    (array([1., 1.]), True)

    Its derivative is that of the equation that defines it:

    >>> best = lambda c: ng.solvers.minimize(lambda x: ((x - c) ** 2).sum() + x[0] ** 4, np.zeros(2)).x
    >>> ng.jacobian(best)(np.array([0.0, 1.0])).round(6)
    array([[1., 0.],
           [0., 1.]])
    """
    method_of(method)
    given: Any = dict(options or {})
    given.setdefault("tol", tol)
    x0 = start_of(x0, "minimize")
    watch, max_time = watching(callback), given.pop("max_time", None)
    return Asking(method, fun, x0, args, given, pairs_of(bounds), watch, max_time).result()


class Asking:
    """What is to be solved, by numbers or as a tensor that can be differentiated."""

    def __init__(
        self, method: str, fun: Any, x0: Any, args: Any, options: Any, bounds: Any, watch: Any, max_time: Any
    ) -> None:  # fmt: skip
        self.method, self.fun, self.x0 = method, fun, x0
        self.args: tuple[Any, ...] = args if isinstance(args, tuple) else (args,)
        self.options, self.bounds, self.watch, self.max_time = options, bounds, watch, max_time

    def result(self) -> Any:
        """The result."""
        if modes.tracing or tracked(self.args):
            return self.differentiable()
        asked = Asked(self.method, self.fun, self.x0, self.args)
        if asked.tracked and modes.grad:
            return self.differentiable()
        return asked.solved(self.options, self.bounds, self.watch, self.max_time)

    def differentiable(self) -> Any:
        """The result, of which ``x`` is what an equation says: that the slope is 0, or leads out of the bounds."""
        found: list[Any] = []

        def of(x: Any) -> Any:
            return self.fun(x, *self.args)

        def value(x: Any) -> Any:
            return self.loss(of(x))

        def native(f: Any, x: Any) -> Any:
            x = np.asarray(x.detach() if isinstance(x, Tensor) else x)
            ours = f is of
            asked = Asked(
                self.method, self.fun if ours else f, x, detached(self.args) if ours else ()
            )
            found.append(asked.solved(self.options, self.bounds, self.watch, self.max_time))
            return found[-1].x

        slope = grad(value)
        low, high = (-np.inf, np.inf) if self.bounds is None else self.bounds
        project = lambda x: x - np.clip(x - slope(x), low, high)
        equation = slope if self.bounds is None else project
        x = defined(self.method, equation, self.x0, native, of, (None, None))
        more = found[-1] if found else {}
        if METHODS[self.method].residuals:
            asked = later.of_squares(lambda x: flat(of(x)), self.loss, x, LEAST)
            return later.with_later({**more, "x": x, "cost": value(x)}, asked)
        return later.with_later({**more, "x": x, "fun": value(x)}, later.of_minimum(value, x))

    def loss(self, y: Any) -> Any:
        """What is made least, of what the function returns."""
        if not METHODS[self.method].residuals:
            return y
        return loss_of(self.options["loss"], self.options["f_scale"])(flat(y))


def tracked(args: tuple[Any, ...]) -> bool:
    """Whether arguments are differentiated."""
    if not args or not modes.grad:
        return False
    return any(isinstance(a, Tensor) and a.requires_grad for a in flatten(args)[0])


def detached(args: tuple[Any, ...]) -> Any:
    """Arguments by their values."""
    leaves, structure = flatten(args)
    return unflatten(structure, [a.detach() if isinstance(a, Tensor) else a for a in leaves])


def start_of(x0: Any, where: str) -> Any:
    """A start as a vector of float64."""
    x = np.atleast_1d(np.asarray(x0.detach() if isinstance(x0, Tensor) else x0))
    if x.dtype.kind not in "buif":
        raise ValueError(f"{where}: x0 must be real numbers, and has dtype {x.dtype}")
    if x.ndim != 1:
        raise ValueError(f"{where}: x0 must have one dimension, and has shape {x.shape}")
    if not x.size:
        raise ValueError(f"{where}: x0 has no elements")
    return np.ascontiguousarray(x, float)


def watching(callback: Callable[..., Any] | None) -> Callable[[Any, float], bool] | None:
    """A callback as SciPy calls it, as the loops call it."""
    if callback is None:
        return None
    named = "intermediate_result" in inspect.signature(callback).parameters

    def watch(x: Any, value: float) -> bool:
        try:
            if named:
                callback(intermediate_result=optimize.OptimizeResult(x=x, fun=value))
            else:
                callback(x)
        except StopIteration:
            return True
        return False

    return watch


def least_squares(
    fun: Callable[..., Any],
    x0: Any,
    bounds: Any = (-np.inf, np.inf),
    method: str = "nb-lm",
    ftol: float | None = 1e-8,
    xtol: float | None = 1e-8,
    gtol: float | None = 1e-8,
    x_scale: Any = None,
    loss: str = "linear",
    f_scale: float = 1.0,
    max_nfev: int | None = None,
    args: tuple[Any, ...] = (),
    callback: Callable[..., Any] | None = None,
    max_time: float | None = None,
) -> Any:
    """Make the sum of squares, or of losses, of residuals least, by the compiled Levenberg-Marquardt method.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns the residuals; of nbgrad or NumPy operations.
    x0 : array_like
        Where to start: real, of one dimension.
    bounds : pair of array_like, or scipy.optimize.Bounds
        The least and the largest values, of which the start is none outside.
    method : {"nb-lm"}
        The method of Moré (1978); at bounds, steps are projected.
    ftol, xtol, gtol : float, optional
        It ends when a step makes the cost less by that part at most, when steps are that short beside the
        parameters, when the cosines between residuals and columns of the Jacobian are that small. None: never.
    x_scale : "jac" or array_like, optional
        How large parameters are; by default as the columns of the Jacobian say.
    loss : {"linear", "soft_l1", "huber", "cauchy", "arctan"}
        What is summed, of squares of residuals.
    f_scale : float
        What residuals are divided by before the loss.
    max_nfev : int, optional
        How often residuals are computed at most: by default 100 times the number of parameters.
    args : tuple
        What else *fun* takes: arrays and tensors, by which the result can be differentiated, and settings.
    callback : callable, optional
        As of :func:`minimize`.
    max_time : float, optional
        Seconds after which it ends.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As SciPy's ``least_squares`` returns it, and ``cov``, the inverse of the Jacobian's square: times
        ``2 * cost / (m - n)`` the covariances of parameters. ``x`` is a tensor where it is differentiable, as of
        :func:`minimize`, and so are ``cost``, ``fun``, ``jac``, ``grad`` and ``cov``.

    Raises
    ------
    ValueError
        For an unknown method or loss, bounds without a value between them, a start that is not within them or at
        which residuals are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> t = np.linspace(0.0, 2.0, 9)
    >>> y = 3.0 * np.exp(-1.5 * t)
    >>> found = ng.solvers.least_squares(lambda p: p[0] * np.exp(-p[1] * t) - y, [1.0, 1.0])
    >>> found.x.round(6), found.status > 0
    (array([3. , 1.5]), True)
    """
    if method != "nb-lm":
        raise ValueError(f"least_squares: no compiled method is called {method!r}; there is nb-lm")
    bounds = bounds_of(bounds)
    given = {
        "ftol": 0.0 if ftol is None else ftol, "xtol": 0.0 if xtol is None else xtol,
        "gtol": 0.0 if gtol is None else gtol, "x_scale": x_scale, "loss": loss, "f_scale": f_scale,
        "max_nfev": max_nfev,
    }  # fmt: skip
    x0 = start_of(x0, "least_squares")
    ask = Asking("nb-lm", fun, x0, args, given, bounds, watching(callback), max_time)
    found = ask.result()
    if found.get("status") == -1 and found.get("nfev") == 1:
        raise ValueError("least_squares: residuals are not finite at x0")
    return found


def pairs_of(bounds: Any) -> Any:
    """Bounds as a pair, of SciPy's object or of a pair for each parameter in which None stands for no bound."""
    if bounds is None or hasattr(bounds, "lb"):
        return bounds_of(bounds)
    try:
        pairs = [(-np.inf if a is None else a, np.inf if b is None else b) for a, b in bounds]
    except (TypeError, ValueError):
        raise ValueError(f"bounds must be a pair for each element of x0, not {bounds!r}") from None
    return bounds_of(np.array(pairs, float).reshape(-1, 2).T)


def bounds_of(bounds: Any) -> Any:
    """Bounds as a pair, None if there are none."""
    if bounds is not None and hasattr(bounds, "lb"):
        bounds = bounds.lb, bounds.ub
    if bounds is None:
        return None
    try:
        low, high = bounds
        infinite = np.all(np.isneginf(low)) and np.all(np.isposinf(high))
    except (TypeError, ValueError):
        raise ValueError(
            f"bounds must be a pair, the least and the largest values, not {bounds!r}"
        ) from None
    return None if infinite else (low, high)
