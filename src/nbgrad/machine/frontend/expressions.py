"""Expressions of kernel text as LLVM instructions: each knows its kind once it is written."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final

import numpy as np
from llvmlite import ir

from nbgrad.machine.frontend.instructions import Instruction
from nbgrad.machine.frontend.kinds import (
    FLOATS,
    NUMBERS,
    WHOLE,
    Kind,
    Typed,
    Unsupported,
    is_pointer,
    joined,
    llvm_type,
    size,
)
from nbgrad.machine.frontend.operations import (
    Flags,
    binary,
    called,
    compared,
    converted,
    extremum,
    magnitude,
    struct,
    unary,
)
from nbgrad.machine.intrinsics import CASTS

I1, I64 = ir.IntType(1), ir.IntType(64)
# What calls a function that is translated, too: of a writer, the function and its operands.
Calls = Callable[[Any, FunctionType, list[Typed]], Typed]
# LLVM's own functions of floats, and the C library's, of which those of float32 end in f.
_LLVM: Final = {math.sqrt: "sqrt", math.fabs: "fabs", math.copysign: "copysign", math.sin: "sin",
                math.cos: "cos", math.exp: "exp", math.log: "log", math.pow: "pow"}  # fmt: skip
_LIBM: Final = {math.asin: "asin", math.acos: "acos", math.atan: "atan", math.atan2: "atan2",
                math.sinh: "sinh", math.cosh: "cosh", math.tan: "tan", math.fmod: "fmod",
                math.tanh: "tanh", math.log1p: "log1p", math.expm1: "expm1"}  # fmt: skip
_BY_TYPE: Final = {kind: code for code, kind in reversed(CASTS.items()) if code in NUMBERS}


class Writer:
    """Writes the expressions of one function.

    Attributes
    ----------
    b : llvmlite.ir.IRBuilder
    names : mapping
        What names mean that are no variables.
    flags : tuple of str
        What LLVM may do to sums and products of floats.
    """

    def __init__(
        self, b: Any, names: Mapping[str, Any], flags: Flags, by_plain: Mapping[Any, Instruction],
        calls: Calls,
    ) -> None:  # fmt: skip
        self.b = b
        self.names = names
        self.flags = flags
        self.by_plain = by_plain
        self.calls = calls
        self.slots: dict[str, tuple[Kind, Any]] = {}

    def expression(self, node: ast.expr) -> Typed:
        """Write an expression."""
        write = getattr(self, f"_{type(node).__name__.lower()}", None)
        if write is None:
            raise Unsupported(f"{type(node).__name__} in {ast.unparse(node)}")
        found: Typed = write(node)
        return found

    def condition(self, node: ast.expr) -> Any:
        """Write an expression whose truth is asked."""
        return converted(self.b, self.expression(node), "b1")

    # -------------------------------------------------------------------------------------- leaves

    def _constant(self, node: ast.Constant) -> Typed:
        return constant(node.value)

    def _name(self, node: ast.Name) -> Typed:
        if node.id in self.slots:
            kind, place = self.slots[node.id]
            return Typed(kind, self.b.load(place))
        return constant(self.meaning(node))

    def meaning(self, node: ast.expr) -> Any:
        """What a name or an attribute stands for that is no variable."""
        if isinstance(node, ast.Name):
            if node.id in self.slots or node.id not in self.names:
                raise Unsupported(f"the name {node.id}")
            return self.names[node.id]
        if isinstance(node, ast.Attribute):
            owner = self.meaning(node.value)
            if owner in (math, np):
                return getattr(owner, node.attr)
        raise Unsupported(ast.unparse(node))

    def _attribute(self, node: ast.Attribute) -> Typed:
        return constant(self.meaning(node))

    def _tuple(self, node: ast.Tuple) -> Typed:
        given = [self.expression(part) for part in node.elts]
        return Typed(tuple([x.kind for x in given]), struct(self.b, [x.value for x in given]))

    # ----------------------------------------------------------------------------------- operators

    def _binop(self, node: ast.BinOp) -> Typed:
        x, y = self.expression(node.left), self.expression(node.right)
        return binary(self.b, node.op, x, y, self.flags)

    def _unaryop(self, node: ast.UnaryOp) -> Typed:
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            number: Any = node.operand.value
            return constant(-number)
        return unary(self.b, node.op, self.expression(node.operand))

    def _compare(self, node: ast.Compare) -> Typed:
        left = self.expression(node.left)

        def one(op: ast.cmpop, right: ast.expr) -> Callable[[], Any]:
            def write() -> Any:
                nonlocal left
                before, left = left, self.expression(right)
                return compared(self.b, op, before, left, self.flags).value

            return write

        results = [one(op, right) for op, right in zip(node.ops, node.comparators, strict=True)]
        return Typed("b1", self._until(results, True))

    def _boolop(self, node: ast.BoolOp) -> Typed:
        def one(part: ast.expr) -> Callable[[], Any]:
            def write() -> Any:
                found = self.expression(part)
                if found.kind != "b1":
                    raise Unsupported(f"'and' or 'or' of {found.kind}: {ast.unparse(node)}")
                return found.value

            return write

        return Typed(
            "b1", self._until([one(v) for v in node.values], isinstance(node.op, ast.And))
        )

    def _until(self, writes: list[Callable[[], Any]], going: bool) -> Any:
        """The conditions in turn, while they are *going*; those behind one that is not are not asked."""
        b = self.b
        last = writes.pop()
        if not writes:
            return last()
        end = b.append_basic_block("settled")
        ways = []
        for write in writes:
            found, following = write(), b.append_basic_block("asked")
            b.cbranch(found, *((following, end) if going else (end, following)))
            ways.append(b.block)
            b.position_at_end(following)
        found = last()
        ways_end = b.block
        b.branch(end)
        b.position_at_end(end)
        phi = b.phi(I1)
        for block in ways:
            phi.add_incoming(I1(not going), block)
        phi.add_incoming(found, ways_end)
        return phi

    def _ifexp(self, node: ast.IfExp) -> Typed:
        b = self.b
        bit = self.condition(node.test)
        blocks = [b.append_basic_block(name) for name in ("chosen", "otherwise", "either")]
        b.cbranch(bit, *blocks[:2])
        found, ends = [], []
        for block, part in zip(blocks, (node.body, node.orelse), strict=False):
            b.position_at_end(block)
            found.append(self.expression(part))
            ends.append(b.block)
        kind = joined(found[0].kind, found[1].kind)
        values = []
        for block, x in zip(ends, found, strict=True):
            b.position_at_end(block)
            values.append(converted(b, x, kind))
            b.branch(blocks[2])
        b.position_at_end(blocks[2])
        phi = b.phi(llvm_type(kind))
        for block, value in zip(ends, values, strict=True):
            phi.add_incoming(value, block)
        return Typed(kind, phi)

    # ------------------------------------------------------------------------------------ elements

    def _subscript(self, node: ast.Subscript) -> Typed:
        if isinstance(node.value, ast.Name) and node.value.id not in self.slots:
            return self._of_table(self.meaning(node.value), node)
        code, place = self.place(node)
        value = self.b.load(place)
        return Typed(
            code, self.b.icmp_unsigned("!=", value, value.type(0)) if code == "b1" else value
        )

    def _of_table(self, table: Any, node: ast.Subscript) -> Typed:
        """An element of a tuple of numbers that is a constant."""
        index = self.expression(node.slice)
        if not isinstance(table, tuple) or index.kind not in WHOLE:
            raise Unsupported(ast.unparse(node))
        values = [constant(x) for x in table]
        (kind,) = {x.kind for x in values}
        found = values[-1].value
        for k, x in enumerate(values[:-1]):
            same = self.b.icmp_unsigned("==", index.value, index.value.type(k))
            found = self.b.select(same, x.value, found)
        return Typed(kind, found)

    def place(self, node: ast.Subscript) -> tuple[str, Any]:
        """The type code of an element, and where it is."""
        pointer, index = self.expression(node.value), self.expression(node.slice)
        if not is_pointer(pointer.kind) or index.kind not in WHOLE:
            raise Unsupported(f"{ast.unparse(node)} of {pointer.kind} and {index.kind}")
        wide = converted(self.b, index, "i8") if index.kind != "u8" else index.value
        return pointer.kind[:-1], self.b.gep(pointer.value, [wide])

    # --------------------------------------------------------------------------------------- calls

    def _call(self, node: ast.Call) -> Typed:
        if node.keywords:
            raise Unsupported(f"keywords in {ast.unparse(node)}")
        function = self.meaning(node.func)
        given = [self.expression(arg) for arg in node.args]
        if isinstance(function, FunctionType):
            function = self.by_plain.get(function, function)
        if isinstance(function, Instruction):
            return function.write(self.b, given)
        if isinstance(function, FunctionType):
            return self.calls(self, function, given)
        if isinstance(function, type) and function in _BY_TYPE and len(given) == 1:
            code = _BY_TYPE[function]
            return Typed(code, converted(self.b, given[0], code))
        if function in (max, min):
            return extremum(self.b, ">" if function is max else "<", *given)
        if function is abs and len(given) == 1:
            return magnitude(self.b, given[0])
        return self._of_math(function, given, node)

    def _of_math(self, function: Any, given: list[Typed], node: ast.Call) -> Typed:
        """A function of the module ``math``."""
        kind: Kind = "f4" if all(x.kind == "f4" for x in given) else "f8"
        if not all(x.kind in NUMBERS for x in given) or not given:
            raise Unsupported(ast.unparse(node))
        values = [converted(self.b, x, kind) for x in given]
        llvm = llvm_type(kind)
        if function is math.floor:
            whole = called(self.b, f"llvm.floor.f{size(kind)}", llvm, *values)
            return Typed("i8", self.b.fptosi(whole, I64))
        if function is math.isnan:
            return Typed("b1", self.b.fcmp_unordered("uno", *values * 2))
        if function in _LLVM:
            return Typed(
                kind, called(self.b, f"llvm.{_LLVM[function]}.f{size(kind)}", llvm, *values)
            )
        if function in _LIBM:
            name = _LIBM[function] + ("f" if kind == "f4" else "")
            return Typed(kind, called(self.b, name, llvm, *values))
        raise Unsupported(ast.unparse(node))


def constant(x: Any) -> Typed:
    """A number that is known."""
    if type(x) is bool or isinstance(x, np.bool_):
        return Typed("b1", I1(int(x)))
    if type(x) is int:
        if not -(1 << 63) <= x < 1 << 64:
            raise Unsupported(f"{x} has no 64 bits")
        return Typed("i8" if x < 1 << 63 else "u8", I64(x))
    if type(x) is float:
        return Typed("f8", llvm_type("f8")(x))
    if isinstance(x, np.generic) and type(x) in _BY_TYPE:
        code = _BY_TYPE[type(x)]
        return Typed(code, llvm_type(code)(float(x) if code in FLOATS else int(x)))
    raise Unsupported(f"the constant {x!r}")
