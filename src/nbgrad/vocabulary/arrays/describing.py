"""What arrays are: extents, dtypes, and whether two are equal. The answers are no arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.operands import holds_node
from nbgrad.core.values import value_of
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.shapes import as_node


def dtype_of(x: Any) -> Any:
    """The dtype of an array; what is no array is returned as it is."""
    return x.dtype if isinstance(x, (Node, np.ndarray)) else x


@function(
    "numpy",
    np.result_type,
    cases=lambda d: [call(d(2), np.float32), call(d.integers(3, 2), 1.5)],
    differentiable=False,
)
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """The dtype that an operation on these would have (NEP 50).

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.result_type(np.float32(1), 3)
    dtype('float32')
    """
    return np.result_type(*map(dtype_of, arrays_and_dtypes))


@function(
    "numpy",
    np.can_cast,
    cases=lambda d: [call(np.float32, np.float64), call(np.float64, "i4", casting="safe")],
    differentiable=False,
)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Whether a value of one dtype may become one of another under the rule *casting*.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.can_cast(np.int32, np.float32)
    False
    """
    return np.can_cast(dtype_of(from_), dtype_of(to), casting)


@function(
    "numpy", np.common_type, cases=lambda d: [call(d(2), d(3))], differentiable=False, complex=True
)
def common_type(*arrays: Any) -> type[Any]:
    """The inexact scalar type common to the arrays.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.common_type(np.ones(2, np.float32), np.ones(2))
    <class 'numpy.float64'>
    """
    return np.common_type(*(np.empty(0, dtype_of(x)) for x in arrays))


@function(
    "numpy",
    np.min_scalar_type,
    cases=lambda d: [call(d(2)), call(-200)],
    differentiable=False,
)
def min_scalar_type(a: Any) -> np.dtype[Any]:
    """The smallest dtype that holds the number *a*; the dtype of an array."""
    return dtype_of(a) if isinstance(a, Node) else np.min_scalar_type(a)


@function("numpy", np.iscomplexobj, cases=lambda d: [call(d(2))], differentiable=False)
def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex."""
    return np.iscomplexobj(np.empty(0, x.dtype) if isinstance(x, Node) else x)


@function("numpy", np.isrealobj, cases=lambda d: [call(d(2))], differentiable=False)
def isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return not iscomplexobj(x)


def value(x: Any) -> Any:
    """The array of a node; anything else as it is."""
    if isinstance(x, (list, tuple)) and holds_node(x):
        x = as_node(x)
    return value_of(x) if isinstance(x, Node) else x


@function(
    "numpy",
    np.allclose,
    cases=lambda d: [call(d(3), d(3)), call(1.0, 1.0 + 1e-9)],
    differentiable=False,
)
def allclose(
    a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are equal within a tolerance."""
    return np.allclose(value(a), value(b), value(rtol), value(atol), equal_nan)


@function("numpy", np.array_equal, cases=lambda d: [call(d(3), d(3))], differentiable=False)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Whether shapes and elements are equal."""
    return np.array_equal(value(a1), value(a2), equal_nan)


@function(
    "numpy", np.array_equiv, cases=lambda d: [call(np.ones(3), np.ones(()))], differentiable=False
)
def array_equiv(a1: Any, a2: Any) -> bool:
    """Whether one equals the other once they are broadcast."""
    return np.array_equiv(value(a1), value(a2))
