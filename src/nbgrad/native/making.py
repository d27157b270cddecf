"""Arrays of active numbers made of numbers and of others."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types

from nbgrad.machine.numba_inside import as_dtype
from nbgrad.native.active import Carrier, with_base
from nbgrad.native.arrays import maker, rank, unified
from nbgrad.native.replacing import (
    STAND_INS,
    compiled,
    element_of,
    held_by,
    no_dtype,
    replaces,
)
from nbgrad.native.scalars import value_of


def _as_type(a: Any, dtype: Any) -> None:
    """``a.astype(dtype)``, which is no function of NumPy's."""


@replaces(_as_type, "astype")
def _astype(a: Any, dtype: Any) -> Any:
    held = held_by(dtype)
    space: dict[str, Any] = {"__name__": __name__, "np": np}
    if isinstance(held, types.Float | types.Complex):
        kind, value = maker(with_base(element_of(a), held), space), "v"
    elif isinstance(held, types.Integer | types.Boolean):
        kind, value, space["value_of"] = maker(held, space), "value_of(v)", value_of
    else:
        return None
    text = f"""
def impl(a, dtype):
    flat = a.ravel()
    out = np.empty(flat.size, {kind})
    for k in range(flat.size):
        v = flat[k]
        out[k] = {value}
    return out.reshape(a.shape)
"""
    exec(text, space)
    return space["impl"]


def _of_dtype(made: Any, params: str, dtype: Any, ty: Any) -> Any:
    """What makes arrays of *ty*, of the dtype that is its last parameter if that is given."""
    held = held_by(dtype)
    if no_dtype(dtype) or held == getattr(ty, "base", ty):
        return made
    if held is None:
        return None
    space = {"__name__": __name__, "made": compiled(made), "cast": STAND_INS[_as_type]}
    space["kind"] = as_dtype(held).type
    args = params.removesuffix(", dtype=None")
    exec(f"def impl({params}): return cast(made({args}), kind)", space)
    return space["impl"]


@replaces(np.asarray)
def _asarray(a: Any) -> Any:
    return (lambda a: a) if isinstance(a, types.Array) else _array(a)


@replaces(np.ascontiguousarray)
def _ascontiguousarray(a: Any) -> Any:
    same = isinstance(a, types.Array) and a.layout == "C" and a.ndim
    return (lambda a: a) if same else (lambda a: a.copy())


ARRAY: Final = "object, dtype=None"
FULL: Final = "shape, fill_value, dtype=None"


@replaces(np.array)
def _array(object: Any, dtype: Any = None) -> Any:
    """Of a sequence of numbers, or of such."""
    space: dict[str, Any] = {"__name__": __name__, "np": np}
    ty = element_of_all(object)
    kind = maker(ty, space)
    if isinstance(object, types.Array):
        return _of_dtype(lambda object, dtype=None: object.copy(), ARRAY, dtype, ty)
    inner = object.types[0] if isinstance(object, types.BaseTuple) else object.dtype
    if isinstance(inner, Carrier | types.Number | types.Boolean):
        fill = _filling(object, "out[{k}]", "object")
        shape = "(len(object),)"
    elif isinstance(inner, types.Array) and inner.ndim == 1:
        fill = _filling(object, "out[{k}, :]", "object")
        shape = "(len(object), len(object[0]))"
    else:
        shape = "(len(object), len(object[0]))"
        if isinstance(object, types.BaseTuple):
            rows = [
                _filling(x, f"out[{r}, {{k}}]", f"object[{r}]") for r, x in enumerate(object.types)
            ]
            fill = "".join(rows)
        else:
            fill = (
                "    for i in range(len(object)):\n        for j in range(len(object[i])):\n"
                "            out[i, j] = object[i][j]\n"
            )
    exec(f"def impl({ARRAY}):\n    out = np.empty({shape}, {kind})\n{fill}    return out", space)
    return _of_dtype(space["impl"], ARRAY, dtype, ty)


def element_of_all(x: Any) -> Any:
    return unified(*_leaves(x))


def _leaves(x: Any) -> Any:
    if isinstance(x, types.BaseTuple):
        return [leaf for item in x.types for leaf in _leaves(item)]
    return _leaves(x.dtype) if hasattr(x, "dtype") and not isinstance(x, Carrier) else [x]


def _filling(x: Any, place: str, name: str) -> str:
    if isinstance(x, types.BaseTuple):
        return "".join(f"    {place.format(k=k)} = {name}[{k}]\n" for k in range(len(x.types)))
    return f"    for k in range(len({name})):\n        {place.format(k='k')} = {name}[k]\n"


@replaces(np.full)
def _full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    space: dict[str, Any] = {"__name__": __name__, "np": np}
    ty = element_of(fill_value)
    kind = maker(ty, space)
    exec(
        f"""
def impl({FULL}):
    out = np.empty(shape, {kind})
    out[...] = fill_value
    return out
""",
        space,
    )
    return _of_dtype(space["impl"], FULL, dtype, ty)


@replaces(np.full_like)
def _full_like(a: Any, fill_value: Any) -> Any:
    space: dict[str, Any] = {"__name__": __name__, "np": np}
    held = element_of(a)
    if isinstance(held, types.Integer | types.Boolean):
        return lambda a, fill_value: np.full_like(a, value_of(fill_value))
    kind = maker(with_base(unified(a, fill_value), getattr(held, "base", held)), space)
    exec(
        f"def impl(a, fill_value):\n    out = np.empty(a.shape, {kind})\n    out[...] = fill_value\n    return out",
        space,
    )
    return space["impl"]


@replaces(np.ones_like)
def _ones_like(a: Any) -> Any:
    def impl(a: Any) -> Any:
        out = np.empty_like(a)
        out[...] = 1.0
        return out

    return impl


@replaces(np.linspace)
def _linspace(start: Any, stop: Any, num: Any = 50) -> Any:
    space: dict[str, Any] = {"__name__": __name__, "np": np}
    kind = maker(unified(start, stop), space)
    exec(
        f"""
def impl(start, stop, num=50):
    out = np.empty(num, {kind})
    for k in range(num):
        out[k] = start + (stop - start) * k / max(num - 1, 1)
    return out
""",
        space,
    )
    return space["impl"]


@replaces(np.diff)
def _diff(a: Any) -> Any:
    return lambda a: a[..., 1:] - a[..., :-1]


@replaces(np.roll)
def _roll(a: Any, shift: Any) -> Any:
    def impl(a: Any, shift: Any) -> Any:
        flat = a.ravel()
        out = np.empty_like(flat)
        for k in range(flat.size):
            out[(k + shift) % flat.size] = flat[k]
        return out.reshape(a.shape)

    return impl


@replaces(np.clip)
def _clip(a: Any, a_min: Any, a_max: Any) -> Any:
    return lambda a, a_min, a_max: np.minimum(np.maximum(a, a_min), a_max)


@replaces(np.interp)
def _interp(x: Any, xp: Any, fp: Any) -> Any:
    if rank(x):
        return None

    def impl(x: Any, xp: Any, fp: Any) -> Any:
        n = len(xp)
        if value_of(x) <= value_of(xp[0]):
            return fp[0]
        if value_of(x) >= value_of(xp[n - 1]):
            return fp[n - 1]
        k = 0
        while value_of(xp[k + 1]) <= value_of(x):
            k += 1
        return fp[k] + (fp[k + 1] - fp[k]) / (xp[k + 1] - xp[k]) * (x - xp[k])

    return impl
