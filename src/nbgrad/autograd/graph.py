"""Looking at the recorded graph, and hooks on several tensors at once: as ``torch.autograd.graph``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nbgrad.core import node as nodes
from nbgrad.core.forks import ThreadLock
from nbgrad.core.modes import modes
from nbgrad.engine.watched import current_pass
from nbgrad.errors import AutogradError, need_functions
from nbgrad.tensors.grad_fn import AccumulateGrad, GradFn, edge, result_of
from nbgrad.tensors.hooks import RemovableHandle, added, watch_of
from nbgrad.tensors.saving import disable_saved_tensors_hooks, saved_tensors_hooks
from nbgrad.tensors.tensor import Tensor

Node = GradFn  # PyTorch's name of its class


class GradientEdge(NamedTuple):
    """A place in the graph that gradients flow to: result *output_nr* of backward function *node*.

    It can be given to ``grad`` and ``backward`` for a tensor, among outputs and inputs. It stays
    where it is when the tensor is changed in place.
    """

    node: GradFn
    output_nr: int

    @property
    def _node(self) -> nodes.Node:
        return result_of(self.node, self.output_nr)

    @property
    def requires_grad(self) -> bool:
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        return self._node.shape

    @property
    def dtype(self) -> Any:
        return self._node.dtype


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Return the place in the graph that gradients of *tensor* flow to.

    Raises
    ------
    RuntimeError
        If it does not require grad.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> edge = ng.autograd.graph.get_gradient_edge(y)
    >>> y *= 2
    >>> ng.autograd.grad(y, (edge, y))
    (tensor(2.), tensor(1.))
    """
    if not tensor.requires_grad:
        raise AutogradError(
            "It is not possible to get the gradient edge for a Tensor that does not require grad"
        )
    function, number = edge(tensor._node)
    assert function is not None
    return GradientEdge(function, number)


def register_multi_grad_hook(
    tensors: Sequence[Tensor],
    fn: Callable[[Any], None],
    *,
    mode: str = "all",
) -> RemovableHandle:
    """Call *fn* when the gradients of several tensors are there.

    Parameters
    ----------
    tensors : sequence of Tensor
    fn : callable
        Given a tuple of their gradients, None for a tensor that the pass does not go through; with
        ``mode="any"`` the gradient that came first.
    mode : {"all", "any"}

    Returns
    -------
    RemovableHandle

    Examples
    --------
    >>> import nbgrad as ng
    >>> x, y = ng.ones(2, requires_grad=True), ng.ones(2, requires_grad=True)
    >>> handle = ng.autograd.graph.register_multi_grad_hook((x, y), print)
    >>> (x * 2 + y * 3).sum().backward()
    (tensor([2., 2.]), tensor([3., 3.]))
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    need_functions("register_multi_grad_hook", fn)
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"register_multi_grad_hook: a {type(t).__name__} is no tensor")
    watches = [(watch_of(t), t._node) for t in tensors]
    seen = _Seen([node for _, node in watches], fn, mode == "any")
    handles = [
        added(watch.hooks, lambda gradient, k=k: seen.note(k, gradient))
        for k, (watch, _) in enumerate(watches)
    ]
    return RemovableHandle(*(held for handle in handles for held in handle.held))


class _Seen:
    """The gradients that have come in one pass, and what is called when it is all of them."""

    def __init__(self, nodes: list[nodes.Node], fn: Callable[[Any], None], first: bool) -> None:
        self._nodes, self._fn, self._first = nodes, fn, first
        self._lock = ThreadLock()
        self._passes: dict[int, list[Any]] = {}

    def note(self, k: int, gradient: Tensor) -> None:
        now = current_pass()
        if now is None:
            return
        with self._lock.held:
            if id(now) not in self._passes:
                self._passes[id(now)] = [None] * len(self._nodes)
                now.finally_call(lambda: self._passes.pop(id(now), None))
            found = self._passes[id(now)]
            begun = any(g is not None for g in found)
            found[k] = gradient
            expected = sum(node in now.executed for node in self._nodes)
            done = sum(g is not None for g in found) == expected
        if self._first and not begun:
            self._fn(gradient)
        elif not self._first and done:
            self._fn(tuple(found))


def saved_tensors_hooks_is_enabled() -> bool:
    """Whether :class:`saved_tensors_hooks` may be used here; see disable_saved_tensors_hooks.

    Examples
    --------
    >>> import nbgrad as ng
    >>> with ng.autograd.graph.disable_saved_tensors_hooks("none here"):
    ...     ng.autograd.graph.saved_tensors_hooks_is_enabled()
    False
    """
    return modes.saving_refused is None


def will_execute(node: GradFn) -> bool:
    """Whether the backward pass that runs now goes through *node*: for hooks.

    Raises
    ------
    RuntimeError
        Outside of a backward pass.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.ones(2, requires_grad=True)
    >>> y, z = x * 2, x * 3
    >>> handle = y.register_hook(lambda g: print(ng.autograd.graph.will_execute(z.grad_fn)))
    >>> y.sum().backward()
    False
    """
    now = current_pass()
    if now is None:
        raise AutogradError("will_execute can only be called during the backward pass")
    if not isinstance(node, GradFn):
        raise AutogradError(f"will_execute expects an grad_fn, not {type(node).__name__}")
    return any(x in now.executed for x in (node._node, *node._results()))


def queue_callback(callback: Callable[[], None]) -> None:
    """Call *callback* when the backward pass that runs now is over: for hooks and backwards.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.ones(2, requires_grad=True)
    >>> def hook(g):
    ...     ng.autograd.graph.queue_callback(lambda: print("over"))
    ...     print("hook")
    >>> handle = x.register_hook(hook)
    >>> (x * x).sum().backward()
    hook
    over
    """
    now = current_pass()
    if now is None:
        raise AutogradError("queue_callback can only be called during the backward pass")
    now.callbacks.append(callback)


__all__ = [
    "AccumulateGrad",
    "GradFn",
    "GradientEdge",
    "Node",
    "RemovableHandle",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "queue_callback",
    "register_multi_grad_hook",
    "saved_tensors_hooks",
    "saved_tensors_hooks_is_enabled",
    "will_execute",
]
