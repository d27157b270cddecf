"""Tensors from data and from seeded random draws; constants and ranges are of the vocabulary."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.foreign import numbers_of
from nbgrad.core.memory import Buffer, named, place
from nbgrad.core.modes import modes, watching
from nbgrad.core.node import Node, leaf_node, put_node
from nbgrad.core.operands import as_operand
from nbgrad.core.ports import ports
from nbgrad.core.values import buffer_of, export
from nbgrad.errors import CUT, DRAWN_IN_TRACE, AutogradError, ConcretizationError
from nbgrad.tensors.number import as_array
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary import shapes

Shape = int | tuple[int, ...]


def _chosen(device: Any) -> str | None:
    """The device that was asked for, by an argument or by the setting."""
    device = settings.device if device is None else device
    return None if device is None else named(device)


class _Default(threading.local):
    """The generator of ``rand`` and ``randn`` without ``rng=``; one per thread."""

    @functools.cached_property
    def rng(self) -> np.random.Generator:
        # Not before it is asked for: NumPy imports its random module then, in 10 ms.
        return np.random.default_rng()


_default = _Default()


def make(array: Any, requires_grad: bool, device: Any = None) -> Tensor:
    """A tensor of *array*, which nobody else writes to, on *device*; None is home."""
    value = np.asarray(array, order="C")
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    if value.dtype.kind not in "biufc":
        raise TypeError(
            f"nbgrad holds numbers and booleans, not {value.dtype}: convert the data first, "
            "for example np.asarray(data, dtype=float)"
        )
    node = leaf_node(value if device is None else place(value, device))
    node.passed = True  # a user put it there: see core/placing.py
    out = Tensor(node)
    return out.requires_grad_() if requires_grad else out


def tensor(
    data: Any, dtype: Any = None, *, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """Make a tensor from data, which is copied.

    Parameters
    ----------
    data : array_like
        Numbers: a scalar, nested sequences, a NumPy array, or a tensor (then without history).
    dtype : dtype, optional
        Inferred as NumPy does by default: float64 for Python floats.
    requires_grad : bool
        Record operations on the result.
    device : {"cpu", "cuda"}, optional
        Where its elements are to lie; see docs/cuda.md.

    Returns
    -------
    Tensor

    Raises
    ------
    RuntimeError
        If *requires_grad* and the dtype is not floating point or complex.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([[1, 2], [3, 4]], dtype=float)
    tensor([[1., 2.],
            [3., 4.]])
    """
    if data.__class__ is not np.ndarray:
        if isinstance(data, Tensor):
            data = _copied(data._node)
        elif isinstance(data, (list, tuple)):
            data = _copied(_stacked(data)) if _holds_tensor(data) else data
        elif not isinstance(data, (float, int)):
            found = ports.memory.adopted(data)
            data = data if found is None else found.apart()
        if isinstance(data, Buffer):
            return _there(data, dtype, requires_grad, device)
        data = numbers_of(data, explicit=True)
    there = settings.device if device is None else device
    there = None if there is None else named(there)
    return make(np.array(data, dtype=dtype, order="C", copy=True), requires_grad, there)


def _there(buffer: Any, dtype: Any, requires_grad: bool, device: Any = None) -> Tensor:
    """A tensor of elements on a device: there, or on another *device*."""
    made = Tensor(put_node(buffer)).to(dtype, device=device)
    return made.detach().requires_grad_() if requires_grad else made


def _copied(node: Node) -> Any:
    """The values of *node* without history, unless that would silently lose a gradient."""
    if modes.transforms and node.requires_grad:
        fix = "Use nbgrad.as_tensor or nbgrad.stack, or x.detach() if that is meant."
        raise AutogradError(CUT.format(what="nbgrad.tensor()", fix=fix))
    if watching.any:
        export(node)
    return buffer_of(node)


def _holds_tensor(data: Any) -> bool:
    return any(
        isinstance(x, Tensor) or (isinstance(x, (list, tuple)) and _holds_tensor(x)) for x in data
    )


def _stacked(data: Any) -> Any:
    parts = [_stacked(x) if isinstance(x, (list, tuple)) else as_operand(x) for x in data]
    return shapes.stack(parts)


def as_tensor(data: Any, dtype: Any = None, *, requires_grad: bool = False) -> Tensor:
    """Return *data* as a tensor: itself if it is one already, else as :func:`tensor` does.

    Lists of tensors are stacked and stay differentiable. Arrays are copied unless they are
    read-only, and what they are views of is as well: a later write would change what has been
    recorded.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor(2.0, requires_grad=True)
    >>> ng.as_tensor([x, x * x]).sum().backward()
    >>> x.grad.item()
    5.0
    """
    if isinstance(data, (list, tuple)) and _holds_tensor(data):
        data = Tensor(_stacked(data))
    if isinstance(data, Tensor):
        out: Tensor = as_array(data) if dtype is None else data.astype(dtype)
        return out.detach().requires_grad_() if requires_grad and not out.requires_grad else out
    if (adopted := ports.memory.adopted(data)) is not None:
        return _there(adopted, dtype, requires_grad)
    if data.__class__ is np.ndarray and dtype in (None, data.dtype) and frozen(data):
        return make(data, requires_grad, _chosen(None))
    return tensor(data, dtype, requires_grad=requires_grad)


def is_tensor(x: Any) -> bool:
    """Whether *x* is a tensor.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.is_tensor(ng.tensor(1.0)), ng.is_tensor(1.0)
    (True, False)
    """
    return isinstance(x, Tensor)


def manual_seed(seed: int) -> np.random.Generator:
    """Seed this thread's default generator of :func:`rand` and :func:`randn`; return it.

    Examples
    --------
    >>> import nbgrad as ng
    >>> a = ng.manual_seed(0) and ng.rand(2)
    >>> b = ng.manual_seed(0) and ng.rand(2)
    >>> bool((a == b).all())
    True
    """
    _default.rng = np.random.default_rng(seed)
    return _default.rng


def default_generator() -> np.random.Generator:
    """Return the generator of this thread, for who keeps its state."""
    return _default.rng


def generator(rng: Any) -> np.random.Generator:
    """The generator that ``rng=`` stands for; None is that of :func:`manual_seed`."""
    if modes.tracing:
        raise ConcretizationError(DRAWN_IN_TRACE)
    return _default.rng if rng is None else np.random.default_rng(rng)


def rand(
    *shape: Any,
    size: Shape | None = None,
    rng: Any = None,
    dtype: Any = float,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Uniform draws from [0, 1).

    Parameters
    ----------
    *shape : int
        Extents, or give ``size=``.
    rng : int, numpy.random.Generator or None
        Seed or generator (SPEC 7); None uses the one of :func:`manual_seed`.
    device : {"cpu", "cuda"}, optional
        Where the draws are to lie; they are the same on each.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.rand(2, 3, rng=0).shape
    (2, 3)
    """
    draw = generator(rng).random(shape_of(shape) if size is None else size)
    return make(np.asarray(draw).astype(dtype, copy=False), requires_grad, _chosen(device))


def randn(
    *shape: Any,
    size: Shape | None = None,
    rng: Any = None,
    dtype: Any = float,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Standard normal draws; the parameters are those of :func:`rand`.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.randn(size=(), rng=0).ndim
    0
    """
    draw = generator(rng).standard_normal(shape_of(shape) if size is None else size)
    return make(np.asarray(draw).astype(dtype, copy=False), requires_grad, _chosen(device))


def shape_of(shape: Any) -> tuple[int, ...]:
    """The shape that the arguments of a factory stand for: one of them may be the whole."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        return tuple(int(n) for n in shape[0])
    return tuple(int(n) for n in shape)


def frozen(array: Any) -> bool:
    """Whether no array that shares the memory of *array* can be written to."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None or isinstance(array, bytes)
