"""Functions of numbers that Numba compiles, and the primitives that have their partials."""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any, Final

import numpy as np

from nbgrad.structured.calls import MATH

# Primitives whose function of NumPy's, of the same name, Numba compiles.
_SAME: Final = [
    "fmod",
    "square",
    "reciprocal",
    "sqrt",
    "cbrt",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "arctan2",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "hypot",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "logaddexp",
    "logaddexp2",
    "copysign",
]
# Those with operators, or of several names; under "" functions whose derivative is 0.
_OTHER: Final[dict[str, tuple[Any, ...]]] = {
    "add": (operator.add, operator.iadd, np.add),
    "subtract": (operator.sub, operator.isub, np.subtract),
    "multiply": (operator.mul, operator.imul, np.multiply),
    "divide": (operator.truediv, operator.itruediv, np.true_divide),
    "power": (operator.pow, operator.ipow, np.power, builtins.pow, np.float_power),
    "remainder": (operator.mod, operator.imod, np.remainder),
    "negative": (operator.neg, np.negative),
    "positive": (operator.pos, np.positive),
    "absolute": (builtins.abs, np.absolute, np.fabs),
    "degrees": (math.degrees, np.degrees, np.rad2deg),
    "radians": (math.radians, np.radians, np.deg2rad),
    "": (
        operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
        operator.floordiv, operator.ifloordiv, np.floor_divide,
        np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal,
        np.logical_and, np.logical_or, np.logical_xor, np.logical_not, operator.not_,
        math.floor, math.ceil, math.trunc, np.floor, np.ceil, np.trunc, np.rint, builtins.round,
        math.isnan, math.isinf, math.isfinite, np.isnan, np.isinf, np.isfinite, np.sign, np.signbit,
        builtins.int, builtins.bool, operator.truth,
    ),
}  # fmt: skip


def _by_primitive() -> dict[str, tuple[Any, ...]]:
    found = {name: [getattr(np, name)] for name in _SAME}
    found |= {name: list(known) for name, known in _OTHER.items()}
    for name, primitive in MATH.items():
        found.setdefault(primitive, []).append(getattr(math, name))
    return {name: tuple(known) for name, known in found.items()}


FUNCTIONS: Final = _by_primitive()
UFUNCS: Final = frozenset(
    f for known in FUNCTIONS.values() for f in known if isinstance(f, np.ufunc)
)
ARITY_TWO: Final = frozenset(
    name
    for name, known in FUNCTIONS.items()
    if name and any(getattr(f, "nin", 1) == 2 for f in known)
)
# Primitives that complex numbers have, too, and functions of theirs without a derivative.
HOLOMORPHIC: Final = frozenset((
    "add", "subtract", "multiply", "divide", "power", "negative", "positive", "absolute", "square",
    "reciprocal", "sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos",
    "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh",
))  # fmt: skip
COMPARED: Final = frozenset((
    operator.eq, operator.ne, np.equal, np.not_equal, np.isnan, np.isinf, np.isfinite,
))  # fmt: skip
IN_PLACE: Final = {
    operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul,
    operator.itruediv: operator.truediv, operator.ipow: operator.pow, operator.imod: operator.mod,
    operator.ifloordiv: operator.floordiv,
}  # fmt: skip
