"""Calls: functions of scalars by their primitives, arrays that are made, other compiled functions read in place."""

from __future__ import annotations

import builtins
import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.registry import by_reference, primitives
from nbgrad.structured.ir import Const, Refused, Val
from nbgrad.structured.rules import DTYPES
from nbgrad.structured.sources import source_of
from nbgrad.structured.spread import folded, make, mapped, product
from nbgrad.structured.views import View, counted, size_of, store, subscripted

# Functions of ``math`` that Numba computes by the same call as NumPy's, and their primitives.
MATH = {
    "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "asinh": "arcsinh", "acosh": "arccosh",
    "atanh": "arctanh", "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p",
    "log10": "log10", "log2": "log2", "sqrt": "sqrt", "fabs": "absolute", "atan2": "arctan2", "hypot": "hypot",
    "pow": "power", "copysign": "copysign", "fmod": "fmod", "erf": "erf", "erfc": "erfc",
    "lgamma": "gammaln", "gamma": "gamma",
}  # fmt: skip
BY_PRIM = {prim: name for name, prim in MATH.items()} | {"absolute": ""}
TEXTS = {"absolute": "abs({0})", "square": "{0} * {0}"}
WHOLE = {"floor": "floor", "ceil": "ceil", "trunc": "trunc"}


class Method:
    """A method of an array."""

    def __init__(self, view: View, name: str) -> None:
        self.view = view
        self.name = name


class Named(tuple[Any, ...]):
    """A named tuple: its ``names``, and the class that makes one."""

    names: tuple[str, ...] = ()
    made: Any = None


def named(made: Any, values: Sequence[Any]) -> Named:
    found = Named(values)
    found.names, found.made = tuple(made._fields), made
    return found


def span(ends: Sequence[Val], zero: Val, one: Val) -> tuple[Val, Val, Val]:
    """Start, stop and step of ``range``."""
    if len(ends) == 1:
        return zero, ends[0], one
    return ends[0], ends[1], ends[2] if len(ends) > 2 else one


def call(reader: Any, function: Any, args: list[Any], keywords: dict[str, Any]) -> Any:
    """What a call returns."""
    if isinstance(function, Method):
        return _method(reader, function, args, keywords)
    made = MAKERS.get(function) if _hashable(function) else None
    if made is not None:
        return made(reader, *args, **keywords)
    if getattr(function, "__nbgrad_njit__", False):
        function = function.dispatcher
    python = getattr(function, "py_func", None)
    if python is not None:
        return inlined(reader, function, args, keywords)
    if isinstance(function, type) and issubclass(function, tuple) and hasattr(function, "_fields"):
        bound = inspect.signature(function).bind(*args, **keywords)
        return named(function, bound.args)
    if args and not keywords and any(isinstance(a, View) for a in args):
        if not isinstance(function, np.ufunc) and function is not abs:
            raise Refused(f"the call of {_name(function)} with an array")
        one = functools.partial(_each, reader, function)
        return mapped(reader.build, one, args)
    if keywords or not all(isinstance(a, Val) for a in args):
        raise Refused(f"the call of {_name(function)}")
    return _scalar(reader, function, args)


def _each(reader: Any, function: Any, *args: Any) -> Any:
    return _scalar(reader, function, list(args))


def _hashable(x: Any) -> bool:
    return getattr(x.__class__, "__hash__", None) is not None


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _scalar(reader: Any, function: Any, args: list[Any]) -> Any:
    """A function of scalars."""
    build = reader.build
    name = _name(function)
    if function in (max, min):
        if len(args) < 2:
            raise Refused(f"{name} of one operand")
        return build.extremum(name, args)
    if function is abs or function is builtins.abs:
        (x,) = args
        return (
            build.of("absolute", x, text="abs({0})")
            if x.floating
            else build.plain("abs({0})", "i8", x)
        )
    if function is pow:
        return build.power(*args)
    if getattr(math, name, None) is function and name in WHOLE and len(args) == 1:
        if not args[0].floating:
            return args[0]
        return build.plain(f"i8(math.{name}({{0}}))", "i8", args[0])
    if getattr(math, name, None) is function and name in ("isnan", "isinf", "isfinite"):
        return build.plain(f"math.{name}({{0}})", "b1", build.cast(args[0], "f8"))
    return _primitive(reader, function, name, args)


def _primitive(reader: Any, function: Any, name: str, args: list[Any]) -> Any:
    build = reader.build
    prim = None
    if getattr(math, name, None) is function:
        prim = MATH.get(name)
        if prim is None:
            raise Refused(f"math.{name}")
        if prim not in primitives:
            load_vocabulary()
        args = [build.cast(a, "f8") if not a.floating else a for a in args]
        code = build.common(args)
        args = [build.cast(a, code) for a in args]
    found: Any = primitives.get(prim) if prim else by_reference.get(function)
    if found is None or getattr(found, "kind", "") != "elementwise" or not callable(function):
        raise Refused(f"the call of {name}")
    if not any(a.floating for a in args):
        args = [build.cast(a, "f8") for a in args]
    text = TEXTS.get(found.name, "")
    mine = BY_PRIM.get(found.name)
    if mine:
        text = f"math.{mine}({', '.join(f'{{{k}}}' for k in range(len(args)))})"
        if mine == "pow":
            text = "{0} ** {1}"
    if "i8" in [a.code for a in args] or "b1" in [a.code for a in args]:
        code = build.common(args)
        args = [build.cast(a, code) for a in args]
    return build.of(found, *args, text=text)


# ------------------------------------------------------------------------------------------- casts


def _float(reader: Any, x: Any = None) -> Any:
    return reader.build.cast(_one(x), "f8")


def _single(reader: Any, x: Any) -> Any:
    return reader.build.cast(_one(x), "f4")


def _int(reader: Any, x: Any) -> Any:
    return reader.build.cast(_one(x), "i8")


def _bool(reader: Any, x: Any) -> Any:
    return reader.build.truth(_one(x))


def _one(x: Any) -> Val:
    if not isinstance(x, Val):
        raise Refused("a number made of what is no scalar")
    return x


def _len(reader: Any, x: Any) -> Any:
    if isinstance(x, View) and x.ndim:
        return x.shape[0]
    if isinstance(x, tuple):
        return reader.build.integer(len(x))
    raise Refused("len of what is no array")


# ------------------------------------------------------------------------------------------- arrays


def code_of(dtype: Any) -> str:
    """The type code of what was given as a dtype."""
    if dtype is float:
        return "f8"
    try:
        found = np.dtype(getattr(dtype, "name", dtype))
    except TypeError:
        raise Refused("a dtype that is not known") from None
    for code, known in DTYPES.items():
        if known == found and code in ("f8", "f4", "i8", "b1"):
            return code
    raise Refused(f"arrays of {found}")


def _shape(reader: Any, shape: Any) -> tuple[Val, ...]:
    found = shape if isinstance(shape, tuple) else (shape,)
    if not all(isinstance(v, Val) and v.code == "i8" for v in found):
        raise Refused("a shape that is no tuple of integers")
    return found


def _filled(value: float | None) -> Callable[..., View]:
    def new(reader: Any, shape: Any, dtype: Any = np.float64) -> View:
        code = code_of(dtype)
        blank = None
        if value is not None:
            blank = (
                reader.build.cast(reader.build.const(value, "f8"), code)
                if code != "b1"
                else (reader.build.const(bool(value), "b1"))
            )
            if code == "i8":
                blank = reader.build.integer(int(value))
        return make(reader.build, _shape(reader, shape), code, blank)

    return new


def _alike(value: float | None) -> Callable[..., View]:
    new = _filled(value)

    def like(reader: Any, x: Any, dtype: Any = None) -> View:
        if not isinstance(x, View):
            raise Refused("an array like what is no array")
        return new(reader, x.shape, DTYPES[x.code] if dtype is None else dtype)

    return like


def _full(reader: Any, shape: Any, fill_value: Any, dtype: Any = None) -> View:
    code = _one(fill_value).code if dtype is None else code_of(dtype)
    return make(reader.build, _shape(reader, shape), code, reader.build.cast(fill_value, code))


def copied(reader: Any, x: Any) -> View:
    if not isinstance(x, View) or not x.ndim:
        raise Refused("a copy of what is no array")
    view = make(reader.build, x.shape, x.code, None)
    reader.fill(view, x)
    return view


def _floats(x: Any) -> View:
    if not isinstance(x, View) or not x.ndim or x.code not in ("f8", "f4"):
        raise Refused("a reduction of what is no array of floats")
    return x


def _total(reader: Any, x: Any) -> Any:
    """The sum of an array, one element after the other, as Numba adds them."""
    build, view = reader.build, _floats(x)
    add = functools.partial(build.arithmetic, "Add")
    return folded(build, view, build.const(0.0, view.code), add)


def _mean(reader: Any, x: Any) -> Any:
    build, view = reader.build, _floats(x)
    size = build.cast(size_of(build, view.shape), "f8")
    return build.of("divide", build.cast(_total(reader, x), "f8"), size, text="{0} / {1}")


def _product(reader: Any, x: Any, y: Any) -> Any:
    if not isinstance(x, View) or not isinstance(y, View):
        raise Refused("a product of what are no arrays")
    return product(reader.build, x, y)


def _where(reader: Any, cond: Any, x: Any, y: Any) -> Any:
    build = reader.build

    def pick(c: Val, a: Val, b: Val) -> Any:
        code = build.common((a, b))
        a, b, c = build.cast(a, code), build.cast(b, code), build.truth(c)
        if code in ("f8", "f4"):
            return build.of("where", c, a, b, text="select({0}, {1}, {2})")
        return build.plain("select({0}, {1}, {2})", code, c, a, b)

    if not any(isinstance(v, View) for v in (cond, x, y)):
        raise Refused("np.where of numbers")
    return mapped(build, pick, (cond, x, y))


def _arange(reader: Any, *ends: Any) -> Any:
    build = reader.build
    if len(ends) != 1 or not isinstance(ends[0], Val) or ends[0].code != "i8":
        raise Refused("np.arange but of one integer")
    view = make(build, ends, "i8", None)
    counted(build, ends[0], lambda i: store(build, subscripted(build, view, (i,), False), i))
    return view


def _method(reader: Any, method: Method, args: list[Any], keywords: dict[str, Any]) -> Any:
    view, name = method.view, method.name
    if name == "copy" and not args and not keywords:
        return copied(reader, view)
    if name in ("sum", "mean") and not args and not keywords:
        return (_total if name == "sum" else _mean)(reader, view)
    if name == "dot" and len(args) == 1 and not keywords:
        return _product(reader, view, args[0])
    if name == "fill" and len(args) == 1 and not keywords:
        return reader.fill(view, args[0])
    raise Refused(f"the method {name} of an array")


def _round_even(reader: Any, x: Any) -> Any:
    raise Refused("round")


MAKERS: dict[Any, Callable[..., Any]] = {
    float: _float, np.float64: _float, np.float32: _single, int: _int, np.int64: _int, bool: _bool,
    len: _len, np.zeros: _filled(0.0), np.ones: _filled(1.0), np.empty: _filled(None),
    np.zeros_like: _alike(0.0), np.ones_like: _alike(1.0), np.empty_like: _alike(None),
    np.full: _full, np.copy: copied, np.sum: _total, np.mean: _mean, np.dot: _product,
    np.where: _where, np.arange: _arange, round: _round_even,
}  # fmt: skip


# ------------------------------------------------------------------------------- functions in place


def names_of(function: Any) -> dict[str, Any]:
    """What a function sees from outside."""
    names = dict(function.__globals__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        names[name] = cell.cell_contents
    return names


def inlined(reader: Any, dispatcher: Any, args: list[Any], keywords: dict[str, Any]) -> Any:
    """The body of another compiled function, in the place of its call."""
    function = dispatcher.py_func
    if function in reader.stack:
        raise Refused(f"recursion: {function.__name__}")
    if not dispatcher._can_compile or dispatcher.locals:  # they may convert
        raise Refused(f"signatures, or types of locals, that {function.__name__} was given")
    tree, _ = source_of(function)
    try:
        bound = inspect.signature(function).bind(*args, **keywords)
    except TypeError as error:
        raise Refused(str(error)) from None
    inner = reader.__class__(
        reader.build, names_of(function), reader.checks, (*reader.stack, function)
    )
    for name, parameter in inspect.signature(function).parameters.items():
        if name in bound.arguments:
            inner.env[name] = bound.arguments[name]
        else:
            inner.env[name] = inner.outside(parameter.default)
    return inner.function(tree.body)


__all__ = ["Const", "Method", "Named", "call", "named", "names_of", "source_of", "span"]
