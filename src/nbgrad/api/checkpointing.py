"""checkpoint: a part of a computation that keeps its arguments and is run again in the backward."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.core.linearize import capture
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, next_sequence
from nbgrad.core.tree import flatten, unflatten
from nbgrad.engine.demand import demand
from nbgrad.engine.watched import cotangents
from nbgrad.errors import AutogradError, ConcretizationError
from nbgrad.tensors.context import Context
from nbgrad.tensors.creation import default_generator
from nbgrad.tensors.function import Function
from nbgrad.tensors.rules import record
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.elements.composite import detached


class Checkpoint(Function):
    """What a checkpointed part is recorded as; its backward is given by :func:`checkpoint`."""


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call *function* and keep nothing of what it computes on the way but its results.

    The backward pass calls it again and differentiates that: a second forward of this part, for
    the memory of its intermediate values, which are there for one part at a time. Its results are
    computed at once. Gradients reach the arguments and what the function reads from outside.

    Parameters
    ----------
    function : callable
        Takes and returns tensors and anything else, in tuples, lists and dicts too. It must
        compute the same again when it is called with the same arguments.
    *args, **kwargs :
        Its arguments.
    use_reentrant : bool
        As in PyTorch; only False is available.
    preserve_rng_state : bool
        Draw the same numbers (``rand``, ``randn``) the second time.

    Returns
    -------
    object
        What *function* returned.

    Raises
    ------
    RuntimeError
        In the backward pass, if *function* reads other tensors, or makes results of other shapes,
        than it did the first time.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([0.5, 1.0], requires_grad=True)
    >>> y = ng.checkpoint(lambda t: ng.exp(ng.sin(t)), x)
    >>> y.sum().backward()
    """
    if use_reentrant:
        raise ValueError(
            "checkpoint: use_reentrant=True is not available; leave it away: every use works "
            "without"
        )
    state = default_generator().bit_generator.state if preserve_rng_state else None
    run = _Run(function, args, kwargs, state)
    outs, structure, start = run.once()
    nodes = [o._node for o in outs if isinstance(o, Tensor)]
    inputs = _sources([n for n in nodes if n.requires_grad], start) if modes.grad else []
    if not inputs:
        return unflatten(structure, outs)
    ctx = Context("checkpoint", [Tensor(n) for n in inputs])
    ctx._backward, ctx._jvp = run.backward(inputs, [n.aval for n in nodes]), None
    ctx._trusted = True
    ctx.save_for_backward(*(Tensor(n) for n in inputs))
    values = [Tensor(detached(o._node)) if isinstance(o, Tensor) else o for o in outs]
    untracked = [v for v, o in zip(values, outs, strict=True) if not _tracked(o)]
    ctx.mark_non_differentiable(*(v for v in untracked if isinstance(v, Tensor)))
    with contextlib.suppress(ConcretizationError):  # while a function is traced
        demand([v._node for v in values if isinstance(v, Tensor)])
    made = record(Checkpoint, ctx, values, inputs)
    return unflatten(
        structure, [o if n is None else Tensor(n) for o, n in zip(outs, made, strict=True)]
    )


def _snapshot(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.__class__(x._node)
    if type(x) in (tuple, list):
        return type(x)(_snapshot(item) for item in x)
    return {k: _snapshot(v) for k, v in x.items()} if type(x) is dict else x


def _tracked(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _sources(nodes: Sequence[Node], start: int) -> list[Node]:
    """The tracked nodes recorded before *start*, and the leaves, that *nodes* were made of."""
    found: dict[Node, None] = {}
    stack, seen = list(nodes), set(nodes)
    while stack:
        node = stack.pop()
        if node.seq < start or node.sig is None or node.leaf is not None:
            found[node] = None
            continue
        for x in node.inputs:
            if x.__class__ is Node and x.requires_grad and x not in seen:
                seen.add(x)
                stack.append(x)
    return list(found)


class _Run:
    """A function and its arguments as they were, to be called now and again."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        state: Any,
    ) -> None:
        self.function, self.state = function, state
        # Fresh tensors name the nodes that there are now: a later write binds the others to new ones.
        self.given = [_snapshot(x) for x in (*args, *kwargs.values())]
        self.names = tuple(kwargs)

    def once(self) -> tuple[list[Any], Any, int]:
        """Call the function: its results, how they are nested, and when it began."""
        count = len(self.given) - len(self.names)
        start = next_sequence()
        kwargs = dict(zip(self.names, self.given[count:], strict=True))
        returned = self.function(*self.given[:count], **kwargs)
        return *flatten(returned), start

    def again(self) -> tuple[list[Node], int]:
        """Call it as in the forward pass; return the tensors among the results."""
        generator = default_generator()
        now = generator.bit_generator.state
        before, modes.grad = modes.grad, True
        try:
            if self.state is not None:
                generator.bit_generator.state = self.state
            outs, _, start = self.once()
        finally:
            modes.grad = before
            generator.bit_generator.state = now
        return [o._node for o in outs if isinstance(o, Tensor)], start

    def backward(self, inputs: Sequence[Node], avals: Sequence[Any]) -> Callable[..., Any]:
        ends = frozenset(inputs)

        def backward(ctx: Context, *gradients: Any) -> tuple[Any, ...]:
            ctx.saved_tensors  # noqa: B018 - refuses once the graph was freed
            outs, start = self.again()
            tracked = [n for n in outs if n.requires_grad]
            if [n.aval for n in outs] != list(avals) or set(_sources(tracked, start)) != ends:
                raise AutogradError(
                    "checkpoint: the function read other tensors, or made results of other shapes, "
                    "when it was called again in the backward pass. It must do the same each time; "
                    "what it reads must not be changed in between."
                )
            given = [g._node for g in gradients if g is not None]
            pairs = [(n, g) for n, g in zip(outs, given, strict=True) if n.requires_grad]
            cap = capture([n for n, _ in pairs], differentiate=True)
            nodes, seeds = [n for n, _ in pairs], [g for _, g in pairs]
            found = dict(cotangents(cap, nodes, seeds, list(inputs), False, ends))
            return tuple(Tensor(found[n]) if n in found else None for n in inputs)

        return backward


__all__ = ["checkpoint"]
