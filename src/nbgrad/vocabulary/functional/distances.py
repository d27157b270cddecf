"""Distances of vectors, and what normalises them, by the names of ``torch.nn.functional``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nbgrad.core.node import Node
from nbgrad.ops.elements.arithmetic import sqrt
from nbgrad.ops.elements.comparison import less
from nbgrad.ops.elements.selection import where
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.linalg.matmul import matmul
from nbgrad.vocabulary.linalg.norms import norm
from nbgrad.vocabulary.reductions.plain import mean, sum
from nbgrad.vocabulary.shapes import as_node, transpose


@function(
    "functional",
    "torch.nn.functional.cosine_similarity",
    cases=lambda d: [call(d(2, 3), d(2, 3)), call(d(3, 2), d(3, 1), axis=0)],
)
def cosine_similarity(x1: Any, x2: Any, axis: int = 1, eps: float = 1e-8) -> Node:
    """Cosine of the angle of vectors along *axis*; lengths below *eps* count as that."""
    x, y = as_node(x1), as_node(x2)
    lengths = [sum(z * z, axis) for z in (x, y)]
    least = eps * eps
    a, b = [sqrt(where(less(n, least), least, n)) for n in lengths]
    return sum(x * y, axis) / (a * b)


@function(
    "functional",
    "torch.nn.functional.pairwise_distance",
    cases=lambda d: [call(d(2, 3), d(2, 3)), call(d(3), d(3), p=1.0, keepdims=True)],
)
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False
) -> Node:
    """Norm of order *p* of ``x1 - x2 + eps`` over the last axis."""
    return norm(as_node(x1) - as_node(x2) + eps, p, -1, keepdims)


@function(
    "functional",
    "torch.nn.functional.normalize",
    cases=lambda d: [call(d(2, 3)), call(d(2, 3), p=1.0, axis=0)],
)
def normalize(input: Any, p: float = 2.0, axis: int = 1, eps: float = 1e-12) -> Node:
    """X divided by its norm of order *p* over *axis*, by *eps* where that is less."""
    x = as_node(input)
    length = norm(x, p, axis, True)
    return x / where(less(length, eps), eps, length)


def _last(name: str, x: Node, shape: Any, *given: Any) -> tuple[int, ...]:
    """The last axes of *x*, which must be of *shape*, as what is *given* must be."""
    wanted = tuple(shape) if isinstance(shape, Sequence) else (int(shape),)
    if not wanted or x.shape[-len(wanted) :] != wanted:
        raise ValueError(f"{name}: input of shape {x.shape} does not end in the shape {wanted}")
    for part in given:
        if part is not None and as_node(part).shape != wanted:
            raise ValueError(
                f"{name}: weight and bias must be of the shape {wanted}, not {as_node(part).shape}"
            )
    return tuple(range(-len(wanted), 0))


@function(
    "functional",
    "torch.nn.functional.layer_norm",
    cases=lambda d: [call(d(2, 3), (3,)), call(d(2, 2, 2), (2, 2), d(2, 2), d(2, 2))],
)
def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Node:
    """X less its mean, over its standard deviation, of the last axes; times *weight*, plus *bias*."""
    x = as_node(input)
    axes = _last("layer_norm", x, normalized_shape, weight, bias)
    centred = x - mean(x, axes, keepdims=True)
    found = centred / sqrt(mean(centred * centred, axes, keepdims=True) + eps)
    found = found if weight is None else found * as_node(weight)
    return found if bias is None else found + as_node(bias)


@function(
    "functional",
    "torch.nn.functional.rms_norm",
    cases=lambda d: [call(d(2, 3), (3,), eps=1e-5), call(d(2, 3), (3,), d(3))],
)
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Node:
    """X over the root of the mean of its squares, of the last axes; times *weight*."""
    x = as_node(input)
    axes = _last("rms_norm", x, normalized_shape, weight)
    least = math.ulp(1.0) if eps is None else eps
    found = x / sqrt(mean(x * x, axes, keepdims=True) + least)
    return found if weight is None else found * as_node(weight)


@function(
    "functional",
    "torch.nn.functional.linear",
    cases=lambda d: [call(d(2, 3), d(2, 3), d(2)), call(d(3), d(2, 3))],
)
def linear(input: Any, weight: Any, bias: Any = None) -> Node:
    """``input @ weight.T + bias``."""
    found = matmul(as_node(input), transpose(as_node(weight)))
    return found if bias is None else found + as_node(bias)
