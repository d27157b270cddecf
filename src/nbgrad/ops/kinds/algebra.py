"""Which sum or product an operation is: what passes ask for that write one equation as others."""

from __future__ import annotations

from typing import Any, Final

from nbgrad.core.frozen import Value


class Sum(Value):
    """Element by element, the sum of the operands, each with its sign."""

    signs: tuple[int, ...]


class Product(Value):
    """Element by element, a product of two operands, zero where one of ``zeros`` is, whatever the other."""

    zeros: tuple[int, ...] = ()


TOTAL: Final = "the sum of the operand along its axes"
MATRIX_PRODUCT: Final = "the product of the matrices of two stacks"


def signs_of(prim: Any) -> tuple[int, ...]:
    """With which sign each operand is a term of the result; () of what is no sum."""
    return prim.algebra.signs if prim.algebra.__class__ is Sum else ()


def zeros_of(prim: Any) -> tuple[int, ...]:
    """The factors of a product that make it zero whatever the other; () of others."""
    return prim.algebra.zeros if prim.algebra.__class__ is Product else ()
