"""checkpoint: a part of a computation that keeps its arguments and is run again in the backward."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.api.keeping import Policy, keeps, naming
from nbgrad.api.transformed import Transformed
from nbgrad.core.aval import Aval
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

OTHERS = (
    "checkpoint: the function read other tensors, or made results of other shapes, when it was called "
    "again in the backward pass. It must do the same each time; what it reads must not be changed in "
    "between."
)


class Checkpoint(Function):
    """What a checkpointed part is recorded as; its backward is given by :func:`checkpoint`."""


def checkpoint(
    function: Callable[..., Any] | None = None,
    *args: Any,
    policy: Policy | None = None,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call *function* and keep nothing of what it computes on the way but its results.

    With arguments it is called at once, as in PyTorch; ``checkpoint(f)`` alone is the function that is
    checkpointed wherever it is called, as in JAX, also as a decorator: ``@checkpoint`` or
    ``@checkpoint(policy=...)``.

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
    policy : callable, optional
        Which of the values on the way are kept all the same, so that the backward pass need not
        compute them again: one of :mod:`nbgrad.checkpoint_policies`, or any function that is given a
        :class:`~nbgrad.checkpoint_policies.Made` and returns a boolean. Inside ``jit`` the compiler
        chooses.
    use_reentrant : bool
        As in PyTorch; only False is available.
    preserve_rng_state : bool
        Draw the same numbers (``rand``, ``randn``) the second time.

    Returns
    -------
    object
        What *function* returned; or, without arguments, a function.

    Raises
    ------
    ValueError
        If *use_reentrant* is asked for.
    TypeError
        If *function* or *policy* cannot be called, or *policy* returns no boolean.
    RuntimeError
        In the backward pass, if *function* reads other tensors, or makes results of other shapes,
        than it did the first time.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([0.5, 1.0], requires_grad=True)
    >>> y = ng.checkpoint(lambda t: ng.exp(ng.sin(t)), x)
    >>> y.sum().backward()
    >>> wave = ng.checkpoint(lambda t: ng.exp(ng.sin(t)))
    >>> float(ng.grad(wave)(0.0))
    1.0
    """
    options: dict[str, Any] = {
        "policy": policy,
        "use_reentrant": use_reentrant,
        "preserve_rng_state": preserve_rng_state,
    }
    if function is None:
        return functools.partial(checkpoint, **options)
    for what, f in (("function", function), ("policy", policy)):
        if f is not None and not callable(f):
            raise TypeError(f"checkpoint: the {what} must be a function, not {type(f).__name__}")
    if use_reentrant:
        raise ValueError(
            "checkpoint: use_reentrant=True is not available; leave it away: every use works "
            "without"
        )
    if not args and not kwargs:
        call = functools.partial(_checkpointed, function, policy, preserve_rng_state)
        return Transformed(call, checkpoint, function, (), options)
    return _checkpointed(function, policy, preserve_rng_state, *args, **kwargs)


def _checkpointed(
    function: Callable[..., Any],
    policy: Policy | None,
    preserve: bool,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    if modes.whole:  # reverse mode of a loop computes all but the carry again
        return function(*args, **kwargs)
    state = default_generator().bit_generator.state if preserve else None
    run = _Run(function, args, kwargs, state, policy)
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
        chosen = run.chosen(nodes, start)
        demand([*[v._node for v in values if isinstance(v, Tensor)], *chosen])
        run.kept = [n.value for n in chosen]
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


def _on_the_way(nodes: Sequence[Node], start: int) -> list[Node]:
    """What was recorded since *start* that *nodes* were made of, one value each, in order."""
    found = {n for n in nodes if n.seq >= start and n.sig is not None}
    stack = list(found)
    while stack:
        for x in stack.pop().inputs:
            if x.__class__ is Node and x.seq >= start and x.sig is not None and x not in found:
                found.add(x)
                stack.append(x)
    # Operations with several results have no value themselves: their parts have.
    return sorted((n for n in found if n.aval.__class__ is Aval), key=lambda n: n.seq)


class _Run:
    """A function and its arguments as they were, to be called now and again."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        state: Any,
        policy: Policy | None = None,
    ) -> None:
        self.function, self.state, self.policy = function, state, policy
        self.enclosed = modes.transforms, modes.products  # by which GradientTape goes
        self.names: dict[Node, str] = {}
        self.kept: list[Any] | None = None  # unless the policy has been asked
        # Fresh tensors name the nodes that there are now: a later write binds the others to new ones.
        self.given = [_snapshot(x) for x in (*args, *kwargs.values())]
        self.keywords = tuple(kwargs)

    def once(self) -> tuple[list[Any], Any, int]:
        """Call the function: its results, how they are nested, and when it began."""
        count = len(self.given) - len(self.keywords)
        start = next_sequence()
        kwargs = dict(zip(self.keywords, self.given[count:], strict=True))
        with naming() as self.names:
            returned = self.function(*self.given[:count], **kwargs)
        return *flatten(returned), start

    def again(self) -> tuple[list[Node], int]:
        """Call it as in the forward pass; return the tensors among the results."""
        generator = default_generator()
        now = generator.bit_generator.state
        before = modes.grad, modes.transforms, modes.products
        modes.grad, modes.transforms, modes.products = True, *self.enclosed
        try:
            if self.state is not None:
                generator.bit_generator.state = self.state
            outs, _, start = self.once()
        finally:
            modes.grad, modes.transforms, modes.products = before
            generator.bit_generator.state = now
        nodes = [o._node for o in outs if isinstance(o, Tensor)]
        if self.kept:
            chosen = self.chosen(nodes, start)
            if len(chosen) != len(self.kept):
                raise AutogradError(OTHERS)
            for node, value in zip(chosen, self.kept, strict=True):
                if (node.shape, node.dtype) != (value.shape, value.dtype):
                    raise AutogradError(OTHERS)
                if node.value is None:
                    node.value = value
        return nodes, start

    def chosen(self, nodes: Sequence[Node], start: int) -> list[Node]:
        """What was recorded on the way to *nodes* that the policy keeps, in order."""
        if self.policy is None:
            return []
        names, self.names = self.names, {}
        return [n for n in _on_the_way(nodes, start) if keeps(self.policy, n, names.get(n))]

    def backward(self, inputs: Sequence[Node], avals: Sequence[Any]) -> Callable[..., Any]:
        ends = frozenset(inputs)

        def backward(ctx: Context, *gradients: Any) -> tuple[Any, ...]:
            ctx.saved_tensors  # noqa: B018 - refuses once the graph was freed
            outs, start = self.again()
            tracked = [n for n in outs if n.requires_grad]
            if [n.aval for n in outs] != list(avals) or set(_sources(tracked, start)) != ends:
                raise AutogradError(OTHERS)
            given = [g._node for g in gradients if g is not None]
            pairs = [(n, g) for n, g in zip(outs, given, strict=True) if n.requires_grad]
            cap = capture([n for n, _ in pairs], differentiate=True)
            nodes, seeds = [n for n, _ in pairs], [g for _, g in pairs]
            found = dict(cotangents(cap, nodes, seeds, list(inputs), False, ends))
            return tuple(Tensor(found[n]) if n in found else None for n in inputs)

        return backward


__all__ = ["checkpoint"]
