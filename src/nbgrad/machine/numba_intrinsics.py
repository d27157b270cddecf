"""Numba's form of the kernel intrinsics. Importing this module imports Numba.

Pointers stay pointers: an address computed as an integer loses its provenance, which LLVM 22
miscompiles (numba#10605), so tables of addresses are read with ``load ptr`` and offset by GEP.
"""

from __future__ import annotations

import operator
from typing import Any, Final

from llvmlite import ir
from numba import types

from nbgrad.machine import intrinsics as plain
from nbgrad.machine import numba_scipy, pointers
from nbgrad.machine.numba_inside import (
    PointerModel,
    alloca_once,
    get_or_insert_function,
    if_unlikely,
    intrinsic,
    lower_builtin,
    register_model,
)
from nbgrad.machine.numba_memory import MEMORY_NAMES, ROOMS, call_frame, select, words_as
from nbgrad.machine.numba_objects import OBJECT_NAMES
from nbgrad.machine.vecmath import bits, far

I1, I8, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(64)
BYTES = I8.as_pointer()
WORDS: Final = types.CPointer(types.int64)


class BoolPointer(types.CPointer):
    """Pointer to NumPy booleans: bytes in memory, one bit in registers."""

    def __init__(self) -> None:
        super().__init__(types.boolean)


register_model(BoolPointer)(PointerModel)


@lower_builtin(operator.getitem, BoolPointer, types.Integer)
def _load_bool(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    byte = builder.load(builder.gep(args[0], [args[1]]))
    return builder.icmp_unsigned("!=", byte, byte.type(0))


@lower_builtin(operator.setitem, BoolPointer, types.Integer, types.Any)
def _store_bool(context: Any, builder: Any, sig: Any, args: Any) -> None:
    place = builder.gep(args[0], [args[1]])
    bit = context.cast(builder, args[2], sig.args[2], types.boolean)
    builder.store(builder.zext(bit, I8), place)


@intrinsic
def reduce_add(typingctx: Any, a: Any, b: Any) -> Any:
    """``a + b`` with the reassoc flag on real floats."""
    result = typingctx.unify_types(a, b)
    # A sum of booleans counts, as in NumPy.
    result = types.int64 if result == types.boolean else result

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, y = (
            context.cast(builder, v, t, sig.return_type)
            for v, t in zip(args, sig.args, strict=True)
        )
        if isinstance(result, types.Float):
            return builder.fadd(x, y, flags=("reassoc",))
        if isinstance(result, types.Complex):
            left = context.make_complex(builder, result, value=x)
            right = context.make_complex(builder, result, value=y)
            left.real = builder.fadd(left.real, right.real, flags=("reassoc",))
            left.imag = builder.fadd(left.imag, right.imag, flags=("reassoc",))
            return left._getvalue()
        return builder.add(x, y)

    return result(a, b), generate


def _bitcast(name: str, source: Any, target: Any) -> Any:
    def typing(typingctx: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            value = context.cast(builder, args[0], sig.args[0], source)
            return builder.bitcast(value, context.get_value_type(target))

        return target(x), generate

    typing.__name__ = typing.__qualname__ = name
    return intrinsic(typing)


@intrinsic
def rest_of(typingctx: Any, x: Any, y: Any) -> Any:
    """C's ``fmod`` as a call: of the instruction LLVM would make vectors, lane by lane."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.DoubleType(), [ir.DoubleType()] * 2)
        function = get_or_insert_function(builder.module, kind, "fmod")
        wide = [
            context.cast(builder, v, t, types.float64) for v, t in zip(args, sig.args, strict=True)
        ]
        return builder.call(function, wide)

    return types.float64(x, y), generate


def _extremum(name: str) -> Any:
    """LLVM's intrinsic that is NaN if one of two floats is, of which it makes vectors in loops."""

    def typing(typingctx: Any, a: Any, b: Any) -> Any:
        result = typingctx.unify_types(a, b)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            pair = [*map(context.cast, [builder] * 2, args, sig.args, [result] * 2)]
            kind = ir.FunctionType(pair[0].type, [v.type for v in pair])
            text = f"llvm.{name}.f{result.bitwidth}"
            return builder.call(get_or_insert_function(builder.module, kind, text), pair)

        return result(a, b), generate

    typing.__name__ = typing.__qualname__ = name
    return intrinsic(typing)


# Keyed by the plain functions, so that a helper's globals can be translated by identity.
BY_PLAIN: Final[dict[Any, Any]] = {
    plain.reduce_add: reduce_add,
    plain.reduce_max: _extremum("maximum"),
    plain.reduce_min: _extremum("minimum"),
    plain.select: select,
    **ROOMS,
    pointers.call_frame: call_frame,
    bits.rest_of: rest_of,
    bits.f8_as_i8: _bitcast("f8_as_i8", types.float64, types.int64),
    bits.i8_as_f8: _bitcast("i8_as_f8", types.int64, types.float64),
    bits.f4_as_i4: _bitcast("f4_as_i4", types.float32, types.int32),
    bits.i4_as_f4: _bitcast("i4_as_f4", types.int32, types.float32),
    **far.BY_PLAIN,
    **numba_scipy.BY_PLAIN,
}


@intrinsic
def load_pointer(typingctx: Any, table: Any, word: Any) -> Any:
    """``table[word]`` as a pointer to words."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.gep(args[0], [args[1]])
        kind = context.get_value_type(WORDS)
        return builder.load(builder.bitcast(place, kind.as_pointer()))

    return WORDS(WORDS, types.int64), generate


@intrinsic
def store_pointer(typingctx: Any, table: Any, word: Any, pointer: Any) -> Any:
    """``table[word] = pointer``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.gep(args[0], [args[1]])
        builder.store(args[2], builder.bitcast(place, args[2].type.as_pointer()))
        return context.get_dummy_value()

    return types.void(WORDS, types.int64, WORDS), generate


@intrinsic
def offset_words(typingctx: Any, pointer: Any, words: Any) -> Any:
    """The pointer *words* words further."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return WORDS(WORDS, types.int64), generate


@intrinsic
def offset_bytes(typingctx: Any, pointer: Any, count: Any) -> Any:
    """The place *count* bytes after any pointer, as a pointer to words."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        moved = builder.gep(builder.bitcast(args[0], BYTES), [args[1]])
        return builder.bitcast(moved, context.get_value_type(WORDS))

    return WORDS(pointer, types.int64), generate


@intrinsic
def distance(typingctx: Any, pointer: Any, origin: Any) -> Any:
    """Bytes from *origin* to *pointer*."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.sub(builder.ptrtoint(args[0], I64), builder.ptrtoint(args[1], I64))

    return types.int64(WORDS, WORDS), generate


@intrinsic
def address(typingctx: Any, pointer: Any) -> Any:
    """The address as a number, to be stored or compared; to follow it, keep the pointer."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], I64)

    return types.int64(WORDS), generate


@intrinsic
def call_kernel(typingctx: Any, kernel: Any, lo: Any, hi: Any, args: Any) -> Any:
    """Call ``void (*kernel)(int64 lo, int64 hi, int64 *args)``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        words = context.get_value_type(WORDS)
        kind = ir.FunctionType(ir.VoidType(), [I64, I64, words])
        builder.call(builder.bitcast(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(WORDS, types.int64, types.int64, WORDS), generate


BY_PLAIN[pointers.call_kernel] = call_kernel


@intrinsic
def call_pool(
    typingctx: Any, launch: Any, task: Any, rows: Any, dims: Any, steps: Any, data: Any, n: Any
) -> Any:
    """Call Numba's ``numba_parallel_for`` at *launch* with one array argument and *n* threads."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        launch, *pointers, n = args
        kind = ir.FunctionType(ir.VoidType(), [BYTES] * 5 + [I64] * 3)
        operands = [builder.bitcast(p, BYTES) for p in pointers]
        # The fixed arguments are inner_ndim = 0 and array_count = 1.
        builder.call(builder.bitcast(launch, kind.as_pointer()), [*operands, I64(0), I64(1), n])
        return context.get_dummy_value()

    return types.void(*([WORDS] * 6), types.int64), generate


def _stack(name: str, size: int) -> Any:
    """Return an intrinsic: *size* words of the function's own stack, the same at every call."""

    def typing(typingctx: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return alloca_once(builder, I64, size=size)

        return WORDS(), generate

    typing.__name__ = typing.__qualname__ = name
    return intrinsic(typing)


def _fortran_call(name: str, arity: int) -> Any:
    """Return an intrinsic ``name(routine, table)``; the table holds the arguments' addresses."""

    def typing(typingctx: Any, routine: Any, table: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            routine, table = args
            kind = ir.FunctionType(ir.VoidType(), [BYTES] * arity)
            slots = builder.bitcast(table, BYTES.as_pointer())
            operands = [builder.load(builder.gep(slots, [I64(k)])) for k in range(arity)]
            builder.call(builder.bitcast(routine, kind.as_pointer()), operands)
            return context.get_dummy_value()

        return types.void(WORDS, WORDS), generate

    typing.__name__ = typing.__qualname__ = name
    return intrinsic(typing)


@intrinsic
def call_loop(typingctx: Any, loop: Any, frame: Any, values: Any) -> Any:
    """Call the executor's loop, ``int64 (*loop)(int64 *frame, PyObject *values)``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        words = context.get_value_type(WORDS)
        kind = ir.FunctionType(I64, [words, words])
        return builder.call(builder.bitcast(args[0], kind.as_pointer()), args[1:])

    return types.int64(WORDS, WORDS, WORDS), generate


def _outside(builder: Any, name: str, *args: Any) -> None:
    """Call a function of ``bounds`` or ``checks``, which is linked in by name."""
    kind = ir.FunctionType(ir.VoidType(), [arg.type for arg in args])
    builder.call(get_or_insert_function(builder.module, kind, name), args)


@intrinsic
def checked_element(typingctx: Any, index: Any, low: Any, high: Any, size: Any, site: Any) -> Any:
    """*index*, after a report if that element is not between the bytes *low* and *high*.

    Both are 0 where they are not known.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        index, low, high, size, site = args
        start = builder.mul(index, size)
        below = builder.icmp_signed("<", start, low)
        above = builder.icmp_signed(">", builder.add(start, size), high)
        known = builder.icmp_signed("!=", low, high)
        wrong = builder.and_(known, builder.or_(below, above))
        with if_unlikely(builder, wrong):
            _outside(builder, "nbgrad_no_element", index, low, high, size, site)
        return index

    return types.int64(*([types.int64] * 5)), generate


@intrinsic
def checked_word(typingctx: Any, pointer: Any, index: Any, site: Any) -> Any:
    """*index*, after a report if that word of *pointer* is in no object and no known memory."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        here = builder.ptrtoint(alloca_once(builder, I64), I64)
        _outside(builder, "nbgrad_word", args[0], args[1], here, args[2])
        return args[1]

    return types.int64(WORDS, types.int64, types.int64), generate


@intrinsic
def known_memory(typingctx: Any) -> Any:
    """The table of ``checks``, which is linked in by name."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        found = builder.module.globals.get("nbgrad_known")
        return found or ir.GlobalVariable(builder.module, I64, "nbgrad_known")

    return WORDS(), generate


# Functions of Python's C interface. Objects are pointers where they are read, else numbers.
_OBJECT: Final = types.int64
INTERPRETER: Final = {
    "PyEval_SaveThread": WORDS(),
    "PyEval_RestoreThread": types.void(WORDS),
    "Py_IncRef": types.void(_OBJECT),
    "Py_DecRef": types.void(_OBJECT),
    "PyLong_FromLongLong": _OBJECT(types.int64),
    "PyLong_AsLongLong": types.int64(_OBJECT),
    "PyFloat_AsDouble": types.float64(_OBJECT),
    "PyErr_Occurred": _OBJECT(),
    "PyErr_Clear": types.void(),
    "PyErr_CheckSignals": types.int32(),
    "PyErr_Fetch": types.void(WORDS, WORDS, WORDS),
    "PyGILState_Ensure": types.int32(),
    "PyGILState_Release": types.void(types.int32),
    "PyDict_GetItem": WORDS(_OBJECT, _OBJECT),
    "PySet_Size": types.int64(_OBJECT),
    "PyObject_CallNoArgs": _OBJECT(_OBJECT),
    "PyIter_Next": _OBJECT(_OBJECT),
    "PyType_GenericAlloc": WORDS(_OBJECT, types.int64),
    "PyTuple_New": _OBJECT(types.int64),
    "PyTuple_SetItem": types.int32(_OBJECT, types.int64, _OBJECT),
    "PyList_New": _OBJECT(types.int64),
    "PyList_Append": types.int32(_OBJECT, _OBJECT),
    "PyWeakref_NewRef": _OBJECT(_OBJECT, _OBJECT),
    "PyList_SetSlice": types.int32(_OBJECT, types.int64, types.int64, _OBJECT),
    "PyList_SetItem": types.int32(_OBJECT, types.int64, _OBJECT),
    "PyBytes_FromStringAndSize": _OBJECT(WORDS, types.int64),
    # In the build that tests each access.
    "nbgrad_count": types.int64(WORDS),
    "nbgrad_no_word": types.void(types.int64, types.int64, types.int64),
    "pread": types.int64(types.int64, WORDS, types.int64, types.int64),
}

# Routines of BLAS and LAPACK, with the number of their arguments.
ROUTINES: Final = {
    "gemm": 13, "gemv": 11, "trsm": 11, "trsv": 8, "potrf": 5, "potri": 5,
    "gesv": 8, "getrf": 6, "getrs": 9, "syevd": 11,
}  # fmt: skip

# What hand-written kernels (the executor, gemm) may use besides the plain names.
POINTER_NAMES: Final = {
    "load_pointer": load_pointer,
    "store_pointer": store_pointer,
    "offset_words": offset_words,
    "offset_bytes": offset_bytes,
    "distance": distance,
    "address": address,
    "checked_element": checked_element,
    "checked_word": checked_word,
    "known_memory": known_memory,
    "call_kernel": call_kernel,
    "call_pool": call_pool,
    "call_loop": call_loop,
    **OBJECT_NAMES,
    "stack_words": _stack("stack_words", 32),
    "stack_room": _stack("stack_room", 256),
    "stack_frame": _stack("stack_frame", 1024),
    **{f"call_{name}": _fortran_call(f"call_{name}", arity) for name, arity in ROUTINES.items()},
    **MEMORY_NAMES,
    "words_as_b1": words_as("b1", BoolPointer()),
    **{name: types.ExternalFunction(name, kind) for name, kind in INTERPRETER.items()},
}
