"""Autograd, as PyTorch's: backward, grad, modes, Function, hooks, functional, checks."""

from typing import TYPE_CHECKING, Any

from nbgrad.api.checkpointing import checkpoint
from nbgrad.api.gradcheck import gradcheck, gradgradcheck
from nbgrad.autograd import functional, graph
from nbgrad.core.lazy import load
from nbgrad.tensors.creation import as_tensor
from nbgrad.tensors.function import Function, once_differentiable
from nbgrad.tensors.gradients import backward, grad
from nbgrad.tensors.modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)


def Variable(data: Any, requires_grad: bool = False) -> Any:
    """Return *data* as a tensor without history: PyTorch's name of the time before tensors had it.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.autograd.Variable(ng.ones(2), requires_grad=True).requires_grad
    True
    """
    tensor = as_tensor(data).detach()
    return tensor.requires_grad_() if requires_grad else tensor


__all__ = [
    "Function",
    "Variable",
    "backward",
    "checkpoint",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "once_differentiable",
    "profiler",
    "set_grad_enabled",
]

if TYPE_CHECKING:
    from nbgrad.engine import profiler


def __getattr__(name: str) -> Any:
    if name == "profiler":  # which few scripts use
        return load("nbgrad.engine.profiler")
    raise AttributeError(f"module 'nbgrad.autograd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
