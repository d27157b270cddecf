"""Optimisers over tensors, in PyTorch's spelling, and as pure functions for ``jit`` and ``scan``."""

from nbgrad.optim import lr_scheduler
from nbgrad.optim.averaging import ExponentialMovingAverage
from nbgrad.optim.clipping import clip_by_global_norm, clip_grad_norm_, clip_grad_value_
from nbgrad.optim.lbfgs import LBFGS
from nbgrad.optim.methods import SGD, Adagrad, Adam, AdamW, Lion, RMSprop
from nbgrad.optim.optimizer import Optimizer
from nbgrad.optim.pure import Pure, adagrad, adam, adamw, lion, rmsprop, sgd

__all__ = [
    "LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "ExponentialMovingAverage", "Lion", "Optimizer", "Pure",
    "RMSprop", "adagrad", "adam", "adamw", "clip_by_global_norm", "clip_grad_norm_", "clip_grad_value_",
    "lion", "lr_scheduler", "rmsprop", "sgd",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
