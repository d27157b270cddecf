"""Calls of the functions of ``scipy_scalars``, by symbol."""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir

from nbgrad.machine.frontend.instructions import Instruction, instruction
from nbgrad.machine.frontend.memory import I32, VOID, in_frame
from nbgrad.machine.frontend.operations import declared, struct
from nbgrad.machine.scipy_scalars import OPERANDS, PAIRS, PREFIX, SCIPY, SYMBOL

DOUBLE: Final = ir.DoubleType()
# The result depends on nothing but the operands: a call may be moved, shared or dropped.
PURE: Final = ("nounwind", "willreturn", "memory(none)")


def _call(name: str, count: int) -> Instruction:
    """A function of numbers. Cython's has one operand more, which is 0."""

    def generate(b: Any, *xs: Any) -> Any:
        kind = ir.FunctionType(DOUBLE, [DOUBLE] * count + [I32])
        function = declared(b.module, SYMBOL + PREFIX + name, kind)
        # llvmlite knows a fixed list of attributes; these are printed as they are.
        set.update(function.attributes, PURE)
        return b.call(function, [*xs, I32(0)])

    return instruction("f8", *["f8"] * count, name=PREFIX + name)(generate)


def _pair(name: str) -> Instruction:
    """A function of one number with two results."""

    def generate(b: Any, x: Any) -> Any:
        kind = ir.FunctionType(VOID, [DOUBLE, DOUBLE.as_pointer(), DOUBLE.as_pointer()])
        function = declared(b.module, SYMBOL + PREFIX + name, kind)
        function.attributes.add("nounwind")
        places = [in_frame(b, DOUBLE) for _ in range(2)]
        b.call(function, [x, *places])
        return struct(b, [*map(b.load, places)])

    return instruction(("f8", "f8"), "f8", name=PREFIX + name)(generate)


BY_PLAIN: Final = {SCIPY[PREFIX + name]: _call(name, count) for name, count in OPERANDS.items()}
BY_PLAIN.update({SCIPY[PREFIX + name]: _pair(name) for name in PAIRS})
