"""Tensor hooks and retained gradients: what a Watch on a node does during a backward pass."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

from nbgrad.core.modes import watching
from nbgrad.core.node import Node
from nbgrad.errors import AutogradError
from nbgrad.ops.kinds import materialize

_ids = count().__next__


class Watch:
    """Hooks of one tensor, in the order they were registered, and whether its grad is kept."""

    __slots__ = ("hooks", "retained", "tensor_type")

    def __init__(self, tensor_type: type) -> None:
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.retained: weakref.ref[Any] | None = None
        self.tensor_type = tensor_type

    def on_cotangent(self, node: Node, cotangent: Any) -> Node:
        """Run the hooks on a complete cotangent and return the one to propagate."""
        ct = materialize(cotangent, node.aval)
        for hook in tuple(self.hooks.values()):
            returned = hook(self.tensor_type(ct))
            if returned is not None:
                if not isinstance(returned, self.tensor_type):
                    raise TypeError(
                        f"hook returned {type(returned).__name__}; return a tensor, or None"
                    )
                if returned.shape != node.shape:
                    raise AutogradError(
                        f"hook returned a gradient of shape {returned.shape} for a tensor of "
                        f"shape {node.shape}; return one of the same shape, or None"
                    )
                ct = returned._node
        tensor = self.retained() if self.retained is not None else None
        if tensor is not None and node.leaf is None:
            tensor._grad = self.tensor_type(ct if tensor.grad is None else tensor.grad._node + ct)
        return ct


class RemovableHandle:
    """Returned by ``register_hook``; ``remove()`` takes the hook away. Also a context."""

    def __init__(self, watch: Watch, key: int) -> None:
        self._watch = watch
        self._key = key

    def remove(self) -> None:
        """Remove the hook; a second call does nothing."""
        self._watch.hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def watch_of(tensor: Any) -> Watch:
    """Return the Watch of *tensor*'s node, made on first use."""
    node = tensor._node
    if not node.requires_grad:
        raise AutogradError(
            "cannot register a hook on a tensor that doesn't require gradient; create it with "
            "requires_grad=True"
        )
    if not isinstance(node.watch, Watch):
        node.watch = Watch(type(tensor))
        watching.any = True
    return node.watch


def register_hook(tensor: Any, hook: Callable[[Any], Any]) -> RemovableHandle:
    """Call *hook* with each gradient of *tensor*; what it returns replaces the gradient."""
    watch = watch_of(tensor)
    key = _ids()
    watch.hooks[key] = hook
    return RemovableHandle(watch, key)


def retain_grad(tensor: Any) -> None:
    """Keep the gradient of a non-leaf *tensor* in ``.grad``; nothing to do for a leaf."""
    if tensor.is_leaf:
        if not tensor.requires_grad:
            raise AutogradError("can't retain_grad on Tensor that has requires_grad=False")
        return
    watch_of(tensor).retained = weakref.ref(tensor)
