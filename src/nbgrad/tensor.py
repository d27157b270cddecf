"""Tensor: the array users hold. It names a node; operations on it record new nodes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nbgrad.core.modes import lines, modes
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.primitive import Primitive, as_operand, bind
from nbgrad.core.registry import by_reference
from nbgrad.engine import demand, flush, value_of
from nbgrad.errors import INPLACE_LEAF, NOT_FLOATING, NOT_LEAF, NUMPY_ON_GRAD
from nbgrad.gradfn import grad_fn_of
from nbgrad.grads import backward
from nbgrad.hooks import RemovableHandle, register_hook, retain_grad
from nbgrad.methods import Methods
from nbgrad.ops import arithmetic, comparison, composite, structure
from nbgrad.ops.subscript import getitem, setitem

_FAST_ENTRIES = 4096
_NUMBERS = (float, int, bool, complex, np.ndarray, np.generic)


def _binary(prim: Primitive) -> Callable[[Any, Any], Any]:
    """Operator method of a two-operand primitive.

    The common case, operands that need no cast and no broadcast, is written out: recording is
    the hot path of eager code, and each call saved is about 60 ns.
    """
    fast: dict[Any, Any] = {}

    def method(self: Tensor, other: Any) -> Any:
        a = self._node
        if other.__class__ is Tensor:
            b = other._node
            sig = fast.get((a.aval, b.aval))
            if sig is None:
                return _slow(prim, fast, a, b)
            requires_grad = a.requires_grad or b.requires_grad
            depth = (a.depth if a.depth > b.depth else b.depth) + 1
        elif other.__class__ is float:
            b = other
            sig = fast.get((a.aval, float))
            if sig is None:
                return _slow(prim, fast, a, b)
            requires_grad = a.requires_grad
            depth = a.depth + 1
        elif isinstance(other, _NUMBERS):
            return Tensor(bind(prim, a, other))
        else:
            return NotImplemented
        if requires_grad:
            requires_grad = sig.differentiable and modes.grad
        if lines.on:
            return Tensor(bind(prim, a, b))
        node = Node(sig, (a, b), requires_grad, depth)
        if not depth & 255:
            flush(node)
        return Tensor(node)

    method.__name__ = prim.name
    method.__doc__ = prim.doc
    return method


def _slow(prim: Primitive, fast: dict[Any, Any], a: Node, b: Any) -> Tensor:
    """Bind with casts and broadcasts; remember the signature when none was needed."""
    node = bind(prim, a, b)
    if node.inputs[0] is a and node.inputs[1] is b:
        if len(fast) >= _FAST_ENTRIES:
            fast.clear()
        fast[(a.aval, b.aval if b.__class__ is Node else b.__class__)] = node.sig
    if not node.depth & 255:
        flush(node)
    return Tensor(node)


def _reflected(prim: Primitive) -> Callable[[Any, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        if not isinstance(other, _NUMBERS):
            return NotImplemented
        return Tensor(bind(prim, other, self._node))

    return method


def _commuted(prim: Primitive) -> Callable[[Any, Any], Any]:
    """Reflected form of a commutative operator: ``2.0 * x`` records the same as ``x * 2.0``."""
    forward = _binary(prim)

    def method(self: Tensor, other: Any) -> Any:
        return forward(self, other)

    return method


def _inplace(function: Callable[..., Node]) -> Callable[..., Any]:
    """In-place operator: binds the tensor to a new node, so nothing saved is overwritten."""

    def method(self: Tensor, other: Any) -> Tensor:
        return self._rebind(function(self._node, as_operand(other)))

    return method


class Tensor(Methods):
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

    __slots__ = ("__weakref__", "_grad", "_node")

    def __init__(self, node: Node) -> None:
        self._node = node

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
            raise RuntimeError(NOT_LEAF)
        if flag and not node.aval.inexact:
            raise RuntimeError(NOT_FLOATING.format(dtype=node.dtype))
        fresh = leaf_node(value_of(node)) if node.value is not None else _pending_copy(node)
        self._set_leaf(fresh, bool(flag))
        return self

    def _set_leaf(self, node: Node, requires_grad: bool) -> None:
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
            return self._grad
        except AttributeError:
            return None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad has type {type(value).__name__}, expected Tensor")
            if value.shape != self.shape:
                raise RuntimeError(
                    f"assigned grad has data of a different size: {value.shape}, not {self.shape}"
                )
        self._grad = value

    @property
    def grad_fn(self) -> Any:
        return None if self.is_leaf else grad_fn_of(self._node)

    @property
    def data(self) -> Tensor:
        """The same values without history; assigning rebinds the tensor's values."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        node = as_operand(value)
        before = modes.grad
        modes.grad = False
        try:
            self._rebind(composite.as_node(node))
        finally:
            modes.grad = before

    def detach(self) -> Tensor:
        """Return a tensor of the same values (and buffer, if computed) without history."""
        node = self._node
        if not node.requires_grad:
            return Tensor(node)
        return Tensor(leaf_node(node.value) if node.value is not None else _pending_copy(node))

    def _rebind(self, node: Node) -> Tensor:
        """Make this tensor name *node*, as an in-place operation does."""
        old = self._node
        leaf = old.requires_grad and self.is_leaf
        if leaf and modes.grad:
            raise RuntimeError(INPLACE_LEAF)
        if node.shape != old.shape:
            raise RuntimeError(
                f"output with shape {list(old.shape)} doesn't match the broadcast shape "
                f"{list(node.shape)}: an in-place operation cannot change the shape"
            )
        if node.dtype != old.dtype:
            if not np.can_cast(node.dtype, old.dtype, "same_kind"):
                raise TypeError(
                    f"result type {node.dtype} can't be cast to {old.dtype} in place; write "
                    "x = x + y instead of x += y"
                )
            node = structure.cast(node, dtype=old.dtype)
        if leaf:
            node = node if not node.requires_grad and node is not old else _pending_copy(node)
            if node.leaf is not None or node.sig is None:
                node = _pending_copy(node)
            self._set_leaf(node, True)
        else:
            self._node = node
        return self

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

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call *hook* with each gradient of this tensor; what it returns replaces it."""
        return register_hook(self, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf tensor in ``.grad``."""
        retain_grad(self)

    # ------------------------------------------------------------------------------- conversion

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return the values as a read-only view; copy it to write.

        Raises
        ------
        RuntimeError
            If the tensor requires grad.
        """
        if self._node.requires_grad:
            raise RuntimeError(NUMPY_ON_GRAD)
        view = value_of(self._node).view()
        view.flags.writeable = False
        return view

    def item(self) -> Any:
        """Return the value of a one-element tensor as a Python number."""
        if self._node.aval.size != 1:
            raise ValueError(
                f"only a tensor of one element can become a number; this one has shape "
                f"{self.shape}. Use .tolist() or .numpy()."
            )
        return value_of(self._node).item()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return value_of(self._node).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        return np.array(array, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return dispatch_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        function = by_reference.get(func)
        if function is None:
            raise NotImplementedError(
                f"numpy.{func.__name__} is not available on nbgrad tensors yet; use "
                "tensor.detach().numpy() if no gradient is needed"
            )
        return wrap(function(*unwrap(args), **unwrap(kwargs)))

    def __bool__(self) -> bool:
        if self._node.aval.size != 1:
            raise RuntimeError(
                f"Boolean value of Tensor with more than one value (shape {self.shape}) is "
                "ambiguous. Use .any() or .all()."
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"only integer tensors can be an index, not {self.dtype}")
        return int(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[k] for k in range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __repr__(self) -> str:
        node = self._node
        try:
            demand([node])
            text = np.array2string(node.value, separator=", ", prefix="tensor(")
        except TypeError:
            text = f"<traced {node.aval!r}>"
        if node.dtype not in (np.float64, np.int64, np.bool_):
            text += f", dtype={node.dtype}"
        if not self.is_leaf:
            text += f", grad_fn={self.grad_fn.short()}"
        elif node.requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __reduce__(self) -> Any:
        return _rebuild, (value_of(self._node), self.requires_grad and self.is_leaf)

    def __deepcopy__(self, memo: Any) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support deepcopy; "
                "use x.detach().clone()"
            )
        return _rebuild(value_of(self._node).copy(), self.requires_grad)

    __hash__ = object.__hash__

    # -------------------------------------------------------------------------------- operators

    __add__ = _binary(arithmetic.add)
    __radd__ = _commuted(arithmetic.add)
    __sub__ = _binary(arithmetic.subtract)
    __rsub__ = _reflected(arithmetic.subtract)
    __mul__ = _binary(arithmetic.multiply)
    __rmul__ = _commuted(arithmetic.multiply)
    __truediv__ = _binary(arithmetic.divide)
    __rtruediv__ = _reflected(arithmetic.divide)
    __floordiv__ = _binary(arithmetic.floor_divide)
    __rfloordiv__ = _reflected(arithmetic.floor_divide)
    __mod__ = _binary(arithmetic.remainder)
    __rmod__ = _reflected(arithmetic.remainder)
    __rpow__ = _reflected(arithmetic.power)
    __lt__ = _binary(comparison.less)
    __le__ = _binary(comparison.less_equal)
    __gt__ = _binary(comparison.greater)
    __ge__ = _binary(comparison.greater_equal)
    __eq__ = _binary(comparison.equal)  # type: ignore[assignment]
    __ne__ = _binary(comparison.not_equal)  # type: ignore[assignment]
    __and__ = _binary(comparison.logical_and)
    __or__ = _binary(comparison.logical_or)
    __xor__ = _binary(comparison.logical_xor)
    __iadd__ = _inplace(arithmetic.add)
    __isub__ = _inplace(arithmetic.subtract)
    __imul__ = _inplace(arithmetic.multiply)
    __itruediv__ = _inplace(arithmetic.divide)
    __ifloordiv__ = _inplace(arithmetic.floor_divide)
    __imod__ = _inplace(arithmetic.remainder)
    __ipow__ = _inplace(composite.power)

    def __pow__(self, other: Any) -> Tensor:
        return Tensor(composite.power(self._node, as_operand(other)))

    def __neg__(self) -> Tensor:
        return Tensor(bind(arithmetic.negative, self._node))

    def __pos__(self) -> Tensor:
        return Tensor(bind(arithmetic.positive, self._node))

    def __abs__(self) -> Tensor:
        return Tensor(bind(arithmetic.absolute, self._node))

    def __invert__(self) -> Tensor:
        return Tensor(bind(comparison.logical_not, self._node))

    def __matmul__(self, other: Any) -> Tensor:
        return Tensor(composite.matmul(self._node, as_operand(other)))

    def __rmatmul__(self, other: Any) -> Tensor:
        return Tensor(composite.matmul(as_operand(other), self._node))

    def __getitem__(self, index: Any) -> Tensor:
        return Tensor(getitem(self._node, as_index(index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._rebind(setitem(self._node, as_index(index), as_operand(value)))


class _Size(int):
    """Number of elements (NumPy's ``size``) that can also be called for the shape (PyTorch's)."""

    _shape: tuple[int, ...]

    def __new__(cls, count: int, shape: tuple[int, ...]) -> _Size:
        self = super().__new__(cls, count)
        self._shape = shape
        return self

    def __call__(self, dim: int | None = None) -> Any:
        return self._shape if dim is None else self._shape[dim]


def _pending_copy(node: Node) -> Node:
    """A new node of the same value without a gradient, still lazy."""
    if node.value is not None:
        return leaf_node(node.value)
    return structure.detach(node)


def _rebuild(value: np.ndarray[Any, Any], requires_grad: bool) -> Tensor:
    out = Tensor(leaf_node(np.array(value, order="C")))
    return out.requires_grad_() if requires_grad else out


def as_index(index: Any) -> Any:
    """Replace the tensors of an index by arrays (or by nodes, while tracing)."""
    if isinstance(index, tuple):
        return tuple(as_index(item) for item in index)
    if isinstance(index, slice):
        parts = (index.start, index.stop, index.step)
        return slice(*(p if p is None else p.__index__() for p in parts))
    if isinstance(index, Tensor):
        node = index._node
        try:
            array = value_of(node)
        except TypeError:
            return node
        return int(array) if not array.ndim and array.dtype.kind in "iu" else array
    return index


def unwrap(x: Any) -> Any:
    """Replace tensors by their nodes in nested tuples, lists and dicts."""
    if isinstance(x, Tensor):
        return x._node
    if isinstance(x, (tuple, list)):
        return type(x)(unwrap(item) for item in x) if type(x) in (tuple, list) else x
    if isinstance(x, dict):
        return {key: unwrap(item) for key, item in x.items()}
    return x


def wrap(x: Any) -> Any:
    """Return nodes as tensors."""
    if x.__class__ is Node:
        return Tensor(x)
    return tuple(wrap(item) for item in x) if isinstance(x, tuple) else x


_REDUCE = {np.add: composite.sum, np.multiply: composite.prod, np.maximum: composite.max}
_REDUCE |= {np.minimum: composite.min, np.logical_and: composite.all, np.logical_or: composite.any}


def dispatch_ufunc(ufunc: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """NumPy's ufunc protocol: route *ufunc* to our operation of the same meaning."""
    out = kwargs.pop("out", None)
    if out is not None and method == "__call__" and isinstance(out[0], Tensor):
        result = dispatch_ufunc(ufunc, method, inputs, kwargs)
        return out[0]._rebind(result._node)
    if out is not None:
        raise TypeError(
            f"numpy.{ufunc.__name__}(out=ndarray) of a tensor would cut the gradient; write "
            "`result = ...` instead, or use tensor.detach().numpy()"
        )
    kwargs = {k: v for k, v in kwargs.items() if v is not None}
    if method == "reduce" and ufunc in _REDUCE:
        kwargs.setdefault("axis", 0)
        return wrap(_REDUCE[ufunc](*unwrap(inputs), **unwrap(kwargs)))
    function = by_reference.get(ufunc) or by_reference.get(ufunc.__name__)
    if method != "__call__" or kwargs or function is None:
        detail = f" with {sorted(kwargs)}" if kwargs else ""
        raise NotImplementedError(
            f"numpy.{ufunc.__name__} ({method}{detail}) is not available on nbgrad tensors yet; "
            "use tensor.detach().numpy() if no gradient is needed"
        )
    return wrap(function(*unwrap(inputs)))
