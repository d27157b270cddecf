"""Operands and settings as users never write them, and what one call makes of two of them."""

from __future__ import annotations

import array
import enum
import operator
import random
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

Random = random.Random
KNOWN = (TypeError, ValueError, IndexError, OverflowError, NotImplementedError, RuntimeError)
KNOWN += (ZeroDivisionError, AttributeError)
DTYPES = ["?", "i1", "u1", "i2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"]
SHAPES = [(), (1,), (3,), (0,), (2, 3), (1, 3), (2, 1), (0, 3), (1, 1, 3), (2, 2, 3)]
VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, np.nan, np.inf, -np.inf, 1e-310, 1e30, -7.25, 100.0]


class Whole(int):
    """An integer of a class of its own."""


class Colour(enum.IntEnum):
    RED = 2


class Named(np.ndarray):
    """An array that only has another class."""


def values(rng: Random, shape: Any = None, dtype: Any = None) -> Any:
    """An array of odd values, shape and dtype."""
    shape = rng.choice(SHAPES) if shape is None else shape
    kind = np.dtype(rng.choice(DTYPES) if dtype is None else dtype)
    flat = np.array([rng.choice(VALUES) for _ in range(int(np.prod(shape)))])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind.kind in "biu":
            flat = np.nan_to_num(flat, nan=1.0, posinf=5.0, neginf=0.0).clip(0, 100)
        out = flat.reshape(shape).astype(kind)
        return out + kind.type(0.5j) * out[::-1] if kind.kind == "c" and shape else out


def odd_array(rng: Random) -> Any:
    """The same in an odd layout, of an odd class, or with odd flags."""
    a = values(rng)
    way = rng.randrange(9)
    if way == 0:
        return np.asfortranarray(a)
    if way == 1:
        return a.astype(a.dtype.newbyteorder())
    if way == 2:
        a.flags.writeable = False
    if way == 3:
        raw = np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:]
        return raw.view(a.dtype).reshape(a.shape) if a.size else a
    if way == 4 and a.ndim:
        return a[::-1]
    if way == 5 and a.ndim:
        return np.broadcast_to(a[:1], a.shape)
    if way == 6:
        return a.view(Named)
    if way == 7:
        return a.T
    return a


NUMBERS: list[Callable[[Random], Any]] = [
    lambda r: r.choice([0, 1, -1, 2, 3, 127, 128, 255, -129, 2**31, 2**62]),
    lambda r: r.choice(VALUES),
    lambda r: r.choice([True, False]),
    lambda r: r.choice([1j, complex(2, -0.0), complex(np.nan, 1)]),
    lambda r: values(r, ())[()],
    lambda r: Whole(3),
    lambda r: Colour.RED,
]
SEQUENCES: list[Callable[[Random], Any]] = [
    lambda r: [1.0, 2.0, 3.0],
    lambda r: (1, 2, 3),
    lambda r: [[1, 2, 3]],
    lambda r: [np.float32(1), 2.0, True],
    lambda r: range(3),
    lambda r: array.array("d", [1.0, 2.0, 3.0]),
    lambda r: memoryview(np.arange(3.0)),
    lambda r: deque([1.0, 2.0, 3.0]),
    lambda r: [],
]
# What means more than numbers, or is none: refused, whatever NumPy makes of it.
REFUSED: list[Callable[[Random], Any]] = [
    lambda r: np.ma.array([1.0, 2.0, 3.0], mask=[0, 0, 1]),
    lambda r: np.zeros(3, "M8[s]"),
    lambda r: np.zeros(3, [("a", float)]),
    lambda r: np.array([1, None, 2.0], object),
    lambda r: np.array(["a", "b", "c"]),
    lambda r: [1.0, [2.0, 3.0]],
    lambda r: "abc",
    lambda r: None,
    lambda r: {},
    lambda r: object(),
    lambda r: 2**70,
]


def operand(rng: Random) -> tuple[Any, str]:
    """An operand, and whether it is an array, a number, a sequence or to be refused."""
    draw = rng.random()
    if draw < 0.45:
        return odd_array(rng), "array"
    if draw < 0.7:
        return rng.choice(NUMBERS)(rng), "number"
    if draw < 0.87:
        return rng.choice(SEQUENCES)(rng), "sequence"
    return rng.choice(REFUSED)(rng), "refused"


OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lt", "eq", "ge"]
UFUNCS = ["add", "subtract", "multiply", "divide", "power", "maximum", "fmin", "hypot", "less"]
UFUNCS += ["logical_and", "arctan2", "copysign", "not_equal", "logaddexp"]
AXES = [None, 0, -1, 1, (0,), (0, 1), (0, -1), (), 5, 0.5, "x", np.int64(0), True, [0], (0, 0)]
REDUCTIONS = ["sum", "prod", "max", "min", "mean", "any", "all", "argmax", "std", "cumsum"]
INDICES = [0, -1, 5, slice(None), slice(None, None, -1), slice(5, 1), None, Ellipsis, True, False]
INDICES += [[0, 1], [], np.array([True, False, True]), np.int8(1), (0, 1), (Ellipsis, 0), 1.5, "a"]
INDICES += [range(2), (None, 0), [[0]], np.array(0), (slice(None), [0]), slice(0, 2.5), 2**70]


def call(rng: Random) -> tuple[str, str, Callable[[Any, Any], Any], Any]:
    """A call of two operands: its text, the kind of the second, the call and the second."""
    draw = rng.random()
    if draw < 0.35:
        name = rng.choice(OPERATORS)
        f = getattr(operator, name)
        other, kind = operand(rng)
        if rng.random() < 0.4:
            return f"y {name} x", kind, lambda x, y: f(y, x), other
        return f"x {name} y", kind, f, other
    if draw < 0.6:
        name = rng.choice(UFUNCS)
        ufunc = getattr(np, name)
        other, kind = operand(rng)
        if rng.random() < 0.4:
            return f"np.{name}(y, x)", kind, lambda x, y: ufunc(y, x), other
        return f"np.{name}(x, y)", kind, ufunc, other
    if draw < 0.8:
        name, axis, keep = rng.choice(REDUCTIONS), rng.choice(AXES), rng.choice([True, False])
        given = {"axis": axis} | ({"keepdims": True} if keep and name != "cumsum" else {})
        reduce = getattr(np, name)
        return f"np.{name}(x, **{given})", "setting", lambda x, y: reduce(x, **given), None
    index = rng.choice(INDICES)
    return f"x[{index!r}]", "setting", lambda x, y: x[index], None
