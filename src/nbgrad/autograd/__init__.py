"""Autograd, as PyTorch's: backward, grad, modes, Function, hooks, functional, checks."""

import importlib
from typing import TYPE_CHECKING, Any

from nbgrad.autograd import functional
from nbgrad.autograd.function import Function, once_differentiable
from nbgrad.autograd.gradcheck import gradcheck, gradgradcheck
from nbgrad.autograd.modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from nbgrad.grads import backward, grad

__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "once_differentiable",
    "profiler",
    "set_grad_enabled",
]

if TYPE_CHECKING:
    from nbgrad.autograd import profiler


def __getattr__(name: str) -> Any:
    if name == "profiler":  # which few scripts use
        return importlib.import_module("nbgrad.autograd.profiler")
    raise AttributeError(f"module 'nbgrad.autograd' has no attribute {name!r}")
