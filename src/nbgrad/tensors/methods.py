"""Methods of Tensor: NumPy's and PyTorch's spellings of the functions in ops.

Written as tables where a method only forwards: name, function, and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.boxes import is_box
from nbgrad.core.lookup import ours
from nbgrad.core.memory import named
from nbgrad.core.node import Node
from nbgrad.core.operands import as_operand
from nbgrad.core.placing import moved
from nbgrad.core.ports import ports, shortcuts
from nbgrad.core.primitive import Primitive
from nbgrad.errors import NEEDS_COPY, NOT_VIEWABLE, AutogradError
from nbgrad.ops.elements import arithmetic
from nbgrad.tensors import aliases, views
from nbgrad.tensors.dispatch import Method, again, copying, of_nodes, static
from nbgrad.tensors.words import in_words_of
from nbgrad.vocabulary import shapes
from nbgrad.vocabulary.elements import composite, scaled
from nbgrad.vocabulary.linalg import matmul as products
from nbgrad.vocabulary.reductions import plain as reducing

if TYPE_CHECKING:
    from nbgrad.tensors.tensor import Tensor


def _unary(function: Callable[..., Any]) -> Method:
    """Method that applies *function* to the tensor's node and its arguments' nodes."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        operands = [as_operand(a) if _is_operand(a) else a for a in args]
        if kwargs:
            kwargs = {k: as_operand(a) if _is_operand(a) else a for k, a in kwargs.items()}
            kwargs = in_words_of(function, kwargs)
        return self.__class__(function(self._node, *operands, **kwargs))

    method.__doc__, method.__wrapped__ = function.__doc__, function  # type: ignore[attr-defined]
    return method


def _by_axis(function: Callable[..., Node]) -> Callable[..., Node]:
    """The same function, which takes PyTorch's words for its settings as well."""

    @functools.wraps(function)
    def worded(node: Node, *args: Any, **given: Any) -> Node:
        return function(node, *args, **in_words_of(function, given))

    return worded


def _is_operand(x: Any) -> bool:
    return hasattr(x.__class__, "_node") or isinstance(x, np.ndarray)


def _reducer(function: Callable[..., Node]) -> Method:
    """Reduction method; accepts PyTorch's ``dim`` and ``keepdim`` as well."""

    def reduced(
        node: Node,
        axis: Any = None,
        keepdims: bool = False,
        *,
        dim: Any = None,
        keepdim: bool = False,
        **kwargs: Any,
    ) -> Node:
        chosen = axis if dim is None else dim
        return function(node, axis=chosen, keepdims=bool(keepdims or keepdim), **kwargs)

    reduced.__doc__ = function.__doc__
    return static(reduced)


def _in_place(function: Callable[..., Any], plain: Primitive | None = None) -> Method:
    """In-place method: computes, then writes the result to the tensor.

    It is *plain* of a single operand.
    """
    quick = None if plain is None else of_nodes(plain)[0]

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        node = self._node if self._alias is None else aliases.latest(self)
        if quick is not None and not kwargs and len(args) == 1:
            return self._rebind(quick(node, as_operand(args[0])))
        operands = [as_operand(a) if _is_operand(a) else a for a in args]
        if kwargs:
            kwargs = {k: as_operand(a) if _is_operand(a) else a for k, a in kwargs.items()}
        return self._rebind(function(node, *operands, **kwargs))

    method.__doc__ = "In-place form: the result is written to the tensor."
    if not isinstance(function, Primitive):
        method.__wrapped__ = function  # type: ignore[attr-defined]
    return method


def _converted(
    node: Node,
    dtype: Any,
    order: str = "K",
    casting: Any = "unsafe",
    subok: bool = True,
    copy: bool = True,
) -> Node:
    """Convert to *dtype*; the gradient is converted back. *casting* says what may be lost."""
    if casting != "unsafe" and not np.can_cast(node.dtype, dtype, casting):
        wanted = np.dtype(dtype)
        raise TypeError(
            f"astype: cannot cast {node.dtype} to {wanted} according to the rule {casting!r}"
        )
    return composite.astype(node, dtype, copy=copy)  # type: ignore[no-any-return]


def _view(function: Callable[[Node], Node], doc: str) -> property:
    """The property that is a view: found by the aval alone, as most calls of one are."""
    general = static(function, share=views.share)
    known = general.recipes  # type: ignore[attr-defined]

    def get(self: Any) -> Any:
        recipe, quick = known.get(self._node.aval), shortcuts.view
        if recipe is None:
            return general(self)
        if quick is not None and (made := quick(self, recipe)) is not None:
            return made
        return again(self, recipe, views.share)

    return property(get, doc=doc)


_reshape = static(shapes.reshape, share=views.share, only=views.strided)
_reshaped = _reshape.recipes  # type: ignore[attr-defined]  # by aval, shape and its types
_ravel = static(shapes.reshape, share=views.share, only=views.contiguous)
_transpose = static(shapes.transpose, share=views.share)
_flat_copy = static(shapes.reshape)


def _zeroed(node: Node) -> Node:
    return aliases.filled(node, 0)


class Methods:
    """NumPy's and PyTorch's own spellings; what the registry gives is in naming.py."""

    _node: Node  # of the class that gets this
    _alias: Any
    _rebind: Any

    sum = _reducer(reducing.sum)
    mean = _reducer(reducing.mean)
    prod = _reducer(reducing.prod)
    max = _reducer(reducing.max)
    min = _reducer(reducing.min)
    amax = _reducer(reducing.max)
    amin = _reducer(reducing.min)
    any = _reducer(reducing.any)
    all = _reducer(reducing.all)
    var = _reducer(reducing.var)
    std = _reducer(reducing.std)
    argmax = _reducer(reducing.argmax)
    argmin = _reducer(reducing.argmin)
    logsumexp = _reducer(composite.logsumexp)

    clip = _unary(composite.clip)
    clamp = clip
    matmul = _unary(products.matmul)
    mm = matmul
    dot = _unary(products.dot)
    squeeze = static(_by_axis(shapes.squeeze), share=views.share)
    unsqueeze = static(_by_axis(shapes.expand_dims), share=views.share)
    expand_dims = unsqueeze
    broadcast_to = static(shapes.broadcast_to, share=views.share)
    swapaxes = static(shapes.swapaxes, share=views.share)
    _astype = static(_converted)
    softmax = _unary(composite.softmax)

    add_ = _in_place(scaled.add, arithmetic.add)
    sub_ = _in_place(scaled.subtract, arithmetic.subtract)
    mul_ = _in_place(arithmetic.multiply, arithmetic.multiply)
    div_ = _in_place(scaled.divide, arithmetic.divide)
    fill_ = _in_place(aliases.filled)
    zero_ = _in_place(_zeroed)

    def copy_(self, source: Any) -> Tensor:
        """Replace the values by those of *source*, broadcast to this shape."""
        written: Tensor = self._rebind(aliases.overwritten(self._node, source))
        return written

    T = _view(shapes.transpose, "The transpose: dimensions in reverse order.")
    mT = _view(lambda node: shapes.swapaxes(node, -1, -2), "The last two dimensions exchanged.")

    @property
    def real(self) -> Tensor:
        """A view of the real part."""
        return self._part(np.real)

    @real.setter
    def real(self, value: Any) -> None:
        self._part(np.real).copy_(value)

    @property
    def imag(self) -> Tensor:
        """A view of the imaginary part; zeros of real numbers."""
        return self._part(np.imag)

    @imag.setter
    def imag(self, value: Any) -> None:
        self._part(np.imag).copy_(value)

    def _part(self: Any, function: Any) -> Tensor:
        part: Tensor = views.adopt(self.__class__(ours(function)(self._node)), [self])
        return part

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the dimensions; two integers exchange those two, as in PyTorch."""
        order = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
        if len(order) == 2 and self._node.ndim > 2:
            return self.swapaxes(*order)
        return _transpose(self, tuple(order) or None)

    permute = transpose

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Tensor:
        """The same elements in another shape; one extent may be -1.

        A view, unless the tensor is one with gaps in memory, such as ``x.T``; then a copy. *copy*
        asks for one (True), or refuses it (False).
        """
        target = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        if copy is None and order == "C":
            target = tuple(target)
            recipe = _reshaped.get((self._node.aval, tuple, target, *map(type, target)))
            if recipe is not None and recipe.window is not None:
                return again(self, recipe, views.share, views.strided)  # type: ignore[no-any-return]
            return _reshape(self, target)
        make = _flat_copy if copy else _reshape
        made = make(self, tuple(target), *(() if order == "C" else (order,)))
        if copy is False and made._alias is None:
            raise ValueError(NEEDS_COPY)
        return made

    def view(self, *shape: Any) -> Tensor:
        """The same elements in another shape, always as a view; :meth:`reshape` may copy.

        Raises
        ------
        RuntimeError
            If it would have to be a copy.
        """
        made = self.reshape(*shape)
        if made._alias is None and self._alias is not None:
            raise AutogradError(NOT_VIEWABLE)
        return made

    def ravel(self, order: str = "C") -> Tensor:
        """The elements in one dimension: a view if they lie so in memory."""
        return _ravel(self, (-1,), *(() if order in ("C", "K") else (order,)))

    def flatten(self, order: str = "C") -> Tensor:
        """A copy of the elements in one dimension."""
        return _flat_copy(self, (-1,), *(() if order in ("C", "K") else (order,)))

    clone = copying(arithmetic.positive)
    copy = clone

    def to(self: Any, dtype: Any = None, *, device: Any = None) -> Tensor:
        """Convert to *dtype*, move to *device*, or both as a tensor is; itself if nothing changes.

        Devices are "cpu" and "cuda". The gradient is converted and moved back.

        Examples
        --------
        >>> import nbgrad as ng
        >>> ng.ones(2).to(ng.float32).to("cpu").dtype
        dtype('float32')
        """
        if is_box(dtype.__class__):
            dtype, device = dtype.dtype, device or dtype.device
        elif isinstance(dtype, str) and dtype.partition(":")[0] in ports.memory.known():
            dtype, device = None, dtype
        node = self._node
        if device is not None:
            node = moved(node, named(device))
        if not (dtype is None or node.aval.dtype == dtype):
            node = composite.astype(node, dtype)
        if node is self._node:
            return self  # type: ignore[no-any-return]
        if node.sig is None:
            node.passed = True  # it stays there
        return self.__class__(node)  # type: ignore[no-any-return]

    def float(self) -> Tensor:
        """Convert to float32."""
        return self.to(np.float32)

    def double(self) -> Tensor:
        """Convert to float64."""
        return self.to(np.float64)

    def numel(self) -> int:
        """Number of elements."""
        return self._node.size

    def dim(self) -> int:
        """Number of dimensions."""
        return self._node.ndim
