"""Calls of functions of Numba's from the code that is called with addresses."""

from __future__ import annotations

import ctypes
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nbgrad.machine.numba_inside import create_struct_proxy
from nbgrad.machine.request import RAISED
from nbgrad.native import memory, pushing
from nbgrad.native.forms import Leaf, Records, Static
from nbgrad.native.pushing import I32, I64, PTR


def frozen_type(dtype: Any, ndim: int) -> Any:
    """The type of arrays that a user's function is given: it must not write into them."""
    return types.Array(dtype, ndim, "C", readonly=True)


@intrinsic
def frozen(typingctx: Any, array: Any) -> Any:
    """The array as one that is not written to."""
    result = array.copy(readonly=True)

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        context.nrt.incref(b, result, args[0])
        return args[0]

    return result(array), generate


@intrinsic
def elements(typingctx: Any, array: Any) -> Any:
    """Where the elements of an array without gaps are; it must be held meanwhile."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return create_struct_proxy(array)(context, b, args[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def attempt(typingctx: Any, function: Any, args: Any) -> Any:
    """Whether the function raises, and its result, which is nothing then.

    The first of *args* is nothing: Numba makes one type of a tuple that begins with a function, and warns.
    """
    given_types = args.types[1:]
    found = function.get_call_type(typingctx, given_types, {})
    result = types.Tuple((types.boolean, found.return_type))

    def generate(context: Any, b: Any, sig: Any, given: Any) -> Any:
        unpacked = [b.extract_value(given[1], k) for k in range(1, len(args.types))]
        unpacked = [
            context.cast(b, x, ty, target)
            for x, ty, target in zip(unpacked, given_types, found.args, strict=True)
        ]
        failed, value = _called(context, b, function, found, unpacked)
        return context.make_tuple(b, result, [failed, value])

    return result(function, args), generate


def type_of(x: Any, number_of: Callable[[Leaf], Any]) -> Any:
    """The type of an argument, *number_of* being that of a leaf's elements."""
    if isinstance(x, Leaf):
        return frozen_type(number_of(x), x.ndim) if x.ndim else number_of(x)
    if isinstance(x, Records):
        record = numba.from_dtype(x.dtype)
        return frozen_type(record, x.ndim) if x.ndim else record
    if isinstance(x, Static):
        return types.boolean if x.code == "b1" else types.int64
    if isinstance(x, tuple):
        kind, items = x
        inner = [type_of(item, number_of) for item in items]
        return types.Tuple(inner) if kind is tuple else types.NamedTuple(inner, kind)
    return numba.typeof(x.value)


def _called(context: Any, b: Any, function: Any, sig: Any, args: Sequence[Any]) -> tuple[Any, Any]:
    made = function.dispatcher.overloads[tuple(sig.args)]
    callee = context.declare_function(b.module, made.fndesc)
    context.active_code_library.add_linking_library(made.library)
    status, value = context.call_conv.call_function(
        b, callee, sig.return_type, sig.args, args, attrs=("noinline",)
    )
    with b.if_then(status.is_error, likely=False):
        _note(b, status.excinfoptr)
    null = context.get_constant_null(sig.return_type)
    return status.is_error, b.select(status.is_error, null, value)


def _note(b: Any, info: Any) -> None:
    """Keep for this thread what a function raised, if that is known before it runs."""
    made = b.extract_value(b.load(info), 4)
    known = b.icmp_signed("==", made, made.type(0))
    kept = b.select(known, b.bitcast(info, PTR), ir.Constant(PTR, None))
    key = b.bitcast(pushing._external(b.module, pushing.FAULT, ir.ArrayType(I64, 4)), PTR)
    put = pushing._declared(b.module, "PyThread_tss_set", I32, PTR, PTR)
    b.call(put, [key, kept])


class _Raised(ctypes.Structure):
    """How what is raised begins in Numba's code: where it is pickled, and how long that is."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_int32))


def raised() -> Exception | None:
    """What the function raised that failed last in this thread; None if that is not known before it runs."""
    get = ctypes.pythonapi.PyThread_tss_get
    get.argtypes, get.restype = [ctypes.c_void_p], ctypes.c_void_p
    at = get(memory.symbols()[pushing.FAULT])
    if not at:
        return None
    said = ctypes.cast(at, ctypes.POINTER(_Raised)).contents
    kind, args, *_ = pickle.loads(ctypes.string_at(said.data, said.size))
    found: Exception = kind(*args)
    return found


def component_of(number: int) -> Any:
    """A function of Numba's: component *number* of a number, 0 where it has none."""

    @intrinsic
    def component(typingctx: Any, x: Any) -> Any:
        result = getattr(x, "base", x)

        def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
            found = memory._walk_floats(context, b, x, args[0])
            return found[number] if number < len(found) else context.get_constant_null(result)

        return result(x), generate

    return component


@intrinsic
def nonzero(typingctx: Any, pointer: Any) -> Any:
    """Whether an address is one."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.icmp_unsigned("!=", args[0], args[0].type(None))

    return types.boolean(pointer), generate


@intrinsic
def apart(typingctx: Any, function: Any, words: Any, tape: Any) -> Any:
    """Call what records apart from what says to the thread where."""
    found = function.get_call_type(typingctx, (words, tape), {})

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        failed, value = _called(context, b, function, found, args[1:])
        return b.select(
            failed, value.type(RAISED), context.cast(b, value, found.return_type, types.int64)
        )

    return types.int64(function, words, tape), generate
