"""Calls of functions of Numba's from the code that is called with addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nbgrad.machine.request import RAISED
from nbgrad.native import memory, pushing
from nbgrad.native.forms import Leaf, Static
from nbgrad.native.pushing import I64


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
def attempt(typingctx: Any, function: Any, args: Any) -> Any:
    """Whether the function raises, and its result, which is nothing then."""
    found = function.get_call_type(typingctx, args.types, {})
    result = types.Tuple((types.boolean, found.return_type))

    def generate(context: Any, b: Any, sig: Any, given: Any) -> Any:
        unpacked = [b.extract_value(given[1], k) for k in range(len(args.types))]
        unpacked = [
            context.cast(b, x, ty, target)
            for x, ty, target in zip(unpacked, args.types, found.args, strict=True)
        ]
        failed, value = _called(context, b, function, found, unpacked)
        return context.make_tuple(b, result, [failed, value])

    return result(function, args), generate


def type_of(x: Any, number_of: Callable[[Leaf], Any]) -> Any:
    """The type of an argument, *number_of* being that of a leaf's elements."""
    if isinstance(x, Leaf):
        return frozen_type(number_of(x), x.ndim) if x.ndim else number_of(x)
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
    """Keep what a function raised: where it is pickled, how long that is, and if there is more to it."""
    slot = pushing._external(b.module, pushing.FAULT, ir.ArrayType(I64, 4))
    held = b.load(info)
    fields = [b.ptrtoint(b.extract_value(held, 0), I64)]
    fields += [b.sext(b.extract_value(held, k), I64) for k in (1, 4)]
    for k, x in enumerate(fields):
        b.store(x, b.gep(slot, [I64(0), I64(k)]))


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
