"""What looks at values alone: comparisons within a tolerance, rounding to decimals, and the type that a number has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from nbgrad.native.active import Active, ActiveComplex
from nbgrad.native.reductions import values
from nbgrad.native.replacing import replaces
from nbgrad.native.scalars import value_of


def plain(x: Any) -> Any:
    raise NotImplementedError


@overload(plain, strict=False)
def _plain(x: Any) -> Any:
    """The numbers that active ones stand for, or what *x* is."""
    return (lambda x: values(x)) if isinstance(x, types.Array) else lambda x: value_of(x)


@replaces(np.isclose)
def _isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: Any = False) -> Any:
    def impl(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: Any = False) -> Any:
        return np.isclose(plain(a), plain(b), plain(rtol), plain(atol), equal_nan)

    return impl


@replaces(np.allclose)
def _allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: Any = False) -> Any:
    def impl(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: Any = False) -> Any:
        return np.allclose(plain(a), plain(b), plain(rtol), plain(atol), equal_nan)

    return impl


@replaces(np.array_equal)
def _array_equal(a1: Any, a2: Any) -> Any:
    return lambda a1, a2: np.array_equal(plain(a1), plain(a2))


def _rounded(function: Any) -> None:
    @replaces(function)
    def _round(a: Any, decimals: Any = 0) -> Any:
        return lambda a, decimals=0: np.round(plain(a), decimals)


_rounded(np.round)
_rounded(np.around)


@overload(isinstance, strict=False)
def _isinstance(x: Any, kinds: Any) -> Any:
    """Whether an active number is what it stands for."""
    if not isinstance(x, Active | ActiveComplex):
        return None
    given = kinds.types if isinstance(kinds, types.BaseTuple) else [kinds]
    found = any(_is_of(x.base, kind) for kind in given)
    return lambda x, kinds: found


def _is_of(base: Any, kind: Any) -> bool:
    """Whether a class, as the type of a name, is that of numbers of the type *base*."""
    if isinstance(kind, types.NumberClass):
        return bool(kind.instance_type == base)
    double = base in (types.float64, types.complex128)
    made = complex if isinstance(base, types.Complex) else float
    return double and getattr(kind, "typing_key", None) is made
