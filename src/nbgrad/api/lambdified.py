"""Functions that sympy has written: ``logical_and.reduce`` of a tuple of conditions.

NumPy asks the members of a tuple for arrays, and not tensors for the reduction, so such a function
cannot be traced as it stands. A copy that calls nbgrad's functions can.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

import numpy as np

from nbgrad.api.transformed import Transformed
from nbgrad.errors import ConcretizationError
from nbgrad.tensors.namespaces import find

Func = Callable[..., Any]
_GENERATED = "<lambdifygenerated"
MAX_DEPTH = 8  # of functions that call functions


def traceable(f: Func, args: Any, kwargs: Any) -> Any:
    """Call *f* with traced values; if it stumbles over a function of sympy's, a copy of it."""
    try:
        return f(*args, **kwargs)
    except ConcretizationError:
        other = translated(f)
        if other is f:
            raise
        return other(*args, **kwargs)


def translated(f: Any, depth: int = 0) -> Any:
    """*f* with the functions of sympy's that it reaches replaced; itself if there are none."""
    if isinstance(f, Transformed):
        make, inner, args, kwargs = f._made_by
        other = translated(inner, depth + 1)
        return f if other is inner else make(other, *args, **kwargs)
    if not isinstance(f, FunctionType) or depth > MAX_DEPTH:
        return f
    if f.__code__.co_filename.startswith(_GENERATED):
        return _copy(f, {**f.__globals__, **_ours(f.__globals__)}, f.__closure__)
    names = [n for n in f.__code__.co_names if n in f.__globals__]
    space = {n: translated(f.__globals__[n], depth + 1) for n in names}
    cells = [_contents(cell) for cell in f.__closure__ or ()]
    others = [translated(x, depth + 1) for x in cells]
    if all(space[n] is f.__globals__[n] for n in names) and all(
        a is b for a, b in zip(cells, others, strict=True)
    ):
        return f
    closure = tuple(
        cell if a is b else CellType(b)
        for cell, a, b in zip(f.__closure__ or (), cells, others, strict=True)
    )
    return _copy(f, {**f.__globals__, **space}, closure or None)


def _ours(space: dict[str, Any]) -> dict[str, Any]:
    """Nbgrad's functions for the ufuncs in *space*, under the same names."""
    own = {n: find("numpy", x.__name__) for n, x in space.items() if isinstance(x, np.ufunc)}
    return {n: x for n, x in own.items() if x is not None}


def _copy(f: FunctionType, space: dict[str, Any], closure: Any) -> FunctionType:
    other = FunctionType(f.__code__, space, f.__name__, f.__defaults__, closure)
    other.__kwdefaults__ = f.__kwdefaults__
    return other


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing in it yet
        return None
