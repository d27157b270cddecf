"""The CPU form of sin, cos and tan of large angles.

A call to libm in a loop keeps LLVM from vectorising it, in a branch too. But a function may say
which other function computes its vectors (the attribute ``vector-function-abi-variant``). So
``sin_far_f8(x, near)`` becomes a call of an LLVM function with variants for vectors of 16 to 64 bytes; a
variant tests all its lanes at once, and calls libm only for those that are far from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir

from nbgrad.machine.frontend.instructions import Instruction, instruction
from nbgrad.machine.frontend.operations import declared
from nbgrad.machine.vecmath import trigonometric as plain

DOUBLE, FLOAT, BYTES = ir.DoubleType(), ir.FloatType(), ir.IntType(8).as_pointer()
LANES: Final = {DOUBLE: (2, 4, 8), FLOAT: (4, 8, 16)}
# The result depends on nothing but the operands, and the call may be moved or dropped.
PURE: Final = ("noinline", "nounwind", "willreturn", "memory(none)")


def _is_far(builder: ir.IRBuilder, x: Any) -> Any:
    lanes = f"v{x.type.count}" if isinstance(x.type, ir.VectorType) else ""
    scalar = x.type.element if lanes else x.type
    name = f"llvm.fabs.{lanes}{scalar.intrinsic_name}"
    fabs = declared(builder.module, name, ir.FunctionType(x.type, [x.type]))
    limit = [plain.NEAR] * x.type.count if lanes else plain.NEAR
    return builder.fcmp_ordered(">", builder.call(fabs, [x]), ir.Constant(x.type, limit))


def _define_scalar(module: ir.Module, name: str, kind: Any, libm: str) -> ir.Function:
    function = ir.Function(module, ir.FunctionType(kind, [kind, kind]), name)
    builder = ir.IRBuilder(function.append_basic_block())
    x, near = function.args
    with builder.if_then(_is_far(builder, x), likely=False):
        wide = builder.fpext(x, DOUBLE) if kind is FLOAT else x
        value = builder.call(module.declare_intrinsic(f"llvm.{libm}", [DOUBLE]), [wide])
        builder.ret(builder.fptrunc(value, FLOAT) if kind is FLOAT else value)
    builder.ret(near)
    return function


def _define_vector(module: ir.Module, name: str, one: ir.Function, lanes: int) -> ir.Function:
    kind = ir.VectorType(one.args[0].type, lanes)
    bits = ir.VectorType(ir.IntType(1), lanes)
    function = ir.Function(module, ir.FunctionType(kind, [kind, kind]), name)
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block())
    x, near = function.args
    reduce_type = ir.FunctionType(ir.IntType(1), [bits])
    reduce_or = declared(module, f"llvm.vector.reduce.or.v{lanes}i1", reduce_type)
    with builder.if_then(builder.call(reduce_or, [_is_far(builder, x)]), likely=False):
        result = near
        for k in range(lanes):
            lane = ir.Constant(ir.IntType(32), k)
            operands = [builder.extract_element(v, lane) for v in (x, near)]
            result = builder.insert_element(result, builder.call(one, operands), lane)
        builder.ret(result)
    builder.ret(near)
    return function


def _define(module: ir.Module, name: str, kind: Any, libm: str) -> Any:
    """Return the LLVM function *name* of *module*, defining it and its variants if need be."""
    if name in module.globals:
        return module.globals[name]
    scalar = _define_scalar(module, name, kind, libm)
    # The variants call a twin of the scalar function that has no variants: LLVM would vectorise
    # the calls of the lanes back into a call of the variant itself.
    one = _define_scalar(module, f"{name}_1", kind, libm)
    set.update(one.attributes, PURE)
    vectors = [_define_vector(module, f"{name}_{n}", one, n) for n in LANES[kind]]
    for function in (scalar, one, *vectors):
        function.linkage = "linkonce_odr"
    variants = ",".join(
        f"_ZGV_LLVM_N{n}vv_{name}({v.name})" for n, v in zip(LANES[kind], vectors, strict=True)
    )
    # llvmlite knows a fixed list of attributes; these are printed as they are.
    for attribute in (*PURE, f'"vector-function-abi-variant"="{variants}"'):
        set.add(scalar.attributes, attribute)
    # Nothing calls the variants before the loop is vectorised: keep them until then.
    used = ir.GlobalVariable(module, ir.ArrayType(BYTES, len(vectors)), "llvm.compiler.used")
    used.linkage, used.section = "appending", "llvm.metadata"
    used.initializer = ir.Constant(used.value_type, [v.bitcast(BYTES) for v in vectors])
    return scalar


def _far(name: str, libm: str, code: str) -> Instruction:
    kind = {"f8": DOUBLE, "f4": FLOAT}[code]

    def generate(b: Any, x: Any, near: Any) -> Any:
        return b.call(_define(b.module, f"nbgrad_{name}", kind, libm), [x, near])

    return instruction(code, code, code, name=name)(generate)


BY_PLAIN: Final[dict[Callable[..., Any], Instruction]] = {
    plain.sin_far_f8: _far("sin_far_f8", "sin", "f8"),
    plain.cos_far_f8: _far("cos_far_f8", "cos", "f8"),
    plain.tan_far_f8: _far("tan_far_f8", "tan", "f8"),
    plain.sin_far_f4: _far("sin_far_f4", "sin", "f4"),
    plain.cos_far_f4: _far("cos_far_f4", "cos", "f4"),
    plain.tan_far_f4: _far("tan_far_f4", "tan", "f4"),
}
