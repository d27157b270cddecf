"""GradFn: what ``tensor.grad_fn`` shows of the recorded graph."""

from __future__ import annotations

from typing import Any

from nbgrad.core.node import Node


class GradFn:
    """A view of a recorded operation as a backward node, named as PyTorch names it."""

    __slots__ = ("_label", "_node")

    def __init__(self, node: Node, label: str) -> None:
        self._node = node
        self._label = label

    def name(self) -> str:
        """Name of the backward node, such as ``MulBackward0``."""
        return self._label

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        """Backward nodes of the operands; (None, 0) where no gradient goes."""
        if self._node.sig is None or self._node.leaf is not None:
            return ()
        return tuple((_next(x), 0) for x in self._node.inputs)

    def short(self) -> str:
        return f"<{self._label}>"

    def __repr__(self) -> str:
        return f"<{self._label} object at {id(self._node):#x}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and self._node is other._node

    def __hash__(self) -> int:
        return hash(self._node)


def grad_fn_of(node: Node) -> GradFn:
    """Return the GradFn of a node that was recorded for differentiation."""
    return GradFn(node, f"{node.sig.prim.grad_name}Backward0")


def _next(x: Any) -> GradFn | None:
    if x.__class__ is not Node or not x.requires_grad:
        return None
    if x.leaf is not None or x.sig is None:
        return GradFn(x, "AccumulateGrad")
    if x.sig.prim.structural and x.inputs:
        return _next(x.inputs[0])  # an implicit cast or broadcast
    return grad_fn_of(x)
