"""Random draws by PyTorch's names, beside ``rand`` and ``randn``."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.values import value_of
from nbgrad.tensors.creation import generator, make, rand, randn, shape_of
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary import shapes


def rand_like(
    x: Any, *, rng: Any = None, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform draws from [0, 1) in the shape and dtype of *x*; see :func:`rand`.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.rand_like(ng.ones(2, 3)).shape
    (2, 3)
    """
    node = shapes.as_node(x)
    given = node.dtype if dtype is None else dtype
    return rand(size=node.shape, rng=rng, dtype=given, requires_grad=requires_grad)


def randn_like(
    x: Any, *, rng: Any = None, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """Standard normal draws in the shape and dtype of *x*; see :func:`rand`.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.randn_like(ng.ones(2, 3)).shape
    (2, 3)
    """
    node = shapes.as_node(x)
    given = node.dtype if dtype is None else dtype
    return randn(size=node.shape, rng=rng, dtype=given, requires_grad=requires_grad)


def randint(low: int, high: Any = None, size: Any = None, *, rng: Any = None) -> Tensor:
    """Integers from *low* up to, but not, *high*: or below *low*, as ``randint(high, size)``.

    Examples
    --------
    >>> import nbgrad as ng
    >>> bool((ng.randint(5, (2, 3)) < 5).all()), ng.randint(2, 4, (3,)).shape
    (True, (3,))
    """
    if size is None:
        low, high, size = 0, low, high
    draw = generator(rng).integers(low, high, shape_of((size,)))
    return make(np.asarray(draw), False)


def bernoulli(p: Any, *, rng: Any = None) -> Tensor:
    """1 with probability *p*, else 0, in the shape and dtype of *p*; there is no gradient.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.bernoulli(ng.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    node = shapes.as_node(p)
    chance = value_of(node)
    if not ((chance >= 0) & (chance <= 1)).all():
        raise ValueError("bernoulli: probabilities must be from 0 to 1")
    return make((generator(rng).random(node.shape) < chance).astype(node.dtype), False)
