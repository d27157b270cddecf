"""Arrays of active numbers made of numbers and of others."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types

from nbgrad.machine.numba_inside import as_dtype
from nbgrad.native.active import Active, Carrier, with_base
from nbgrad.native.arrays import maker, rank, unified
from nbgrad.native.memory import dtype_of
from nbgrad.native.replacing import (
    STAND_INS,
    absent,
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
def _diff(a: Any, n: Any = 1) -> Any:
    if isinstance(n, int | types.Omitted):
        return lambda a, n=1: a[..., 1:] - a[..., :-1]

    if rank(a) != 1:
        return None

    def impl(a: Any, n: Any = 1) -> Any:
        if n < 0:
            raise ValueError("diff(): order must be non-negative")
        out = a.copy()
        for taken in range(n):
            for k in range(out.size - 1 - taken):
                out[k] = out[k + 1] - out[k]
        return out[: max(0, out.size - n)]

    return impl


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
    if absent(a_min):
        return lambda a, a_min, a_max: np.minimum(a, a_max)
    if absent(a_max):
        return lambda a, a_min, a_max: np.maximum(a, a_min)
    return lambda a, a_min, a_max: np.minimum(np.maximum(a, a_min), a_max)


@replaces(np.interp)
def _interp(x: Any, xp: Any, fp: Any) -> Any:
    def one(x: Any, xp: Any, fp: Any) -> Any:
        n = len(xp)
        if value_of(x) <= value_of(xp[0]):
            return fp[0] * 1.0
        if value_of(x) >= value_of(xp[n - 1]):
            return fp[n - 1] * 1.0
        k = 0
        while value_of(xp[k + 1]) <= value_of(x):
            k += 1
        return fp[k] + (fp[k + 1] - fp[k]) / (xp[k + 1] - xp[k]) * (x - xp[k])

    if not rank(x):
        return one
    space: dict[str, Any] = {"__name__": __name__, "np": np, "one": compiled(one)}
    kind = maker(unified(x, xp, fp), space)
    exec(
        f"""
def impl(x, xp, fp):
    flat = x.ravel()
    out = np.empty(flat.size, {kind})
    for k in range(flat.size):
        out[k] = one(flat[k], xp, fp)
    return out.reshape(x.shape)
""",
        space,
    )
    return space["impl"]


def _sliding(parameter: str, mode: str, other: str, start: str) -> Any:
    """``np.convolve`` or ``np.correlate``: the sums where both overlap, and which of them *mode* takes."""

    def chosen(a: Any, v: Any) -> Any:
        if not isinstance(unified(a, v), Active):
            return None
        space: dict[str, Any] = {"__name__": __name__, "np": np}
        kind = maker(unified(a, v), space)
        exec(
            f"""
def impl(a, v, mode="{mode}"):
    n, m, w = len(a), len(v), {other}
    if n == 0 or m == 0:
        raise ValueError("{parameter}: an operand is empty")
    short = min(n, m)
    if mode == "full":
        low, count = 0, n + m - 1
    elif mode == "same":
        low, count = {start}, max(n, m)
    elif mode == "valid":
        low, count = short - 1, max(n, m) - short + 1
    else:
        raise ValueError("{parameter}: mode is none of full, same and valid")
    out = np.zeros(count, {kind})
    for k in range(count):
        for j in range(max(0, low + k - n + 1), min(m, low + k + 1)):
            out[k] += a[low + k - j] * w[j]
    return out
""",
            space,
        )
        return space["impl"]

    return chosen


_convolved = _sliding("convolve", "full", "v", "(short - 1) // 2")
_correlated = _sliding(
    "correlate",
    "valid",
    "v[::-1]",
    "(short - 1) // 2 if n >= m else short // 2",
)


@replaces(np.convolve)
def _convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    return _convolved(a, v)


@replaces(np.correlate)
def _correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    return _correlated(a, v)


@replaces(np.repeat)
def _repeat(a: Any, repeats: Any) -> Any:
    if not isinstance(repeats, types.Integer) or not rank(a):
        return None
    kind = dtype_of(element_of(a))

    def impl(a: Any, repeats: Any) -> Any:
        flat = a.ravel()
        out = np.empty(flat.size * repeats, kind())
        for k in range(out.size):
            out[k] = flat[k // repeats]
        return out

    return impl


def _triangle(kept: str) -> Any:
    space: dict[str, Any] = {"__name__": __name__, "np": np}
    exec(
        f"""
def impl(m, k=0):
    out = np.zeros_like(m)
    for i in range(m.shape[0]):
        for j in range(m.shape[1]):
            if j - i {kept} k:
                out[i, j] = m[i, j]
    return out
""",
        space,
    )
    return space["impl"]


@replaces(np.triu)
def _triu(m: Any, k: Any = 0) -> Any:
    return _triangle(">=") if rank(m) == 2 else None


@replaces(np.tril)
def _tril(m: Any, k: Any = 0) -> Any:
    return _triangle("<=") if rank(m) == 2 else None
