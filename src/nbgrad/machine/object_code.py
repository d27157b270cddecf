"""Python source to object code: Numba's front end, one LLVM pipeline, our own emission.

Importing this module imports Numba, so only ``compile`` does it, when a kernel is in no cache.
Numba's default route runs LLVM three times over each function, adds the module to an engine that
never unloads it, and writes wrappers for Python. Here Numba types and lowers the function; a small
wrapper with the C ABI is added; one O3 pipeline runs over the whole and the object is emitted once.
"""

from __future__ import annotations

import math
import types as pytypes
from collections.abc import Callable, Mapping
from typing import Any, Final

import llvmlite.binding as ll
from numba import types

from nbgrad.machine import interleaving
from nbgrad.machine.intrinsics import CASTS
from nbgrad.machine.numba_inside import (
    dispatcher,
    global_compiler_lock,
    lowered,
    target_machine,
)
from nbgrad.machine.numba_intrinsics import BY_PLAIN, POINTER_NAMES, BoolPointer
from nbgrad.machine.request import AGAIN, Request

SCALARS: Final = {
    "f8": types.float64,
    "f4": types.float32,
    "i8": types.int64,
    "i4": types.int32,
    "i2": types.int16,
    "i1": types.int8,
    "u8": types.uint64,
    "u4": types.uint32,
    "u2": types.uint16,
    "u1": types.uint8,
    "b1": types.boolean,
    "c16": types.complex128,
    "c8": types.complex64,
}
# Only the helpers' own polynomials may be fused into multiply-adds. What a user wrote as a product
# and a sum is rounded twice, as in NumPy, or t*t - u*u of equal operands would not be 0.
ERROR_MODEL: Final = "numpy"
HELPER_FLAGS: Final = {"error_model": ERROR_MODEL, "fastmath": {"contract"}}


_dispatchers: dict[Callable[..., Any], Any] = {}


def _dispatcher(helper: Callable[..., Any]) -> Any:
    """Return *helper* as a Numba function, with everything it calls translated likewise."""
    found = _dispatchers.get(helper)
    if found is None:
        code = helper.__code__
        names = {name: _translate(helper.__globals__[name]) for name in _globals_of(helper)}
        names["__name__"] = "nbgrad.machine.helpers"
        copy = pytypes.FunctionType(code, names, helper.__name__, helper.__defaults__)
        # What njit does, but with NUMBA_DISABLE_JIT=1 too: kernels are always compiled.
        inline = not getattr(helper, "apart", False)
        options = {"nopython": True, "forceinline": inline, **HELPER_FLAGS}
        found = _dispatchers[helper] = dispatcher(copy, options)
    return found


def _globals_of(function: Callable[..., Any]) -> list[str]:
    return [name for name in function.__code__.co_names if name in function.__globals__]


def _translate(value: Any) -> Any:
    """Return what a global of a helper stands for in compiled code."""
    if isinstance(value, pytypes.FunctionType):
        intrinsic = BY_PLAIN.get(value)
        return _dispatcher(value) if intrinsic is None else intrinsic
    return value


def _namespace(helpers: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "nbgrad.machine.kernels", "math": math}
    names.update(CASTS)
    names.update({plain.__name__: intrinsic for plain, intrinsic in BY_PLAIN.items()})
    names.update(POINTER_NAMES)
    names.update({name: _translate(function) for name, function in helpers.items()})
    return names


def numba_type(code: str) -> Any:
    """Return the Numba type of a type code such as ``"f8*"`` or ``"i4"``."""
    if code == "b1*":
        return BoolPointer()
    return types.CPointer(SCALARS[code[:-1]]) if code.endswith("*") else SCALARS[code]


def build(request: Request) -> tuple[bytes, tuple[str, ...]]:
    """Compile the function ``request.name`` to an object file that exports ``request.symbol``.

    ``params`` are the type codes of every parameter. If ``result`` is None the symbol has the
    kernel ABI ``void (int64 lo, int64 hi, int64 *args)`` and the third and later parameters are
    read from ``args``. Otherwise it is the type code of the result, and the parameters are passed
    as they are.

    Returns
    -------
    object code : bytes
    needs : tuple of str
        Functions that the object calls.
    """
    name, params, result = request.name, request.params, request.result
    names = _namespace(request.helpers)
    exec(compile(request.source, f"<nbgrad {name}>", "exec"), names)
    kinds = tuple(map(numba_type, params))
    # Numba's lock also guards the code generator, which belongs to no thread.
    with global_compiler_lock:
        returned = types.none if result is None else SCALARS[result]
        module, inner = lowered(names[name], kinds, returned, request.noalias, ERROR_MODEL)
        note = None if request.table else interleaving.note(request.source)
        if note is not None:
            module = ll.parse_assembly(interleaving.marked(str(module), inner, note))
        _add_wrapper(module, inner, request)
        optimize(module)
        needs = tuple(
            f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")
        )
        return target_machine().emit_object(module), needs


def _add_wrapper(module: Any, inner: str, request: Request) -> None:
    """Link the exported C function into *module* and make everything else internal to it."""
    params, result, symbol = request.params, request.result, request.symbol
    kinds = [str(a.type) for a in module.get_function(inner).arguments]
    text = f'declare i32 @"{inner}"({", ".join(kinds)})\n'
    text += (
        _table_wrapper(inner, symbol, kinds[2:], params, request.again)
        if request.table
        else _kernel_wrapper(inner, symbol, kinds[2:], params)
        if result is None
        else _direct_wrapper(inner, symbol, kinds[2:], module, result)
    )
    wrapper = ll.parse_assembly(text)
    wrapper.data_layout, wrapper.triple = module.data_layout, module.triple
    module.link_in(wrapper)
    for value in (*module.functions, *module.global_variables):
        # LLVM's own globals, such as llvm.compiler.used, mean nothing under another linkage.
        if value.is_declaration or value.name == symbol or value.name.startswith("llvm."):
            continue
        value.linkage = ll.Linkage.internal


def _kernel_wrapper(inner: str, symbol: str, kinds: list[str], params: tuple[str, ...]) -> str:
    lines, passed = [], [f"{kinds[0]} %lo", f"{kinds[1]} %hi"]
    for k, (kind, code) in enumerate(zip(kinds[2:], params[2:], strict=True)):
        lines.append(f"%p{k} = getelementptr inbounds i64, ptr %args, i64 {k}")
        lines.append(f"%w{k} = load {'ptr' if kind == 'ptr' else 'i64'}, ptr %p{k}")
        lines.append(_unpack(k, kind, code))
        passed.append(f"{kind} %v{k}")
    body = "\n  ".join(lines)
    return f"""
define void @"{symbol}"(i64 %lo, i64 %hi, ptr %args) nounwind {{
  %ret = alloca ptr
  %exc = alloca ptr
  {body}
  %status = call i32 @"{inner}"(ptr %ret, ptr %exc, {", ".join(passed)})
  ret void
}}"""


def _table_wrapper(
    inner: str, symbol: str, kinds: list[str], params: tuple[str, ...], again: bool
) -> str:
    """``int64 symbol(int64 *words)``: a word for each parameter."""
    lines, passed = [], []
    for k, (kind, code) in enumerate(zip(kinds, params, strict=True)):
        lines.append(f"%p{k} = getelementptr inbounds i64, ptr %words, i64 {k}")
        lines.append(f"%w{k} = load {'ptr' if kind == 'ptr' else 'i64'}, ptr %p{k}")
        lines.append(_unpack(k, kind, code))
        passed.append(f"{kind} %v{k}")
    body = "\n  ".join(lines)
    return f"""
{"declare i64 @nbgrad_again(ptr)" if again else ""}
define i64 @"{symbol}"(ptr %words) nounwind {{
  %ret = alloca i64
  %exc = alloca ptr
  {body}
  %status = call i32 @"{inner}"(ptr %ret, ptr %exc{"".join(f", {p}" for p in passed)})
  %out = load i64, ptr %ret
  {_AGAIN if again else "ret i64 %out"}
}}"""


_AGAIN: Final = f"""
  %odd = icmp eq i64 %out, {AGAIN}
  br i1 %odd, label %again, label %done
again:
  %second = call i64 @nbgrad_again(ptr %words)
  ret i64 %second
done:
  ret i64 %out"""


def _unpack(k: int, kind: str, code: str) -> str:
    """LLVM text that turns word *k* of the argument table into a value of type *kind*."""
    if kind == "ptr":
        return f"%v{k} = getelementptr i8, ptr %w{k}, i64 0"
    if kind == "double":
        return f"%v{k} = bitcast i64 %w{k} to double"
    if kind == "float":
        return f"%h{k} = trunc i64 %w{k} to i32\n  %v{k} = bitcast i32 %h{k} to float"
    if code == "b1":
        return f"%h{k} = icmp ne i64 %w{k}, 0\n  %v{k} = " + (
            f"zext i1 %h{k} to {kind}" if kind != "i1" else f"xor i1 %h{k}, false"
        )
    if kind == "i64":
        return f"%v{k} = add i64 %w{k}, 0"
    return f"%v{k} = trunc i64 %w{k} to {kind}"


def _direct_wrapper(inner: str, symbol: str, kinds: list[str], module: Any, result: str) -> str:
    kind = {"i8": "i64", "f8": "double"}[result]
    declared = ", ".join(f"{t} %v{k}" for k, t in enumerate(kinds))
    return f"""
define {kind} @"{symbol}"({declared}) nounwind {{
  %ret = alloca {kind}
  %exc = alloca ptr
  %status = call i32 @"{inner}"(ptr %ret, ptr %exc, {declared})
  %out = load {kind}, ptr %ret
  ret {kind} %out
}}"""


def optimize(module: Any) -> None:
    """Run LLVM's O3 pipeline. Pass managers are single-use: a second run aborts the process."""
    tuning = ll.create_pipeline_tuning_options(3)
    tuning.loop_vectorization = True
    tuning.slp_vectorization = True
    builder = ll.create_pass_builder(target_machine(), tuning)
    builder.getModulePassManager().run(module, builder)
    module.verify()
