"""Function: an operation whose derivative the user writes."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.modes import modes, watching
from nbgrad.errors import AutogradError, need_functions
from nbgrad.tensors.context import Context
from nbgrad.tensors.rules import record
from nbgrad.tensors.tensor import Tensor


class Function:
    """Base class of operations with a user-written backward.

    Subclass it with static methods ``forward(ctx, *args)`` and ``backward(ctx, *grad_outputs)``,
    and call it by ``apply``. ``backward`` returns one gradient (or None) for each argument of
    ``forward``; made of nbgrad operations it can be differentiated again, and gives forward mode
    its tangent. What else a class may define:

    ``setup_context(ctx, inputs, output)``
        Then ``forward(*args)`` has no context, and this fills it.
    ``jvp(ctx, *tangents)``
        The tangents of the results, for forward mode. Without it they are found by transposing
        ``backward``.
    ``vjp``
        Another name of ``backward``.

    A function may return numbers, None, strings beside tensors, an argument, or the same tensor
    twice; ``ctx.mark_dirty`` declares the arguments it wrote to.

    Examples
    --------
    >>> import nbgrad as ng
    >>> class Cube(ng.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x * x * g
    >>> x = ng.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad.item()
    12.0
    >>> ng.hessian(Cube.apply)(2.0).item()
    12.0
    """

    def __init__(self) -> None:
        warnings.warn(
            f"{type(self).__name__} should not be instantiated. Call its apply: methods of an "
            "autograd function are static.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise AutogradError(
            "Legacy autograd function with non-static forward method is deprecated. Write "
            f"@staticmethod forward(ctx, ...) and call {type(self).__name__}.apply(...)."
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the results; the first argument is the context, unless setup_context is defined."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function: a static "
            "method forward(ctx, *args)"
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Fill the context of a ``forward`` that has none."""
        raise NotImplementedError("setup_context is not implemented")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient of each argument, or None."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD: a static method "
            "backward(ctx, *grad_outputs)"
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Return the tangent of each result, or None."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with "
            "forward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and record the operation.

        Returns
        -------
        Tensor or tuple
            What ``forward`` returned.

        Raises
        ------
        TypeError
            If a result is an array: its derivative would be lost.
        RuntimeError
            If ``forward`` writes to a leaf that requires grad.
        """
        modes.functions += 1
        apart = cls.setup_context is not Function.setup_context
        if apart:
            args, kwargs = _bound(cls.forward, args, kwargs), {}
        ctx = Context(cls.__name__, args)
        if cls.vjp is not Function.vjp and cls.backward is not Function.backward:
            raise AutogradError(
                f"Implementing both 'backward' and 'vjp' for {cls.__name__} is not allowed: they "
                "are two names of one rule"
            )
        ctx._backward = cls.backward if cls.vjp is Function.vjp else cls.vjp
        ctx._jvp = None if cls.jvp is Function.jvp else cls.jvp
        inner = [a.__class__(a._node) if isinstance(a, Tensor) else a for a in args]
        exported, watching.any = modes.exported, True
        before, modes.grad = modes.grad, False
        try:
            if apart:
                returned = cls.forward(*inner)
                cls.setup_context(ctx, tuple(inner), returned)
            else:
                returned = cls.forward(ctx, *inner, **kwargs)
        finally:
            modes.grad = before
        ctx._exported = modes.exported != exported and ctx.keeps_numbers(args)
        outs = returned if isinstance(returned, tuple) else (returned,)
        results = _results(cls, ctx, outs, args, inner)
        return tuple(results) if isinstance(returned, tuple) else results[0]


def _bound(
    forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """All arguments of *forward* in order, with its defaults."""
    bound = inspect.signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args


def _results(
    cls: type[Function], ctx: Context, outs: Sequence[Any], args: Sequence[Any], inner: list[Any]
) -> list[Any]:
    """What ``apply`` returns for what ``forward`` did."""
    for out in outs:
        if isinstance(out, (np.ndarray, np.generic)):
            raise TypeError(
                f"{cls.__name__}.forward must return tensors, not {type(out).__name__}: wrap it "
                "in nbgrad.tensor"
            )
    given = {id(x): a for x, a in zip(inner, args, strict=True) if isinstance(a, Tensor)}
    written = {id(x) for x in inner if id(x) in given and x._node is not given[id(x)]._node}
    written |= ctx._dirty & set(given)
    if ctx._dirty - set(given):
        warnings.warn(
            f"{cls.__name__}.forward marked a tensor as dirty that is not one of its arguments: "
            "it need not be marked",
            stacklevel=3,
        )
    if any(ctx.needs_input_grad) and modes.grad:
        if not written <= {id(out) for out in outs}:
            raise AutogradError(
                f"{cls.__name__}.forward wrote to an argument that it does not return. The inputs "
                "that are modified inplace must all be outputs of the Function."
            )
        inputs = [a._node for a, t in zip(args, ctx.needs_input_grad, strict=True) if t]
        nodes = record(cls, ctx, outs, inputs)
    else:
        nodes = [o._node if isinstance(o, Tensor) else None for o in outs]
    made: dict[int, Any] = {}
    for out, node in zip(outs, nodes, strict=True):
        if id(out) in made or node is None:
            continue
        if id(out) in written:
            made[id(out)] = given[id(out)]._rebind(node)
        else:
            same = id(out) in given and node is given[id(out)]._node
            made[id(out)] = given[id(out)] if same else out.__class__(node)
    for x in inner:  # written to, but not returned
        if id(x) in written and id(x) not in made:
            given[id(x)]._rebind(x._node)
    return [made.get(id(out), out) for out in outs]


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the ``backward`` of a Function that has no derivative of its own.

    It runs without recording, so it may use NumPy; differentiating its result raises.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> class Sine(ng.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return ng.tensor(np.sin(x.numpy()))
    ...     @staticmethod
    ...     @ng.autograd.once_differentiable
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return ng.tensor(g.numpy() * np.cos(x.numpy()))
    >>> ng.grad(Sine.apply)(0.0).item()
    1.0
    """
    need_functions("once_differentiable", backward)

    @functools.wraps(backward)
    def call(ctx: Any, *grad_outputs: Any) -> Any:
        ctx._once = True
        before, modes.grad = modes.grad, False
        try:
            return backward(ctx, *grad_outputs)
        finally:
            modes.grad = before

    return call


__all__ = ["Context", "Function", "once_differentiable"]
