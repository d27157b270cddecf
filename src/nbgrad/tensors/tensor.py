"""Tensor: the array users hold. It names a node; operations on it record new nodes."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import asked_by, modes, not_recording
from nbgrad.core.node import Node, put_node
from nbgrad.core.operands import as_operand
from nbgrad.core.placing import written
from nbgrad.core.ports import ports, shortcuts
from nbgrad.core.recipes import window_between
from nbgrad.engine.flushing import flush
from nbgrad.errors import (
    INPLACE_LEAF,
    NOT_FLOATING,
    NOT_LEAF,
    AutogradError,
    UnkeptGradientWarning,
)
from nbgrad.ops import basis
from nbgrad.tensors import aliases, hooks, subscripts, views
from nbgrad.tensors.buffers import Buffers
from nbgrad.tensors.conversion import Conversions
from nbgrad.tensors.dispatch import again, apart, index_key
from nbgrad.tensors.grad_fn import grad_fn_of, output_number
from nbgrad.tensors.gradients import backward
from nbgrad.tensors.methods import Methods
from nbgrad.tensors.operators import Operators
from nbgrad.tensors.protocols import as_index
from nbgrad.tensors.tables import attach
from nbgrad.vocabulary import shapes
from nbgrad.vocabulary.subscript import getitem, setitem

if TYPE_CHECKING:
    from nbgrad.tensors.at import Updates
    from nbgrad.tensors.spelled import Spelled
else:
    Spelled = object  # what the tables hold, as tools/stubs.py finds it at run time

updating = LazyModule("nbgrad.tensors.at")


class Tensor(Spelled):
    """An n-dimensional array that records the operations on it.

    Make one with :func:`nbgrad.tensor`; the constructor is internal. Operations are recorded and
    evaluated when a value is asked for, together, in compiled kernels.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    requires_grad : bool
        Whether operations on this tensor are recorded for differentiation.
    grad : Tensor or None
        Gradient accumulated by :meth:`backward`, of the tensor's shape and dtype.
    grad_fn : object or None
        The backward node of the operation that made this tensor; None for a leaf.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("__weakref__", "_alias", "_grad", "_node")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._alias: Any = None
        try:
            long = node.depth > settings.max_pending
        except AttributeError:
            raise TypeError("write nbgrad.tensor(...): Tensor() is not for users") from None
        if long:
            flush(node)

    # ------------------------------------------------------------------------------ description

    @property
    def shape(self) -> tuple[int, ...]:
        return self._node.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._node.aval.dtype

    @property
    def ndim(self) -> int:
        return self._node.aval.ndim

    @property
    def size(self) -> Any:
        return _Size(self._node.aval.size, self.shape)

    @property
    def requires_grad(self) -> bool:
        return self._node.requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self.requires_grad_(flag)

    def requires_grad_(self, flag: bool = True) -> Tensor:
        """Start (or stop) recording operations on this leaf; returns the tensor.

        Raises
        ------
        RuntimeError
            If the tensor is not a leaf, or its dtype is not floating point or complex.
        """
        node = self._node
        if flag == node.requires_grad:
            return self
        if not flag and not self.is_leaf:
            raise AutogradError(NOT_LEAF)
        if flag and not node.aval.inexact:
            raise AutogradError(NOT_FLOATING.format(dtype=node.dtype))
        fresh = put_node(node.value) if node.value is not None else _pending_copy(node)
        self._set_leaf(fresh, bool(flag))
        return self

    def _set_leaf(self, node: Node, requires_grad: bool) -> None:
        if self._alias.__class__ is tuple:
            views.own(self)
        node.requires_grad = requires_grad
        node.leaf = weakref.ref(self) if requires_grad else None
        node.watch = self._node.watch
        self._node = node

    @property
    def is_leaf(self) -> bool:
        node = self._node
        return not node.requires_grad or node.sig is None or node.leaf is not None

    @property
    def grad(self) -> Tensor | None:
        try:
            found: Tensor | None = self._grad
        except AttributeError:
            found = None
        if found is None and not (self.is_leaf or self.retains_grad or asked_by("nbgrad", 1)):
            warnings.warn(hooks.NOT_KEPT, UnkeptGradientWarning, stacklevel=2)
        return found

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad has type {type(value).__name__}, expected Tensor: write nbgrad.tensor(g)"
                )
            if value.shape != self.shape:
                raise RuntimeError(
                    f"assigned grad has data of a different size: {value.shape}, not {self.shape}"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def retains_grad(self) -> bool:
        """Whether :meth:`retain_grad` keeps the gradient of this result."""
        return aliases.retains(self._node) and not self.is_leaf

    @property
    def grad_fn(self) -> Any:
        return None if self.is_leaf else grad_fn_of(self._node)

    @property
    def output_nr(self) -> int:
        """Which result of its ``grad_fn`` this tensor is: of operations with several."""
        return 0 if self.is_leaf else output_number(self._node)

    @property
    def _version(self) -> int:
        """A number that each write in place raises."""
        return self._node.seq

    @property
    def data(self) -> Tensor:
        """A view of the values without history; assigning writes them."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        if views.same(self, value):
            return  # what ``x.data += 1`` has written already
        node = apart(shapes.as_node(as_operand(value)))
        before, modes.grad = modes.grad, False
        try:
            self._rebind(node)
        finally:
            modes.grad = before

    def detach(self) -> Tensor:
        """Return a view of the same values without history.

        What is written to one is seen in the other. Of a tracked tensor it changes the values
        alone: gradients are those of what was there, as in PyTorch.

        Examples
        --------
        >>> import nbgrad as ng
        >>> w = ng.tensor([1.0, 2.0], requires_grad=True)
        >>> w.detach()[0] = 5.0
        >>> w
        tensor([5., 2.], requires_grad=True)
        """
        if (twin := shortcuts.detached) is not None and (made := twin(self)) is not None:
            return made  # type: ignore[no-any-return]
        return views.detached(Tensor(aliases.unrecorded(self._node)), self)  # type: ignore[no-any-return]

    def detach_(self) -> Tensor:
        """Take this tensor off the graph, in place; returns the tensor.

        Raises
        ------
        RuntimeError
            If it is a view of another tensor that has a history.
        """
        if self.requires_grad and self._alias.__class__ is tuple:
            raise AutogradError(
                "Can't detach views in-place: their base keeps its history. Use detach() instead."
            )
        aliases.detach_base(self)
        return self

    def _rebind(self, node: Node) -> Tensor:
        """Make *node* the value of this tensor, and of what shares it, as writing does."""
        old = self._node
        quiet = bool(not_recording) and not modes.grad
        if old.leaf is not None and not quiet and old.requires_grad and old.leaf() is self:
            raise AutogradError(INPLACE_LEAF)
        if old.seq < modes.tracing:
            aliases.refuse_outside(old)
        if node.aval is not old.aval:
            node = _fitted(node, old)
        if self._alias is not None:
            aliases.write(self, node)
        elif old.requires_grad:
            self._replace(node, quiet)
        else:
            self._node = node
            if node.depth > settings.max_pending:
                flush(node)
        return self

    def _replace(self, node: Node, quiet: bool) -> None:
        """Bind this tensor, which is a view of none; *quiet* changes the values alone."""
        old = self._node
        if old.requires_grad and old.leaf is not None and old.leaf() is self:
            fresh = node if not node.requires_grad and node is not old else _pending_copy(node)
            if fresh.leaf is not None or fresh.sig is None:
                fresh = _pending_copy(fresh)
            self._set_leaf(fresh, True)
        elif quiet:
            self._node = aliases.grafted(node, old)
        else:
            self._node = node
            if old.watch is not None:
                hooks.keep_retaining(self, old)
        if self._node.depth > settings.max_pending:
            flush(self._node)

    # ------------------------------------------------------------------------- differentiation

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Accumulate the gradient of this tensor into the ``.grad`` of the leaves.

        Parameters are those of :func:`nbgrad.autograd.backward`; *gradient* is the cotangent of
        this tensor, of its shape, 1 if it has one element.
        """
        backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> hooks.RemovableHandle:
        """Call *hook* with each gradient of this tensor; what it returns replaces it."""
        return hooks.register_hook(self, hook)

    def register_post_accumulate_grad_hook(
        self, hook: Callable[[Tensor], None]
    ) -> hooks.RemovableHandle:
        """Call *hook* with this leaf each time its ``.grad`` has been added to."""
        return hooks.register_post_accumulate_grad_hook(self, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf tensor in ``.grad``."""
        hooks.retain_grad(self)

    @property
    def at(self) -> Updates:
        """Updates out of place, as JAX spells them: ``x.at[index].set(value)``; see Updates."""
        made: Updates = updating.Updates(self)
        return made

    def __getitem__(self, index: Any) -> Tensor:
        key, node = index_key(index), self._node
        if key is not None:
            recipe = subscripts.items.get((node.aval, tuple, key))
            if recipe is not None and recipe.window is not None:
                return again(self, recipe, views.share)  # type: ignore[no-any-return]
            return subscripts.basic(self, key)  # type: ignore[no-any-return]
        made = Tensor(getitem(node, as_index(index)))
        chain = window_between(made._node, node)
        return views.share(made, self, chain, subscripts.is_element(node, made._node, index))  # type: ignore[no-any-return]

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write *value* to the elements at *index*: views of the tensor see it.

        So a slice can be written as well (``v = x[1:]; v += 1``), and the tensor sees that. What
        was computed from the old values keeps them, and their gradients; see docs/aliases.md.

        Examples
        --------
        >>> import nbgrad as ng
        >>> x = ng.zeros(3)
        >>> v = x[1:]
        >>> v += 1.0
        >>> x[2] = 5.0
        >>> x, v
        (tensor([0., 1., 5.]), tensor([1., 5.]))
        """
        if value.__class__ is Tensor and _written(self, index, value):
            return
        key, node = index_key(index), shapes.as_node(as_operand(value))
        subscripts.refuse_lost(value, node, self._node)
        if key is None:
            self._rebind(setitem(self._node, as_index(index), node))
        else:
            self._rebind(subscripts.assign(self._node, node, key))


attach(Tensor, Operators, Conversions, Buffers, Methods)
ports.tensor = Tensor


def _fitted(node: Node, old: Node) -> Node:
    """*node* in the dtype of *old* and where that lies, if it is of its shape and may be cast."""
    if node.shape != old.shape:
        raise RuntimeError(
            f"output with shape {list(old.shape)} doesn't match the broadcast shape "
            f"{list(node.shape)}: an in-place operation cannot change the shape"
        )
    if not np.can_cast(node.dtype, old.dtype, "same_kind"):
        raise TypeError(
            f"result type {node.dtype} can't be cast to {old.dtype} in place; write "
            "x = x + y instead of x += y"
        )
    return basis.cast(written(node, old), dtype=old.dtype)  # type: ignore[no-any-return]


class _Size(int):
    """Number of elements (NumPy's ``size``) that can also be called for the shape (PyTorch's)."""

    _shape: tuple[int, ...]

    def __new__(cls, count: int, shape: tuple[int, ...]) -> _Size:
        self = super().__new__(cls, count)
        self._shape = shape
        return self

    def __call__(self, dim: int | None = None) -> Any:
        return self._shape if dim is None else self._shape[dim]


def _written(x: Tensor, index: Any, value: Tensor) -> bool:
    """Whether *value* is a view of what stands there, as in ``x[1:] += 1``."""
    view = value._alias.__class__ is tuple and value._alias[3] > views.ELEMENT
    return view and views.related(x, value) and views.alike(x[index], value)


def _pending_copy(node: Node) -> Node:
    """A new node of the same value without a gradient, still lazy."""
    if node.value is not None:
        return put_node(node.value)
    copy: Node = basis.detach(node)
    return copy
