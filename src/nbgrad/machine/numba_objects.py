"""Calls of C functions of objects by address: of NumPy's that make some (``layout.of_numpy``), of our own."""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba import types

from nbgrad.machine.numba_inside import intrinsic
from nbgrad.machine.numba_memory import I64, WORDS


@intrinsic
def call_empty(typingctx: Any, function: Any, ndim: Any, shape: Any, dtype: Any) -> Any:
    """Call NumPy's ``PyArray_Empty(ndim, shape, dtype, 0)``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        words, i32 = context.get_value_type(WORDS), ir.IntType(32)
        kind = ir.FunctionType(words, [i32, words, I64, i32])
        operands = [builder.trunc(args[1], i32), args[2], args[3], i32(0)]
        return builder.call(builder.bitcast(args[0], kind.as_pointer()), operands)

    return WORDS(WORDS, types.int64, WORDS, types.int64), generate


@intrinsic
def call_scalar(typingctx: Any, function: Any, data: Any, dtype: Any) -> Any:
    """Call NumPy's ``PyArray_Scalar(data, dtype, NULL)``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        words = context.get_value_type(WORDS)
        kind = ir.FunctionType(I64, [words, I64, words])
        operands = [args[1], args[2], words(None)]
        return builder.call(builder.bitcast(args[0], kind.as_pointer()), operands)

    return types.int64(WORDS, WORDS, types.int64), generate


@intrinsic
def call_fast(typingctx: Any, function: Any, owner: Any, args: Any, count: Any) -> Any:
    """Call the code of a built-in function, ``PyObject *(*code)(PyObject *owner, PyObject **args, int64 count)``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        words = context.get_value_type(WORDS)
        kind = ir.FunctionType(I64, [words, words, I64])
        return builder.call(builder.bitcast(args[0], kind.as_pointer()), args[1:])

    return types.int64(WORDS, WORDS, WORDS, types.int64), generate


_OBJECT: Final = types.int64
_INTERPRETER: Final = {
    "PyErr_BadInternalCall": types.void(),
    "PyObject_RichCompareBool": types.int32(_OBJECT, _OBJECT, types.int32),
    "PyObject_Vectorcall": WORDS(_OBJECT, WORDS, types.int64, WORDS),
}
OBJECT_NAMES: Final = {
    "call_empty": call_empty,
    "call_scalar": call_scalar,
    "call_fast": call_fast,
    **{name: types.ExternalFunction(name, kind) for name, kind in _INTERPRETER.items()},
}
