"""Numba's form of what loops use: choices, memory that grows, and whether somebody asked for the end."""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba import types

from nbgrad.machine.intrinsics import ROOM, room_f4, room_f8
from nbgrad.machine.numba_inside import alloca_once, get_or_insert_function, intrinsic
from nbgrad.machine.numba_tiles import TILE_NAMES

I64 = ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()
WORDS: Final = types.CPointer(types.int64)
LINE: Final = 64  # bytes of a line of the cache


def _call(builder: Any, function: Any, result: Any, *args: Any) -> Any:
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(builder.bitcast(function, kind.as_pointer()), args)


@intrinsic
def call_grow(typingctx: Any, grow: Any, pointer: Any, size: Any) -> Any:
    """Call ``void *(*grow)(void *, size_t)``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        found = _call(builder, args[0], BYTES, builder.bitcast(args[1], BYTES), args[2])
        return builder.bitcast(found, args[1].type)

    return pointer(WORDS, pointer, types.int64), generate


@intrinsic
def call_release(typingctx: Any, release: Any, pointer: Any) -> Any:
    """Call ``void (*release)(void *)``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _call(builder, args[0], ir.VoidType(), builder.bitcast(args[1], BYTES))
        return context.get_dummy_value()

    return types.void(WORDS, pointer), generate


@intrinsic
def call_frame(typingctx: Any, run: Any, frame: Any) -> Any:
    """Call ``int64 (*run)(int64 *frame, int64 *frame)``: the executor's loop, from helpers."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        words = context.get_value_type(WORDS)
        kind = ir.FunctionType(I64, [words, words])
        run, frame = args
        return builder.call(builder.bitcast(run, kind.as_pointer()), [frame, frame])

    return types.int64(WORDS, WORDS), generate


@intrinsic
def call_copy(typingctx: Any, copy: Any, target: Any, source: Any, size: Any) -> Any:
    """Call ``void *(*copy)(void *target, const void *source, size_t size)``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, source = (builder.bitcast(pointer, BYTES) for pointer in args[1:3])
        _call(builder, args[0], BYTES, target, source, args[3])
        return context.get_dummy_value()

    return types.void(WORDS, WORDS, WORDS, types.int64), generate


@intrinsic
def call_asked(typingctx: Any, asked: Any, words: Any) -> Any:
    """Call ``int64 (*asked)(int64 *)``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, args[0], I64, args[1])

    return types.int64(WORDS, WORDS), generate


@intrinsic
def is_nowhere(typingctx: Any, pointer: Any) -> Any:
    """Whether a pointer is null."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.icmp_unsigned("==", builder.ptrtoint(args[0], I64), I64(0))

    return types.boolean(pointer), generate


@intrinsic
def select(typingctx: Any, condition: Any, a: Any, b: Any) -> Any:
    """``a if condition else b`` as one instruction."""
    result = typingctx.unify_types(a, b)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bit = context.cast(builder, args[0], sig.args[0], types.boolean)
        x, y = (
            context.cast(builder, v, t, sig.return_type)
            for v, t in zip(args[1:], sig.args[1:], strict=True)
        )
        return builder.select(bit, x, y)

    return result(condition, a, b), generate


@intrinsic
def atomic_swap(typingctx: Any, word: Any, value: Any) -> Any:
    """Write *value* and return what was there; what other threads wrote before is seen from then on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.atomic_rmw("xchg", args[0], args[1], "acquire")

    return types.int64(WORDS, types.int64), generate


@intrinsic
def atomic_store(typingctx: Any, word: Any, value: Any) -> Any:
    """Write *value*, after all that was written before."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store_atomic(args[1], args[0], "release", 8)
        return context.get_dummy_value()

    return types.void(WORDS, types.int64), generate


@intrinsic
def memory_of(typingctx: Any, count: Any, size: Any) -> Any:
    """C's ``calloc``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(BYTES, [I64, I64])
        found = builder.call(get_or_insert_function(builder.module, kind, "calloc"), args)
        return builder.bitcast(found, context.get_value_type(WORDS))

    return WORDS(types.int64, types.int64), generate


@intrinsic
def memory_again(typingctx: Any, pointer: Any, size: Any) -> Any:
    """C's ``realloc``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(BYTES, [BYTES, I64])
        function = get_or_insert_function(builder.module, kind, "realloc")
        found = builder.call(function, [builder.bitcast(args[0], BYTES), args[1]])
        return builder.bitcast(found, context.get_value_type(WORDS))

    return WORDS(WORDS, types.int64), generate


@intrinsic
def memory_free(typingctx: Any, pointer: Any) -> Any:
    """C's ``free``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [BYTES])
        function = get_or_insert_function(builder.module, kind, "free")
        builder.call(function, [builder.bitcast(args[0], BYTES)])
        return context.get_dummy_value()

    return types.void(WORDS), generate


@intrinsic
def nowhere(typingctx: Any) -> Any:
    """A null pointer."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_value_type(WORDS)(None)

    return WORDS(), generate


def words_as(code: str, kind: Any) -> Any:
    """Return an intrinsic: a pointer to words as one to elements of another type."""

    def typing(typingctx: Any, pointer: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(kind))

        return kind(WORDS), generate

    typing.__name__ = typing.__qualname__ = f"words_as_{code}"
    return intrinsic(typing)


def _room(kind: Any) -> Any:
    """Return an intrinsic: ``ROOM`` bytes of the function's own stack, the same at every call."""
    size = kind.bitwidth // 8

    def typing(typingctx: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            place = alloca_once(builder, context.get_value_type(kind), size=ROOM // size)
            place.align = LINE
            return place

        return types.CPointer(kind)(), generate

    typing.__name__ = typing.__qualname__ = f"room_f{size}"
    return intrinsic(typing)


ROOMS: Final = {room_f4: _room(types.float32), room_f8: _room(types.float64)}  # by the plain ones
MEMORY_NAMES: Final = {
    **TILE_NAMES,
    "memory_of": memory_of,
    "memory_again": memory_again,
    "memory_free": memory_free,
    "nowhere": nowhere,
    "words_as_f8": words_as("f8", types.CPointer(types.float64)),
    "words_as_f4": words_as("f4", types.CPointer(types.float32)),
    "words_as_i8": words_as("i8", WORDS),
    "atomic_store": atomic_store,
    "atomic_swap": atomic_swap,
    "call_grow": call_grow,
    "call_release": call_release,
    "call_asked": call_asked,
    "call_copy": call_copy,
    "is_nowhere": is_nowhere,
}
