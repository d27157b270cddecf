"""Losses of classes, by the names of ``torch.nn.functional``: scores have the classes along axis 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.errors import ConcretizationError
from nbgrad.ops.basis import cast
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.elements.selection import where
from nbgrad.vocabulary.arrays.picking import take, take_along_axis
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.functional.activations import log_softmax
from nbgrad.vocabulary.functional.losses import reduced as of
from nbgrad.vocabulary.reductions.plain import sum
from nbgrad.vocabulary.shapes import as_node, expand_dims, reshape
from nbgrad.vocabulary.support import concrete


def _labels(name: str, x: Node, target: Any) -> tuple[Node, int]:
    """The classes *target* of scores *x*, and the axis that they count along."""
    labels = as_node(target)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: target holds classes, integers from 0, not {labels.dtype}: use astype(int)"
        )
    axis = 1 if x.ndim > 1 else 0
    if not x.ndim or labels.shape != x.shape[:axis] + x.shape[axis + 1 :]:
        raise ValueError(
            f"{name}: input of shape {x.shape}, which has its classes along axis {axis}, needs a "
            f"target of shape {x.shape[:axis] + x.shape[axis + 1 :]}, not {labels.shape}"
        )
    return labels, axis


class _Counted:
    """Classes to be counted: which of them, those that are not ignored, and their weights."""

    def __init__(self, name: str, x: Node, target: Any, weight: Any, ignored: int) -> None:
        labels, self.axis = _labels(name, x, target)
        self.kept = labels != ignored
        self.labels = where(self.kept, labels, 0)
        self.weight = _weights(name, weight, x.shape[self.axis])
        each = 1.0 if self.weight is None else take(self.weight, self.labels)
        self.each = where(self.kept, each, cast(as_node(0), dtype=x.dtype))

    def picked(self, x: Node) -> Node:
        """``-x`` at the classes, weighed."""
        at = expand_dims(self.labels, self.axis)
        found = reshape(take_along_axis(x, at, self.axis), self.labels.shape)
        return where(self.kept, -found, 0.0) * self.each

    def reduced(self, name: str, loss: Node, reduction: str) -> Node:
        """A mean is over the weights of what is counted."""
        if reduction == "mean":
            return sum(loss) / sum(self.each)
        return of(name, loss, reduction)


def _weights(name: str, weight: Any, classes: int) -> Node | None:
    if weight is None:
        return None
    found = as_node(weight)
    if found.shape != (classes,):
        raise ValueError(
            f"{name}: weight of shape {found.shape} needs one for each of {classes} classes"
        )
    return found


@function(
    "functional",
    "torch.nn.functional.nll_loss",
    cases=lambda d: [
        call(d(4, 3), d.integers(3, 4)),
        call(d(2, 3, 2), d.integers(3, 2, 2), d.positive(3), reduction="none"),
        call(d(4, 3), d.integers(3, 4), d.positive(3), ignore_index=1, reduction="mean"),
    ],
)
def nll_loss(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Node:
    """Logarithms of probabilities *input*, negative, at the classes *target*.

    A mean is weighed by *weight*, one for each class; targets of *ignore_index* count for nothing.
    """
    x = as_node(input)
    counted = _Counted("nll_loss", x, target, weight, ignore_index)
    return counted.reduced("nll_loss", counted.picked(x), reduction)


@function(
    "functional",
    "torch.nn.functional.cross_entropy",
    cases=lambda d: [
        call(d(3, 3), d.integers(3, 3)),
        call(d(3), np.array(2), reduction="sum"),
        call(
            d(2, 3, 2), d.integers(3, 2, 2), d.positive(3), label_smoothing=0.2, reduction="mean"
        ),
        call(d(4, 3), d.integers(3, 4), ignore_index=1, label_smoothing=0.1, reduction="sum"),
        call(d(2, 3), d.unit(2, 3), d.positive(3), label_smoothing=0.1),
    ],
)
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Node:
    """Cross entropy of softmax of the scores *input*, and of *target*: classes, or probabilities of each.

    A mean of classes is weighed by *weight*, one for each class; targets of *ignore_index* count for
    nothing. *label_smoothing* is the part of each target that all classes share evenly.
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must be from 0 to 1: {label_smoothing}")
    x, y = as_node(input), as_node(target)
    if y.aval.inexact and x.shape == y.shape and x.ndim:
        return _of_probabilities(x, y, weight, reduction, label_smoothing)
    counted = _Counted("cross_entropy", x, target, weight, ignore_index)
    logarithms = log_softmax(x, counted.axis)
    found = counted.picked(logarithms)
    if label_smoothing:
        every = -sum(_times(logarithms, counted.weight, counted.axis), counted.axis)
        part = label_smoothing / x.shape[counted.axis]
        found = found * (1.0 - label_smoothing) + where(counted.kept, every, 0.0) * part
    return counted.reduced("cross_entropy", found, reduction)


def _times(x: Node, weight: Node | None, axis: int) -> Node:
    if weight is None:
        return x
    return x * reshape(weight, (-1, *(1,) * (x.ndim - axis - 1)))


def _of_probabilities(
    x: Node, y: Node, weight: Any, reduction: str, label_smoothing: float
) -> Node:
    axis = 1 if x.ndim > 1 else 0
    classes = x.shape[axis]
    if label_smoothing:
        y = y * (1.0 - label_smoothing) + label_smoothing / classes
    weighed = _times(log_softmax(x, axis) * y, _weights("cross_entropy", weight, classes), axis)
    return of("cross_entropy", -sum(weighed, axis), reduction)


@function(
    "functional",
    "torch.nn.functional.one_hot",
    cases=lambda d: [call(d.integers(3, 4), 3), call(d.integers(3, 2, 2), 4)],
    differentiable=False,
)
def one_hot(input: Any, num_classes: int = -1, *, dtype: Any = np.int64) -> Node:
    """1 at the class, 0 elsewhere, along a new last axis; by default as many classes as there are.

    Under ``jit`` *num_classes* must be given, and a class that is out of range is 0 throughout.
    """
    labels = as_node(input)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: input holds classes, integers from 0, not {labels.dtype}")
    try:
        known = concrete(input) if labels.size else None
    except ConcretizationError:
        if num_classes < 0:
            raise
        known = None
    if num_classes < 0:
        num_classes = 0 if known is None else int(known.max()) + 1
    if known is not None and (known.min() < 0 or known.max() >= num_classes):
        raise ValueError(
            f"one_hot: classes must be from 0 to {num_classes - 1}, and there are {known.min()} "
            f"to {known.max()}"
        )
    return cast(equal(expand_dims(labels, -1), np.arange(num_classes)), dtype=np.dtype(dtype))
