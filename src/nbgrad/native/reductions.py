"""Sums, products, extrema and orders of arrays of active numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from nbgrad.native.active import Active, ActiveComplex
from nbgrad.native.arrays import maker
from nbgrad.native.memory import dtype_of
from nbgrad.native.replacing import absent, compiled, element_of, replaces
from nbgrad.native.scalars import value_of


def magnitude(x: Any) -> Any:
    raise NotImplementedError


@overload(magnitude, strict=False)
def _magnitude(x: Any) -> Any:
    """The square of the distance of a number from 0."""
    if isinstance(x, ActiveComplex | types.Complex):
        return lambda x: x.real * x.real + x.imag * x.imag
    return lambda x: x * x


def values(x: Any) -> Any:
    raise NotImplementedError


@overload(values, strict=False)
def _values(x: Any) -> Any:
    """The floats of an array, as one."""
    held = element_of(x)
    space: dict[str, Any] = {"__name__": __name__, "np": np, "value_of": value_of}
    kind = maker(getattr(held, "base", held), space)
    text = f"""
def impl(x):
    out = np.empty(x.size, {kind})
    for k, v in enumerate(x.flat):
        out[k] = value_of(v)
    return out.reshape(x.shape)
"""
    return _executed(text, space, "impl")


def zero_of(x: Any) -> Any:
    raise NotImplementedError


@overload(zero_of, strict=False)
def _zero_of(x: Any) -> Any:
    """A constant 0 of the type of the elements."""
    kind = dtype_of(element_of(x))

    def impl(x: Any) -> Any:
        return np.zeros(1, kind())[0]

    return impl


def _along(kernel: str, result: str = "") -> Any:
    """A reduction over all elements, or along an axis, from the text of what it does to a row ``v``."""

    def chosen(a: Any, axis: Any = None) -> Any:
        space: dict[str, Any] = {
            "__name__": __name__,
            "np": np,
            "zero_of": zero_of,
            "value_of": value_of,
            "magnitude": magnitude,
        }
        row = compiled(_executed(f"def row(v):\n{kernel}", space, "row"))
        space["row"] = row
        if not isinstance(a, types.Array):
            return _executed("def impl(a, axis=None): return row(np.array(a))", space, "impl")
        if absent(axis):
            flat = "a" if a.ndim == 1 else "a.ravel()"
            return _executed(f"def impl(a, axis=None): return row({flat})", space, "impl")
        if a.ndim == 1:
            return _executed("def impl(a, axis=None): return row(a)", space, "impl")
        if "magnitude" in kernel and isinstance(a.dtype, ActiveComplex):
            return None
        dtype = "np.intp" if result else maker(a.dtype, space)
        lines = ["def impl(a, axis=None):", f"    k = axis + {a.ndim} if axis < 0 else axis"]
        n = a.ndim
        lines.append(f"    if k < 0 or k >= {n}: raise ValueError('axis is out of bounds')")
        for k in range(n):
            rest = [d for d in range(n) if d != k]
            shape = "".join(f"a.shape[{d}], " for d in rest)
            lines.append(f"    {'if' if k == 0 else 'elif'} k == {k}:")
            lines.append(f"        out = np.empty(({shape}), {dtype})")
            indent = "        "
            for d in rest:
                lines.append(f"{indent}for i{d} in range(a.shape[{d}]):")
                indent += "    "
            at = ", ".join(":" if d == k else f"i{d}" for d in range(n))
            place = ", ".join(f"i{d}" for d in rest)
            lines.append(f"{indent}out[{place}] = row(a[{at}])")
        lines.append("    return out")
        return _executed("\n".join(lines), space, "impl")

    return chosen


def _executed(text: str, space: dict[str, Any], name: str) -> Any:
    exec(text, space)
    return space[name]


SUM = """
    s = zero_of(v)
    for x in v:
        s = s + x
    return s
"""
MEAN = """
    s = zero_of(v)
    for x in v:
        s = s + x
    return s / len(v)
"""
PROD = """
    p = zero_of(v) + 1.0
    for x in v:
        p = p * x
    return p
"""
VAR = """
    m = zero_of(v)
    for x in v:
        m = m + x
    m = m / len(v)
    s = magnitude(zero_of(v))
    for x in v:
        s = s + magnitude(x - m)
    return s / len(v)
"""
STD = VAR.replace("return s / len(v)", "return np.sqrt(s / len(v))")
# The first of equal ones; a NaN, if there is one.
EXTREMUM = """
    if len(v) == 0:
        raise ValueError("zero-size array to reduction operation not possible")
    best = v[0]
    for x in v:
        if value_of(best) != value_of(best):
            return best
        if value_of(x) {op} value_of(best) or value_of(x) != value_of(x):
            best = x
    return best
"""
ARG = """
    if len(v) == 0:
        raise ValueError("attempt to get arg of an empty sequence")
    best = 0
    for k in range(len(v)):
        if value_of(v[best]) != value_of(v[best]):
            return best
        if value_of(v[k]) {op} value_of(v[best]) or value_of(v[k]) != value_of(v[k]):
            best = k
    return best
"""
_ALONG: list[tuple[Any, str, str, str]] = [
    (np.sum, "sum", SUM, ""),
    (np.mean, "mean", MEAN, ""),
    (np.prod, "prod", PROD, ""),
    (np.var, "var", VAR, ""),
    (np.std, "std", STD, ""),
    (np.max, "max", EXTREMUM.format(op=">"), ""),
    (np.min, "min", EXTREMUM.format(op="<"), ""),
    (np.argmax, "argmax", ARG.format(op=">"), "index"),
    (np.argmin, "argmin", ARG.format(op="<"), "index"),
]
for _plain, _method, _text, _result in _ALONG:
    replaces(_plain, _method)(_along(_text, _result))


@replaces(np.cumsum, "cumsum")
def _cumsum(a: Any) -> Any:
    def impl(a: Any) -> Any:
        out = a.copy().ravel()
        for k in range(1, out.size):
            out[k] = out[k - 1] + out[k]
        return out

    return impl


@replaces(np.cumprod, "cumprod")
def _cumprod(a: Any) -> Any:
    def impl(a: Any) -> Any:
        out = a.copy().ravel()
        for k in range(1, out.size):
            out[k] = out[k - 1] * out[k]
        return out

    return impl


@replaces(np.argsort, "argsort")
def _argsort(a: Any) -> Any:
    return lambda a: np.argsort(values(a), kind="mergesort")


def _sorted_in_place(a: Any) -> None:
    """``a.sort()``, which is no function of NumPy's."""


@replaces(np.sort)
def _sort(a: Any) -> Any:
    def impl(a: Any) -> Any:
        out = a.copy()
        order = np.argsort(values(a), kind="mergesort")
        for k in range(order.size):
            out[k] = a[order[k]]
        return out

    return impl


@replaces(_sorted_in_place, "sort")
def _sort_in_place(a: Any) -> Any:
    def impl(a: Any) -> None:
        before = a.copy()
        order = np.argsort(values(a), kind="mergesort")
        for k in range(order.size):
            a[k] = before[order[k]]

    return impl


@replaces(np.median)
def _median(a: Any) -> Any:
    def impl(a: Any) -> Any:
        flat = a.ravel()
        order = np.argsort(values(flat), kind="mergesort")
        n = order.size
        if n % 2:
            return flat[order[n // 2]] * 1.0
        return (flat[order[n // 2 - 1]] + flat[order[n // 2]]) / 2.0

    return impl


def _summed(a: Any) -> Any:
    """The sum of the elements that are not NaN, and how many there are."""
    found, count = zero_of(a), 0
    for v in a.flat:
        if not np.isnan(v):
            found += v
            count += 1
    return found, count


_of_numbers = compiled(_summed)


@replaces(np.nansum)
def _nansum(a: Any) -> Any:
    return lambda a: _of_numbers(a)[0]


@replaces(np.nanmean)
def _nanmean(a: Any) -> Any:
    def impl(a: Any) -> Any:
        found, count = _of_numbers(a)
        return found * np.divide(1.0, count)

    return impl


@replaces(np.searchsorted)
def _searchsorted(a: Any, v: Any, side: Any = "left") -> Any:
    left = absent(side) or getattr(side, "literal_value", getattr(side, "value", "left")) == "left"
    word: Any = "left" if left else "right"
    array_a = isinstance(a, types.Array) and isinstance(a.dtype, Active)
    if isinstance(v, types.Array):
        if isinstance(v.dtype, Active):
            if array_a:
                return lambda a, v, side="left": np.searchsorted(values(a), values(v), word)
            return lambda a, v, side="left": np.searchsorted(a, values(v), word)
        return lambda a, v, side="left": np.searchsorted(values(a), v, word)
    if array_a:
        return lambda a, v, side="left": np.searchsorted(values(a), value_of(v), word)
    return lambda a, v, side="left": np.searchsorted(a, value_of(v), word)


@replaces(np.unique)
def _unique(ar: Any) -> Any:
    def impl(ar: Any) -> Any:
        flat = ar.ravel()
        order = np.argsort(values(flat), kind="mergesort")
        out = np.empty_like(flat)
        n = 0
        for k in range(order.size):
            x = flat[order[k]]
            if n == 0 or value_of(x) != value_of(out[n - 1]):
                out[n] = x
                n += 1
        return out[:n].copy()

    return impl


@replaces(np.percentile)
def _percentile(a: Any, q: Any) -> Any:
    return _quantile_of("q / 100.0")


@replaces(np.quantile)
def _quantile(a: Any, q: Any) -> Any:
    return _quantile_of("q")


def _quantile_of(text: str) -> Any:
    source = f"""
def impl(a, q):
    flat = a.ravel()
    order = np.argsort(values(flat), kind="mergesort")
    at = ({text}) * (order.size - 1)
    k = min(int(np.floor(at)), order.size - 1)
    after = min(k + 1, order.size - 1)
    low, high = flat[order[k]], flat[order[after]]
    return low + (high - low) * (at - k)
"""
    return _executed(source, {"np": np, "values": values}, "impl")


@replaces(np.any, "any")
def _any(a: Any) -> Any:
    return lambda a: np.any(values(a))


@replaces(np.all, "all")
def _all(a: Any) -> Any:
    return lambda a: np.all(values(a))


@replaces(np.nonzero, "nonzero")
def _nonzero(a: Any) -> Any:
    return lambda a: np.nonzero(values(a))


@replaces(np.count_nonzero)
def _count_nonzero(a: Any) -> Any:
    return lambda a: np.count_nonzero(values(a))


@replaces(np.ptp)
def _ptp(a: Any) -> Any:
    return lambda a: largest(a) - smallest(a)


largest = compiled(
    _executed(
        "def largest(a):\n    v = a.ravel()" + EXTREMUM.format(op=">"),
        {"value_of": value_of},
        "largest",
    )
)
smallest = compiled(
    _executed(
        "def smallest(a):\n    v = a.ravel()" + EXTREMUM.format(op="<"),
        {"value_of": value_of},
        "smallest",
    )
)
