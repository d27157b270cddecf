"""``minimize`` as SciPy has it, by the compiled methods; its result is differentiable."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.api.implicit import minimizer
from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import modes
from nbgrad.core.tree import flatten, unflatten
from nbgrad.solvers.minimizing import Asked, method_of
from nbgrad.tensors.tensor import Tensor

optimize = LazyModule("scipy.optimize")


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
    method : {"nb-bfgs"}
        BFGS, with the line search of Moré and Thuente.
    bounds : sequence of pairs, or scipy.optimize.Bounds, optional
        For methods that know them.
    tol : float, optional
        The tolerance that the method ends by.
    callback : callable, optional
        Called after each iteration, as SciPy does: with ``intermediate_result=`` if it has a parameter of that
        name, else with the point; it may raise ``StopIteration``.
    options : dict, optional
        ``maxiter``, ``maxfun``, ``max_time`` in seconds, and of ``"nb-bfgs"`` ``gtol``, ``xrtol``, ``c1``, ``c2``.

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
    given_args: Any = args
    args = given_args if isinstance(given_args, tuple) else (given_args,)
    watch = watching(callback)
    max_time = given.pop("max_time", None)
    if not (modes.tracing or tracked(args)):
        asked = Asked(method, fun, x0, args)
        if not (asked.tracked and modes.grad):
            return asked.solved(given, bounds, watch, max_time)

    def native(f: Callable[..., Any], x: Any) -> Any:
        x = np.asarray(x.detach() if isinstance(x, Tensor) else x)
        asked = Asked(method, fun, x, values) if f is of else Asked(method, f, x, ())
        found.append(asked.solved(given, bounds, watch, max_time))
        return found[-1].x

    found: list[Any] = []
    values = detached(args)

    def of(x: Any) -> Any:
        return fun(x, *args)

    x = minimizer(of, x0, native)
    more = found[-1] if found else optimize.OptimizeResult()
    return optimize.OptimizeResult({**more, "x": x, "fun": of(x)})


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
