"""Gradients held up or held down on their way: ``stop_gradient`` and ``clip_gradient``."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.api.custom import custom_vjp
from nbgrad.api.written import NUMBERS, Parted
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.elements.composite import detached


def stop_gradient(x: Any) -> Any:
    """Return *x* as a constant: no derivative, forward or backward, passes through it.

    Parameters
    ----------
    x : array_like, Tensor, or tuple, list or dict of such
        What is not a tensor is returned as it is.

    Returns
    -------
    object
        Nested as *x*, of the same values.

    Examples
    --------
    >>> import nbgrad as ng
    >>> float(ng.grad(lambda x: x * ng.stop_gradient(x))(3.0))
    3.0
    """
    if isinstance(x, Tensor):
        return x.__class__(detached(x._node))
    parts = Parted(x)
    return parts.filled([t.__class__(detached(t._node)) for t in parts.values])


def clip_gradient(
    x: Any, low: float | None = None, high: float | None = None, *, norm: float | None = None
) -> Any:
    """Return *x*; the gradient that arrives here in reverse mode is clipped on its way on.

    Parameters
    ----------
    x : array_like, Tensor, or tuple, list or dict of such
        Returned with its values.
    low, high : float, optional
        Bounds of the elements of the gradient.
    norm : float, optional
        Bound of its Euclidean norm, over all arrays of *x*: a gradient that is longer is scaled to it.

    Returns
    -------
    object
        Nested as *x*.

    Raises
    ------
    TypeError
        If no bound is given, or both kinds.
    ValueError
        If ``low > high``, or ``norm < 0``.

    Notes
    -----
    Tangents of forward mode pass as they are. The second derivative is that of the clipped gradient.

    Examples
    --------
    >>> import nbgrad as ng
    >>> float(ng.grad(lambda x: ng.clip_gradient(x, -1.0, 1.0) ** 2)(3.0))
    1.0
    >>> ng.grad(lambda x: (ng.clip_gradient(x, norm=5.0) ** 2).sum())(ng.tensor([3.0, 4.0]))
    tensor([3., 4.])
    """
    if (norm is None) == (low is None and high is None):
        raise TypeError("clip_gradient: pass low= or high= or both, or norm= alone")
    for name, bound in (("low", low), ("high", high), ("norm", norm)):
        if not isinstance(bound, (int, float, np.number, type(None))):
            raise TypeError(
                f"clip_gradient: {name}= is a number, and not of type {type(bound).__name__}"
            )
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip_gradient: low={low} is greater than high={high}")
    if norm is not None and not norm >= 0:
        raise ValueError(f"clip_gradient: norm={norm} is negative")
    return _clipped(x, low, high, norm)


def _fwd(x: Any, low: Any, high: Any, norm: Any) -> tuple[Any, None]:
    return x, None


def _bwd(low: Any, high: Any, norm: Any, _: None, ct: Any) -> tuple[Any]:
    parts = Parted(ct, NUMBERS)
    if norm is None:
        return (parts.filled([np.clip(c, low, high) for c in parts.tensors]),)
    total = sum((abs(c) ** 2).sum() for c in parts.tensors)
    length = np.sqrt(total)
    scale = np.where(length > norm, norm / np.where(length > norm, length, 1.0), 1.0)
    return (parts.filled([c * scale for c in parts.tensors]),)


_clipped = custom_vjp(lambda x, low, high, norm: x, nondiff_argnums=(1, 2, 3))
_clipped.defvjp(_fwd, _bwd)
