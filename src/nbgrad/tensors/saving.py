"""Hooks on what is saved for the backward pass: packed when recorded, unpacked when needed.

nbgrad saves no arrays of its own accord: it computes again what the backward needs, or keeps it
within one program. Inside :class:`saved_tensors_hooks` what a rule will read is handed to the user
as it is recorded, by :class:`Function` and by nbgrad's operations alike, and the backward pass is
given what the user returns for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any

from nbgrad.core.aval import is_several
from nbgrad.core.modes import lines, modes
from nbgrad.core.node import Node
from nbgrad.core.results import result_of
from nbgrad.engine.freeing import read_by_rule
from nbgrad.engine.watched import reattached
from nbgrad.errors import AutogradError, need_functions
from nbgrad.tensors.hooks import watch_node
from nbgrad.tensors.tensor import Tensor

Pack = Callable[[Any], Any]


class saved_tensors_hooks:
    """Context in which what is saved for the backward pass is packed, and unpacked there.

    Parameters
    ----------
    pack_hook : callable
        Given a tensor that the backward of an operation will read, when it is recorded; returns
        anything. It must not write to the tensor.
    unpack_hook : callable
        Given what *pack_hook* returned, in the backward; returns a tensor of the same shape.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([1.0, 2.0], requires_grad=True)
    >>> with ng.autograd.graph.saved_tensors_hooks(lambda t: t.tolist(), ng.tensor):
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(self, pack_hook: Pack, unpack_hook: Callable[[Any], Any]) -> None:
        need_functions("saved_tensors_hooks", pack_hook, unpack_hook)
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if modes.saving_refused is not None:
            raise AutogradError(modes.saving_refused)
        modes.saving = (*modes.saving, (self.pack_hook, self.unpack_hook))
        if len(modes.saving) == 1:
            lines.on += 1
            modes.saved = _save_operands

    def __exit__(self, *exc: object) -> None:
        if not modes.saving:
            return
        modes.saving = modes.saving[:-1]
        if not modes.saving:
            lines.on -= 1
            modes.saved = None


class disable_saved_tensors_hooks:
    """Context and decorator in which :class:`saved_tensors_hooks` raise *error_message*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> graph = ng.autograd.graph
    >>> with graph.disable_saved_tensors_hooks("none here"):
    ...     try:
    ...         with graph.saved_tensors_hooks(lambda x: x, lambda x: x):
    ...             pass
    ...     except RuntimeError as error:
    ...         print(error)
    none here
    """

    def __init__(self, error_message: str) -> None:
        self._message = error_message
        self._before: list[str | None] = []

    def __enter__(self) -> None:
        if modes.saving:
            raise AutogradError(self._message)
        self._before.append(modes.saving_refused)
        modes.saving_refused = self._message

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        modes.saving_refused = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self._message):
                return function(*args, **kwargs)

        return call


def packed(node: Node, tensor: Tensor) -> Callable[[], Node]:
    """Pack *tensor*, whose values are those of *node*; return the function that unpacks it."""
    pack, unpack = modes.saving[-1]
    before, modes.grad = modes.grad, False
    hooks, modes.saving = modes.saving, ()
    try:
        held = pack(tensor)
    finally:
        modes.grad, modes.saving = before, hooks
    if tensor._node is not node:
        raise AutogradError(
            "A saved tensor pack hook is modifying its input in place. Tensors provided as input "
            "to pack hook can not be modified by in-place operations."
        )

    def restored() -> Node:
        made = unpack(held)
        if not isinstance(made, Tensor) or made.shape != node.shape:
            raise AutogradError(
                f"A saved tensor unpack hook returned {type(made).__name__} of shape "
                f"{getattr(made, 'shape', None)}; return a tensor of shape {node.shape}"
            )
        return node if made._node is node else reattached(node, made._node)

    return restored


def _save_operands(node: Node) -> None:
    """Pack what the rule of *node*, just recorded, will read."""
    if not node.requires_grad or node.sig.prim.projects:
        return
    wants = tuple(x.__class__ is Node and x.requires_grad for x in node.inputs)
    for place in read_by_rule(node.sig, wants):
        read = _result(node, -1 - place) if place < 0 else node.inputs[place]
        if read.__class__ is Node and not _is_constant(read):
            watch = watch_node(node, Tensor)
            watch.saved[place] = packed(read, Tensor(read))


def _result(node: Node, number: int) -> Node:
    return result_of(node, number) if is_several(node.aval) else node


def _is_constant(node: Node) -> bool:
    """Whether *node* stands for a number that was written in the source."""
    return node.sig is not None and not node.inputs and not node.requires_grad
