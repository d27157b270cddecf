"""What the namespace ``nbgrad.numpy`` has beside functions of arrays: how arrays come in and out.

``asarray`` of a tensor is the tensor itself, not a new name of its value, so what is written
through one is seen through the other, as in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.lazy import load
from nbgrad.core.ports import ports
from nbgrad.core.registry import register_object
from nbgrad.tensors.creation import as_tensor
from nbgrad.tensors.namespaces import wrapped
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.arrays import making

ARRAY_API_VERSION = "2024.12"


def asarray(
    a: Any,
    dtype: Any = None,
    order: Any = None,
    *,
    device: Any = None,
    copy: bool | None = None,
    like: Any = None,
) -> Tensor:
    """Convert *a* to a tensor; one of the wanted dtype is returned itself, unless ``copy``.

    Nested sequences with tensors in them are stacked and stay differentiable. Arrays are copied
    unless they are read-only, and what they are views of is as well: a later write would change
    what has been recorded.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If ``copy=False`` and a copy is needed.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.asarray([1.0, 2.0])
    tensor([1., 2.])
    """
    if isinstance(a, Tensor) and (dtype is None or np.dtype(dtype) == a.dtype) and not copy:
        return a if device is None else a.to(device=device)
    if copy is False:
        raise ValueError(
            f"asarray(copy=False) of {type(a).__name__} needs a copy: tensors own their values. "
            "Write copy=None, or nbgrad.as_tensor of a read-only array."
        )
    if isinstance(a, np.ndarray) and not copy:
        made = as_tensor(a, dtype)
        return made if device is None else made.to(device=device)
    converted: Tensor = _converted(a, dtype, order, device=device, copy=copy, like=like)
    return converted


def asanyarray(a: Any, dtype: Any = None, order: Any = None, **options: Any) -> Tensor:
    """The same as :func:`asarray`: tensors have no subclasses of arrays.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If ``copy=False`` and a copy is needed.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.asanyarray([1.0, 2.0])
    tensor([1., 2.])
    """
    return asarray(a, dtype, order, **options)


_converted = wrapped("asarray", making.asarray)
# What the top level has under these names is the same.
register_object("numpy", "asarray", asarray)
register_object("numpy", "asanyarray", asanyarray)


def finfo(dtype: Any) -> Any:
    """Limits of a floating-point dtype, or of a tensor's: NumPy's object."""
    return np.finfo(getattr(dtype, "dtype", dtype) if not isinstance(dtype, type) else dtype)


def iinfo(dtype: Any) -> Any:
    """Limits of an integer dtype, or of a tensor's: NumPy's object."""
    return np.iinfo(getattr(dtype, "dtype", dtype) if not isinstance(dtype, type) else dtype)


def array_namespace_info() -> Any:
    """What the standard lets one ask of a namespace: NumPy's answers hold for tensors."""
    return np.__array_namespace_info__()


def namespace(name: str) -> Any:
    """The module ``nbgrad.<name>``, for floors below those that users import."""
    return load(f"nbgrad.{name}")


ports.namespace = namespace
