"""Context: what the forward of a user-written function leaves for its derivative rules."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.engine.watched import reattached
from nbgrad.errors import FREED, AutogradError
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.saving import packed
from nbgrad.tensors.tensor import Tensor

_CALLABLES = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)


class Pack:
    """Cotangents, or tangents, of the results of one Function, by the number of the result.

    It passes through a derivative pass as a number does: nothing there looks into it.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: dict[int, Any]) -> None:
        self.parts = parts

    def __add__(self, other: Pack) -> Pack:
        merged = dict(self.parts)
        for k, ct in other.parts.items():
            merged[k] = merged[k] + ct if k in merged else ct
        return Pack(merged)


class Context:
    """What ``forward`` leaves for ``backward``: attributes of your own, and saved tensors.

    Attributes
    ----------
    needs_input_grad : tuple of bool
        For each argument of ``apply``, whether its gradient is wanted.
    """

    # The user's rules: the backward, and the jvp if there is one.
    _backward: Callable[..., Any]
    _jvp: Callable[..., Any] | None

    def __init__(self, name: str, args: Sequence[Any]) -> None:
        self.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        self._name = name
        self._tensors = tuple(isinstance(a, Tensor) for a in args)
        self._saved: tuple[Any, ...] | None = ()
        self._saved_forward: tuple[Any, ...] = ()
        self._outputs: dict[Node, weakref.ref[Node]] = {}
        self._results: list[weakref.ref[Node]] = []
        self._input_avals = [a._node.aval if isinstance(a, Tensor) else None for a in args]
        self._avals: list[Aval | None] = []
        self._dirty: set[int] = set()
        self._non_differentiable: set[int] = set()
        self._materialize = True
        # Whether values were taken off the tape, and whether the backward says it cannot be
        # differentiated.
        self._exported = self._once = False
        self._trusted = False  # its backward is ours

    # ------------------------------------------------------------------------- what users call

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What ``save_for_backward`` was given; outputs are connected to the graph.

        Raises
        ------
        RuntimeError
            Once a backward pass that did not retain the graph has gone through here.
        """
        if self._saved is None:
            raise AutogradError(f"{FREED} ({self._name})")
        return tuple(self._connected(t) for t in self._saved)

    @property
    def saved_for_forward(self) -> tuple[Any, ...]:
        """What ``save_for_forward`` was given."""
        return tuple(self._connected(t) for t in self._saved_forward)

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep *tensors* (or None) for the backward; they cannot be overwritten meanwhile."""
        saved = _snapshots(tensors)
        if modes.saving:
            saved = tuple(_Packed(t) if isinstance(t, Tensor) else t for t in saved)
        self._saved = saved

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep *tensors* (or None) for ``jvp``."""
        self._saved_forward = _snapshots(tensors)

    def mark_dirty(self, *inputs: Tensor) -> None:
        """Declare that ``forward`` wrote to these arguments in place: return them as results."""
        self._dirty = {id(x) for x in inputs}

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Declare that these results carry no gradient; ``backward`` is given zeros for them."""
        self._non_differentiable = {id(out) for out in outputs}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether a result without a gradient gives ``backward`` zeros (default) or None."""
        self._materialize = value

    # ---------------------------------------------------------------------- what nbgrad calls

    def _connected(self, saved: Any) -> Any:
        if isinstance(saved, _Packed):
            recorded = self._connected(saved.like(saved.node))._node
            return saved.like(saved.restored(recorded))
        if not isinstance(saved, Tensor):
            return saved
        # The recorded output is held weakly: it holds the pack node, which holds this context.
        reference = self._outputs.get(saved._node)
        recorded = reference() if reference is not None else None
        return saved if recorded is None else saved.__class__(recorded)

    def cotangents(self, ct: Any) -> list[Tensor | None]:
        """The arguments of ``backward``: a gradient for each result, zeros or None without one."""
        parts = ct.parts if isinstance(ct, Pack) else {}
        return [
            None
            if aval is None or (k not in parts and not self._materialize)
            else Tensor(materialize(parts.get(k, 0.0), aval))
            for k, aval in enumerate(self._avals)
        ]

    def operands(self, node: Node) -> list[Node | None]:
        """For each tensor among the arguments its node, or None if no gradient goes there."""
        tracked = iter(node.inputs)
        pairs = zip(self._tensors, self.needs_input_grad, strict=True)
        return [
            next(tracked, None) if wanted else None for is_tensor, wanted in pairs if is_tensor
        ]

    def outputs_of(self, y: Node) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """How hooks of the function take cotangents apart, and how they are put together."""

        def split(ct: Any, y: Node) -> list[Node | None]:
            parts = ct.parts if isinstance(ct, Pack) else {}  # hooks see what has a gradient
            return [
                None if aval is None or k not in parts else materialize(parts[k], aval)
                for k, aval in enumerate(self._avals)
            ]

        def join(cts: Sequence[Node | None]) -> Pack:
            return Pack({k: ct for k, ct in enumerate(cts) if ct is not None})

        return split, join

    def results(self) -> list[Node]:
        """The recorded results that still exist."""
        return [node for reference in self._results if (node := reference()) is not None]

    def release(self) -> None:
        """Forget the saved tensors: a pass that did not retain the graph went through."""
        self._saved = None

    def keeps_numbers(self, args: Sequence[Any]) -> bool:
        """Whether floating-point values are kept here that are on no graph and no argument.

        They may have been computed from the arguments, so a derivative made of them is not known
        to depend on these.
        """
        nodes = {a._node for a in args if isinstance(a, Tensor)}
        own = [v for k, v in vars(self).items() if not k.startswith("_")]
        own = [v for v in own if not any(v is a for a in args)]
        return any(_is_number(v, nodes) for v in (*own, *(self._saved or ())))


class _Packed:
    """A saved tensor that a hook has packed: its node, for the graph, and how to restore it."""

    __slots__ = ("like", "node", "unpack")

    def __init__(self, tensor: Tensor) -> None:
        self.node, self.like = tensor._node, tensor.__class__
        self.unpack = packed(self.node, self.like(self.node))

    def restored(self, recorded: Node) -> Node:
        made = self.unpack()
        return recorded if made is self.node else reattached(recorded, made)


# What holds no floating-point values: settings, shapes, and what computes.
_PLAIN = (type(None), str, bool, int, slice, type, np.dtype, np.ufunc, *_CALLABLES)


def _is_number(x: Any, given: set[Node]) -> bool:
    """Whether *x* may hold floating-point values that are on no graph; so may any object."""
    if isinstance(x, Tensor):
        node = x._node
        return node.sig is None and node not in given and node.aval.inexact
    if isinstance(x, dict):
        return any(_is_number(item, given) for item in x.values())
    if isinstance(x, (tuple, list)):
        return any(_is_number(item, given) for item in x)
    if isinstance(x, (_Packed, *_PLAIN)):
        return False
    return getattr(x, "dtype", np.dtype(float)).kind in "fc"


def _snapshots(tensors: Sequence[Any]) -> tuple[Any, ...]:
    # Detached or not, a tensor names an immutable node, so a fresh Tensor is a snapshot.
    return tuple(t.__class__(t._node) if isinstance(t, Tensor) else t for t in tensors)
