"""Function: an operation whose backward the user writes."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.modes import modes, watching
from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive, bind
from nbgrad.errors import AutogradError
from nbgrad.ops.kinds import Host, materialize
from nbgrad.tensor import Tensor

_NUMBERS = np.dtype(np.float64)


class Context:
    """What ``forward`` leaves for ``backward``: attributes of your own, and saved tensors.

    Attributes
    ----------
    needs_input_grad : tuple of bool
        For each argument of ``apply``, whether its gradient is wanted.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Any, ...] = ()
        self._outputs: dict[Node, weakref.ref[Node]] = {}
        self._non_differentiable: set[int] = set()
        self._materialize = True

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What ``save_for_backward`` was given; outputs are connected to the graph."""
        return tuple(self._connected(t) if isinstance(t, Tensor) else t for t in self._saved)

    def _connected(self, saved: Tensor) -> Tensor:
        # The recorded output is held weakly: it holds the pack node, which holds this context.
        reference = self._outputs.get(saved._node)
        recorded = reference() if reference is not None else None
        return saved if recorded is None else Tensor(recorded)

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep *tensors* for the backward; they cannot be overwritten meanwhile."""
        # Detached or not, a tensor names an immutable node, so a fresh Tensor is a snapshot.
        self._saved = tuple(Tensor(t._node) if isinstance(t, Tensor) else t for t in tensors)

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Declare that these outputs carry no gradient."""
        self._non_differentiable = {id(out) for out in outputs}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether an output without a gradient gives ``backward`` zeros (default) or None."""
        self._materialize = value


class _Pack:
    """Cotangents of the outputs of one Function, collected by output number.

    It passes through the backward pass as a number does: nothing there looks into it.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: dict[int, Any]) -> None:
        self.parts = parts

    def __add__(self, other: _Pack) -> _Pack:
        merged = dict(self.parts)
        for k, ct in other.parts.items():
            merged[k] = merged[k] + ct if k in merged else ct
        return _Pack(merged)


class _UserBackward:
    """The watch of a pack node: sends the backward pass along the node route."""

    def on_cotangent(self, node: Node, ct: Any) -> Any:
        return ct


class Function:
    """Base class of operations with a user-written backward.

    Subclass it with static methods ``forward(ctx, *args)`` and ``backward(ctx, *grad_outputs)``,
    and call it by ``apply``. ``backward`` returns one gradient (or None) for each argument of
    ``forward``; made of nbgrad operations it can be differentiated again.

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
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("define a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError("define a static method backward(ctx, *grad_outputs)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and record the operation.

        Returns
        -------
        Tensor or tuple of Tensor
            What ``forward`` returned.
        """
        modes.functions += 1
        tracked = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        ctx = Context(tracked)
        inner = [Tensor(a._node) if isinstance(a, Tensor) else a for a in args]
        before, modes.grad = modes.grad, False
        try:
            returned = cls.forward(ctx, *inner, **kwargs)
        finally:
            modes.grad = before
        outs = returned if isinstance(returned, tuple) else (returned,)
        for out in outs:
            if not isinstance(out, Tensor):
                raise TypeError(
                    f"{cls.__name__}.forward must return tensors, not {type(out).__name__}"
                )
        if not (any(tracked) and modes.grad):
            return returned
        nodes = [a._node for a, t in zip(args, tracked, strict=True) if t]
        results = tuple(Tensor(n) for n in _record(cls, ctx, outs, nodes, tracked))
        return results if isinstance(returned, tuple) else results[0]


def _record(
    cls: type[Function],
    ctx: Context,
    outs: Sequence[Tensor],
    inputs: Sequence[Node],
    tracked: tuple[bool, ...],
) -> list[Node]:
    """Record a pack node with the user's rule, and one projection for each output."""
    pack = _pack_node(cls, ctx, [out._node.aval for out in outs], inputs, tracked)
    given = set(inputs)
    results = []
    for k, out in enumerate(outs):
        node = out._node
        if id(out) not in ctx._non_differentiable and node.aval.inexact:
            projected = bind(_projection(cls), pack, node, number=k)
            if node not in given:
                ctx._outputs[node] = weakref.ref(projected)
            node = projected
        results.append(node)
    return results


def _pack_node(
    cls: type[Function],
    ctx: Context,
    avals: Sequence[Aval],
    inputs: Sequence[Node],
    tracked: tuple[bool, ...],
) -> Node:
    """The node all outputs come from; its cotangent is a _Pack and its rule the user's."""

    def vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> list[Any]:
        grads = _call_backward(cls, ctx, ct, avals)
        if len(grads) != len(tracked):
            raise AutogradError(
                f"function {cls.__name__}Backward returned an incorrect number of gradients "
                f"(expected {len(tracked)}, got {len(grads)})"
            )
        wanted = [g for g, t in zip(grads, tracked, strict=True) if t]
        return [_checked(cls, g, x) for g, x in zip(wanted, xs, strict=True)]

    prim = _primitive(cls.__name__, lambda *xs: np.empty(0), vjp, make_aval((0,), _NUMBERS))
    pack = prim(*inputs)
    pack.sig.saves = bool(ctx._saved)
    pack.value = np.empty(0)
    pack.depth = 0
    pack.watch = _UserBackward()
    watching.any = True
    return pack


def _projection(cls: type[Function]) -> Primitive:
    """The primitive that takes one output from the pack, one for each class.

    Shared by all calls, so that forward programs are found again.
    """
    prim = cls.__dict__.get("_projection")
    if prim is None:
        prim = _primitive(cls.__name__, _second, _project, None)
        cls._projection = prim  # type: ignore[attr-defined]
    return prim


def _second(pack: Any, value: Any, number: int) -> Any:
    return value


def _project(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> list[Any]:
    return [_Pack({params["number"]: ct}), None]


def _primitive(name: str, evaluate: Any, vjp: Any, aval: Aval | None) -> Primitive:
    """A primitive that is not in the registry; its result has *aval*, or the second operand's."""
    return Primitive(
        name=name,
        kind="opaque",
        evaluate=evaluate,
        prepare=lambda xs, params: (xs, xs[1].aval if aval is None else aval, ()),
        vjp=vjp,
        jvp=None,
        lower=Host(),
        grad_name=name,
        doc="A user-written operation.",
        registered=False,
    )


def _call_backward(cls: type[Function], ctx: Context, ct: Any, avals: Sequence[Any]) -> list[Any]:
    parts = ct.parts if isinstance(ct, _Pack) else {}
    given: list[Any] = []
    for k, aval in enumerate(avals):
        if k in parts or ctx._materialize:
            given.append(Tensor(materialize(parts.get(k, 0.0), aval)))
        else:
            given.append(None)
    grads = cls.backward(ctx, *given)
    return list(grads) if isinstance(grads, (tuple, list)) else [grads]


def _checked(cls: type[Function], gradient: Any, x: Node) -> Any:
    if gradient is None:
        return None
    if not isinstance(gradient, Tensor):
        raise TypeError(
            f"{cls.__name__}.backward must return tensors or None, not {type(gradient).__name__}"
        )
    if gradient.shape != x.shape:
        raise AutogradError(
            f"Function {cls.__name__}Backward returned an invalid gradient: got shape "
            f"{gradient.shape} but expected shape compatible with {x.shape}"
        )
    return gradient._node
