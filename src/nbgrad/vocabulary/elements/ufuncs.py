"""NumPy's ufuncs that are functions of others: several results, or a dtype of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.operands import as_operand
from nbgrad.ops.elements import bitwise, exponential, rounding
from nbgrad.ops.elements.arithmetic import floor_divide, remainder
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import astype, power
from nbgrad.vocabulary.shapes import as_node

__all__ = ["bitwise", "exponential", "rounding"]


@function("numpy", np.modf, cases=lambda d: [call(1.2 + 0.5 * d.unit(2, 3)), call(-d.unit())])
def modf(x: Any) -> tuple[Node, Node]:
    """Fraction and whole part, both with the sign of *x*; derivatives 1 and 0."""
    node = as_node(x)
    return rounding.fraction(node), rounding.trunc(astype(node, rounding.fraction(node).dtype))


@function("numpy", np.frexp, cases=lambda d: [call(1.2 + 0.5 * d.unit(2, 3)), call(d())])
def frexp(x: Any) -> tuple[Node, Node]:
    """Mantissa between 0.5 and 1, and the integer power of 2: ``x = mantissa * 2**exponent``."""
    node = as_node(x)
    return rounding.mantissa(node), rounding.exponent(node)


@function(
    "numpy",
    np.divmod,
    cases=lambda d: [call(d.unit(2, 3) + 2, d.unit(3)), call(d.integers(9, 3), 4)],
)
def divmod(x: Any, y: Any) -> tuple[Node, Node]:
    """Quotient rounded down, and remainder, as Python's ``divmod``."""
    x, y = as_operand(x), as_operand(y)
    if x.__class__ is not Node and y.__class__ is not Node:
        x = as_node(x)
    return floor_divide(x, y), remainder(x, y)


@function(
    "numpy",
    np.float_power,
    cases=lambda d: [call(d.positive(2, 3), d(3)), call(d.integers(5, 3), 2)],
)
def float_power(x: Any, y: Any) -> Node:
    """``x ** y`` in float64 (or complex128), also of integers and to negative powers."""
    x, y = as_node(x), as_node(y)
    loop = np.float_power.resolve_dtypes((x.dtype, y.dtype, None))
    return power(astype(x, loop[0]), astype(y, loop[1]))


@function("numpy", np.isnat)
def isnat(x: Any) -> Node:
    """Whether not a time: refused, because nbgrad holds numbers and booleans only.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.isnat([1.0])
    Traceback (most recent call last):
        ...
    TypeError: isnat: not defined for float64; it is for times, which nbgrad does not hold
    """
    raise TypeError(
        f"isnat: not defined for {as_node(x).dtype}; it is for times, which nbgrad does not hold"
    )
