"""GradFn: what ``tensor.grad_fn`` shows of the recorded graph, and hooks on it."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from nbgrad.core.aval import is_several
from nbgrad.core.node import Node
from nbgrad.core.ports import ports
from nbgrad.core.results import results_held
from nbgrad.errors import AutogradError
from nbgrad.tensors.hooks import RemovableHandle, added, watch_node

Edge = tuple["GradFn | None", int]


class GradFn:
    """A recorded operation as a backward function, named as PyTorch names it.

    Each name is a class of its own: ``type(fn).__name__ == fn.name()``. There is one object for
    an operation as long as somebody holds it.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.ones(2, requires_grad=True)
    >>> fn = (x * x).sum().grad_fn
    >>> fn.name(), [f.name() for f, _ in fn.next_functions]
    ('SumBackward0', ['MulBackward0'])
    >>> fn.next_functions[0][0].next_functions[0][0].variable is x
    True
    """

    __slots__ = ("__weakref__", "_node")

    def __init__(self, node: Node) -> None:
        self._node = node

    def name(self) -> str:
        """Name of the backward function, such as ``MulBackward0``."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[Edge, ...]:
        """Backward functions of the operands, each with the number of its output.

        (None, 0) where no gradient goes. A pass that did not retain the graph has cut it here.
        """
        node = self._node
        if node.sig is None or node.leaf is not None:
            return ()
        watch = node.watch
        user = None if watch is None else watch.context
        return tuple(edge(x) for x in (node.inputs if user is None else user.operands(node)))

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary of your own that lives as long as the operation."""
        return watch_node(self._node, _tensor_type()).metadata

    def register_hook(self, hook: Callable[[Any, Any], Any]) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` when the function has run.

        *grad_inputs* are the gradients of its operands, None where no gradient goes; a tuple that
        the hook returns replaces them. *grad_outputs* are those of its results.
        """
        return added(watch_node(self._node, _tensor_type()).after, hook)

    def register_prehook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Call ``hook(grad_outputs)`` before the function runs.

        A tuple that it returns replaces the gradients of the results.
        """
        return added(watch_node(self._node, _tensor_type()).before, hook)

    def _results(self) -> list[Node]:
        """The values that this function takes gradients of, as far as they still exist."""
        watch = self._node.watch
        context = None if watch is None else watch.context
        return results_held(self._node) if context is None else context.results()

    def _short(self) -> str:
        return f"<{self.name()}>"

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self._node):#x}>"

    def __getattr__(self, name: str) -> Any:
        # Of a user-written function: what it left in its context, saved_tensors among it.
        watch = None if name.startswith("__") else self._node.watch
        context = None if watch is None else watch.context
        if context is None:
            raise AttributeError(f"'{self.name()}' object has no attribute {name!r}")
        return getattr(context, name)


class AccumulateGrad(GradFn):
    """The end of the graph: adds gradients to the ``.grad`` of a leaf, its ``variable``."""

    __slots__ = ()

    @property
    def variable(self) -> Any:
        """The leaf, or None if nobody holds it any more."""
        leaf = self._node.leaf
        return None if leaf is None else leaf()


# By the identity of the node, which the GradFn keeps alive: a node as a key would be kept by this
# table, and with it a hook that refers to the GradFn.
_made: weakref.WeakValueDictionary[int, GradFn] = weakref.WeakValueDictionary()


@functools.cache
def _class_of(name: str) -> type[GradFn]:
    return type(name, (GradFn,), {"__slots__": (), "__module__": __name__, "__doc__": None})


def _tensor_type() -> Any:
    return ports.tensor  # this layer lies below the class


def edge(x: Any) -> Edge:
    """The backward function that the gradient of operand *x* goes to, and for which output."""
    node = source(x)
    if node is None:
        return None, 0
    if node.leaf is not None or node.sig is None:
        return _one(node, AccumulateGrad), 0
    if node.sig.prim.projects:
        return grad_fn_of(node.inputs[0]), output_number(node)
    return grad_fn_of(node), 0


def source(x: Any) -> Node | None:
    """The node whose value *x* is but for a cast or broadcast that nobody asked for."""
    while x.__class__ is Node and x.requires_grad:
        if x.sig is None or x.leaf is not None or not (x.sig.prim.structural and x.inputs):
            found: Node = x
            return found
        x = x.inputs[-1]  # of graft, whose history this is
    return None


def output_number(node: Node) -> int:
    """Which result of its backward function *node* is."""
    projects = node.sig is not None and node.sig.prim.projects
    return int(node.sig.params["number"]) if projects else 0


def grad_fn_of(node: Node) -> GradFn:
    """Return the GradFn of a node that was recorded for differentiation."""
    while node.sig.prim.keeps_history and node.inputs:
        node = node.inputs[-1]
    if node.sig.prim.projects and node.inputs:
        node = node.inputs[0]
    return _one(node, _class_of(node.sig.prim.backward_name))


def _one(node: Node, kind: type[GradFn]) -> GradFn:
    found = _made.get(id(node))
    return _made.setdefault(id(node), kind(node)) if found is None else found


def result_of(function: GradFn, number: int) -> Node:
    """The value whose gradient is that of result *number* of *function*."""
    watch = function._node.watch
    if (watch is None or watch.context is None) and not is_several(function._node.aval):
        return function._node
    for node in function._results():
        if output_number(node) == number:
            return node
    raise AutogradError(f"nobody holds result {number} of {function!r} any more")
