"""Hooks: what a Watch on a node does during a backward pass, and when.

For one node the order is that of PyTorch: hooks of the tensor, the gradient it retains, hooks
before its backward function, the function, hooks after it. For a leaf the function is the
accumulation into ``.grad``, and hooks of the leaf that see that come before those of the node.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from nbgrad.core.modes import watching
from nbgrad.core.node import Node
from nbgrad.errors import AutogradError
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.transforms.vjp import UNDEFINED

_ids = count().__next__

Hooks = dict[int, Callable[..., Any]]


class Watch:
    """What is to be done at one node, each kind of hook in the order of registration.

    Attributes
    ----------
    hooks : dict
        Of the tensor: given its gradient, return another or None.
    before, after : dict
        Of the backward function: given the gradients of its results, and what it returned.
    accumulated : dict
        Of a leaf: given the tensor when its ``.grad`` has been added to.
    retained : weakref to Tensor, or None
        Keeps its gradient in ``.grad``.
    context : object or None
        Of a user-written function, whose rule takes care of gradients that are not defined.
    saved : dict
        What hooks packed of the operands (-1: of the result), as functions that unpack it.
    metadata : dict
        The user's own, see :attr:`nbgrad.tensors.grad_fn.GradFn.metadata`.
    """

    __slots__ = (
        "accumulated",
        "after",
        "before",
        "context",
        "hooks",
        "metadata",
        "retained",
        "saved",
        "tensor_type",
    )

    def __init__(self, tensor_type: Any, context: Any = None) -> None:
        self.hooks: Hooks = {}
        self.before: Hooks = {}
        self.after: Hooks = {}
        self.accumulated: Hooks = {}
        self.retained: weakref.ref[Any] | None = None
        self.context = context
        self.saved: dict[int, Callable[[], Node]] = {}
        self.metadata: dict[Any, Any] = {}
        self.tensor_type = tensor_type

    def on_cotangent(self, node: Node, cotangent: Any) -> Any:
        """Run the tensor's hooks on a complete cotangent and return the one to propagate."""
        tensor = self.retained() if self.retained is not None else None
        if cotangent is UNDEFINED or (tensor is None and not self.hooks):
            return cotangent
        ct = materialize(cotangent, node.aval)
        for hook in tuple(self.hooks.values()):
            ct = self._replaced(ct, hook(self.tensor_type(ct)), node)
        if tensor is not None and node.leaf is None:
            tensor._grad = self.tensor_type(ct if tensor.grad is None else tensor.grad._node + ct)
        return ct

    def _replaced(self, ct: Node, returned: Any, node: Node) -> Node:
        if returned is None:
            return ct
        if not isinstance(returned, self.tensor_type):
            raise TypeError(f"hook returned {type(returned).__name__}; return a tensor, or None")
        if returned.shape != node.shape:
            raise AutogradError(
                f"hook returned a gradient of shape {returned.shape} for a tensor of "
                f"shape {node.shape}; return one of the same shape, or None"
            )
        made: Node = returned._node
        return made

    def run(self, hooks: Hooks, cts: Sequence[Node | None], *rest: Any) -> list[Node | None]:
        """Run hooks of the backward function on gradients, None where there is none.

        A hook is given the tuple of their tensors, and *rest*; a tuple that it returns replaces
        them. One that is removed meanwhile runs for the last time.
        """
        for hook in tuple(hooks.values()):
            given = tuple(None if ct is None else self.tensor_type(ct) for ct in cts)
            returned = hook(given, *rest)
            if returned is None:
                continue
            made = returned if isinstance(returned, (tuple, list)) else (returned,)
            if len(made) != len(cts):
                raise AutogradError(
                    f"hook returned {len(made)} gradients for {len(cts)}; return as many as it "
                    "was given, or None"
                )
            cts = [None if t is None else t._node for t in made]
        return list(cts)


class RemovableHandle:
    """Returned when a hook is registered; ``remove()`` takes the hook away. Also a context.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.ones(2, requires_grad=True)
    >>> with x.register_hook(lambda g: 10 * g):
    ...     x.sum().backward()
    >>> x.sum().backward()
    >>> x.grad
    tensor([11., 11.])
    """

    def __init__(self, *held: tuple[Hooks, int]) -> None:
        self.held = held

    def remove(self) -> None:
        """Remove the hook; a second call does nothing."""
        for hooks, key in self.held:
            hooks.pop(key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


NOT_KEPT = (
    "the .grad attribute of a Tensor that is not a leaf Tensor is being accessed, and is None: backward keeps "
    "gradients of leaves alone. Call .retain_grad() on it before backward(), use "
    "nbgrad.autograd.grad(loss, x), or read that of the tensor created with requires_grad=True"
)


def added(hooks: Hooks, hook: Callable[..., Any]) -> RemovableHandle:
    """Add *hook* at the end of *hooks*; return its handle."""
    key = _ids()
    hooks[key] = hook
    return RemovableHandle((hooks, key))


def watch_node(node: Node, tensor_type: Any) -> Watch:
    """Return the Watch of *node*, made on first use."""
    if node.watch is None:
        node.watch = Watch(tensor_type)
        watching.any = True
    watch: Watch = node.watch
    return watch


def watch_of(tensor: Any) -> Watch:
    """Return the Watch of *tensor*'s node, made on first use."""
    if not tensor._node.requires_grad:
        raise AutogradError(
            "cannot register a hook on a tensor that doesn't require gradient; create it with "
            "requires_grad=True"
        )
    return watch_node(tensor._node, type(tensor))


def register_hook(tensor: Any, hook: Callable[[Any], Any]) -> RemovableHandle:
    """Call *hook* with each gradient of *tensor*; what it returns replaces the gradient."""
    return added(watch_of(tensor).hooks, hook)


def register_post_accumulate_grad_hook(
    tensor: Any, hook: Callable[[Any], None]
) -> RemovableHandle:
    """Call *hook* with *tensor*, a leaf, each time its ``.grad`` has been added to."""
    if not tensor.is_leaf:
        raise AutogradError(
            "post accumulate grad hooks cannot be registered on non-leaf tensors: register_hook "
            "sees the gradient of one, retain_grad keeps it"
        )
    return added(watch_of(tensor).accumulated, hook)


def retain_grad(tensor: Any) -> None:
    """Keep the gradient of a non-leaf *tensor* in ``.grad``; nothing to do for a leaf."""
    if tensor.is_leaf:
        if not tensor.requires_grad:
            raise AutogradError("can't retain_grad on Tensor that has requires_grad=False")
        return
    watch_of(tensor).retained = weakref.ref(tensor)


def keep_retaining(tensor: Any, old: Node) -> None:
    """After *tensor* was written to in place: retain the gradient of what it is now.

    Its other hooks stay with the old value, as in PyTorch.
    """
    watch = old.watch
    if watch is None or watch.retained is None or watch.retained() is not tensor:
        return
    watch.retained = None
    if tensor.requires_grad and not tensor.is_leaf:
        watch_of(tensor).retained = weakref.ref(tensor)
