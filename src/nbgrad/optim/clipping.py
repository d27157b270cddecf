"""Gradients kept within bounds: in place, as PyTorch does it, and as pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nbgrad.api import trees
from nbgrad.api.jit import jit
from nbgrad.core.modes import modes
from nbgrad.optim.checks import floating, leaves_of
from nbgrad.tensors.creation import tensor
from nbgrad.tensors.tensor import Tensor

EPS = 1e-6  # added to the norm, as PyTorch does


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale gradients in place so that the norm of all of them together is at most *max_norm*.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
        What the norm is to be at most.
    norm_type : float
        The p of the norm: 2, 1, ``inf`` ...
    error_if_nonfinite : bool
        Whether a norm that is NaN or infinite raises, before anything is changed.

    Returns
    -------
    Tensor
        The norm before.

    Raises
    ------
    RuntimeError
        For a norm that is not finite, if asked for.
    TypeError
        If something else than tensors is given.
    ValueError
        For a negative *max_norm* or a *norm_type* that is not positive.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> ng.optim.clip_grad_norm_([w], 1.0).item()
    10.0
    >>> w.grad.round(decimals=6)
    tensor([0.6, 0.8])
    """
    if not max_norm >= 0 or not norm_type > 0:
        raise ValueError(
            f"max_norm must not be negative, norm_type positive: {max_norm}, {norm_type}"
        )
    with_grad = [p for p in leaves_of(parameters) if p.grad is not None]
    grads: list[Any] = [p.grad for p in with_grad]
    if not grads:
        return tensor(0.0)
    before, modes.grad = modes.grad, False
    try:
        norm, scaled = _clipped(grads, float(max_norm), p=float(norm_type))
        if error_if_nonfinite and not np.isfinite(norm.item()):
            raise RuntimeError(
                f"the total norm of order {norm_type} of gradients is {norm.item()}, so they cannot be "
                "clipped: find where with nbgrad.detect_anomaly()"
            )
        for g, new in zip(grads, scaled, strict=True):
            g.copy_(new)
    finally:
        modes.grad = before
    total: Tensor = norm
    return total


def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Clip each element of the gradients to at most *clip_value*, in place.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    clip_value : float
        Elements lie between this and its negative afterwards.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For a negative *clip_value*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor([3.0, 0.1], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> ng.optim.clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([1. , 0.2])
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_value must not be negative: {clip_value}")
    for p in leaves_of(parameters):
        if p.grad is not None:
            p.grad.copy_(np.clip(p.grad, -clip_value, clip_value))


def clip_by_global_norm(grads: Any, max_norm: Any) -> tuple[Any, Any]:
    """Scale nested gradients so that the norm of all of them together is at most *max_norm*.

    Parameters
    ----------
    grads : nested arrays
        Gradients, as :func:`nbgrad.grad` gives them.
    max_norm : float
        What the norm is to be at most.

    Returns
    -------
    grads : nested arrays
        Nested as they were.
    norm : array
        The norm before.

    Raises
    ------
    TypeError
        For what is not floating point or complex.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.optim.clip_by_global_norm({"a": np.array([6.0, 8.0])}, 1.0)[0]
    {'a': array([0.6, 0.8])}
    """
    leaves, nested = trees.flatten(grads)
    leaves = [*map(floating, leaves)]
    norm = _norm(leaves, 2.0)
    scale = np.minimum(1.0, max_norm / np.maximum(norm, np.finfo(float).tiny))
    return trees.unflatten(nested, [g * scale for g in leaves]), norm


def _norm(leaves: Iterable[Any], p: float) -> Any:
    sizes = [np.abs(g) for g in leaves]
    if p == np.inf:
        return np.stack([g.max() if g.size else np.zeros(()) for g in sizes]).max()
    if p == 2:
        return np.sqrt(sum((g * g).sum() for g in sizes))
    return sum((g**p).sum() for g in sizes) ** (1 / p)


@jit(static_argnames="p")
def _clipped(grads: Any, max_norm: Any, p: float) -> Any:
    norm = _norm(grads, p)
    scale = np.minimum(1.0, max_norm / (norm + EPS))
    return norm, [g * scale for g in grads]
