"""Autograd, as PyTorch's: backward, grad, modes, Function, hooks, functional, checks."""

from nbgrad.autograd import functional, profiler
from nbgrad.autograd.function import Function
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
    "profiler",
    "set_grad_enabled",
]
