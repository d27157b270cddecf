"""Where tapes are, what begins and ends one, and numbers that are on it."""

from __future__ import annotations

import ctypes
import sys
import threading
from functools import cache
from typing import Any, Final

import llvmlite.binding as ll
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nbgrad.config import settings
from nbgrad.machine.blocks import remembering
from nbgrad.machine.numba_inside import alloca_once, guarded_by
from nbgrad.native import pushing
from nbgrad.native.active import ActiveComplex, Dual, Taped, halves, joined, made, parts
from nbgrad.native.pushing import I32, I64, PTR, word

_key = (ctypes.c_int64 * 4)()
_pool = (ctypes.c_int64 * pushing.SLOTS)()
_budget = ctypes.c_int64(0)
_stack = (ctypes.c_int64 * 4)()
_fault = (ctypes.c_int64 * 4)()


@cache
def symbols() -> dict[str, int]:
    """The addresses of what tapes of all functions share, known to LLVM by name from now on."""
    create = ctypes.pythonapi.PyThread_tss_create
    create.argtypes, create.restype = [ctypes.c_void_p], ctypes.c_int
    guarded_by(pushing.overflows)
    remembering(lambda ty: isinstance(ty, Taped))
    failed = [create(ctypes.addressof(key)) for key in (_key, _stack, _fault)]
    if any(failed):
        raise MemoryError("there is no more room for what belongs to a thread")
    found = {
        pushing.KEY: ctypes.addressof(_key),
        pushing.POOL: ctypes.addressof(_pool),
        pushing.BUDGET: ctypes.addressof(_budget),
        pushing.FAULT: ctypes.addressof(_fault),
        pushing.STACK: ctypes.addressof(_stack),
    }
    settings.told.append(_follow)
    _follow()
    for name, address in found.items():
        ll.add_symbol(name, address)
    get, put = "PyThread_tss_get", "PyThread_tss_set"
    for name, known in ((get, get), (put, put), (pushing.OF_THREAD, get)):
        ll.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, known), ctypes.c_void_p).value)
    return found


def _follow() -> None:
    """Bytes that a tape may take, as the settings say."""
    _budget.value = int(min(max(settings.current.tape_bytes, 0), sys.maxsize))


# Of the stack that a thread has at least, wherever it is called from: recursion may take so much.
STACK_BYTES: Final = (
    4 << 20 if threading.stack_size() == 0 and sys.platform == "linux" else 256 << 10
)
WORDS = types.CPointer(types.int64)


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    kinds = [x.type for x in args]
    return builder.call(pushing._declared(builder.module, name, result, *kinds), args)


@intrinsic
def go_no_deeper(typingctx: Any) -> Any:
    """Set how far down the stack functions that call themselves may go from here."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        pushing.limit_stack(b, I64(STACK_BYTES))
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def begin(typingctx: Any, inputs: Any) -> Any:
    """A tape for *inputs* places, which this thread records on from now on; a null pointer without memory."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        pool = pushing._external(b.module, pushing.POOL, ir.ArrayType(I64, pushing.SLOTS))
        held = alloca_once(b, I64)
        b.store(I64(0), held)
        for slot in range(pushing.SLOTS):
            with b.if_then(b.icmp_unsigned("==", b.load(held), I64(0)), likely=slot == 0):
                at = b.gep(pool, [I64(0), I64(slot)])
                b.store(b.atomic_rmw("xchg", at, I64(0), "acquire"), held)
            if slot == 3:
                break
        with b.if_then(b.icmp_unsigned("==", b.load(held), I64(0)), likely=False):
            new = _call(b, "calloc", PTR, I64(pushing.WORDS), I64(8))
            b.store(b.ptrtoint(new, I64), held)
        tape = b.inttoptr(b.load(held), I64.as_pointer())
        with b.if_then(b.icmp_unsigned("!=", b.load(held), I64(0)), likely=True):
            first = b.add(args[0], I64(1))
            for number in (pushing.COUNT, pushing.FIRST):
                b.store(first, word(b, tape, number))
            b.store(b.load(word(b, tape, pushing.BUFFER)), word(b, tape, pushing.TOP))
            b.store(I64(0), word(b, tape, pushing.FAILED))
            key = b.bitcast(pushing._external(b.module, pushing.KEY, ir.ArrayType(I64, 4)), PTR)
            before = _call(b, "PyThread_tss_get", PTR, key)
            b.store(b.ptrtoint(before, I64), word(b, tape, pushing.BEFORE))
            _call(b, "PyThread_tss_set", I32, key, b.bitcast(tape, PTR))
        return tape

    return WORDS(types.int64), generate


@intrinsic
def end(typingctx: Any, tape: Any) -> Any:
    """Give the tape back to the pool, and to the thread what it had before."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        (tape,) = args
        key = b.bitcast(pushing._external(b.module, pushing.KEY, ir.ArrayType(I64, 4)), PTR)
        before = b.inttoptr(b.load(word(b, tape, pushing.BEFORE)), PTR)
        _call(b, "PyThread_tss_set", I32, key, before)
        for memory, size, *also in (
            (pushing.BUFFER, pushing.CAPACITY, pushing.END),
            (pushing.ADJOINTS, pushing.ROOM),
        ):
            large = b.icmp_unsigned(">", b.load(word(b, tape, size)), I64(pushing.KEPT))
            with b.if_then(large, likely=False):
                _call(b, "free", ir.VoidType(), b.inttoptr(b.load(word(b, tape, memory)), PTR))
                for number in (memory, size, *also):
                    b.store(I64(0), word(b, tape, number))
        pool = pushing._external(b.module, pushing.POOL, ir.ArrayType(I64, pushing.SLOTS))
        left = alloca_once(b, I64)
        b.store(b.ptrtoint(tape, I64), left)
        for slot in range(4):
            with b.if_then(b.icmp_unsigned("!=", b.load(left), I64(0)), likely=slot == 0):
                at = b.gep(pool, [I64(0), I64(slot)])
                done = b.cmpxchg(at, I64(0), b.load(left), "acq_rel", "monotonic")
                b.store(b.select(b.extract_value(done, 1), I64(0), b.load(left)), left)
        with b.if_then(b.icmp_unsigned("!=", b.load(left), I64(0)), likely=False):
            rest = b.inttoptr(b.load(left), I64.as_pointer())
            for number in (pushing.BUFFER, pushing.ADJOINTS):
                at = b.inttoptr(b.load(word(b, rest, number)), PTR)
                _call(b, "free", ir.VoidType(), at)
            _call(b, "free", ir.VoidType(), b.bitcast(rest, PTR))
        return context.get_dummy_value()

    return types.void(tape), generate


@intrinsic
def adjoints(typingctx: Any, tape: Any, kind: Any) -> Any:
    """Memory for the adjoint of each place, all 0; null without memory, or if the tape failed.

    A sweep leaves it as it finds it, so that it is only filled when it is new.
    """
    component = kind.dtype.component

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        tape, _ = args
        ty = context.get_value_type(component)
        need = b.mul(b.load(word(b, tape, pushing.COUNT)), pushing.size_of(b, ty))
        little = b.icmp_unsigned(">", need, b.load(word(b, tape, pushing.ROOM)))
        with b.if_then(little, likely=False):
            old = b.inttoptr(b.load(word(b, tape, pushing.ADJOINTS)), PTR)
            _call(b, "free", ir.VoidType(), old)
            room = b.add(need, b.udiv(need, I64(4)))
            new = b.ptrtoint(_call(b, "calloc", PTR, room, I64(1)), I64)
            b.store(new, word(b, tape, pushing.ADJOINTS))
            b.store(
                b.select(b.icmp_unsigned("==", new, I64(0)), I64(0), room),
                word(b, tape, pushing.ROOM),
            )
        found = b.load(word(b, tape, pushing.ADJOINTS))
        bad = b.icmp_unsigned("!=", b.load(word(b, tape, pushing.FAILED)), I64(0))
        found = b.inttoptr(b.select(bad, I64(0), found), PTR)
        return b.bitcast(found, context.get_data_type(types.CPointer(component)))

    return types.CPointer(component)(tape, kind), generate


@intrinsic
def taken(typingctx: Any, found: Any, place: Any) -> Any:
    """The adjoint of a constant or an input, where 0 is left, as a sweep leaves it of operations."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        at = b.gep(args[0], [args[1]])
        value = b.load(at)
        b.store(ir.Constant(value.type, None), at)
        return value

    return found.dtype(found, types.int64), generate


# ------------------------------------------------------------------------- words, arrays, components


@intrinsic
def as_pointer(typingctx: Any, value: Any, kind: Any) -> Any:
    """The address *value* as a pointer to what *kind* says."""
    result = types.CPointer(kind.dtype)

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.inttoptr(args[0], context.get_value_type(result))

    return result(value, kind), generate


def components(ty: Any) -> list[tuple[int, ...]]:
    """The paths to the floats of a number: 0 to the value, 1 to the tangent; that of no tangent first."""
    if isinstance(ty, Taped):
        return [(0, *rest) for rest in components(ty.component)]
    if isinstance(ty, Dual):
        inner = components(ty.component)
        return [(0, *rest) for rest in inner] + [(1, *rest) for rest in inner]
    return [()]


@intrinsic
def active_of(typingctx: Any, kind: Any, floats: Any, place: Any) -> Any:
    """A number from its components, and its place on the tape if it is taped; complex it has the next, too."""
    ty = kind.dtype

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        _, given, place = args
        values = [
            context.cast(
                b, b.extract_value(given, k), sig.args[1].types[k], getattr(ty, "base", ty)
            )
            for k in range(len(sig.args[1].types))
        ]

        def build(ty: Any, values: list[Any], place: Any = place) -> Any:
            if isinstance(ty, ActiveComplex):
                pairs = [halves(context, b, ty.base, v) for v in values]
                columns = zip(*pairs, strict=True)
                constant = b.icmp_unsigned("==", place, I64(0))
                next_place = b.select(constant, I64(0), b.add(place, I64(1)))
                halved = [
                    build(ty.part, list(v), at)
                    for v, at in zip(columns, (place, next_place), strict=True)
                ]
                return joined(context, b, ty.part, *halved)
            if isinstance(ty, Taped):
                return made(context, b, ty, build(ty.component, values), place)
            if isinstance(ty, Dual):
                half = len(values) // 2
                low, high = (build(ty.component, v) for v in (values[:half], values[half:]))
                return made(context, b, ty, low, high)
            return values[0]

        return build(ty, values)

    return ty(kind, floats, place), generate


def _walk_floats(context: Any, b: Any, ty: Any, x: Any) -> list[Any]:
    if isinstance(ty, ActiveComplex):
        pairs = [_walk_floats(context, b, ty.part, half) for half in halves(context, b, ty, x)]
        base = ty.base.underlying_float
        return [joined(context, b, base, *pair) for pair in zip(*pairs, strict=True)]
    if isinstance(ty, Taped):
        return _walk_floats(context, b, ty.component, parts(context, b, ty, x)[0])
    if isinstance(ty, Dual):
        both = parts(context, b, ty, x)
        return [f for part in both for f in _walk_floats(context, b, ty.component, part)]
    return [x]


@intrinsic
def floats_of(typingctx: Any, x: Any) -> Any:
    """The floats of the components of a number."""
    result = types.UniTuple(getattr(x, "base", x), len(components(x)))

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return context.make_tuple(b, result, _walk_floats(context, b, x, args[0]))

    return result(x), generate


def _half(number: int) -> Any:
    """A function of Numba's: the real (0) or imaginary (1) part of a complex number."""

    @intrinsic
    def half(typingctx: Any, x: Any) -> Any:
        def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
            return halves(context, b, x, args[0])[number]

        return (x.part if isinstance(x, ActiveComplex) else x.underlying_float)(x), generate

    return half


real_of, imag_of = _half(0), _half(1)


@intrinsic
def place_of(typingctx: Any, x: Any) -> Any:
    """The place of a number on the tape; 0 of a constant."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return parts(context, b, x, args[0])[1] if isinstance(x, Taped) else I64(0)

    return types.int64(x), generate


def dtype_of(ty: Any) -> Any:
    """A function of Numba's that returns the dtype of arrays of *ty*."""

    @intrinsic
    def active_dtype(typingctx: Any) -> Any:
        def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
            return context.get_dummy_value()

        return types.DType(ty)(), generate

    return active_dtype
