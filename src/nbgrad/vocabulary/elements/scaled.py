"""PyTorch's short names: of operations with a factor, ``add(x, y, alpha=a)``, and of ``1 / sqrt(x)``.

Each is what its formula says, of nbgrad's own operations; a factor of 1 costs nothing. Where NumPy
has a function of the same name, that gets PyTorch's keyword (:func:`variant`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbgrad.core.lazy import LazyModule
from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import declared, variants
from nbgrad.ops.elements import arithmetic, selection
from nbgrad.ops.elements.comparison import less, logical_and, not_equal
from nbgrad.ops.elements.rounding import trunc
from nbgrad.vocabulary.declare import function
from nbgrad.vocabulary.elements.composite import clip
from nbgrad.vocabulary.linalg.matmul import matmul
from nbgrad.vocabulary.reductions.plain import sum as total
from nbgrad.vocabulary.shapes import as_node, expand_dims

norms = LazyModule("nbgrad.vocabulary.linalg.norms")


def variant(prim: Primitive, *keywords: str) -> Callable[[Any], Any]:
    """Let the public function of *prim* take *keywords*: it then is the decorated function."""

    def declare(implementation: Any) -> Any:
        variants[prim.name] = (frozenset(keywords), implementation)
        declared.add(implementation)
        return implementation

    return declare


def times(x: Any, factor: Any) -> Any:
    """``factor * x``, and *x* itself where the factor is the number 1."""
    if factor.__class__ in (int, float) and factor == 1:
        return x
    return arithmetic.multiply(as_node(x), factor)


@variant(arithmetic.add, "alpha")
def add(x: Any, y: Any, *, alpha: Any = 1) -> Node:
    """``x + alpha * y``."""
    if alpha.__class__ is int and alpha == 1:
        return arithmetic.add(x, y)  # type: ignore[no-any-return]
    return arithmetic.add(x, times(y, alpha))  # type: ignore[no-any-return]


@variant(arithmetic.subtract, "alpha")
def subtract(x: Any, y: Any, *, alpha: Any = 1) -> Node:
    """``x - alpha * y``."""
    if alpha.__class__ is int and alpha == 1:
        return arithmetic.subtract(x, y)  # type: ignore[no-any-return]
    return arithmetic.subtract(x, times(y, alpha))  # type: ignore[no-any-return]


@variant(arithmetic.divide, "rounding_mode")
def divide(x: Any, y: Any, *, rounding_mode: str | None = None) -> Node:
    """``x / y``, rounded down ("floor"), toward zero ("trunc"), or not (None)."""
    if rounding_mode is None:
        return arithmetic.divide(x, y)  # type: ignore[no-any-return]
    if rounding_mode == "floor":
        return arithmetic.floor_divide(x, y)  # type: ignore[no-any-return]
    if rounding_mode != "trunc":
        raise ValueError(
            f'divide: rounding_mode must be None, "floor" or "trunc", not {rounding_mode!r}'
        )
    quotient = arithmetic.floor_divide(x, y)
    if quotient.dtype.kind in "iu":  # exact, where a float would not be
        rest = arithmetic.subtract(x, arithmetic.multiply(quotient, y))
        below = logical_and(less(quotient, 0), not_equal(rest, 0))
        return arithmetic.add(quotient, below)  # type: ignore[no-any-return]
    quotient = arithmetic.divide(x, y)
    up = arithmetic.negative(arithmetic.floor_divide(arithmetic.negative(quotient), 1))
    return selection.where(less(quotient, 0), up, arithmetic.floor_divide(quotient, 1))  # type: ignore[no-any-return]


@function("numpy", method=True)
def addcmul(x: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Node:
    """``x + value * tensor1 * tensor2``, elementwise (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.addcmul(ng.tensor([1.0, 2.0]), ng.tensor([3.0, 4.0]), ng.tensor([5.0, 6.0]), value=0.5)
    tensor([ 8.5, 14. ])
    """
    return add(x, arithmetic.multiply(as_node(tensor1), tensor2), alpha=value)


@function("numpy", method=True)
def addcdiv(x: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Node:
    """``x + value * tensor1 / tensor2``, elementwise (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.addcdiv(ng.tensor([1.0, 2.0]), ng.tensor([3.0, 4.0]), ng.tensor([6.0, 2.0]), value=0.5)
    tensor([1.25, 3.  ])
    """
    return add(x, arithmetic.divide(as_node(tensor1), tensor2), alpha=value)


@function("numpy", method=True)
def lerp(x: Any, end: Any, weight: Any) -> Node:
    """``x + weight * (end - x)``, elementwise (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.lerp(ng.tensor([0.0, 2.0]), ng.tensor([10.0, 4.0]), 0.25)
    tensor([2.5, 2.5])
    """
    return add(x, arithmetic.subtract(end, as_node(x)), alpha=weight)


def _added(x: Any, product: Node, beta: Any, alpha: Any) -> Node:
    """``beta * x + alpha * product``; where beta is the number 0, *x* is not looked at."""
    if beta.__class__ in (int, float) and beta == 0:
        return times(product, alpha)  # type: ignore[no-any-return]
    return add(times(as_node(x), beta), product, alpha=alpha)


@function("numpy", method=True)
def addmm(x: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Node:
    """``beta * x + alpha * mat1 @ mat2`` (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.addmm(ng.tensor([1.0, 1.0]), ng.tensor([[1.0, 2.0]]), ng.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor([[4., 9.]])
    """
    return _added(x, matmul(mat1, mat2), beta, alpha)


@function("numpy", method=True)
def addmv(x: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Node:
    """``beta * x + alpha * mat @ vec`` (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.addmv(ng.tensor([1.0, 1.0]), ng.tensor([[3.0, 0.0], [0.0, 4.0]]), ng.tensor([1.0, 2.0]))
    tensor([4., 9.])
    """
    return _added(x, matmul(mat, vec), beta, alpha)


@function("numpy", method=True)
def addr(x: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Node:
    """``beta * x + alpha * outer(vec1, vec2)`` (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.addr(ng.zeros((2, 2)), ng.tensor([1.0, 2.0]), ng.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    outer = arithmetic.multiply(expand_dims(as_node(vec1), -1), vec2)
    return _added(x, outer, beta, alpha)


@function("numpy", method=True)
def addbmm(x: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Node:
    """``beta * x + alpha * sum(batch1 @ batch2)`` over the batch (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.addbmm(ng.zeros((1, 1)), ng.ones((3, 1, 2)), ng.ones((3, 2, 1)))
    tensor([[6.]])
    """
    return _added(x, total(matmul(batch1, batch2), axis=0), beta, alpha)


@function("numpy", method=True)
def baddbmm(x: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Node:
    """``beta * x + alpha * batch1 @ batch2``, for each of the batch (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.baddbmm(ng.zeros((3, 1, 1)), ng.ones((3, 1, 2)), ng.ones((3, 2, 1))).shape
    (3, 1, 1)
    """
    return _added(x, matmul(batch1, batch2), beta, alpha)


@function("numpy", method=True)
def rsqrt(x: Any) -> Node:
    """``1 / sqrt(x)``, elementwise (PyTorch's and JAX's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.rsqrt(ng.tensor([4.0, 16.0]))
    tensor([0.5 , 0.25])
    """
    return arithmetic.divide(1, arithmetic.sqrt(as_node(x)))  # type: ignore[no-any-return]


@function("numpy", method=True)
def frac(x: Any) -> Node:
    """``x - trunc(x)``, elementwise: what follows the point, with the sign of x (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.frac(ng.tensor([1.5, -1.5]))
    tensor([ 0.5, -0.5])
    """
    node = as_node(x)
    return arithmetic.subtract(node, trunc(node))  # type: ignore[no-any-return]


@function("numpy", method=True)
def clamp_min(x: Any, min: Any) -> Node:
    """*x*, and *min* where that is more (PyTorch's); the derivative is that of ``clip``.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.clamp_min(ng.tensor([-1.0, 2.0]), 0.0)
    tensor([0., 2.])
    """
    return clip(as_node(x), min, None)


@function("numpy", method=True)
def clamp_max(x: Any, max: Any) -> Node:
    """*x*, and *max* where that is less (PyTorch's); the derivative is that of ``clip``.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.clamp_max(ng.tensor([-1.0, 2.0]), 0.0)
    tensor([-1.,  0.])
    """
    return clip(as_node(x), None, max)


@function("numpy", method=True)
def dist(x: Any, other: Any, p: Any = 2) -> Node:
    """The *p*-norm of all elements of ``x - other`` (PyTorch's).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.dist(ng.tensor([1.0, 5.0]), ng.tensor([4.0, 1.0])).item()
    5.0
    """
    return norms.vector_norm(arithmetic.subtract(as_node(x), other), ord=p)  # type: ignore[no-any-return]
