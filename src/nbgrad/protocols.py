"""NumPy's protocols: ufuncs and functions of NumPy on tensors become operations of the registry."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.engine import value_of
from nbgrad.loading import ours
from nbgrad.ops import reducing

_REDUCE = {np.add: reducing.sum, np.multiply: reducing.prod, np.maximum: reducing.max}
_REDUCE |= {np.minimum: reducing.min, np.logical_and: reducing.all, np.logical_or: reducing.any}


def unwrap(x: Any) -> Any:
    """Replace tensors by their nodes in nested tuples, lists and dicts."""
    node = getattr(x, "_node", None)
    if node is not None:
        return node
    if type(x) in (tuple, list):
        return type(x)(unwrap(item) for item in x)
    if isinstance(x, dict):
        return {key: unwrap(item) for key, item in x.items()}
    return x


def wrap(x: Any, tensor: type) -> Any:
    """Return nodes as tensors."""
    if x.__class__ is Node:
        return tensor(x)
    if isinstance(x, (tuple, list)):
        items = [wrap(item, tensor) for item in x]
        named = getattr(x, "_make", None)  # a named tuple, such as the result of eigh
        return named(items) if named is not None else type(x)(items)
    return x


def as_index(index: Any) -> Any:
    """Replace the tensors of an index by arrays (or by nodes, while tracing)."""
    if isinstance(index, tuple):
        return tuple(as_index(item) for item in index)
    if isinstance(index, slice):
        parts = (index.start, index.stop, index.step)
        return slice(*(p if p is None else p.__index__() for p in parts))
    node = getattr(index, "_node", None)
    if node is None:
        return index
    try:
        array = value_of(node)
    except TypeError:  # a traced value
        return node
    return int(array) if not array.ndim and array.dtype.kind in "iu" else array


def call_ufunc(tensor: type, ufunc: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """``__array_ufunc__``: route *ufunc* to our operation of the same meaning."""
    out = kwargs.pop("out", None)
    if out is not None and method == "__call__" and isinstance(out[0], tensor):
        result = call_ufunc(tensor, ufunc, method, inputs, kwargs)
        return out[0]._rebind(result._node)  # type: ignore[attr-defined]
    if out is not None:
        raise TypeError(
            f"numpy.{ufunc.__name__}(out=ndarray) of a tensor would cut the gradient; write "
            "`result = ...` instead, or use tensor.detach().numpy()"
        )
    kwargs = {k: v for k, v in kwargs.items() if v is not None}
    if method == "reduce" and ufunc in _REDUCE:
        kwargs.setdefault("axis", 0)
        return wrap(_REDUCE[ufunc](*unwrap(inputs), **unwrap(kwargs)), tensor)
    if method == "accumulate":
        running = ours(getattr(ufunc, method))
        if running is not None:
            options = {"axis": 0, **kwargs}
            return wrap(running(*unwrap(inputs), **unwrap(options)), tensor)
    function = ours(ufunc)
    if method != "__call__" or kwargs or function is None:
        detail = f" with {sorted(kwargs)}" if kwargs else ""
        raise NotImplementedError(
            f"numpy.{ufunc.__name__} ({method}{detail}) is not available on nbgrad tensors yet; "
            "use tensor.detach().numpy() if no gradient is needed"
        )
    return wrap(function(*unwrap(inputs)), tensor)


def call_function(tensor: type, function: Any, args: Any, kwargs: Any) -> Any:
    """``__array_function__``: the same for NumPy's other functions."""
    implementation = ours(function)
    if implementation is None:
        raise NotImplementedError(
            f"numpy.{function.__name__} is not available on nbgrad tensors yet; use "
            "tensor.detach().numpy() if no gradient is needed"
        )
    return wrap(implementation(*unwrap(args), **unwrap(kwargs)), tensor)
