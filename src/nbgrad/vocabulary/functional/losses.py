"""Losses of predictions and targets, by the names and the ``reduction=`` of ``torch.nn.functional``.

Shapes must be equal: an accidental broadcast of (n,) with (n, 1) is an error, not n * n differences.
Targets are differentiated as well as predictions, unless they are integers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements import activations, exponential
from nbgrad.ops.elements.arithmetic import absolute, exp, log
from nbgrad.ops.elements.comparison import equal, greater, less
from nbgrad.ops.elements.selection import where
from nbgrad.ops.special.entropy import xlogy
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import detached
from nbgrad.vocabulary.functional.distances import cosine_similarity, pairwise_distance
from nbgrad.vocabulary.reductions.plain import mean, sum
from nbgrad.vocabulary.shapes import as_node

REDUCTIONS = ("mean", "sum", "none")


def reduced(name: str, loss: Node, reduction: str, also: tuple[str, ...] = ()) -> Node:
    if reduction not in (*REDUCTIONS, *also):
        known = ", ".join(map(repr, (*REDUCTIONS, *also)))
        raise ValueError(f"{name}: reduction must be one of {known}, not {reduction!r}")
    if reduction == "batchmean":
        return sum(loss) / max(loss.shape[0] if loss.ndim else 1, 1)
    return loss if reduction == "none" else sum(loss) if reduction == "sum" else mean(loss)


def _pair(name: str, input: Any, target: Any, label: str = "target") -> tuple[Node, Node]:
    """Both as nodes, of one shape; numbers fit everything."""
    x, y = as_node(input), as_node(target)
    if x.shape != y.shape and x.ndim and y.ndim:
        raise ValueError(
            f"{name}: input of shape {x.shape} and {label} of shape {y.shape} must be of one shape; "
            "reshape one of them, as by .reshape(-1), or broadcast it with nbgrad.broadcast_to"
        )
    return x, y


def _two(*more: Any, **settings: Any) -> Any:
    """Calls for tests: a prediction and a target, with settings, and each reduction."""
    return lambda d: [
        call(d(4), d(4), *more, **settings),
        call(d(2, 2), d(2, 2), *more, reduction="sum"),
        call(d(3), d(3), *more, reduction="none"),
    ]


def loss(cases: Any) -> Any:
    """Declare a loss by PyTorch's name."""

    def declare(f: Any) -> Any:
        return function("functional", f"torch.nn.functional.{f.__name__}", cases=cases)(f)

    return declare


@loss(_two())
def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Node:
    """Squared differences."""
    x, y = _pair("mse_loss", input, target)
    return reduced("mse_loss", (x - y) * (x - y), reduction)


@loss(_two())
def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Node:
    """Absolute differences; derivative 0 where there is none."""
    x, y = _pair("l1_loss", input, target)
    return reduced("l1_loss", absolute(x - y), reduction)


@loss(_two(beta=0.4))
def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Node:
    """Squared differences below *beta*, over ``2 beta``, and absolute ones above, less ``beta / 2``."""
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative: {beta}")
    x, y = _pair("smooth_l1_loss", input, target)
    size = absolute(x - y)
    if beta > 0:
        size = where(less(size, beta), (x - y) * (x - y) * (0.5 / beta), size - 0.5 * beta)
    return reduced("smooth_l1_loss", size, reduction)


@loss(_two(delta=0.4))
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Node:
    """Half of squared differences up to *delta*, and ``delta (|d| - delta / 2)`` above."""
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive: {delta}")
    x, y = _pair("huber_loss", input, target)
    difference = x - y
    size = absolute(difference)
    linear = (size - 0.5 * delta) * delta
    near = difference * difference * 0.5
    return reduced("huber_loss", where(greater(size, delta), linear, near), reduction)


@loss(
    lambda d: [
        call(d.unit(4), d.unit(4)),
        call(d.unit(2, 2), d.unit(2, 2), d.positive(2), reduction="sum"),
    ]
)
def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Node:
    """Cross entropy of probabilities *input* and *target*, each logarithm -100 at the least.

    Of scores ``binary_cross_entropy_with_logits`` takes it without loss of digits.
    """
    p, y = _pair("binary_cross_entropy", input, target)
    found = -(y * _bounded(log(p)) + (1.0 - y) * _bounded(exponential.log1p(-p)))
    return reduced("binary_cross_entropy", _weighed(found, weight), reduction)


def _bounded(logarithm: Node) -> Node:
    return where(less(logarithm, -100.0), -100.0, logarithm)


def _weighed(found: Node, weight: Any) -> Node:
    return found if weight is None else found * as_node(weight)


@loss(
    lambda d: [
        call(d(4), d.unit(4)),
        call(d(2, 3), d.unit(2, 3), d.positive(3), pos_weight=d.positive(3)),
    ]
)
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Node:
    """Cross entropy of sigmoid of the scores *input* and of *target*, without overflow."""
    name = "binary_cross_entropy_with_logits"
    x, y = _pair(name, input, target)
    slope = activations.softplus(-x)
    if pos_weight is not None:
        slope = slope * ((as_node(pos_weight) - 1.0) * y + 1.0)
    return reduced(name, _weighed((1.0 - y) * x + slope, weight), reduction)


@loss(
    lambda d: [
        call(d(2, 2), d.positive(2, 2), reduction="batchmean"),
        call(d(4), d(4), reduction="sum", log_target=True),
        call(d(3), d.unit(3), reduction="none"),
    ]
)
def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Node:
    """``target (log(target) - input)``: *input* holds logarithms, *target* too with *log_target*.

    Divergence is ``reduction="batchmean"``: the sum, over the length of the first axis.
    """
    x, y = _pair("kl_div", input, target)
    found = exp(y) * (y - x) if log_target else xlogy(y, y) - y * x
    return reduced("kl_div", found, reduction, ("batchmean",))


@loss(
    lambda d: [
        call(d(4), d.positive(4)),
        call(d.positive(4), 2 * d.positive(4), log_input=False, full=True, reduction="sum"),
    ]
)
def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Node:
    """Of counts *target* and rates *input* (logarithms of rates with *log_input*); *full* with Stirling's term."""
    x, y = _pair("poisson_nll_loss", input, target)
    found = exp(x) - y * x if log_input else x - y * log(x + eps)
    if full:
        large = greater(y, 1)
        at = where(large, y, 1.0)
        found = found + where(large, at * log(at) - at + 0.5 * log(at * (2.0 * math.pi)), 0.0)
    return reduced("poisson_nll_loss", found, reduction)


@loss(
    lambda d: [
        call(d(4), d(4), d.positive(4)),
        call(d(2, 2), d(2, 2), d.positive(2, 1), full=True, reduction="sum"),
    ]
)
def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Node:
    """Of a normal distribution with mean *input* and variance *var*, *eps* at the least."""
    x, y = _pair("gaussian_nll_loss", input, target)
    v = as_node(var)
    v = v + detached(where(less(v, eps), eps - v, 0.0))
    found = (log(v) + (x - y) * (x - y) / v) * 0.5
    found = found + 0.5 * math.log(2.0 * math.pi) if full else found
    return reduced("gaussian_nll_loss", found, reduction)


_SIGNS = np.array([1.0, -1.0, -1.0, 1.0])


@loss(lambda d: [call(d(4), _SIGNS), call(d(4), _SIGNS, margin=0.5, reduction="sum")])
def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, reduction: str = "mean"
) -> Node:
    """The distance *input* where *target* is 1, and what it lacks to *margin* where that is -1."""
    x, y = _pair("hinge_embedding_loss", input, target)
    found = where(equal(y, 1), x, activations.relu(margin - x))
    return reduced("hinge_embedding_loss", found, reduction)


@loss(lambda d: [call(d(4), _SIGNS), call(d(4), _SIGNS, reduction="none")])
def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Node:
    """``log(1 + exp(-target * input))``, of targets 1 and -1, without overflow."""
    x, y = _pair("soft_margin_loss", input, target)
    return reduced("soft_margin_loss", activations.softplus(-(y * x)), reduction)


@loss(lambda d: [call(d(4), d(4), _SIGNS), call(d(4), d(4), _SIGNS, margin=0.5, reduction="sum")])
def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Node:
    """What *input1* lacks to be above *input2* by *margin*, where *target* is 1; below where it is -1."""
    x, z = _pair("margin_ranking_loss", input1, input2, "input2")
    _, y = _pair("margin_ranking_loss", x, target)
    found = activations.relu(margin - y * (x - z))
    return reduced("margin_ranking_loss", found, reduction)


@loss(
    lambda d: [
        call(d(4, 3), d(4, 3), _SIGNS),
        call(d(4, 3), d(4, 3), _SIGNS, margin=-0.5, reduction="sum"),
    ]
)
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Node:
    """``1 - cos`` of the angle of both where *target* is 1; cos beyond *margin* where it is -1."""
    x, z = _pair("cosine_embedding_loss", input1, input2, "input2")
    angle, y = _pair("cosine_embedding_loss", cosine_similarity(x, z, axis=-1), target)
    found = where(equal(y, 1), 1.0 - angle, activations.relu(angle - margin))
    return reduced("cosine_embedding_loss", found, reduction)


@loss(
    lambda d: [
        call(d(2, 3), d(2, 3), d(2, 3)),
        call(d(2, 3), d(2, 3), d(2, 3), margin=3.0, p=1.0, reduction="none"),
    ]
)
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Node:
    """What *anchor* lacks to be nearer to *positive* than to *negative* by *margin*."""
    a, near = _pair("triplet_margin_loss", anchor, positive, "positive")
    _, far = _pair("triplet_margin_loss", a, negative, "negative")
    apart = pairwise_distance(a, near, p, eps) - pairwise_distance(a, far, p, eps)
    return reduced("triplet_margin_loss", activations.relu(apart + margin), reduction)
