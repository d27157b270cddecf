"""Comparisons, logic and tests for finiteness: results are boolean and carry no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.primitive import Primitive
from nbgrad.ops.basis import cast
from nbgrad.ops.kinds.elementwise import elementwise

# Of an integer with a sign and one without, in either order: where neither is negative their bits are compared.
_SIGNS = {"==": "& ({x} >= 0) & ({y} >= 0)", "!=": "| ({x} < 0) | ({y} < 0)"}
_FIRST = {"<": "({x} < 0) |", "<=": "({x} < 0) |", ">": "({y} < 0) |", ">=": "({y} < 0) |"}
_LAST = {"<": "& ({y} >= 0)", "<=": "& ({y} >= 0)", ">": "& ({x} >= 0)", ">=": "& ({x} >= 0)"}


def _compare(name: str, symbol: str, doc: str) -> Primitive:
    bits = f"(u8({{x}}) {symbol} u8({{y}}))"
    if symbol in _SIGNS:
        dtypes, mixed = "fiubc", f"{bits} {_SIGNS[symbol]}"
    else:
        dtypes, mixed = "fiub", f"({_FIRST[symbol]} {bits}) {_LAST[symbol]}"
    return elementwise(
        name,
        expr=f"{{x}} {symbol} {{y}}",
        mixed_expr=mixed,
        reference=getattr(np, name),
        dtypes=dtypes,  # complex numbers have no order
        doc=doc,
    )


def _logic(name: str, text: str, doc: str) -> Primitive:
    return elementwise(
        name, expr=text, reference=getattr(np, name), dtypes="fiubc", doc=doc, domain=((0.0, 1.0),)
    )


equal = _compare("equal", "==", "Whether elements are equal.")
not_equal = _compare("not_equal", "!=", "Whether elements differ.")
less = _compare("less", "<", "Whether the first is smaller.")
less_equal = _compare("less_equal", "<=", "Whether the first is not larger.")
greater = _compare("greater", ">", "Whether the first is larger.")
greater_equal = _compare("greater_equal", ">=", "Whether the first is not smaller.")
logical_and = _logic("logical_and", "({x} != {t}(0)) & ({y} != {t}(0))", "Whether both hold.")
logical_or = _logic("logical_or", "({x} != {t}(0)) | ({y} != {t}(0))", "Whether either holds.")
logical_xor = _logic(
    "logical_xor", "({x} != {t}(0)) != ({y} != {t}(0))", "Whether exactly one holds."
)
logical_not = _logic("logical_not", "{x} == {t}(0)", "Whether the operand does not hold.")
isnan = elementwise(
    "isnan", expr="{x} != {x}", reference=np.isnan, dtypes="fiuc", doc="Whether NaN."
)
isfinite = elementwise(
    "isfinite",
    expr="{x} - {x} == {t}(0)",
    reference=np.isfinite,
    dtypes="fiuc",
    doc="Neither NaN nor infinite.",
)
isinf = elementwise(
    "isinf",
    expr="({x} == {x}) & ({x} - {x} != {t}(0))",
    reference=np.isinf,
    dtypes="fiu",
    doc="Whether infinite.",
)


def indicator(condition: Any, like: Any) -> Any:
    """1 where *condition* holds and 0 elsewhere, in the dtype of *like*."""
    return cast(condition, dtype=like.dtype)
