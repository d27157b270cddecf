"""Numba's form of the calls of ``scipy_scalars``. Importing this module imports Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types

from nbgrad.machine.numba_inside import get_or_insert_function, intrinsic
from nbgrad.machine.scipy_scalars import OPERANDS, PAIRS, PREFIX, SCIPY, SYMBOL

DOUBLE, I32 = ir.DoubleType(), ir.IntType(32)
# The result depends on nothing but the operands: a call may be moved, shared or dropped.
PURE: Final = ("nounwind", "willreturn", "memory(none)")


def _call(name: str, count: int) -> Any:
    """The intrinsic of a function of numbers. Cython's has one operand more, which is 0."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(DOUBLE, [DOUBLE] * count + [I32])
        function = get_or_insert_function(builder.module, kind, SYMBOL + PREFIX + name)
        set.update(function.attributes, PURE)
        wide = [
            context.cast(builder, x, t, types.float64) for x, t in zip(args, sig.args, strict=True)
        ]
        return builder.call(function, [*wide, I32(0)])

    def typing(typingctx: Any, *xs: Any) -> Any:
        return types.float64(*xs), generate

    return _with_operands(typing, count, name)


def _with_operands(typing: Callable[..., Any], count: int, name: str) -> Any:
    """*typing* as an intrinsic of that many operands: Numba reads the signature."""
    one = {
        1: lambda typingctx, a: typing(typingctx, a),
        2: lambda typingctx, a, b: typing(typingctx, a, b),
        3: lambda typingctx, a, b, c: typing(typingctx, a, b, c),
        4: lambda typingctx, a, b, c, d: typing(typingctx, a, b, c, d),
    }[count]
    one.__name__ = one.__qualname__ = PREFIX + name
    return intrinsic(one)


def _pair(name: str) -> Any:
    """The intrinsic of a function of one number with two results."""

    def typing(typingctx: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            pointer = DOUBLE.as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [DOUBLE, pointer, pointer])
            function = get_or_insert_function(builder.module, kind, SYMBOL + PREFIX + name)
            function.attributes.add("nounwind")
            with builder.goto_entry_block():
                places = [builder.alloca(DOUBLE) for _ in range(2)]
            builder.call(function, [context.cast(builder, args[0], a, types.float64), *places])
            return context.make_tuple(builder, sig.return_type, [*map(builder.load, places)])

        return types.UniTuple(types.float64, 2)(a), generate

    typing.__name__ = typing.__qualname__ = PREFIX + name
    return intrinsic(typing)


BY_PLAIN: Final = {SCIPY[PREFIX + name]: _call(name, count) for name, count in OPERANDS.items()}
BY_PLAIN.update({SCIPY[PREFIX + name]: _pair(name) for name in PAIRS})
